"""Another palette for the same pixels, as a "shiny" has it.

Artists' choices are borrowed: `shiny_donors.npy` holds how groups of colours of a
thousand sprites became their shinies'. A picture takes those of a sprite that is
coloured alike, which of the nearest by its seed. `data_tools.shiny_donors` makes the
file, and `benchmarks/shiny.py` compares this with turning hues by rules.
"""

import functools
import io
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

from pokejax.images.colors import oklab, srgb
from pokejax.images.finish import PixelArt

MOST_GROUPS = 6  # of a donor; the smallest of more are left out
# Less than this is no change that anybody sees, of a group and of a whole picture.
_UNSEEN = 0.03
_SEEN = 0.05
_NEAREST = 12  # donors that a seed picks from
_COLORED = 0.045  # chroma
_GAP, _SPAN = 22, 75  # degrees of hue: between groups, and within one
# What counts in comparing groups: lightness, the plane of hues, share of the picture.
_WEIGHTS = np.array([0.6, 1.6, 1.6])
_SHARE_WEIGHT = 0.15
_AB = 0.4  # a and b are stored as of -0.4 to 0.4
_DONORS = Path(__file__).with_name("shiny_donors.npy")


def shiny(art: PixelArt, seed: int) -> PixelArt:
    """The same indices in another palette.

    Args:
      art: finished pixel art.
      seed: 0 or more; decides the palette.
    """
    counts = np.bincount(art.indices.reshape(-1), minlength=len(art.palette))
    counts[0] = 0
    return PixelArt(art.indices, shiny_palette(art.palette, counts, seed))


