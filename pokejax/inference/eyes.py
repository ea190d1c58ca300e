"""Eyes, painted on the thumbnail of a creature that is seen from the front.

In a thumbnail an eye is one dark square, and no prior that was trained here knows where
it belongs. But most faces are where a silhouette is broad and high up, so two squares
are painted there, and the upsampler makes eyes of them.

Where that is was fitted to real native fronts: on them, a square is less than five
pixels from an eye in 46 %, and one of the creature's at random in 17 %
(`benchmarks/parts.py --eyes`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

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
_SMOOTH = 0.65  # how much of a face is its mean color
_DEEP = 0.9  # how much of an eye's square is the eye
_DARK, _LIGHT = -0.9, 0.9  # an eye's lightness
_DUSK = -0.4  # darker faces have light eyes


class Eyes(NamedTuple):
    """The eyes of a tile's rows.

    Attributes:
      given: which rows have eyes.
      named: which rows' eyes have a color of their own.
      color: that color, RGB in [-1, 1].
    """

    given: Bool[np.ndarray, " b"]
    named: Bool[np.ndarray, " b"]
    color: Float[np.ndarray, "b 3"]

    @classmethod
    def of(cls, rows: int, colors: Sequence[str | None]) -> "Eyes":
        """From what `eyes_of` says of the first rows; others have none."""
        eyes = cls(
            np.zeros(rows, bool), np.zeros(rows, bool), np.zeros((rows, 3), np.float32)
        )
        for row, color in enumerate(colors):
            eyes.given[row] = color is not None
            eyes.named[row] = bool(color)
            eyes.color[row] = PAINTS[color] if color else 0
        return eyes


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
    if behind or given or color == NONE:
        return None
    away = read(recipe.negative).parts.get(EYES) if recipe.negative else None
    color = "" if color == away else color
    if not color and end.attributes.primary_color == "Black" and away != "Yellow":
        return "Yellow"  # dark ones would be lost, whatever color it is drawn in
    return color


@jax.jit
def paint_eyes(
    z: Float[Array, "b z"],
    given: Bool[Array, " b"],
    named: Bool[Array, " b"],
    color: Float[Array, "b 3"],
    taken: Float[Array, "b s s"],
) -> tuple[Float[Array, "b z"], Float[Array, "b s s"]]:
    """Thumbnails with eyes, and the squares of those with a color of their own.

    Rows without eyes keep their exact bits.

    Args:
      z: thumbnails, flat: RGB on white and alpha, in [-1, 1].
      given: as `Eyes` has it.
      named: likewise.
      color: likewise.
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
    mean = mean[:, None, None]
    painted = rgb + _SMOOTH * weight * (mean - rgb)
    light = jnp.where(mean.mean(axis=-1, keepdims=True) < _DUSK, _LIGHT, _DARK)
    eye = jnp.where(named.reshape(-1, 1, 1, 1), color[:, None, None], light)
    beside = (jnp.abs(across) >= size) & (jnp.abs(across) < 2 * size)
    there = ((down >= 0) & (down < size) & beside)[..., None]
    painted += _DEEP * there * opaque[..., None] * (eye - painted)
    with_eyes = jnp.concatenate([painted, alpha], axis=-1).reshape(z.shape)
    own = there[..., 0] & (given & named)[:, None, None]
    return jnp.where(given[:, None], with_eyes, z), own.astype(z.dtype)


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
