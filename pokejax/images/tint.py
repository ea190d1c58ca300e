"""A drawing in the colour that was asked for: its palette, turned around the hues.

A model that is led hard towards a colour paints everything in it. Led softly, it draws
a creature with its belly, claws and eyes, sometimes in another colour; and all hues can
be turned together, as they are in the copies that it was trained on.
"""

import itertools

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

from pokejax.attributes import COLORS
from pokejax.images.colors import counted_pixels, leading, name_of, oklab, srgb

_ANGLES = (0, *itertools.chain(*((a, -a) for a in range(10, 181, 10))))  # degrees
# Of the chroma, tried in this order: brown is dull orange, and gray has hardly any.
_CHROMAS = (1.0, 0.6, 0.1)


def in_color(
    rgba: UInt8[np.ndarray, "h w 4"], color: str, second: str | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """The picture with its hues turned so that its main colour is `color`.

    It stays as it is if that is its main colour already, or if no turn makes it so.
    Lightness stays in any case.

    Args:
      rgba: of few colours, at most 96 pixels a side.
      color: of `COLORS`.
      second: the colour that should come second, if there is a choice.
    """
    rgb = rgba[..., :3]
    counted = counted_pixels(Image.fromarray(rgba))
    palette, index = np.unique(rgb.reshape(-1, 3), axis=0, return_inverse=True)
    index = index.reshape(-1)
    counts = np.bincount(index[counted.reshape(-1)], minlength=len(palette))
    lab = oklab(palette / 255.0)
    grays = np.hypot(lab[:, 1], lab[:, 2]) < 1e-3
    for chroma in _CHROMAS:
        turned = np.stack([_turned(lab, angle, chroma) for angle in _ANGLES])
        colors = srgb(turned.reshape(-1, 3)).reshape(turned.shape)
        colors[:, grays] = palette[grays]  # to the byte
        if chroma == 1:
            colors[0] = palette
        named = name_of(colors.reshape(-1, 3)).reshape(len(_ANGLES), -1)
        best = _best(named, counts, color, second)
        if best is not None:
            return colors[best][index].reshape(rgb.shape)
    return rgb


def _best(
    named: Int[np.ndarray, "a k"],
    counts: Int[np.ndarray, " k"],
    color: str,
    second: str | None,
) -> int | None:
    """The turn after which this colour leads; the first one if it does so by itself."""
    wanted = COLORS.index(color)
    found: list[tuple[bool, float, int]] = []
    for i, names in enumerate(named):
        shares = np.bincount(names, counts, minlength=len(COLORS)) / max(
            counts.sum(), 1
        )
        first, other = leading(shares)
        if first != wanted:
            continue
        if i == 0 and (second is None or other == COLORS.index(second)):
            return 0
        matches = second is not None and other == COLORS.index(second)
        found.append((matches, shares[wanted], -i))
    return -max(found)[2] if found else None


def _turned(
    lab: Float[np.ndarray, "k 3"], degrees: float, chroma: float
) -> Float[np.ndarray, "k 3"]:
    angle = np.radians(degrees)
    cosine, sine = chroma * np.cos(angle), chroma * np.sin(angle)
    plane = lab[:, 1:] @ np.array([[cosine, sine], [-sine, cosine]])
    return np.concatenate([lab[:, :1], plane], axis=1)
