"""A dataset in memory: its splits, and the embeddings of its prompts."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int, UInt8

from pokejax.config import TextConfig


@runtime_checkable
class Pictures(Protocol):
    """`n h w ...` uint8: a numpy array, or something that reads rows on demand."""

    @property
    def shape(self) -> tuple[int, ...]:
        """As an array's."""
        ...

    @property
    def nbytes(self) -> int:
        """As an array's, if all were read."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(
        self, rows: np.ndarray | slice, /
    ) -> UInt8[np.ndarray, "m h w ..."]:
        """Read some pictures."""
        ...


@dataclass(frozen=True)
class Split:
    """Pictures of one split, with everything a step needs of them.

    Attributes:
      images: `n h w 3` uint8, in memory or read on demand.
      alpha: `n h w` uint8, likewise; 0 is background.
      attributes: `n 12` int32 ids in `CONDITIONS` order.
      prompt_ids: `n p` int32 rows of `Dataset.text_emb`; the first `prompt_counts` of
        a row count, the rest are padding.
      prompt_counts: `n` int32, from 1 up.
      weights: `n` float32, how often training draws each picture; 1 on average.
      relatives: `n 4` int32, the row of this split that shows a relative, of which
        the picture is the front, back, ..., in `RELATIONS` order; -1 for none. None
        if no relative is known of any.
    """

    images: Pictures
    alpha: Pictures
    attributes: Int[np.ndarray, "n 12"]
    prompt_ids: Int[np.ndarray, "n p"]
    prompt_counts: Int[np.ndarray, " n"]
    weights: Float[np.ndarray, " n"]
    relatives: Int[np.ndarray, "n 4"] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def drawn(self, rows: np.ndarray | slice) -> UInt8[np.ndarray, "m h w 4"]:
        """Some pictures, RGB on white and alpha, as a model sees them."""
        return np.concatenate([self.images[rows], self.alpha[rows][..., None]], axis=-1)

    def take(self, rows: np.ndarray) -> "Split":
        """The split that holds these rows only; relatives outside it are forgotten."""
        relatives = None
        if self.relatives is not None:
            place = np.full(len(self) + 1, -1, np.int32)  # the last one: of no row
            place[rows] = np.arange(len(rows), dtype=np.int32)
            relatives = place[self.relatives[rows]]
        return Split(
            self.images[rows],
            self.alpha[rows],
            self.attributes[rows],
            self.prompt_ids[rows],
            self.prompt_counts[rows],
            self.weights[rows],
            relatives,
        )


@dataclass(frozen=True)
class Dataset:
    """Three splits and the embeddings of their prompts.

    Attributes:
      splits: by name, `"train"`, `"val"` and `"test"`.
      text_emb: `m d` float16, one row per different prompt.
      encoder: identity of the text encoder that made `text_emb`.
      text: its config, so that a bundle can say how to load it again.
      prompts: `m` texts, those of `text_emb`; empty if a packed file left them out.
    """

    splits: dict[str, Split]
    text_emb: Float[np.ndarray, "m d"]
    encoder: str
    text: TextConfig
    prompts: tuple[str, ...] = ()

    @property
    def text_dim(self) -> int:
        """Length of one text embedding."""
        return self.text_emb.shape[1]
