"""Eyes, drawn on a creature that is seen from the front.

In a thumbnail an eye is one dark square, and no prior that was trained here knows where
it belongs. But most faces are where a silhouette is broad and high up: a thumbnail is
made smooth there, and two small patterns are put on the picture that becomes of it.

Where that is was fitted to real native fronts: on them, a square is less than five
pixels from an eye in 46 %, and one of the creature's at random in 17 %
(`benchmarks/parts.py --eyes`).
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from pokejax.attributes import NONE
from pokejax.inference.parts import PAINTS, read
from pokejax.inference.recipe import Recipe
from pokejax.models.thumbnail import CHANNELS

EYES = "eyes"  # as `pokejax.prompts.lexicon.PLACES` calls them
# A face's middle is where a silhouette is solid, around this far below its own middle,
# in its standard deviations.
_DOWN = -0.9
_LOW, _ASIDE = 0.45, 0.1  # what it costs to be further off, down and across
_TAKEN = 1.0  # what it costs to be on another part
_SIDE = 16  # of a thumbnail in which an eye is one square; real ones are 2 apart
_SMOOTH = 0.85  # how much of a face is its mean color
_DUSK = -0.4  # faces that are darker have light eyes
_NARROW = 3.5  # squares; narrower faces have small eyes
_BLACK, _WHITE = (24, 20, 32), (248, 248, 248)  # of 255
_DARK = 110  # sum of RGB; if a picture's darkest color is below, it is its eyes'

# Left and right eye of each kind, and the small ones: `#` is dark, `o` the eyes' color,
# or dark if they have none of their own, and `+` their shine.
_KINDS = (
    # round
    ((".###.", "#++o#", "#+oo#", "#ooo#", ".###."),) * 2,
    # wide open
    (("#####", "+oo++", "+oo++", "+oo++", ".+++."),) * 2,
    # stern
    (
        ("##...", ".###.", "#+oo#", "#ooo#", ".###."),
        ("...##", ".###.", "#+oo#", "#ooo#", ".###."),
    ),
    # tall
    ((".###.", ".+oo.", ".+oo.", ".ooo.", ".###."),) * 2,
    # sleepy
    ((".....", "#####", "#+oo#", ".ooo.", "....."),) * 2,
    # small
    (
        (".....", "...+o", "...oo", "...oo", "....."),
        (".....", "+o...", "oo...", "oo...", "....."),
    ),
)
_SMALL = len(_KINDS) - 1
_TABLE = np.array(
    [[[[".#o+".index(x) for x in line] for line in eye] for eye in k] for k in _KINDS]
)


class Eyes(NamedTuple):
    """The eyes of a tile's rows.

    Attributes:
      given: which rows have eyes.
      named: which rows' eyes have a color of their own.
      color: that color, RGB in [-1, 1].
      kind: of `_KINDS`, unless the face is narrow.
    """

    given: Bool[np.ndarray, " b"]
    named: Bool[np.ndarray, " b"]
    color: Float[np.ndarray, "b 3"]
    kind: Int[np.ndarray, " b"]

    @classmethod
    def of(
        cls, rows: int, colors: Sequence[str | None], seeds: Sequence[int]
    ) -> "Eyes":
        """From what `eyes_of` says of the first rows, and their seeds.

        Other rows have none.
        """
        eyes = cls(
            np.zeros(rows, bool),
            np.zeros(rows, bool),
            np.zeros((rows, 3), np.float32),
            np.zeros(rows, np.int32),
        )
        for row, (color, seed) in enumerate(zip(colors, seeds, strict=True)):
            eyes.given[row] = color is not None
            eyes.named[row] = bool(color)
            eyes.color[row] = PAINTS[color] if color else 0
            eyes.kind[row] = seed % _SMALL
        return eyes


class Face(NamedTuple):
    """Where a thumbnail has its face, and what it is like.

    Attributes:
      row: of the square between the eyes.
      column: likewise.
      dark: whether dark eyes would be lost there.
      narrow: whether there is only room for small ones.
    """

    row: Int[Array, " b"]
    column: Int[Array, " b"]
    dark: Bool[Array, " b"]
    narrow: Bool[Array, " b"]


def eyes_of(recipe: Recipe) -> str | None:
    """The color of the eyes that a recipe's picture gets, "" for the usual one.

    None for backs, pictures that keep something of a given one, and creatures that are
    said to have no eyes.
    """
    end = recipe.nearer
    behind = end.attributes.view == "back"
    behind |= recipe.kin is not None and recipe.kin.relation == "back"
    color = read(end.prompt).parts.get(EYES, "")
    given = recipe.start is not None and recipe.start.strength < 1
    negative = recipe.negative
    unwanted = negative and read(f"without {negative}").parts.get(EYES) == NONE
    if behind or given or unwanted or color == NONE:
        return None
    away = read(negative).parts.get(EYES) if negative else None
    color = "" if color == away else color
    if not color and end.attributes.primary_color == "Black" and away != "Yellow":
        return "Yellow"  # dark ones would be lost, whatever color it is drawn in
    return color


@jax.jit
def smooth_face(
    z: Float[Array, "b z"], given: Bool[Array, " b"], taken: Float[Array, "b s s"]
) -> tuple[Float[Array, "b z"], Face]:
    """Thumbnails with room for eyes; rows without eyes keep their exact bits.

    Args:
      z: thumbnails, flat: RGB on white and alpha, in [-1, 1].
      given: as `Eyes` has it.
      taken: how much of each square was painted as some other part.
    """
    side = round((z.shape[1] // CHANNELS) ** 0.5)
    rgb, alpha = jnp.split(z.reshape(-1, side, side, CHANNELS), (3,), axis=-1)
    opaque = jnp.clip((alpha[..., 0] + 1) / 2, 0, 1)
    row, column = face_of(opaque, taken)
    down = jnp.arange(side).reshape(1, side, 1) - row.reshape(-1, 1, 1)
    across = jnp.arange(side).reshape(1, 1, side) - column.reshape(-1, 1, 1)
    size = max(1, side // _SIDE)
    # From a row above the eyes to two below them, and a square beside each.
    face = (down >= -size) & (down < 3 * size) & (jnp.abs(across) < 3 * size)
    weight = (face * opaque * (1 - taken))[..., None]
    mean = (weight * rgb).sum((1, 2)) / jnp.maximum(weight.sum((1, 2)), 1e-3)
    smooth = rgb + _SMOOTH * weight * (mean[:, None, None] - rgb)
    smooth = jnp.concatenate([smooth, alpha], axis=-1).reshape(z.shape)
    width = ((down == 0) & (jnp.abs(across) < 4 * size)) * opaque
    narrow = width.sum((1, 2)) < _NARROW * size
    found = Face(row, column, mean.mean(axis=-1) < _DUSK, narrow)
    return jnp.where(given[:, None], smooth, z), found


@partial(jax.jit, static_argnames="side")
def draw_eyes(
    images: UInt8[Array, "b h w 4"], eyes: Eyes, face: Face, *, side: int
) -> tuple[UInt8[Array, "b h w 4"], Bool[Array, "b h w"]]:
    """Pictures with eyes, and their pixels; rows without keep theirs.

    Args:
      images: RGB on white and alpha, of the thumbnails in which the faces were found.
      eyes: of the rows.
      face: likewise.
      side: squares of a thumbnail's side.
    """
    height = images.shape[1]
    square = height // side
    size = square * max(1, side // _SIDE)
    box = len(_KINDS[0][0]) * size // 4  # pixels that an eye is wide and high
    at = jnp.arange(height)
    kind = jnp.where(face.narrow, _SMALL, eyes.kind)
    code = jnp.zeros(images.shape[:3], jnp.int32)
    n = len(_KINDS[0][0])
    down = (at[None] - face.row[:, None] * square) * n // box
    # A square apart, whatever they are wide.
    for eye, aside in ((0, -box), (1, size)):
        right = (at[None] - face.column[:, None] * square - aside) * n // box
        inside = ((down >= 0) & (down < n))[:, :, None]
        inside &= ((right >= 0) & (right < n))[:, None]
        pattern = jnp.asarray(_TABLE)[kind, eye].reshape(-1, n * n)
        place = n * jnp.clip(down, 0, n - 1)[:, :, None]
        place += jnp.clip(right, 0, n - 1)[:, None]
        found = jnp.take_along_axis(pattern, place.reshape(len(place), -1), axis=1)
        code = jnp.where(inside, found.reshape(place.shape), code)
    rgb, opaque = images[..., :3], images[..., 3] >= 128
    there = (code > 0) & opaque & eyes.given[:, None, None]
    brightness = jnp.where(opaque, rgb.astype(jnp.int32).sum(axis=-1), 3 * 255)
    flat = brightness.reshape(len(rgb), -1)
    darkest = jnp.take_along_axis(
        rgb.reshape(len(rgb), -1, 3), flat.argmin(axis=1)[:, None, None], axis=1
    )[:, 0]
    black, white = jnp.array(_BLACK, jnp.uint8), jnp.array(_WHITE, jnp.uint8)
    black = jnp.where(flat.min(axis=1)[:, None] < _DARK, darkest, black[None])
    own = ((eyes.color + 1) * 127.5).round().astype(jnp.uint8)
    dark, named = face.dark[:, None], eyes.named[:, None]
    light = jnp.where(named, own, white[None])
    colors = jnp.stack(
        [
            black,
            jnp.where(dark, light, black),
            jnp.where(dark | named, light, black),
            jnp.where(dark & ~named, black, white[None]),
        ],
        axis=1,
    )
    painted = jnp.take_along_axis(
        colors, code.reshape(len(code), -1)[..., None], axis=1
    ).reshape(rgb.shape)
    rgb = jnp.where(there[..., None], painted, rgb)
    return jnp.concatenate([rgb, images[..., 3:]], axis=-1), there


def face_of(
    opaque: Float[Array, "b s s"], taken: Float[Array, "b s s"]
) -> tuple[Int[Array, " b"], Int[Array, " b"]]:
    """Row and column of the square between a creature's eyes.

    Args:
      opaque: how much of each square the creature covers.
      taken: how much of it is a painted part, where a face had better not be.
    """
    side = opaque.shape[1]
    at = jnp.arange(side)
    weight = opaque / jnp.maximum(opaque.sum((1, 2), keepdims=True), 1e-3)
    solid = 2 * (_around(opaque, 1) + _around(opaque, 2))
    solid -= _TAKEN * _around(taken, 1)
    for axis, middle, cost in ((1, _DOWN, _LOW), (2, 0.0, _ASIDE)):
        place = at.reshape((1, side, 1) if axis == 1 else (1, 1, side))
        mean = (weight * place).sum((1, 2), keepdims=True)
        spread = jnp.sqrt((weight * (place - mean) ** 2).sum((1, 2), keepdims=True))
        apart = (place - mean) / jnp.maximum(spread, 0.5) - middle
        solid -= cost * jnp.abs(apart)
    best = solid.reshape(len(opaque), -1).argmax(axis=1)
    return best // side, best % side


def _around(opaque: Float[Array, "b s s"], reach: int) -> Float[Array, "b s s"]:
    """The mean of the squares up to so many away."""
    wide = 2 * reach + 1
    padding = ((0, 0), (reach, reach), (reach, reach))
    return jax.lax.reduce_window(
        opaque, 0.0, jax.lax.add, (1, wide, wide), (1, 1, 1), padding
    ) / (wide * wide)
