"""Prompts to CLIP text vectors: a checkpoint's text tensors, loaded and run.

Owns `ClipTextEncoder` and the way from tensor names to parameters. Must not import
`transformers`: parity with it is proved by `tests/parity`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int
from tqdm import tqdm

from pokejax.text.clip_files import ClipFiles, open_checkpoint
from pokejax.text.clip_tokenizer import ClipTokenizer
from pokejax.text.clip_tower import ClipText, ClipTextConfig

DEFAULT_SOURCE = "openai/clip-vit-large-patch14"
Dtype = Literal["float32", "bfloat16"]

# One compilation per pair of these. Short prompts run in a shorter sequence: the mask
# is causal, so what follows the end token can't change the vector pooled there.
BATCH_SIZES = (32, 8, 1)
LENGTHS = (16, 32)

# What each kind of leaf is called in a PyTorch checkpoint.
_TORCH_NAMES = {
    "kernel": "weight",
    "scale": "weight",
    "embedding": "weight",
    "bias": "bias",
}


def load_params(
    files: ClipFiles, config: ClipTextConfig, dtype: Dtype, *, progress: bool = True
) -> tuple[nnx.GraphDef, nnx.State, str]:
    """Read the text tensors of a checkpoint, and no others.

    Args:
        files: the opened checkpoint.
        config: the geometry that names and shapes must match.
        dtype: what the parameters are cast to.
        progress: show a bar if it takes over two seconds.

    Returns:
        The tower's graph, its parameters, and a hash of their float32 values.

    Raises:
        ValueError: a text tensor is missing, too many, or of another shape or kind;
            the message names it.
    """
    tower = nnx.eval_shape(
        lambda: ClipText(config, dtype=jnp.dtype(dtype), rngs=nnx.Rngs(0))
    )
    graphdef, abstract = nnx.split(tower)
    leaves = [(_torch_name(p), p, v) for p, v in nnx.to_flat_state(abstract)]
    prefix = (
        "text_model." if any(n.startswith("text_model.") for n in files.tensors) else ""
    )
    _check_names(files, {prefix + name for name, *_ in leaves}, prefix)

    digest = hashlib.blake2b(digest_size=16)
    flat = {}
    for name, path, variable in tqdm(
        sorted(leaves, key=lambda leaf: leaf[0]),
        desc="reading CLIP",
        delay=2,
        leave=False,
        disable=not progress,
    ):
        value = _read(files, prefix + name, path[-1], variable.shape)
        digest.update(name.encode() + np.ascontiguousarray(value).data)
        flat[path] = variable.replace(jnp.asarray(value, dtype))
    return graphdef, nnx.from_flat_state(flat), digest.hexdigest()


def _torch_name(path: tuple[Any, ...]) -> str:
    return ".".join(map(str, path[:-1])) + "." + _TORCH_NAMES[path[-1]]


def _check_names(files: ClipFiles, expected: set[str], prefix: str) -> None:
    """Compare the checkpoint's text tensors with the tower's, by name."""
    parts = tuple(prefix + p for p in ("embeddings.", "encoder.", "final_layer_norm."))
    found = {name for name in files.tensors if name.startswith(parts)}
    # A buffer that older versions saved: 0, 1, 2, ...
    found.discard(f"{prefix}embeddings.position_ids")
    if missing := sorted(expected - found):
        raise ValueError(
            f"{files.folder}: not a complete CLIP text tower: {len(missing)} of "
            f"{len(expected)} tensors are missing, first {missing[0]!r}"
        )
    if extra := sorted(found - expected):
        raise ValueError(
            f"{files.folder}: weights and config.json disagree: {len(extra)} tensors "
            f"too many, first {extra[0]!r}"
        )


def _read(files: ClipFiles, name: str, kind: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return one tensor as float32 in Flax's layout, its shape checked first."""
    file = files.tensors[name]
    header = file.get_slice(name)
    found = tuple(header.get_shape())
    expected = shape[::-1] if kind == "kernel" else shape
    if found != expected or header.get_dtype() not in ("F64", "F32", "F16", "BF16"):
        raise ValueError(
            f"{files.folder}: tensor {name!r} must be floating point of shape "
            f"{list(expected)}, got {header.get_dtype()} {list(found)}"
        )
    value = np.asarray(file.get_tensor(name)).astype(np.float32)
    # PyTorch keeps a linear layer's weight as (out, in), Flax as (in, out).
    return value.T if kind == "kernel" else value


@partial(jax.jit, static_argnums=0)
def _pooled(
    graphdef: nnx.GraphDef, params: nnx.State, input_ids: Int[Array, "b l"]
) -> Float[Array, "b d"]:
    return nnx.merge(graphdef, params)(input_ids).astype(jnp.float32)


