"""The training picture that a picture is most like, by LPIPS, exactly.

LPIPS is a squared Euclidean distance between weighted activations, so all pairs are one
matrix product; nothing is filtered out first. Training mirrors pictures, so a picture
and its mirror image are both looked for.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from pokejax.evaluation import features


class Nearest(NamedTuple):
    """Where the nearest picture is, for each of `n`.

    Attributes:
      distance: `n`; LPIPS, 0 for the same picture.
      row: `n` int64; of the pictures that were searched.
    """

    distance: Float[np.ndarray, " n"]
    row: Int[np.ndarray, " n"]


def nearest_pictures(
    images: UInt8[np.ndarray, "n h w 3"], among: UInt8[np.ndarray, "m h w 3"]
) -> Nearest:
    """Search for the nearest of `among`, to each picture or to its mirror image.

    Args:
      images: pictures, at most some thousands: their activations stay in memory.
      among: as many as you like; they pass by in batches.
    """
    n = len(images)
    both = np.concatenate([images, images[:, :, ::-1]])
    vectors = features.extract(both, progress="activations").perceptual
    squares = (vectors**2).sum(1)
    best = np.full(n, np.inf, np.float32)
    row = np.zeros(n, np.int64)
    start = 0
    for batch in features.batches(among, progress="nearest pictures"):
        other = batch.perceptual
        distance = squares[:, None] + (other**2).sum(1)[None, :]
        distance -= 2 * vectors @ other.T
        distance = np.minimum(distance[:n], distance[n:])
        nearest = distance.argmin(axis=1)
        value = distance[np.arange(n), nearest]
        row = np.where(value < best, start + nearest, row)
        best = np.minimum(value, best)
        start += len(other)
    # Rounding may leave the distance of equal pictures a millionth below zero.
    return Nearest(np.maximum(best, 0), row)
