"""An encoder and a decoder whose latent keeps its place: z is a small feature map.

The flat z of `models.cvae` has to say *where* through two wide linear layers, which
learn the training pictures' layouts by heart. Here z is `side x side x channels`, an
eighth of the picture's side, handed around flat so that losses, statistics and samplers
don't know the difference.
"""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pokejax.config import ModelConfig
from pokejax.models.convs import UpConv, half_conv

GROUPS = 8


class ResBlock(nnx.Module):
    """`x + conv(act(norm(conv(act(norm(x))))))`; starts as the identity."""

    def __init__(self, features: int, *, rngs: nnx.Rngs):
        self.norm1 = nnx.GroupNorm(features, num_groups=GROUPS, rngs=rngs)
        self.conv1 = nnx.Conv(features, features, (3, 3), rngs=rngs)
        self.norm2 = nnx.GroupNorm(features, num_groups=GROUPS, rngs=rngs)
        self.conv2 = nnx.Conv(
            features,
            features,
            (3, 3),
            kernel_init=nnx.initializers.zeros,
            rngs=rngs,
        )

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Refine `x`."""
        y = self.conv1(nnx.gelu(self.norm1(x)))
        return x + self.conv2(nnx.gelu(self.norm2(y)))


class SpatialEncoder(nnx.Module):
    """Picture and condition -> mean and log-variance of a flattened feature map."""

    def __init__(
        self, config: ModelConfig, image_size: int, condition_dim: int, *, rngs
    ):
        c1, c2, c3 = config.channels
        self.conv1 = half_conv(3, c1, rngs)
        self.conv2 = half_conv(c1, c2, rngs)
        self.conv3 = half_conv(c2, c3, rngs)
        self.condition = nnx.Linear(condition_dim, c3, rngs=rngs)
        self.blocks = nnx.List(ResBlock(c3, rngs=rngs) for _ in range(config.blocks))
        self.norm = nnx.GroupNorm(c3, num_groups=GROUPS, rngs=rngs)
        channels = config.latent_dim // (image_size // 8) ** 2
        self.head = nnx.Conv(c3, 2 * channels, (1, 1), rngs=rngs)

    def __call__(
        self,
        image: Float[Array, "b h w 3"],
        cond: Float[Array, "b c"],
        *,
        dropout_key: Array | None,
    ) -> tuple[Float[Array, "b z"], Float[Array, "b z"]]:
        """Mean and log-variance of the posterior; there is no dropout here."""
        x = nnx.gelu(self.conv1(image))
        x = nnx.gelu(self.conv2(x))
        x = self.conv3(x) + self.condition(cond)[:, None, None]
        for block in self.blocks:
            x = block(x)
        mean, logvar = jnp.split(self.head(nnx.gelu(self.norm(x))), 2, axis=-1)
        return mean.reshape(len(x), -1), logvar.reshape(len(x), -1)


class SpatialDecoder(nnx.Module):
    """Flattened feature map and condition -> picture."""

    def __init__(
        self, config: ModelConfig, image_size: int, condition_dim: int, *, rngs
    ):
        c1, c2, c3 = config.channels
        self.side = image_size // 8
        channels = config.latent_dim // self.side**2
        self.conv_in = nnx.Conv(channels, c3, (3, 3), rngs=rngs)
        self.condition = nnx.Linear(condition_dim, c3, rngs=rngs)
        self.blocks = nnx.List(ResBlock(c3, rngs=rngs) for _ in range(config.blocks))
        self.up1 = UpConv(c3, c2, rngs=rngs)
        self.block2 = ResBlock(c2, rngs=rngs)
        self.up2 = UpConv(c2, c1, rngs=rngs)
        self.up3 = UpConv(c1, c1, rngs=rngs)
        self.conv_out = nnx.Conv(c1, 3, (3, 3), rngs=rngs)

    def __call__(
        self,
        z: Float[Array, "b z"],
        cond: Float[Array, "b c"],
        *,
        dropout_key: Array | None,
    ) -> Float[Array, "b h w 3"]:
        """A picture in [-1, 1]; there is no dropout here."""
        x = self.conv_in(z.reshape(len(z), self.side, self.side, -1))
        x = x + self.condition(cond)[:, None, None]
        for block in self.blocks:
            x = block(x)
        x = self.block2(nnx.gelu(self.up1(x)))
        x = nnx.gelu(self.up2(x))
        x = nnx.gelu(self.up3(x))
        return jnp.tanh(self.conv_out(x))