class ClipTextEncoder:
    """Prompts to CLIP's pooled text vectors.

    Attributes:
        config: the tower's geometry.
        dim: length of one embedding (768 for ViT-L/14).
        identity: "clip-" and a hash of weights, geometry, pooling rule, tokenizer and
            dtype. Two encoders of one identity give the same embeddings.
    """

    def __init__(
        self,
        config: ClipTextConfig,
        tokenizer: ClipTokenizer,
        graphdef: nnx.GraphDef,
        params: nnx.State,
        *,
        identity: str,
        progress: bool = True,
    ):
        """Join the parts; use `load` to get them from a checkpoint."""
        self.config = config
        self.dim = config.hidden_size
        self.identity = identity
        self._tokenizer = tokenizer
        self._graphdef = graphdef
        self._params = params
        self._progress = progress

    @classmethod
    def load(
        cls,
        source: str = DEFAULT_SOURCE,
        *,
        dtype: Dtype = "float32",
        progress: bool = True,
    ) -> "ClipTextEncoder":
        """Load the text half of a CLIP checkpoint in the Hugging Face layout.

        Args:
            source: a hub id, a folder, or one safetensors file with `config.json` and
                the tokenizer beside it.
            dtype: of parameters and activations; embeddings come out as float32.
            progress: show a bar on anything over two seconds.

        Returns:
            The encoder.

        Raises:
            FileNotFoundError: nothing there; the message says what to do instead.
            ValueError: not a complete CLIP text tower with its tokenizer; the message
                names the file, tensor or value.
        """
        if dtype not in ("float32", "bfloat16"):
            raise ValueError(f"dtype must be float32 or bfloat16, got {dtype!r}")
        files = open_checkpoint(source)
        config = ClipTextConfig.from_json(files.config)
        tokenizer = ClipTokenizer.load(
            files.folder, max_length=config.max_position_embeddings
        )
        _check_fit(config, tokenizer, source)
        graphdef, params, digest = load_params(files, config, dtype, progress=progress)
        whole = hashlib.blake2b(tokenizer.fingerprint(), digest_size=8)
        whole.update(repr((digest, dtype, sorted(asdict(config).items()))).encode())
        return cls(
            config,
            tokenizer,
            graphdef,
            params,
            identity=f"clip-{whole.hexdigest()}",
            progress=progress,
        )

    def encode(self, prompts: Sequence[str]) -> np.ndarray:
        """Return one vector per prompt, in their order.

        Args:
            prompts: `n` strings; words beyond the tower's length are dropped.

        Returns:
            `n dim` float32, not normalised. The last digits can depend on which
            prompts share a batch, since XLA tiles each batch shape its own way.

        Raises:
            TypeError: one string instead of a sequence of them.
        """
        if isinstance(prompts, str):
            raise TypeError(f"prompts must be a sequence of strings, got {prompts!r}")
        ids = self._tokenizer(prompts)
        embeddings = np.empty((len(ids), self.dim), np.float32)
        # By length, so that a long prompt doesn't make its neighbours run as long.
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        with tqdm(
            total=len(ids),
            desc="encoding prompts",
            unit="prompt",
            delay=2,
            disable=not self._progress,
        ) as bar:
            while order:
                size = next(s for s in BATCH_SIZES if s <= len(order))
                if size == 1 and len(order) > 1:
                    size = BATCH_SIZES[-2]  # one padded batch beats a few single ones
                rows, order = order[:size], order[size:]
                embeddings[rows] = self._run([ids[i] for i in rows], size)
                bar.update(len(rows))
        return embeddings

    def _run(self, ids: list[list[int]], size: int) -> np.ndarray:
        """Encode up to `size` token lists in one padded batch."""
        longest = max(map(len, ids))
        lengths = (*LENGTHS, self.config.max_position_embeddings)
        length = min(n for n in lengths if n >= longest)
        batch = np.full((size, length), self._tokenizer.pad_id, np.int32)
        for row, tokens in enumerate(ids):
            batch[row, : len(tokens)] = tokens
        # "highest" only matters for float32 on accelerators, whose default is a faster
        # matrix product of some 10 (TF32) or 8 (bfloat16) bits.
        with jax.default_matmul_precision("highest"):
            return np.asarray(_pooled(self._graphdef, self._params, batch))[: len(ids)]


def _check_fit(config: ClipTextConfig, tokenizer: ClipTokenizer, source: str) -> None:
    """Refuse a tokenizer whose ids this tower would misread without a word."""
    if tokenizer.vocab_size > config.vocab_size:
        raise ValueError(
            f"{source}: the tokenizer has {tokenizer.vocab_size} tokens, the tower "
            f"{config.vocab_size}"
        )
    ids = tokenizer(["a"])[0]
    end = max(ids) if config.eos_token_id == 2 else config.eos_token_id
    if len(ids) < 2 or end not in ids[1:] or ids[-1] != end:
        raise ValueError(
            f"{source}: the tokenizer ends prompts with id {ids[-1] if ids else None}, "
            f"the tower (eos_token_id {config.eos_token_id}) looks for {end}"
        )
