"""Text encoders, prompt to vector: two of them behind one small interface."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from pokejax.config import TextConfig
from pokejax.text.static import StaticTextEncoder


@runtime_checkable
class TextEncoder(Protocol):
    """What training and sampling need of an encoder."""

    @property
    def dim(self) -> int:
        """Length of one embedding."""
        ...

    @property
    def identity(self) -> str:
        """Short name that changes whenever the same prompt would embed differently.

        Caches are keyed by it, and a bundle records it: a model only understands the
        encoder that it was trained with.
        """
        ...

    def encode(self, prompts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """Embed prompts, in order, as float32."""
        ...


def load_text_encoder(config: TextConfig) -> TextEncoder:
    """The encoder that the config names.

    Raises:
      FileNotFoundError: its weights aren't here; the message says what to do.
    """
    if config.encoder == "clip":
        # Imports the transformer, which the static encoder doesn't need.
        from pokejax.text.clip import ClipTextEncoder

        return ClipTextEncoder.load(config.weights)
    return StaticTextEncoder.load()


__all__ = ["StaticTextEncoder", "TextEncoder", "load_text_encoder"]
