"""Measures which of the eleven named colors a picture shows.

Owns the rule from pixels to `pokejax.attributes.COLORS`; imports only that, NumPy and
Pillow. The same rule labels training pictures and checks generated ones, so "blue"
means the same pixels in both. The rule:

- A pixel is named in OKLab's polar form: lightness L in [0, 1], chroma C in [0, 0.33],
  hue h in degrees (CIELAB bends the blues towards purple). Little chroma: Black, Gray
  or White by lightness. Otherwise the hue names it, and then dark or dull orange is
  Brown, and light or dull red is Pink.
- Drawings have dark outlines. Dark pixels count only where a 3x3 block of them fits,
  so a line is never a color of the creature, but a black cat is black.
- A color's share is its part of the pixels that count.
"""

import functools

import numpy as np
from PIL import Image

from pokejax.attributes import COLORS, NONE

# Share of the foreground a second color needs; below it lie eyes, claws and shine.
SECONDARY_SHARE = 0.15
# Black leads only at this share: shadows and mouths are black on many creatures.
BLACK_SHARE = 0.4

# Fewer pixels than this say nothing about a color.
_FEWEST_PIXELS = 8
_MAX_SIDE = 96  # pixels; a bigger picture is thinned out first
_NEAR_WHITE = 240  # of 255, in each channel
_OPAQUE = 128  # of 255
_OUTLINE_LIGHTNESS = 0.42
_LEVELS = 32  # per channel of the table of names
# Hues from the first bound to the next have this name, before lightness is considered.
_HUES = (
    (14, "Pink"),
    (36, "Red"),
    (77, "Orange"),
    (114, "Yellow"),
    (190, "Green"),
    (290, "Blue"),
    (328, "Purple"),
    (360, "Pink"),
)
# Of OKLab: from linear RGB, and from the cube roots of what comes of it.
_TO_LMS = [
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
]
_TO_LAB = [
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
]


