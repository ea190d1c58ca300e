"""Finishing a drawn picture as pixel art: cut out, and in a small palette of its own.

What a decoder draws has thousands of colors, soft edges and specks. Here each picture
gets an outline that is in or out, and few flat colors; the same input gives the same
bytes. Imports no JAX.
"""

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from pokejax.images.colors import distinct, foreground_mask, oklab

USUAL_COLORS = 15  # beside transparency: what sprites of the handhelds had
FEWEST_COLORS, MOST_COLORS = 2, 255
_OPAQUE = 128  # of 255
_BITS = 5  # a channel of the grid of colors that are clustered
_ROUNDS = 6  # of k-means; labels hardly change after four
# Pixels nearer than this in OKLab to what surrounds them are noise; an eye's glint,
# alone as it is, is farther.
_SPECK = 0.12
# What is drawn anew gets a color of its own if none is nearer than this, in OKLab.
_NEW = 0.08


class PixelArt(NamedTuple):
    """A picture in a palette.

    Attributes:
      indices: 0 where it is transparent, else a row of `palette`.
      palette: sRGB; row 0 is white and stands for nothing.
    """

    indices: UInt8[np.ndarray, "h w"]
    palette: UInt8[np.ndarray, "k 3"]

    def rgb(self) -> UInt8[np.ndarray, "h w 3"]:
        """The picture on white."""
        return self.palette[self.indices]


def pixel_art(
    image: UInt8[np.ndarray, "h w 3"],
    alpha: UInt8[np.ndarray, "h w"] | None = None,
    *,
    colors: int = USUAL_COLORS,
) -> PixelArt:
    """Cut a picture out and reduce it to a palette, by k-means in OKLab.

    Pixel art of no more colors, with an alpha of all or nothing, stays as it is.

    Args:
      image: on white.
      alpha: opaque where 128 or more; None takes the near-white around the creature
        for background.
      colors: of the palette at most, 2 to 255, transparency not counted.

    Raises:
      ValueError: `colors` is out of range.
    """
    if not FEWEST_COLORS <= colors <= MOST_COLORS:
        raise ValueError(
            f"colors is {colors}; expected {FEWEST_COLORS} to {MOST_COLORS}"
        )
    inside = _inside(image, alpha)
    if alpha is not None and np.isin(alpha, (0, 255)).all():
        own, labels = distinct(image[inside])
        if len(own) <= colors:
            return _art(inside, own, labels)
    inside = _without_specks(inside)
    if not inside.any():
        return _art(inside, np.zeros((0, 3), np.uint8), np.zeros(0, np.uint8))
    art = _art(inside, *_cluster(image[inside], colors))
    return PixelArt(_without_stray_colors(*art), art.palette)


def redrawn(
    art: PixelArt,
    image: UInt8[np.ndarray, "h w 3"],
    alpha: UInt8[np.ndarray, "h w"] | None,
    anew: Bool[np.ndarray, "h w"],
    *,
    colors: int = USUAL_COLORS,
) -> PixelArt:
    """Pixel art, a part of which was drawn anew; the rest of it stays to the pixel.

    What is new takes colors that are there already, or others while there is room.

    Args:
      art: as it was before.
      image: on white; what `anew` leaves out is ignored.
      alpha: as of `pixel_art`.
      anew: the part.
      colors: as of `pixel_art`.
    """
    inside = _without_specks(_inside(image, alpha)) & anew
    palette = art.palette[1:]
    new = image[inside]
    room = colors - len(palette)
    if room > 0 and len(new):
        far = np.ones(len(new), bool)
        if len(palette):
            lab, own = oklab(new / 255.0), oklab(palette / 255.0)
            far = np.linalg.norm(own[_nearest(lab, own)] - lab, axis=1) > _NEW
        if far.any():
            palette = np.concatenate([palette, _cluster(new[far], room)[0]])
    palette = np.concatenate([art.palette[:1], palette])
    indices = np.where(anew, 0, art.indices)
    if len(new) and len(palette) > 1:
        lab, own = oklab(new / 255.0), oklab(palette[1:] / 255.0)
        indices[inside] = _nearest(lab, own) + 1
        smooth = _without_stray_colors(indices, palette)
        indices = np.where(anew, smooth, indices)
    return PixelArt(indices.astype(np.uint8), palette)


def _inside(
    image: UInt8[np.ndarray, "h w 3"], alpha: UInt8[np.ndarray, "h w"] | None
) -> Bool[np.ndarray, "h w"]:
    if alpha is None:
        return foreground_mask(Image.fromarray(image))
    return alpha >= _OPAQUE


def _art(
    inside: Bool[np.ndarray, "h w"],
    palette: UInt8[np.ndarray, "k 3"],
    labels: np.ndarray,
) -> PixelArt:
    """A picture of a palette and, for each pixel inside, its row there."""
    indices = np.zeros(inside.shape, np.uint8)
    indices[inside] = labels + 1
    white = np.full((1, 3), 255, np.uint8)
    return PixelArt(indices, np.concatenate([white, palette]))


