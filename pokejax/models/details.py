"""What a picture has beyond its thumbnail, so that a given one can keep it.

A drawn thumbnail has no details: the upsampler invents them, eyes and all. A given
picture's own are a second small map, of the thumbnail's side, whose places can be kept
or left out one by one. It is learned for an upsampler that stays as it is: where
nothing is kept, that one's own pixels come out.
"""

import itertools

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from pokejax.config import ModelConfig
from pokejax.models.convs import SameConv, UpConv, half_conv
from pokejax.models.spatial import ResBlock

COLORS = 16  # of a given picture, beside those of its thumbnail
_SHARPNESS = 3.4  # log of what a squared distance of colours is multiplied by, at first


class DetailEncoder(nnx.Module):
    """Picture with alpha -> its details, in (-1, 1)."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs):
        widths = config.channels
        self.halvings = nnx.List(
            half_conv(a, b, rngs) for a, b in itertools.pairwise((4, *widths))
        )
        self.block = ResBlock(widths[-1], rngs=rngs)
        self.head = nnx.Linear(widths[-1], config.details, rngs=rngs)

    def __call__(self, image: Float[Array, "b h w 4"]) -> Float[Array, "b s s d"]:
        """Details of each place; none of them is exactly zero in all numbers."""
        x = self.halvings[0](image)
        for halving in self.halvings[1:]:
            x = halving(nnx.gelu(x))
        return jnp.tanh(self.head(nnx.gelu(self.block(x))))


class DetailDecoder(nnx.Module):
    """Details and an upsampler's features -> the colours of the pixels kept."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs):
        widths = config.channels[::-1]
        width, narrow = widths[0], widths[-1]
        zeros = nnx.initializers.zeros
        self.coarse = nnx.Conv(
            config.details, width, (3, 3), use_bias=False, kernel_init=zeros, rngs=rngs
        )
        self.conv_in = SameConv(config.details, width, rngs=rngs)
        self.places = nnx.Linear(width, COLORS, rngs=rngs)
        self.colors = nnx.Linear(width, 3, rngs=rngs)
        tones = nnx.initializers.normal(0.3)(rngs.params(), (COLORS, 3))
        self.tones = nnx.Param(tones)
        self.doublings = nnx.List(
            UpConv(a, b, rngs=rngs) for a, b in itertools.pairwise(widths)
        )
        self.block = ResBlock(narrow, rngs=rngs)
        # Four pixels of each place: their colours, and whether they are opaque.
        self.head = nnx.Conv(narrow, 4 * 4, (3, 3), rngs=rngs)
        self.sharpness = nnx.Param(jnp.array(_SHARPNESS))

    def __call__(
        self,
        details: Float[Array, "b s s d"],
        coarse: Float[Array, "b s s f"],
        fine: Float[Array, "b t t g"],
    ) -> tuple[Float[Array, "b k 3"], Float[Array, "b t t p"]]:
        """Colours beside the upsampler's own, and four pixels of each place.

        Args:
          details: of pictures.
          coarse: the upsampler's features at the thumbnail's size.
          fine: those at half of the picture's size.

        Returns:
          Colours in (-1, 1), and for each place the colour and the logit of opacity of
          its four pixels.
        """
        x = self.conv_in(details) + coarse
        flat = x.reshape(len(x), -1, x.shape[-1])
        looks = nnx.softmax(self.places(flat), axis=1)
        seen = jnp.einsum("bnk,bnc->bkc", looks, flat)
        palette = jnp.tanh(self.colors(seen) + self.tones[...][None])
        for doubling in self.doublings:
            x = doubling(nnx.gelu(x))
        return palette, self.head(nnx.gelu(self.block(x + fine)))

    def nearness(
        self, color: Float[Array, "b h w 3"], palette: Float[Array, "b k 3"]
    ) -> Float[Array, "b h w k"]:
        """A logit for each colour of a palette: the nearer the likelier."""
        # Squared distances, without what is the same for all colours.
        dot = jnp.einsum("bhwc,bkc->bhwk", color, palette)
        nearer = 2 * dot - (palette**2).sum(axis=-1)[:, None, None]
        return jnp.exp(self.sharpness[...]) * nearer


def some_of(details: Float[Array, "b s s d"], key: Array) -> Float[Array, "b s s d"]:
    """Details of which parts are left out: of every second picture, all are kept.

    Parts are squares of a quarter of the side; how many go differs by picture.
    """
    b, side = details.shape[:2]
    keys = jax.random.split(key)
    kept = jax.random.uniform(keys[0], (b, 1, 1), minval=-1.0)
    parts = jax.random.uniform(keys[1], (b, 4, 4)) > kept
    where = jnp.arange(side) * 4 // side
    return details * parts[:, where][:, :, where, None]


def present(details: Float[Array, "b s s d"]) -> Bool[Array, "b s s"]:
    """Which places have details; those that were left out hold zeros."""
    return (details != 0).any(axis=-1)
