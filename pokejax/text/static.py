"""The offline text encoder: the mean of static word vectors, in microseconds.

The PyPI package `wordllama` ships the vectors (distilled from a large language model's
token embeddings) and the tokenizer. Both files are read directly; the package's own
loader would try to download.
"""

import functools
import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from safetensors import safe_open
from tokenizers import Tokenizer

_WEIGHTS = "weights/l2_supercat_256.safetensors"
_TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"


@dataclass(frozen=True)
class StaticTextEncoder:
    """Mean of the prompt's token vectors, scaled to a root mean square of 1.

    Unit length would make each of the 256 numbers about 0.06, sixteen times smaller
    than the attribute embeddings beside it in the condition; at root mean square 1 both
    start equal.
    """

    vectors: Float[np.ndarray, "vocabulary d"]
    tokenizer: Tokenizer
    identity: str

    @property
    def dim(self) -> int:
        """Length of one embedding: 256."""
        return self.vectors.shape[1]

    @classmethod
    @functools.cache
    def load(cls) -> "StaticTextEncoder":
        """Read the two files of the installed package `wordllama`.

        Raises:
          FileNotFoundError: the package or one of its files is missing.
        """
        spec = importlib.util.find_spec("wordllama")
        if spec is None or not spec.submodule_search_locations:
            raise FileNotFoundError(
                "the offline text encoder needs the package wordllama:"
                " pip install wordllama==0.4.0.post1"
            )
        root = Path(spec.submodule_search_locations[0])
        for name in (_WEIGHTS, _TOKENIZER):
            if not (root / name).is_file():
                raise FileNotFoundError(
                    f"the installed wordllama has no {name}:"
                    " pip install --force-reinstall wordllama==0.4.0.post1"
                )
        with safe_open(root / _WEIGHTS, framework="numpy") as file:
            vectors = file.get_tensor("embedding.weight").astype(np.float32)
        digest = hashlib.sha256(vectors.tobytes())
        digest.update((root / _TOKENIZER).read_bytes())
        return cls(
            vectors=vectors,
            tokenizer=Tokenizer.from_file(str(root / _TOKENIZER)),
            identity=f"static-rms-{digest.hexdigest()[:12]}",
        )

    def encode(self, prompts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """Embed prompts, in order; a prompt without any token becomes zeros."""
        out = np.zeros((len(prompts), self.dim), np.float32)
        # Lone surrogates have no UTF-8 form; the tokenizer would refuse them.
        clean = [p.encode("utf-8", "replace").decode("utf-8") for p in prompts]
        encodings = self.tokenizer.encode_batch(clean, add_special_tokens=False)
        for row, encoding in zip(out, encodings, strict=True):
            if encoding.ids:
                mean = self.vectors[encoding.ids].mean(axis=0)
                row[:] = mean / (np.sqrt(np.mean(mean**2)) + 1e-12)
        return out