def cut_out(
    image: UInt8[np.ndarray, "h w 3"], alpha: UInt8[np.ndarray, "h w"] | None
) -> UInt8[np.ndarray, "h w 4"]:
    """RGBA whose blend with white is `image`; without an alpha, the near-white goes."""
    if alpha is None:
        alpha = foreground_mask(Image.fromarray(image)).astype(np.uint8) * 255
    share = np.maximum(alpha, 1)[..., None] / 255.0
    rgb = np.clip((image - 255.0 * (1 - share)) / share, 0, 255).round()
    rgb = np.where(alpha[..., None] > 0, rgb, 255).astype(np.uint8)
    return np.concatenate([rgb, alpha[..., None]], axis=-1)


def _cluster(
    pixels: UInt8[np.ndarray, "n 3"], colors: int
) -> tuple[UInt8[np.ndarray, "k 3"], UInt8[np.ndarray, " n"]]:
    """A palette of `colors` rows at most, darkest first, and each pixel's row."""
    # Few of a grid's colors occur, so it's they that are clustered, by weight.
    cells = (pixels >> (8 - _BITS)).astype(np.int32)
    codes = (cells[:, 0] << 2 * _BITS) + (cells[:, 1] << _BITS) + cells[:, 2]
    occurring, cell_of, weights = np.unique(
        codes, return_inverse=True, return_counts=True
    )
    lab = _grid()[occurring]
    centers = _spread_out(lab, weights, min(colors, len(occurring)))
    for _ in range(_ROUNDS):
        nearest = _nearest(lab, centers)
        total = np.bincount(nearest, weights, len(centers))
        sums = [np.bincount(nearest, weights * x, len(centers)) for x in lab.T]
        moved = np.stack(sums, axis=1) / np.maximum(total, 1)[:, None]
        centers = np.where(total[:, None] > 0, moved, centers).astype(np.float32)
    centers = centers[np.argsort(centers[:, 0], kind="stable")]
    labels = _nearest(lab, centers)[cell_of.reshape(-1)]
    counts = np.maximum(np.bincount(labels, minlength=len(centers)), 1)
    means = [np.bincount(labels, x, len(centers)) / counts for x in pixels.T]
    return np.stack(means, axis=1).round().astype(np.uint8), labels.astype(np.uint8)


def _spread_out(
    lab: Float[np.ndarray, "n 3"], weights: np.ndarray, count: int
) -> Float[np.ndarray, "k 3"]:
    """Starting points: the commonest color, then each time the worst served one."""
    chosen = [int(weights.argmax())]
    squared = ((lab - lab[chosen[0]][None]) ** 2).sum(axis=1)
    # By the root of its weight: one pixel of an eye shall count beside a large belly.
    importance = np.sqrt(weights)
    for _ in range(count - 1):
        chosen.append(int((squared * importance).argmax()))
        newer = ((lab - lab[chosen[-1]][None]) ** 2).sum(axis=1)
        squared = np.minimum(squared, newer)
    return lab[chosen]


def _nearest(
    lab: Float[np.ndarray, "n 3"], centers: Float[np.ndarray, "k 3"]
) -> np.ndarray:
    scores = lab @ centers.T - 0.5 * (centers**2).sum(axis=1)[None]
    return scores.argmax(axis=1)


def _without_specks(inside: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The mask less pixels that stand alone, and with lone holes filled."""
    around = _neighbours(inside).sum(axis=0)
    return (inside & (around > 0)) | (~inside & (around == 8))


def _without_stray_colors(
    indices: UInt8[np.ndarray, "h w"], palette: UInt8[np.ndarray, "k 3"]
) -> UInt8[np.ndarray, "h w"]:
    """Pixels unlike all eight around them take the color nearest to theirs of those."""
    lab = oklab(palette / 255.0)
    around = _neighbours(indices)
    alone = (indices > 0) & (around != indices[None]).all(axis=0)
    y, x = np.nonzero(alone)
    if not len(y):
        return indices
    others = around[:, y, x]
    own = lab[indices[y, x]]
    distance = np.linalg.norm(lab[others] - own[None], axis=-1)
    distance = np.where(others == 0, np.inf, distance)
    best = distance.argmin(axis=0)
    close = distance[best, np.arange(len(y))] < _SPECK
    out = indices.copy()
    out[y[close], x[close]] = others[best, np.arange(len(y))][close]
    return out


def _neighbours(values: np.ndarray) -> np.ndarray:
    """`8 h w`: what is around each pixel; 0 outside the picture."""
    h, w = values.shape
    padded = np.pad(values, 1)
    shifts = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    return np.stack([padded[i : i + h, j : j + w] for i, j in shifts])


@functools.cache
def _grid() -> Float[np.ndarray, "n 3"]:
    """OKLab of each cell's middle, by its code."""
    side = 1 << _BITS
    levels = (np.arange(side) + 0.5) / side
    rgb = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)
    return oklab(rgb.reshape(-1, 3)).astype(np.float32)
