"""A latent that is a thumbnail: z is the picture itself, a quarter as large a side.

Nothing is learned to encode: z is the mean colour and the mean alpha of each square of
pixels, so it can be painted, edited and blended. All that is learned is the way back,
an upsampler that invents the detail. It is trained on thumbnails with more or less
noise (the posterior's), so that it doesn't trust drawn ones to be exact, and makes flat
what is mottled in them.

Source of the noise: Ho et al., Cascaded Diffusion Models, arXiv 2106.15282.
"""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pokejax.config import ModelConfig
from pokejax.models.convs import UpConv
from pokejax.models.spatial import ResBlock

CHANNELS = 4  # RGB on white, and alpha
# Standard deviation of the noise on z at most; z's values lie in [-1, 1].
NOISE = 0.25
_LAST_WIDTH = 16  # channels at the picture's own size


class ThumbnailEncoder(nnx.Module):
    """Picture with alpha -> its thumbnail as the mean of z; knows no weights."""

    def __init__(
        self, config: ModelConfig, image_size: int, condition_dim: int, *, rngs
    ):
        self.side = config.latent_side(image_size)

    def __call__(
        self,
        image: Float[Array, "b h w 4"],
        cond: Float[Array, "b c"],
        *,
        dropout_key: Array | None,
    ) -> tuple[Float[Array, "b z"], Float[Array, "b z"]]:
        """Mean and log-variance of the posterior, which is the same everywhere."""
        b, h, _, channels = image.shape
        cut = (b, self.side, h // self.side, self.side, h // self.side, channels)
        mean = image.reshape(cut).mean(axis=(2, 4)).reshape(b, -1)
        return mean, jnp.full_like(mean, 2 * jnp.log(NOISE))


class Upsampler(nnx.Module):
    """Thumbnail and condition -> picture with alpha.

    Most is decided at the thumbnail's size, where a weight costs a sixteenth of what it
    costs at the picture's.
    """

    def __init__(
        self, config: ModelConfig, image_size: int, condition_dim: int, *, rngs
    ):
        widths = config.channels[::-1]
        self.side = config.latent_side(image_size)
        self.conv_in = nnx.Conv(CHANNELS, widths[0], (3, 3), rngs=rngs)
        self.condition = nnx.Linear(condition_dim, widths[0], rngs=rngs)
        self.blocks = nnx.List(
            ResBlock(widths[0], rngs=rngs) for _ in range(config.blocks)
        )
        narrower = (*widths[1:], _LAST_WIDTH)
        self.doublings = nnx.List(
            UpConv(a, b, rngs=rngs) for a, b in zip(widths, narrower, strict=True)
        )
        self.between = nnx.List(ResBlock(width, rngs=rngs) for width in widths[1:])
        self.conv_out = nnx.Conv(_LAST_WIDTH, CHANNELS, (3, 3), rngs=rngs)

    def __call__(
        self,
        z: Float[Array, "b z"],
        cond: Float[Array, "b c"],
        *,
        dropout_key: Array | None,
    ) -> Float[Array, "b h w 4"]:
        """A picture in [-1, 1], RGB on white and alpha; there is no dropout here."""
        x = self.conv_in(z.reshape(len(z), self.side, self.side, CHANNELS))
        x = x + self.condition(cond)[:, None, None]
        for block in self.blocks:
            x = block(x)
        for doubling, block in zip(self.doublings, self.between, strict=False):
            x = block(doubling(nnx.gelu(x)))
        x = self.doublings[-1](nnx.gelu(x))
        drawn = jnp.tanh(self.conv_out(nnx.gelu(x)))
        rgb, alpha = drawn[..., :3], drawn[..., 3:]
        opaque = (alpha + 1) / 2
        return jnp.concatenate([opaque * rgb + (1 - opaque), alpha], axis=-1)