def foreground_mask(image: Image.Image) -> np.ndarray:
    """Which pixels belong to the creature, and not to the background.

    With transparency that is where alpha >= 128. Without, the background is the
    near-white region that touches the border; white inside the creature stays.

    Args:
      image: any mode and size.

    Returns:
      `h w` bool; all false for a blank picture.
    """
    rgba = np.asarray(image.convert("RGBA"))
    opaque = rgba[..., 3] >= _OPAQUE
    if not opaque.all():
        return opaque
    white = rgba[..., :3].min(-1) >= _NEAR_WHITE
    # Flooding takes as many passes as the longest path, so it runs on a small copy.
    step = -(-max(white.shape) // _MAX_SIDE)
    background = flood_from_border(white[::step, ::step])
    background = background.repeat(step, 0).repeat(step, 1)
    return ~(white & background[: white.shape[0], : white.shape[1]])


def name_colors(image: Image.Image) -> list[tuple[str, float]]:
    """The colors of the creature in `image`, the biggest share first.

    Args:
      image: any mode and size, the creature on transparency or on white.

    Returns:
      Pairs of a name of `COLORS` and its share in (0, 1]; the shares add up to 1.
      Colors that don't occur are left out; a blank picture gives an empty list.
    """
    named, counted = _named_pixels(image)
    counts = np.bincount(named[counted], minlength=len(COLORS))
    total = max(int(counts.sum()), 1)
    order = np.argsort(-counts, kind="stable")
    return [(COLORS[i], float(counts[i]) / total) for i in order if counts[i]]


def _named_pixels(image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """`h w` indices into `COLORS`, thinned out, and which of them count."""
    step = -(-max(image.size) // _MAX_SIDE)
    # Keeping each step-th pixel, not averaging, blends no outline into a new color.
    rgba = np.asarray(image.convert("RGBA"))[step // 2 :: step, step // 2 :: step]
    mask = foreground_mask(Image.fromarray(np.ascontiguousarray(rgba)))
    names, is_dark = _name_table()
    index = _cells_of(rgba[..., :3])
    dark = is_dark[index] & mask
    counted = mask & ~(dark & ~_thick(dark))
    if not counted.any():
        counted = mask
    return names[index], counted


def primary_and_secondary(image: Image.Image) -> tuple[str, str]:
    """The main color, and the second one or `"None"` if it has too small a share.

    Black comes first only with `BLACK_SHARE` of the creature, or alone; the second
    color needs `SECONDARY_SHARE`.

    Raises:
      ValueError: the picture is blank.
    """
    shares = np.zeros(len(COLORS))
    for name, share in name_colors(image):
        shares[COLORS.index(name)] = share
    if not shares.any():
        raise ValueError("the picture is blank: nothing but background")
    first, second = leading(shares)
    return COLORS[first], NONE if second is None else COLORS[second]


def leading(shares: np.ndarray) -> tuple[int, int | None]:
    """Which colors lead, by the rule of `primary_and_secondary`.

    Args:
      shares: of each of `COLORS`; their sum is 1.

    Returns:
      Indices of the first and, if it has enough, the second.
    """
    first, second = np.argsort(-shares, kind="stable")[:2]
    if COLORS[first] == "Black" and shares[first] < BLACK_SHARE and shares[second] > 0:
        first, second = second, first
    return int(first), int(second) if shares[second] >= SECONDARY_SHARE else None


def distinct(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The `k 3` colors of `n 3` uint8 sRGB, in order, and which of them each one is.

    As `np.unique` over rows, but packed into integers, which sort five times as fast.
    """
    red, green, blue = (rgb[:, i].astype(np.int32) for i in range(3))
    packed, index = np.unique((red << 16) | (green << 8) | blue, return_inverse=True)
    colors = np.stack([packed >> 16, packed >> 8, packed], axis=1) & 255
    return colors.astype(np.uint8), index.reshape(-1)


def name_of(rgb: np.ndarray) -> np.ndarray:
    """`n` indices into `COLORS` of `n 3` uint8 sRGB."""
    names, _ = _name_table()
    return names[_cells_of(rgb)]


def _cells_of(rgb: np.ndarray) -> np.ndarray:
    """Rows of the table of names, for `... 3` uint8 sRGB."""
    cells = (rgb // (256 // _LEVELS)).astype(np.int32)
    return (cells[..., 0] * _LEVELS + cells[..., 1]) * _LEVELS + cells[..., 2]


def carried_over(
    image: Image.Image, other: Image.Image, names: tuple[str, str]
) -> tuple[str, str]:
    """What the two colors of a picture have become in another palette.

    Which color leads is for a person to say, who doesn't count pixels: a white belly
    may be larger than a blue back. So the pixels of each named color are looked up in
    the recolored picture, and named there.

    Args:
      image: any mode and size.
      other: the same drawing with other colors.
      names: the main color of `image`, and the second one or `"None"`.

    Returns:
      Those of `other`; as `primary_and_secondary` measures where a name can't be found.
    """
    before, counts = _named_pixels(image)
    after, _ = _named_pixels(other)
    found: list[str] = []
    for name in names:
        where = counts & (before == COLORS.index(name)) if name in COLORS else None
        if where is not None and where.sum() >= _FEWEST_PIXELS:
            found.append(COLORS[np.argmax(np.bincount(after[where]))])
        else:
            found.append(NONE)
    if found[0] == NONE:
        return primary_and_secondary(other)
    if found[1] in (NONE, found[0]) and names[1] != NONE:
        shares = [n for n, share in name_colors(other) if share >= SECONDARY_SHARE]
        found[1] = next((name for name in shares if name != found[0]), NONE)
    return found[0], found[1]


def counted_pixels(image: Image.Image) -> np.ndarray:
    """Which pixels count as the creature's color, and not as background or outline.

    Returns:
      `h w` bool, of the picture thinned out to 96 pixels a side if it is larger.
    """
    return _named_pixels(image)[1]


def flood_from_border(region: np.ndarray) -> np.ndarray:
    """The part of a region (`h w` bool) that is connected to the border."""
    reached = np.zeros_like(region)
    reached[0], reached[-1] = region[0], region[-1]
    reached[:, 0], reached[:, -1] = region[:, 0], region[:, -1]
    count = -1
    while count != (count := int(reached.sum())):
        for _ in range(8):
            grown = reached.copy()
            grown[1:] |= reached[:-1]
            grown[:-1] |= reached[1:]
            grown[:, 1:] |= reached[:, :-1]
            grown[:, :-1] |= reached[:, 1:]
            reached = grown & region
    return reached


def _thick(mask: np.ndarray) -> np.ndarray:
    """The pixels of `mask` that lie in some 3x3 block of it."""
    padded = np.pad(mask, 2)
    h, w = mask.shape
    blocks = np.ones((h + 2, w + 2), bool)
    shifts = [(i, j) for i in range(3) for j in range(3)]
    for i, j in shifts:
        blocks &= padded[i : i + h + 2, j : j + w + 2]
    thick = np.zeros_like(mask)
    for i, j in shifts:
        thick |= blocks[i : i + h, j : j + w]
    return thick


@functools.cache
def _name_table() -> tuple[np.ndarray, np.ndarray]:
    """By quantized RGB: `l*l*l` index into `COLORS`, and whether it's outline-dark."""
    levels = (np.arange(_LEVELS) + 0.5) / _LEVELS
    rgb = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1)
    lightness, chroma, hue = _oklch(rgb.reshape(-1, 3))
    bounds = [bound for bound, _ in _HUES[:-1]]
    names = np.array([name for _, name in _HUES])[np.searchsorted(bounds, hue, "right")]

    def rename(old: str, where: np.ndarray, new: str) -> None:
        names[(names == old) & where] = new

    light, pale = lightness > 0.72, lightness > 0.87
    rename("Pink", (lightness < 0.68) & (hue > 180) & (hue < 345), "Purple")
    rename("Pink", (lightness < 0.68) & (chroma < 0.1), "Purple")
    rename("Pink", lightness < 0.55, "Red")
    rename("Red", light & (chroma < 0.17), "Pink")
    rename("Red", ~light & (chroma < 0.08), "Brown")
    rename("Orange", pale & (hue < 60), "Pink")
    rename("Orange", pale & (chroma < 0.075), "White")  # cream
    rename("Orange", (lightness > 0.78) & (chroma < 0.13) & (hue < 52), "Pink")
    rename("Orange", (lightness < 0.57) | (chroma < 0.09), "Brown")
    rename("Orange", (lightness < 0.68) & (chroma < 0.115), "Brown")
    rename("Yellow", pale & (chroma < 0.075), "White")
    rename("Yellow", (lightness < 0.65) & (hue > 100), "Green")
    rename("Yellow", (lightness < 0.6) | ((lightness < 0.85) & (chroma < 0.1)), "Brown")
    rename("Yellow", (lightness < 0.75) & (chroma < 0.125), "Brown")
    # Shadows on white are drawn bluish; a pale warm tint is meant as a color.
    cool = (hue > 200) & (hue < 330)
    limit = np.where(cool, 0.04, 0.03) + 0.02 * (lightness < 0.4)
    limit += 0.015 * (cool & ((lightness > 0.75) | (hue > 270)))
    gray = chroma < limit
    names[gray] = "Gray"
    names[gray & (lightness > np.where(chroma < 0.03, 0.8, 0.86))] = "White"
    names[(lightness < 0.2) | (gray & (lightness < 0.46))] = "Black"
    index = np.array([COLORS.index(name) for name in names])
    return index, lightness < _OUTLINE_LIGHTNESS


def _oklch(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lightness, chroma and hue in degrees of `n 3` sRGB in [0, 1]."""
    lab = oklab(rgb)
    hue = np.degrees(np.arctan2(lab[:, 2], lab[:, 1])) % 360
    return lab[:, 0], np.hypot(lab[:, 1], lab[:, 2]), hue


def oklab(rgb: np.ndarray) -> np.ndarray:
    """OKLab of `n 3` sRGB in [0, 1].

    Source: Björn Ottosson, "A perceptual color space for image processing" (2020).
    """
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ np.array(_TO_LMS).T) @ np.array(_TO_LAB).T


def srgb(lab: np.ndarray) -> np.ndarray:
    """`n 3` uint8 sRGB of OKLab; what no screen can show loses chroma until it can."""
    lightness, plane = lab[:, :1].clip(0, 1), lab[:, 1:]
    to_lms = np.linalg.inv(np.array(_TO_LAB)).T
    to_linear = np.linalg.inv(np.array(_TO_LMS)).T
    gray, hued = lightness * to_lms[0], plane @ to_lms[1:]

    def linear(share: np.ndarray, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        return (gray[rows] + share * hued[rows]) ** 3 @ to_linear

    def fits(rgb: np.ndarray) -> np.ndarray:
        return (rgb.min(axis=1) > -1e-4) & (rgb.max(axis=1) < 1 + 1e-4)

    rgb = linear(np.ones_like(lightness))
    outside = np.flatnonzero(~fits(rgb))
    low, high = np.zeros((len(outside), 1)), np.ones((len(outside), 1))
    for _ in range(11):  # halving, to a hundredth of a step of 255
        share = (low + high) / 2
        shown = fits(linear(share, outside))[:, None]
        low, high = np.where(shown, share, low), np.where(shown, high, share)
    rgb[outside] = linear(low, outside)
    rgb = rgb.clip(0, 1)
    rgb = np.where(rgb <= 0.0031308, rgb * 12.92, 1.055 * rgb ** (1 / 2.4) - 0.055)
    return (rgb * 255).round().astype(np.uint8)
