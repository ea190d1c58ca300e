"""CLIP's text tower in Flax NNX: its geometry and its modules.

Owns `ClipTextConfig` and `ClipText`. Knows nothing of files or tokenisers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int


@dataclass(frozen=True)
class ClipTextConfig:
    """Geometry of a text tower; the names and defaults of `transformers`.

    Attributes:
        vocab_size: number of token embeddings.
        hidden_size: width, and length of the pooled vector.
        intermediate_size: width inside the MLP.
        num_hidden_layers: number of transformer layers.
        num_attention_heads: heads; divides `hidden_size`.
        max_position_embeddings: longest prompt in tokens, both ends counted.
        hidden_act: "quick_gelu" (OpenAI's) or "gelu" (exact, most of OpenCLIP's).
        layer_norm_eps: added to the variance.
        eos_token_id: the token that is pooled at; 2 stands for "the highest id", see
            `pool_positions`.
    """

    vocab_size: int = 49408
    hidden_size: int = 512
    intermediate_size: int = 2048
    num_hidden_layers: int = 12
    num_attention_heads: int = 8
    max_position_embeddings: int = 77
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    eos_token_id: int = 49407

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            kinds = {int: (int,), float: (int, float), str: (str,)}[field.type]
            if isinstance(value, bool) or not isinstance(value, kinds):
                raise ValueError(f"CLIP config: bad value {field.name}={value!r}")
            if kinds != (str,) and value <= 0:
                raise ValueError(f"CLIP config: {field.name} must be > 0, got {value}")
        if self.hidden_act not in _ACTIVATIONS:
            raise ValueError(
                f"CLIP config: hidden_act must be one of {', '.join(_ACTIVATIONS)}, "
                f"got {self.hidden_act!r}"
            )
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"CLIP config: hidden_size {self.hidden_size} isn't a multiple of "
                f"num_attention_heads {self.num_attention_heads}"
            )

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> "ClipTextConfig":
        """Read a checkpoint's `config.json`.

        Args:
            config: a whole CLIP's configuration, whose "text_config" is taken, or a
                text tower's own. A "text_config_dict" beside it (old files) is left
                alone, as the reference's text model does.

        Returns:
            The configuration; an absent key takes the reference's default.

        Raises:
            ValueError: not CLIP's configuration, or a value that isn't supported.
        """
        model_type = config.get("model_type", "clip")
        if model_type not in ("clip", "clip_text_model"):
            # MetaCLIP 2, for one, really ends prompts with id 2: see pool_positions.
            raise ValueError(f"CLIP config: model_type {model_type!r} isn't CLIP's")
        if "text_config" in config:
            text = config["text_config"] or {}
        elif "hidden_size" in config:
            text = config
        else:
            raise ValueError("CLIP config: neither text_config nor hidden_size")
        return cls(**{f.name: text[f.name] for f in fields(cls) if f.name in text})


def quick_gelu(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Return x * sigmoid(1.702 x), OpenAI's stand-in for GELU."""
    return x * jax.nn.sigmoid(1.702 * x)


_ACTIVATIONS = {
    "quick_gelu": quick_gelu,
    "gelu": partial(jax.nn.gelu, approximate=False),
}


