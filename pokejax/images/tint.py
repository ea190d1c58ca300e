"""A drawing in the colour that was asked for: its palette, turned around the hues.

A model that is led hard towards a colour paints everything in it. Led softly, it draws
a creature with its belly, claws and eyes, sometimes in another colour; and all hues can
be turned together, as they are in the copies that it was trained on.
"""

import itertools

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from pokejax.attributes import COLORS
from pokejax.images.colors import (
    counted_pixels,
    distinct,
    leading,
    name_of,
    oklab,
    srgb,
)

_ANGLES = (0, *itertools.chain(*((a, -a) for a in range(10, 181, 10))))  # degrees
_GRAY, _HUED = 1e-3, 0.04  # chroma below, and above
_SEEN = 0.05  # share of the creature that a second colour needs to be seen
# Factors of chroma and lightness, in the order in which they are tried: brown is dull
# orange, dark yellow isn't yellow, and grays have hardly any chroma.
_SHADES = ((1.0, 1.0), (0.6, 1.0), (1.0, 1.3), (0.1, 1.0), (0.1, 1.4), (0.1, 0.5))


def in_color(
    rgba: UInt8[np.ndarray, "h w 4"],
    color: str,
    second: str | None = None,
    stays: Bool[np.ndarray, "h w"] | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """The picture with its hues turned so that its main colour is `color`.

    It stays as it is if that is its main colour already, or if nothing makes it so.
    Colours become duller, lighter or darker only where a turn isn't enough. If another
    colour is asked for beside it, what isn't of the main colour is then turned to that.

    Args:
      rgba: of few colours, at most 96 pixels a side.
      color: of `COLORS`.
      second: the colour that should come second, or None if any may.
      stays: pixels that don't count; a colour that mostly they have stays as it is.
        None is none of them.
    """
    rgb = rgba[..., :3]
    counted = counted_pixels(Image.fromarray(rgba))
    if stays is not None:
        counted &= ~stays
    palette, index = distinct(rgb.reshape(-1, 3))
    counts = np.bincount(index[counted.reshape(-1)], minlength=len(palette))
    shares = counts / max(counts.sum(), 1)
    wanted = COLORS.index(color)
    other = None if second is None else COLORS.index(second)
    # White is the background's, too.
    free = ~(palette == 255).all(axis=1)
    if stays is not None:
        inside = np.bincount(index[stays.reshape(-1)], minlength=len(palette))
        free &= 2 * inside <= np.bincount(index, minlength=len(palette))
    palette = _sought(palette, free, shares, wanted, other)
    if other is not None:
        lab = oklab(palette / 255.0)
        hued = np.hypot(lab[:, 1], lab[:, 2]) > _HUED
        rest = free & hued & (name_of(palette) != wanted)
        palette = _sought(palette, rest, shares, wanted, other, both=True)
    return palette[index].reshape(rgb.shape)


def _sought(
    palette: UInt8[np.ndarray, "k 3"],
    free: Bool[np.ndarray, " k"],
    shares: Float[np.ndarray, " k"],
    wanted: int,
    other: int | None,
    *,
    both: bool = False,
) -> UInt8[np.ndarray, "k 3"]:
    """The palette, its free colours changed until `wanted` leads; or as it is.

    Of several ways, it is one in which `other` comes second; with `both`, only one that
    has some of it will do.
    """
    lab = oklab(palette / 255.0)
    grays = np.hypot(lab[:, 1], lab[:, 2]) < _GRAY
    for chroma, light in _SHADES:
        turned = _turned(lab, chroma, light)
        colors = srgb(turned.reshape(-1, 3)).reshape(turned.shape)
        stays = ~free | grays if light == 1 else ~free
        colors[:, stays] = palette[stays]  # to the byte
        if chroma == light == 1:
            colors[0] = palette
        found: list[tuple[bool, bool, float, int]] = []
        names = name_of(colors.reshape(-1, 3)).reshape(colors.shape[:2])
        for i, row in enumerate(names):
            total = np.bincount(row, shares, minlength=len(COLORS))
            first, next_one = leading(total)
            matches = next_one == other and other is not None
            few = other is not None and total[other] < _SEEN
            if first != wanted or (both and few):
                continue
            if i == 0 and chroma == light == 1 and (matches or other is None):
                return palette
            share = total[wanted if other is None or not both else other]
            found.append((matches, i == 0, share, -i))
        if found:
            return colors[-max(found)[3]]
    return palette


def _turned(
    lab: Float[np.ndarray, "k 3"], chroma: float, light: float
) -> Float[np.ndarray, "a k 3"]:
    """The palette at each of `_ANGLES`."""
    angles = np.radians(_ANGLES)
    cosine, sine = chroma * np.cos(angles), chroma * np.sin(angles)
    turns = np.array([[cosine, sine], [-sine, cosine]]).transpose(2, 0, 1)
    planes = lab[None, :, 1:] @ turns
    lights = np.broadcast_to(light * lab[None, :, :1], (len(turns), len(lab), 1))
    return np.concatenate([lights, planes], axis=2)
