"""A drawn thumbnail made clean: flat surfaces, and no shreds.

A prior that isn't sure leaves some noise in each square, of which the upsampler would
make speckles: squares take on the colors of like neighbours, and edges between
different colors stay as they are. Nor is it sure where the creature ends: squares that
stand alone fade.

Source: Tomasi & Manduchi, Bilateral filtering for gray and color images, ICCV 1998.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from pokejax.models.thumbnail import CHANNELS

_TIMES = 2
_LIKE = 0.25  # colors in [-1, 1] as far apart as this count a third
_ASIDE = 0.7  # how much a neighbour counts beside the square itself
_TAKEN = 0.9  # how much of a square's color is changed
# A square with less of its eight neighbours than this share stands alone: for what is
# missing it loses so many times as much of itself.
_FEW, _LONELY = 0.35, 2.5
_SOLID = 4  # power of a square's opacity: rims are part white, and stay
_ASIDES = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]


@jax.jit
def even_out(z: Float[Array, "b z"], drawn: Bool[Array, " b"]) -> Float[Array, "b z"]:
    """Thumbnails that are clean; rows that aren't `drawn` keep their exact bits.

    Args:
      z: thumbnails, flat: RGB on white and alpha, in [-1, 1].
      drawn: rows that were drawn from noise alone.
    """
    side = round((z.shape[1] // CHANNELS) ** 0.5)
    rgb, alpha = jnp.split(z.reshape(-1, side, side, CHANNELS), (3,), axis=-1)
    solid = jnp.clip((alpha + 1) / 2, 0, 1) ** _SOLID
    for _ in range(_TIMES):
        total, weights = solid * rgb, solid
        for aside in _ASIDES:
            color, there = (_moved(x, *aside) for x in (rgb, solid))
            apart = ((color - rgb) ** 2).sum(axis=-1, keepdims=True)
            weight = _ASIDE * there * jnp.exp(-apart / _LIKE**2)
            total, weights = total + weight * color, weights + weight
        mean = total / jnp.maximum(weights, 1e-4)
        rgb = rgb + _TAKEN * solid * (mean - rgb)
    own = jnp.clip((alpha + 1) / 2, 0, 1)
    around = sum(_moved(own, *aside) for aside in _ASIDES) / len(_ASIDES)
    left = jnp.clip(own + _LONELY * jnp.minimum(around - _FEW, 0), 0, 1)
    # On white, as ever.
    rgb = 1 - (1 - rgb) * left / jnp.maximum(own, 1e-3)
    alpha = 2 * left - 1
    evened = jnp.concatenate([rgb, alpha], axis=-1).reshape(z.shape)
    return jnp.where(drawn[:, None], evened, z)


def _moved(x: Float[Array, "b s s c"], down: int, across: int) -> Array:
    """Each square's neighbour in that direction, zeros beyond the border."""
    side = x.shape[1]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return padded[:, 1 + down : 1 + down + side, 1 + across : 1 + across + side]
