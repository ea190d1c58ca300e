"""How near a picture is to those that a model learned from, by its rough colours.

A picture counts as 8x8 mean colours, so that thousands fit into a small file and are
searched within milliseconds, as a web page wants it. What is published is in LPIPS
(`pokejax.evaluation.nearest`), which sees far more. Imports no JAX.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from pokejax import npz
from pokejax.files import whole_file

SIDE = 8
_BLOCK = 256  # pictures that are compared at once


class IndexFileError(ValueError):
    """An index that can't be used; the message names the file."""


class Nearness(NamedTuple):
    """How near the nearest training picture is, or its mirror image.

    Attributes:
      distance: root mean square of the differences of 8x8 colours, from 0 (the same) to
        1 (black instead of white).
      nearer: share of real pictures, none of them trained on, that are nearer to a
        training picture; at 0 this may be a copy.
    """

    distance: float
    nearer: float


class TrainingIndex(NamedTuple):
    """What is kept of the pictures.

    Attributes:
      train: `n 8 8 3` uint8; of the training pictures.
      heldout: `m` float32, ascending; distances of real pictures, none trained on.
    """

    train: UInt8[np.ndarray, "n 8 8 3"]
    heldout: Float[np.ndarray, " m"]

    @classmethod
    def of(
        cls, train: UInt8[np.ndarray, "n h w 3"], heldout: UInt8[np.ndarray, "m h w 3"]
    ) -> "TrainingIndex":
        """An index of training pictures, both sets on white."""
        rough = _rough(train)
        return cls(rough, np.sort(_distances(_rough(heldout), rough)))

    def nearness(self, image: UInt8[np.ndarray, "h w 3"]) -> Nearness:
        """How near a picture on white is."""
        (distance,) = _distances(_rough(image[None]), self.train)
        nearer = np.searchsorted(self.heldout, distance) / len(self.heldout)
        return Nearness(float(distance), float(nearer))

    def write(self, path: Path) -> None:
        """Write it as an `.npz`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **self._asdict())


def read(path: Path) -> TrainingIndex:
    """The index in a file.

    Raises:
      IndexFileError: it can't be read, or is none.
    """
    try:
        arrays = npz.read(path)
        train, heldout = arrays["train"], arrays["heldout"]
    except OSError as error:
        raise IndexFileError(f"{path} can't be read: {error.strerror}") from None
    except (npz.NpzError, KeyError):
        train = heldout = np.empty(0)
    whole = train.dtype == np.uint8 and train.shape[1:] == (SIDE, SIDE, 3)
    some = heldout.dtype == np.float32 and heldout.ndim == 1 and heldout.size
    ranked = some and np.isfinite(heldout).all() and (np.sort(heldout) == heldout).all()
    if not whole or not len(train) or not ranked:
        raise IndexFileError(
            f"{path} is no index of training pictures; expected the whole .npz that"
            " python -m pokejax.pack --index writes"
        )
    return TrainingIndex(train, heldout)


def _rough(images: UInt8[np.ndarray, "n h w 3"]) -> UInt8[np.ndarray, "n 8 8 3"]:
    small = [
        Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX)
        for image in images
    ]
    return np.stack([np.asarray(image) for image in small])


def _distances(
    rough: UInt8[np.ndarray, "m 8 8 3"], train: UInt8[np.ndarray, "n 8 8 3"]
) -> Float[np.ndarray, " m"]:
    """From each picture to the nearest one in training."""

    def flat(pictures: np.ndarray) -> np.ndarray:
        return pictures.reshape(len(pictures), -1) / 255.0

    known = flat(train)
    squares = (known**2).sum(axis=1)
    best = [np.empty(0)]
    for start in range(0, len(rough), _BLOCK):
        block = rough[start : start + _BLOCK]
        nearest = [
            (squares + (x**2).sum(axis=1)[:, None] - 2 * x @ known.T).min(axis=1)
            for x in (flat(block), flat(block[:, :, ::-1]))
        ]
        best.append(np.minimum(*nearest))
    # Rounding may leave the distance of equal pictures below zero.
    means = np.maximum(np.concatenate(best), 0) / known.shape[1]
    return np.sqrt(means.round(9)).astype(np.float32)
