"""Random changes to training pictures, on the device, as part of the compiled step.

Geometry is one resampling: mirroring, shift and scale of an axis are together one
matrix of linear-interpolation weights, so a picture costs two small matrix products.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pokejax.config import DataConfig


def augment(
    image: Float[Array, "b h w c"], key: Array, config: DataConfig
) -> Float[Array, "b h w c"]:
    """Mirror, shift, scale and recolour pictures at random, as far as the config says.

    Whatever enters from outside the picture is white, the sprites' background. Only
    background leaves it: where a creature comes near the border, it is shifted and
    enlarged less.

    Args:
      image: `b h w c` float32 in [-1, 1]: RGB, and what else moves with it; of 8
        channels, 4 to 6 are another picture's RGB, recoloured alike.
      key: decides everything.
      config: `flip`, `max_shift`, `max_scale`, `color_jitter`; all off changes nothing.
    """
    flip_key, shift_key, scale_key, color_key = jax.random.split(key, 4)
    b, side = image.shape[0], image.shape[1]
    mirror = jnp.ones(b)
    if config.flip:
        mirror = jnp.where(jax.random.bernoulli(flip_key, 0.5, (b,)), -1.0, 1.0)
    if config.max_shift or config.max_scale:
        shift = config.max_shift * jax.random.uniform(shift_key, (2, b), minval=-1)
        scale = jnp.exp(
            jnp.log1p(config.max_scale) * jax.random.uniform(scale_key, (b,), minval=-1)
        )
        scale, shift = _within_borders(image, mirror, scale, side * shift)
        image = resample(image, scale, mirror * scale, shift)
    elif config.flip:
        image = jnp.where(mirror.reshape(b, 1, 1, 1) < 0, image[:, :, ::-1], image)
    if config.color_jitter:
        for rgb in range(0, image.shape[-1] - 2, 4):
            jittered = _jitter_colors(
                image[..., rgb : rgb + 3], config.color_jitter, color_key
            )
            image = image.at[..., rgb : rgb + 3].set(jittered)
    return image


def _within_borders(
    image: Float[Array, "b h w c"],
    mirror: Float[Array, " b"],
    scale: Float[Array, " b"],
    shift: Float[Array, "2 b"],
) -> tuple[Float[Array, " b"], Float[Array, "2 b"]]:
    """Scale and shift, made so small that all that isn't background stays inside."""
    last = image.shape[1] - 1
    ink = jnp.any(image < 1, axis=3)
    by_axis = jnp.stack([ink.any(axis=2), ink.any(axis=1)])
    # The outermost pixels, from the centre; of a picture without any, the borders.
    low = by_axis.argmax(axis=2) - last / 2
    high = last / 2 - by_axis[:, :, ::-1].argmax(axis=2)
    mirrored = (mirror < 0).reshape(1, -1) & (jnp.arange(2) == 1).reshape(2, 1)
    low, high = jnp.where(mirrored, -high, low), jnp.where(mirrored, -low, high)
    room = last / jnp.maximum(high - low, 1).max(axis=0)
    scale = jnp.minimum(scale, room)
    least = -last / 2 - scale.reshape(1, -1) * low
    most = last / 2 - scale.reshape(1, -1) * high
    return scale, jnp.clip(shift, least, most)


def resample(
    image: Float[Array, "b h w c"],
    scale_y: Float[Array, " b"],
    scale_x: Float[Array, " b"],
    shift: Float[Array, "2 b"],
) -> Float[Array, "b h w c"]:
    """Scale each picture about its centre, then shift it; what enters is white.

    Args:
      image: `b h w 3` float32 in [-1, 1], square.
      scale_y: above 1 enlarges; negative mirrors.
      scale_x: likewise.
      shift: pixels down and pixels to the right.
    """
    side = image.shape[1]
    rows = _interpolation(scale_y, shift[0], side)
    columns = _interpolation(scale_x, shift[1], side)
    # Around white: what falls outside then adds nothing.
    ink = image - 1
    return 1 + jnp.einsum("bij,bkl,bjlc->bikc", rows, columns, ink, optimize=True)


def _interpolation(
    scale: Float[Array, " b"], shift: Float[Array, " b"], side: int
) -> Float[Array, "b side side"]:
    """Weights of the old pixels (last axis) in each new one."""
    middle = (side - 1) / 2
    new = jnp.arange(side).reshape(1, side) - middle
    old = (new - shift.reshape(-1, 1)) / scale.reshape(-1, 1) + middle
    distance = jnp.abs(old[:, :, None] - jnp.arange(side).reshape(1, 1, side))
    return jnp.maximum(0.0, 1.0 - distance)


def _jitter_colors(
    image: Float[Array, "b h w c"], strength: float, key: Array
) -> Float[Array, "b h w c"]:
    """Scale saturation and brightness by up to 1 +- strength; white stays white."""
    b = image.shape[0]
    factors = 1 + strength * jax.random.uniform(key, (2, b, 1, 1, 1), minval=-1)
    gray = image.mean(axis=-1, keepdims=True)
    image = gray + factors[0] * (image - gray)
    return jnp.clip(1 + factors[1] * (image - 1), -1, 1)