class Attention(nnx.Module):
    """Causal multi-head self-attention."""

    def __init__(self, config: ClipTextConfig, dtype: Any, rngs: nnx.Rngs):
        width = config.hidden_size
        linear = partial(
            nnx.Linear, width, width, dtype=dtype, param_dtype=dtype, rngs=rngs
        )
        self.q_proj, self.k_proj, self.v_proj = linear(), linear(), linear()
        self.out_proj = linear()
        self.heads = config.num_attention_heads

    def __call__(self, x: Float[Array, "b l d"]) -> Float[Array, "b l d"]:
        """Mix each position with those before it."""
        b, length, width = x.shape
        heads = (b, length, self.heads, width // self.heads)
        q, k, v = (
            proj(x).reshape(heads) for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) * heads[-1] ** -0.5
        # The reference also masks padding. Padding follows the end token, the causal
        # mask hides it from every position up to there, and only that one is pooled.
        causal = jnp.tril(jnp.ones((length, length), bool))
        scores = jnp.where(causal[None, None], scores.astype(jnp.float32), -jnp.inf)
        weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", weights, v)
        return self.out_proj(mixed.reshape(b, length, width))


class Mlp(nnx.Module):
    """Two linear layers with the configured activation between them."""

    def __init__(self, config: ClipTextConfig, dtype: Any, rngs: nnx.Rngs):
        linear = partial(nnx.Linear, dtype=dtype, param_dtype=dtype, rngs=rngs)
        self.fc1 = linear(config.hidden_size, config.intermediate_size)
        self.fc2 = linear(config.intermediate_size, config.hidden_size)
        self.hidden_act = config.hidden_act

    def __call__(self, x: Float[Array, "b l d"]) -> Float[Array, "b l d"]:
        """Transform each position by itself."""
        return self.fc2(_ACTIVATIONS[self.hidden_act](self.fc1(x)))


class Layer(nnx.Module):
    """Pre-norm transformer layer."""

    def __init__(self, config: ClipTextConfig, dtype: Any, rngs: nnx.Rngs):
        self.layer_norm1 = _layer_norm(config, dtype, rngs)
        self.self_attn = Attention(config, dtype, rngs)
        self.layer_norm2 = _layer_norm(config, dtype, rngs)
        self.mlp = Mlp(config, dtype, rngs)

    def __call__(self, x: Float[Array, "b l d"]) -> Float[Array, "b l d"]:
        """Add attention, then MLP, to the residual stream."""
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class Embeddings(nnx.Module):
    """Token vectors plus learned position vectors."""

    def __init__(self, config: ClipTextConfig, dtype: Any, rngs: nnx.Rngs):
        embed = partial(
            nnx.Embed,
            features=config.hidden_size,
            dtype=dtype,
            param_dtype=dtype,
            rngs=rngs,
        )
        self.token_embedding = embed(config.vocab_size)
        self.position_embedding = embed(config.max_position_embeddings)

    def __call__(self, input_ids: Int[Array, "b l"]) -> Float[Array, "b l d"]:
        """Look up and add."""
        positions = jnp.arange(input_ids.shape[1])[None]
        return self.token_embedding(input_ids) + self.position_embedding(positions)


class Encoder(nnx.Module):
    """The stack of layers."""

    def __init__(self, config: ClipTextConfig, dtype: Any, rngs: nnx.Rngs):
        layers = [Layer(config, dtype, rngs) for _ in range(config.num_hidden_layers)]
        self.layers = nnx.List(layers)

    def __call__(self, x: Float[Array, "b l d"]) -> Float[Array, "b l d"]:
        """Apply them in order."""
        for layer in self.layers:
            x = layer(x)
        return x


class ClipText(nnx.Module):
    """CLIP's text tower: token ids to one vector, before any projection.

    Attributes carry the names of the PyTorch checkpoint, so that a leaf's path is its
    tensor's name.

    Source: "Learning Transferable Visual Models From Natural Language Supervision",
    arXiv:2103.00020; checked against `transformers` 5.23.0, CLIPTextModel.
    """

    def __init__(
        self,
        config: ClipTextConfig,
        *,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        """Make a tower with random weights.

        Args:
            config: its geometry.
            dtype: of parameters and activations; norms and softmax sum in float32.
            rngs: for the random weights.
        """
        self.embeddings = Embeddings(config, dtype, rngs)
        self.encoder = Encoder(config, dtype, rngs)
        self.final_layer_norm = _layer_norm(config, dtype, rngs)
        self.eos_token_id = config.eos_token_id

    def __call__(self, input_ids: Int[Array, "b l"]) -> Float[Array, "b d"]:
        """Return the pooled vector: the normed hidden state at the end token.

        Args:
            input_ids: `b l` in [0, vocab_size), with start and end token; whatever
                pads a row behind its end token has no effect.

        Returns:
            `b d` in the tower's dtype; the reference's `pooler_output`.
        """
        hidden = self.encoder(self.embeddings(input_ids))
        at = pool_positions(input_ids, self.eos_token_id)
        # Norm after picking, not before: the norm acts on each position by itself.
        return self.final_layer_norm(hidden[jnp.arange(len(hidden)), at])


def pool_positions(input_ids: Int[Array, "b l"], eos_token_id: int) -> Int[Array, " b"]:
    """Return the position of each row's end token, by the reference's rule.

    OpenAI's own configs say `eos_token_id: 2`, which is not their end token (49407).
    The reference takes 2 to mean "the highest id in the row", right for them since the
    end token is the last of the vocabulary. Any other number is taken at its word.

    Args:
        input_ids: `b l` token ids.
        eos_token_id: the config's.

    Returns:
        `b` positions; of several end tokens the first, and 0 where there is none.
    """
    if eos_token_id == 2:
        return jnp.argmax(input_ids, axis=-1)
    return jnp.argmax(input_ids == eos_token_id, axis=-1)


def _layer_norm(config: ClipTextConfig, dtype: Any, rngs: nnx.Rngs) -> nnx.LayerNorm:
    return nnx.LayerNorm(
        config.hidden_size,
        epsilon=config.layer_norm_eps,
        dtype=dtype,
        param_dtype=dtype,
        # E[x^2] - E[x]^2 is faster but loses the digits that parity asks for.
        use_fast_variance=False,
        rngs=rngs,
    )