def shiny_png(data: bytes, seed: int) -> bytes:
    """Any PNG in a palette, with its indices in another palette.

    Args:
      data: of the file.
      seed: as of `shiny`.

    Raises:
      ValueError: it is no such file.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=("PNG",))
        image.load()
    except (OSError, ValueError, SyntaxError) as error:
        raise ValueError(f"not a PNG: {str(error)[:100]}") from None
    if image.mode != "P":
        raise ValueError(f"a PNG of mode {image.mode}; expected one in a palette")
    palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    counts = np.bincount(np.asarray(image).reshape(-1), minlength=len(palette))
    alpha = image.info.get("transparency", b"")
    if isinstance(alpha, int):
        counts[alpha] = 0
    else:  # alpha of the first colours
        opaque = np.frombuffer(alpha, np.uint8) > 0
        counts[: len(opaque)] *= opaque
    image.putpalette(shiny_palette(palette, counts[: len(palette)], seed).tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG")  # with its transparency
    return buffer.getvalue()


def shiny_palette(
    palette: UInt8[np.ndarray, "k 3"], counts: Int[np.ndarray, " k"], seed: int
) -> UInt8[np.ndarray, "k 3"]:
    """Another palette; colours that don't occur stay.

    Args:
      palette: sRGB.
      counts: pixels of each colour.
      seed: as of `shiny`.
    """
    used = counts > 0
    if not used.any():
        return palette
    share = counts[used] / counts.sum()
    lab = oklab(palette[used] / 255.0)
    new = borrowed(lab, share, donors(), seed)
    # What stays does so to the byte.
    stays = (new == lab).all(axis=1)
    out = palette.copy()
    out[used] = np.where(stays[:, None], palette[used], srgb(new))
    return out


def borrowed(
    lab: Float[np.ndarray, "k 3"],
    share: Float[np.ndarray, " k"],
    donors: Float[np.ndarray, "n g 7"],
    seed: int,
) -> Float[np.ndarray, "k 3"]:
    """The colours as a donor's have become, by groups.

    Args:
      lab: OKLab.
      share: of the picture's pixels; their sum is 1.
      donors: as of `changes`.
      seed: picks one of the nearest.
    """
    groups = color_groups(lab, share)
    own = _means(lab, share, groups)
    there, here = (x[..., 1:4] * _WEIGHTS for x in (donors, own))
    # |a - b| by |a|^2 + |b|^2 - 2ab: n, own group, donor's group
    squares = (there**2).sum(axis=-1)[:, None] + (here**2).sum(axis=-1)[None, :, None]
    squares = squares - 2 * (there @ here.T).swapaxes(1, 2)
    shares = np.abs(donors[:, None, :, 0] - own[None, :, None, 0])
    distance = np.sqrt(squares.clip(0)) + _SHARE_WEIGHT * shares
    distance = np.where(donors[:, None, :, 0] > 0, distance, np.inf)
    match = distance.argmin(axis=2)
    cost = (distance.min(axis=2) * own[None, :, 0]).sum(axis=1)
    nearest = np.argsort(cost, kind="stable")[:_NEAREST]
    new = lab
    for donor in np.random.default_rng(seed).permutation(nearest):
        new = lab.copy()
        for group, (mean, by) in enumerate(zip(own, match[donor], strict=True)):
            where = groups == group
            new[where] = _changed(lab[where], mean, donors[donor, by])
        if (share * np.linalg.norm(new - lab, axis=1)).sum() > _SEEN:
            break
    return new


def changes(
    before: Float[np.ndarray, "k 3"],
    after: Float[np.ndarray, "k 3"],
    share: Float[np.ndarray, " k"],
) -> Float[np.ndarray, "g 7"] | None:
    """How a picture's groups of colours become its shiny's, as a donor has it.

    Args:
      before: OKLab.
      after: of the same colours in the shiny.
      share: of the picture's pixels, above 0; their sum is 1.

    Returns:
      For each group, the largest first: its share, its mean before, and its mean after.
      Rows of zeros fill up. None if the shiny hardly differs.
    """
    groups = color_groups(before, share)
    means = _means(before, share, groups)
    rows = np.concatenate([means, _means(after, share, groups)[:, 1:]], axis=1)
    moved = np.linalg.norm(rows[:, 4:] - rows[:, 1:4], axis=1)
    if (rows[:, 0] * moved).sum() <= _SEEN:
        return None
    rows[moved < _UNSEEN, 4:] = rows[moved < _UNSEEN, 1:4]
    rows = rows[np.argsort(-rows[:, 0], kind="stable")][:MOST_GROUPS]
    return np.pad(rows, ((0, MOST_GROUPS - len(rows)), (0, 0)))


def packed(donors: Float[np.ndarray, "n g 7"]) -> UInt8[np.ndarray, "n g 7"]:
    """Donors as they are stored, a byte a number."""
    low, span = _ranges()
    return ((donors - low) / span * 255).round().clip(0, 255).astype(np.uint8)


@functools.cache
def donors() -> Float[np.ndarray, "n g 7"]:
    """Those that come with pokejax, see `changes`."""
    return unpacked(np.load(_DONORS, allow_pickle=False))


def unpacked(stored: UInt8[np.ndarray, "n g 7"]) -> Float[np.ndarray, "n g 7"]:
    """The reverse of `packed`."""
    low, span = _ranges()
    return np.where(stored[..., :1] > 0, stored / 255 * span + low, 0.0)


def _ranges() -> tuple[Float[np.ndarray, "1 1 7"], Float[np.ndarray, "1 1 7"]]:
    low = np.array([0, 0, -_AB, -_AB, 0, -_AB, -_AB]).reshape(1, 1, 7)
    return low, np.where(low < 0, 2 * _AB, 1.0)


def color_groups(
    lab: Float[np.ndarray, "k 3"], share: Float[np.ndarray, " k"]
) -> Int[np.ndarray, " k"]:
    """Which colours belong together: the shades of one hue, and three kinds of grays.

    Args:
      lab: OKLab.
      share: of the picture's pixels.

    Returns:
      The group of each, from 0 without gaps.
    """
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    hue = np.degrees(np.arctan2(lab[:, 2], lab[:, 1])) % 360
    # Grays: dark, middling and light.
    groups = np.searchsorted([0.3, 0.75], lab[:, 0])
    colored = np.flatnonzero(chroma >= _COLORED)
    colored = colored[np.argsort(hue[colored], kind="stable")]
    if len(colored):
        # Around the circle, from behind its widest gap.
        gaps = (np.roll(hue[colored], -1) - hue[colored]) % 360
        colored = np.roll(colored, -1 - int(gaps.argmax()))
        group, first = 3, hue[colored[0]]
        for last, this in zip(colored, (*colored[1:], colored[-1]), strict=True):
            groups[last] = group
            far = (hue[this] - hue[last]) % 360 > _GAP
            if far or (hue[this] - first) % 360 > _SPAN:
                group, first = group + 1, hue[this]
        # Dark shades have little chroma; their hue says what they are the shades of.
        means = _means(lab, share * (groups > 2), np.maximum(groups - 3, 0))
        hues = np.degrees(np.arctan2(means[:, 3], means[:, 2]))
        shades = (chroma < _COLORED) & (chroma >= 0.02) & (lab[:, 0] < 0.6)
        for i in np.flatnonzero(shades):
            off = np.abs((hue[i] - hues + 180) % 360 - 180)
            if off.min() < 30:
                groups[i] = 3 + off.argmin()
    return np.unique(groups, return_inverse=True)[1].reshape(-1)


def _means(
    lab: Float[np.ndarray, "k 3"],
    share: Float[np.ndarray, " k"],
    groups: Int[np.ndarray, " k"],
) -> Float[np.ndarray, "g 4"]:
    """Share and mean colour of each group."""
    total = np.bincount(groups, share)
    sums = [np.bincount(groups, share * x) for x in lab.T]
    return np.stack([total, *(s / np.maximum(total, 1e-9) for s in sums)], axis=1)


def _changed(
    lab: Float[np.ndarray, "k 3"],
    mean: Float[np.ndarray, " 4"],
    donor: Float[np.ndarray, " 7"],
) -> Float[np.ndarray, "k 3"]:
    """A group's colours, changed as a donor's group was."""
    before, after = donor[1:4], donor[4:]
    if (before == after).all():
        return lab
    new = lab + (after - before).reshape(1, 3)
    chroma = np.hypot(*before[1:])
    if min(chroma, np.hypot(*mean[2:])) > _COLORED:
        # Colour turns and fades about gray, so that shades stay shades.
        turn = np.arctan2(after[2], after[1]) - np.arctan2(before[2], before[1])
        ratio = np.clip(np.hypot(*after[1:]) / chroma, 0.2, 2.0)
        cosine, sine = ratio * np.cos(turn), ratio * np.sin(turn)
        new[:, 1:] = lab[:, 1:] @ np.array([[cosine, sine], [-sine, cosine]])
    return new
