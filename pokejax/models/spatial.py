"""An encoder and a decoder whose latent keeps its place: z is a small feature map.

The flat z of `models.cvae` has to say *where* through two wide linear layers, which
learn the training pictures' layouts by heart. Here z is `side x side x channels`; each
entry of `model.channels` halves the picture's side once. It is handed around flat, so
that losses, statistics and samplers don't know the difference.
"""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pokejax.config import ModelConfig
from pokejax.models.convs import SameConv, UpConv, half_conv

GROUPS = 8


class ResBlock(nnx.Module):
    """`x + conv(act(norm(conv(act(norm(x))))))`; starts as the identity."""

    def __init__(self, features: int, *, rngs: nnx.Rngs):
        self.norm1 = nnx.GroupNorm(features, num_groups=GROUPS, rngs=rngs)
        self.conv1 = SameConv(features, features, rngs=rngs)
        self.norm2 = nnx.GroupNorm(features, num_groups=GROUPS, rngs=rngs)
        self.conv2 = SameConv(
            features, features, kernel_init=nnx.initializers.zeros, rngs=rngs
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
        widths = config.channels
        self.halvings = nnx.List(
            half_conv(a, b, rngs)
            for a, b in zip((3, *widths[:-1]), widths, strict=True)
        )
        width = widths[-1]
        self.condition = nnx.Linear(condition_dim, width, rngs=rngs)
        self.blocks = nnx.List(ResBlock(width, rngs=rngs) for _ in range(config.blocks))
        self.norm = nnx.GroupNorm(width, num_groups=GROUPS, rngs=rngs)
        channels = config.latent_dim // config.latent_side(image_size) ** 2
        self.head = nnx.Conv(width, 2 * channels, (1, 1), rngs=rngs)

    def __call__(
        self,
        image: Float[Array, "b h w _"],
        cond: Float[Array, "b c"],
        *,
        dropout_key: Array | None,
    ) -> tuple[Float[Array, "b z"], Float[Array, "b z"]]:
        """Mean and log-variance of the posterior; there is no dropout here."""
        x = self.halvings[0](image[..., :3])
        for halving in self.halvings[1:]:
            x = halving(nnx.gelu(x))
        x = x + self.condition(cond)[:, None, None]
        for block in self.blocks:
            x = block(x)
        mean, logvar = jnp.split(self.head(nnx.gelu(self.norm(x))), 2, axis=-1)
        return mean.reshape(len(x), -1), logvar.reshape(len(x), -1)


class SpatialDecoder(nnx.Module):
    """Flattened feature map and condition -> picture."""

    def __init__(
        self, config: ModelConfig, image_size: int, condition_dim: int, *, rngs
    ):
        widths = config.channels[::-1]
        self.side = config.latent_side(image_size)
        channels = config.latent_dim // self.side**2
        self.conv_in = nnx.Conv(channels, widths[0], (3, 3), rngs=rngs)
        self.condition = nnx.Linear(condition_dim, widths[0], rngs=rngs)
        self.blocks = nnx.List(
            ResBlock(widths[0], rngs=rngs) for _ in range(config.blocks)
        )
        self.doublings = nnx.List(
            UpConv(a, b, rngs=rngs)
            for a, b in zip(widths, (*widths[1:], widths[-1]), strict=True)
        )
        self.block = ResBlock(widths[1], rngs=rngs)
        self.conv_out = nnx.Conv(widths[-1], 3, (3, 3), rngs=rngs)

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
        x = self.block(nnx.gelu(self.doublings[0](x)))
        for doubling in self.doublings[1:]:
            x = nnx.gelu(doubling(x))
        return jnp.tanh(self.conv_out(x))
