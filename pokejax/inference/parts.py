"""Parts in colors of their own: for "a red shell" the thumbnail's back is painted.

Few sprites have a red shell, so no prior learns to draw one. But a z that is a
thumbnail can be painted: the silhouette tells where a back or a belly is, and the
upsampler gives what is painted there an outline and shades.

A place is where, in real fronts whose captions name a part's color, that color is more
frequent than in the rest of the creature (`benchmarks/parts.py --where`), made
symmetric, since drawings face either way.
"""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from pokejax.inference.recipe import Recipe
from pokejax.models.thumbnail import CHANNELS
from pokejax.prompts.rules import parse_by_rules


class Place(NamedTuple):
    """An ellipse around a silhouette's middle, in standard deviations of its pixels.

    Attributes:
      down: how far its centre is below the silhouette's.
      across: half of its width.
      high: half of its height.
      inside: whether the silhouette's rim is left out; thin limbs are all rim.
    """

    down: float
    across: float
    high: float
    inside: bool


# By the names of `pokejax.prompts.lexicon.PLACES`.
PLACES = {
    "back": Place(-0.35, 1.05, 0.9, True),
    "belly": Place(0.5, 0.75, 0.8, True),
    "head": Place(-1.45, 1.1, 0.7, False),
    "feet": Place(1.7, 3.0, 0.6, False),
}
# What a part is painted in, sRGB: where each color is named without doubt.
_PAINTS = {
    "Red": (204, 56, 48),
    "Orange": (232, 136, 48),
    "Yellow": (240, 208, 80),
    "Green": (88, 176, 72),
    "Blue": (72, 120, 208),
    "Purple": (136, 88, 192),
    "Pink": (240, 152, 184),
    "Brown": (136, 88, 48),
    "Black": (48, 48, 56),
    "Gray": (144, 144, 152),
    "White": (244, 244, 244),
}
_RELIEF = 0.8  # how much of a part's own lights and shadows stays
_CACHED_PROMPTS = 4096
_EDGE = 6.0  # how steeply a part ends


class Painted(NamedTuple):
    """The parts of a tile's rows that have colors of their own.

    Attributes:
      paint: of each of `PLACES`, RGB in [-1, 1].
      given: which places are painted.
    """

    paint: Float[np.ndarray, "b p 3"]
    given: Bool[np.ndarray, "b p"]

    @classmethod
    def of(cls, rows: int, parts: Mapping[int, Mapping[str, str]]) -> "Painted":
        """From the colors of places, by row; other rows have none."""
        paint = np.zeros((rows, len(PLACES), 3), np.float32)
        given = np.zeros((rows, len(PLACES)), bool)
        for row, colors in parts.items():
            for i, place in enumerate(PLACES):
                if place in colors:
                    paint[row, i] = PAINTS[colors[place]]
                    given[row, i] = True
        return cls(paint, given)


# Prompts come again and again: with other seeds, or for each step of a way.
read = functools.lru_cache(_CACHED_PROMPTS)(parse_by_rules)
PAINTS = {name: np.array(rgb) / 127.5 - 1 for name, rgb in _PAINTS.items()}


def parts_of(recipe: Recipe) -> dict[str, str]:
    """The places to be painted and their colors, as the recipe's prompt names them.

    Attributes that are set beside the prompt don't change what it says of a part. No
    part has a color that a negative prompt or a slider leads away from; a picture that
    is given has its own colors; and a belly isn't seen from behind.
    """
    end = recipe.nearer
    found = read(end.prompt)
    if recipe.start or recipe.kin or not found.parts:
        return {}
    less = [name for name, value in recipe.active_slides.items() if value <= 0]
    avoided = {getattr(found.attributes, name) for name in less}
    if recipe.negative:
        away = read(recipe.negative)
        named = away.attributes.primary_color, away.attributes.secondary_color
        avoided |= {*named, *away.parts.values()}
    return {
        place: color
        for place, color in found.parts.items()
        if place in PLACES
        and color not in avoided
        and not (place == "belly" and end.attributes.view == "back")
    }


@jax.jit
def paint_parts(
    z: Float[Array, "b z"], paint: Float[Array, "b p 3"], given: Bool[Array, "b p"]
) -> tuple[Float[Array, "b z"], Float[Array, "b s s"]]:
    """Thumbnails with their parts painted, and how much of each place is.

    Rows without a painted part keep their exact bits.

    Args:
      z: thumbnails, flat: RGB on white and alpha, in [-1, 1].
      paint: as `Painted` has it.
      given: likewise.
    """
    side = round((z.shape[1] // CHANNELS) ** 0.5)
    rgb, alpha = jnp.split(z.reshape(-1, side, side, CHANNELS), (3,), axis=-1)
    opaque = jnp.clip((alpha[..., 0] + 1) / 2, 0, 1)
    # Thin rims are mostly white: what they'd be without it is anyone's guess.
    solid = jnp.maximum(opaque, 0.1)[..., None]
    own = (rgb - (1 - opaque)[..., None]) / solid
    change, total = jnp.zeros_like(own), jnp.zeros_like(opaque)
    for i, place in enumerate(PLACES.values()):
        share = _share(opaque, place) * given[:, i, None, None]
        weight = share[..., None]
        mean = (weight * own).sum((1, 2)) / jnp.maximum(weight.sum((1, 2)), 1e-3)
        relief = (own - mean[:, None, None]).mean(axis=-1, keepdims=True)
        color = jnp.clip(paint[:, i, None, None] + _RELIEF * relief, -1, 1)
        change = change + weight * (color - own - change)  # over earlier ones
        total = jnp.maximum(total, share)
    rgb = rgb + opaque[..., None] * change
    painted = jnp.concatenate([rgb, alpha], axis=-1).reshape(z.shape)
    return jnp.where(given.any(axis=1, keepdims=True), painted, z), total


def _share(opaque: Float[Array, "b s s"], place: Place) -> Float[Array, "b s s"]:
    """How much of each square of a silhouette belongs to a place."""
    side = opaque.shape[1]
    weight = opaque / jnp.maximum(opaque.sum((1, 2), keepdims=True), 1e-3)
    apart: list[Array] = []
    for axis, middle, radius in ((1, place.down, place.high), (2, 0.0, place.across)):
        at = jnp.arange(side).reshape((1, side, 1) if axis == 1 else (1, 1, side))
        mean = (weight * at).sum((1, 2), keepdims=True)
        spread = jnp.sqrt((weight * (at - mean) ** 2).sum((1, 2), keepdims=True))
        spread = jnp.maximum(spread, 0.5)
        apart.append(((at - mean - middle * spread) / (radius * spread)) ** 2)
    share = jax.nn.sigmoid(_EDGE * (1 - apart[0] - apart[1]))
    if not place.inside:
        return share * opaque
    padded = jnp.pad(opaque, ((0, 0), (1, 1), (1, 1)))
    around = [padded[:, i : i + side, j : j + side]
              for i, j in ((0, 1), (1, 0), (2, 1), (1, 2))]  # fmt: skip
    return share * jnp.min(jnp.stack(around), axis=0)
