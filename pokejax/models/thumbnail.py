"""A latent that is a thumbnail: z is the picture itself, a quarter as large a side.

Nothing is learned to encode: z is the mean colour and the mean alpha of each square of
pixels, so it can be painted, edited and blended. All that is learned is the way back,
an upsampler that invents the detail, in flat colours of a small palette. It is trained
on thumbnails with more or less noise (the posterior's), so that it doesn't trust drawn
ones to be exact.

Source of the noise: Ho et al., Cascaded Diffusion Models, arXiv 2106.15282.
"""

import itertools

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from pokejax.config import ModelConfig
from pokejax.models.convs import UpConv
from pokejax.models.details import DetailDecoder, DetailEncoder, present
from pokejax.models.spatial import ResBlock

CHANNELS = 4  # RGB on white, and alpha
# Standard deviation of the noise on z at most; z's values lie in [-1, 1].
NOISE = 0.1
COLORS = 16  # of a picture's palette
# Of the vote among neighbouring pixels: its rounds, and what all eight of them add to a
# logit.
_ROUNDS = 2
_VOTES = 3.0
# Within a creature, colors darker than this lose so much, and win it back where more
# than half of the neighbours are as dark: an outline isn't within, and specks go.
_DARK = -0.3  # mean of RGB in [-1, 1]
_LONELY = 4.0
_NEVER = -1e9  # logit of what isn't chosen


class ThumbnailEncoder(nnx.Module):
    """Picture with alpha -> its thumbnail as the mean of z, without any weights.

    What a picture has beyond that is for `details`, if the model was taught some.
    """

    def __init__(
        self, config: ModelConfig, image_size: int, condition_dim: int, *, rngs
    ):
        self.side = config.latent_side(image_size)
        if config.details:
            self.details = DetailEncoder(config, rngs=rngs)

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
    """Thumbnail and condition -> picture with alpha, in a palette of its own.

    Sprites are flat areas of a few colours, and a network that paints each pixel for
    itself mottles them. Here it chooses a palette from the thumbnail's own colours, and
    then one of these for each pixel. Most is decided at the thumbnail's size, where a
    weight costs a sixteenth of what it costs at the picture's.
    """

    def __init__(
        self, config: ModelConfig, image_size: int, condition_dim: int, *, rngs
    ):
        widths = config.channels[::-1]
        width, narrow = widths[0], widths[-1]
        self.side = config.latent_side(image_size)
        self.conv_in = nnx.Conv(CHANNELS, width, (3, 3), rngs=rngs)
        self.condition = nnx.Linear(condition_dim, width, rngs=rngs)
        self.blocks = nnx.List(ResBlock(width, rngs=rngs) for _ in range(config.blocks))
        self.places = nnx.Linear(width, COLORS, rngs=rngs)
        self.shades = nnx.Linear(width, 3, rngs=rngs)
        tones = nnx.initializers.normal(0.3)(rngs.params(), (COLORS, 3))
        self.tones = nnx.Param(tones)
        self.doublings = nnx.List(
            UpConv(a, b, rngs=rngs) for a, b in itertools.pairwise(widths)
        )
        self.between = nnx.List(ResBlock(width, rngs=rngs) for width in widths[1:])
        # Four pixels of each place: their colours, and whether they are opaque.
        self.head = nnx.Conv(narrow, 4 * (COLORS + 1), (3, 3), rngs=rngs)
        if config.details:
            self.details = DetailDecoder(config, rngs=rngs)

    def __call__(
        self,
        z: Float[Array, "b z"],
        cond: Float[Array, "b c"],
        *,
        dropout_key: Array | None,
        drawn: Bool[Array, " b"] | None = None,
        details: Float[Array, "b s s d"] | None = None,
    ) -> Float[Array, "b h w 4"]:
        """A picture in [-1, 1], RGB on white and alpha.

        Args:
          z: thumbnails.
          cond: from `CVAE.condition`.
          dropout_key: of training, in which half of the pictures may mix their colours,
            since a choice has no slope; None takes the likeliest colour everywhere.
          drawn: whose thumbnails a prior drew, so that pixels vote; None is nobody's.
          details: of given pictures, zeros where there are none; None has none at all.
        """
        thumbnail = z.reshape(len(z), self.side, self.side, CHANNELS)
        x = self.conv_in(thumbnail) + self.condition(cond)[:, None, None]
        if details is not None:
            x = x + self.details.coarse(details)
        for block in self.blocks:
            x = block(x)
        palette, coarse = self._palette(thumbnail, x), x
        for doubling, block in zip(self.doublings, self.between, strict=True):
            x = block(nnx.gelu(doubling(nnx.gelu(x))))
        fine, x = x, _pixel_shuffle(self.head(nnx.gelu(x)))
        if drawn is not None:
            x = jnp.where(drawn.reshape(-1, 1, 1, 1), agreed(x, palette), x)
        if details is not None:
            x, palette = self._detailed(x, palette, details, coarse, fine)
        share = nnx.softmax(x[..., :-1])
        opaque = nnx.sigmoid(x[..., -1:])
        chosen = jax.nn.one_hot(jnp.argmax(share, axis=-1), share.shape[-1])
        mixed = jnp.zeros((len(z), 1, 1, 1), bool)
        if dropout_key is not None:
            mixed = jax.random.bernoulli(dropout_key, 0.5, mixed.shape)
        share, opaque = (
            soft + jax.lax.stop_gradient(jnp.where(mixed, 0, hard - soft))
            for soft, hard in ((share, chosen), (opaque, jnp.round(opaque)))
        )
        rgb = jnp.einsum("bhwk,bkc->bhwc", share, palette)
        return jnp.concatenate([opaque * rgb + (1 - opaque), 2 * opaque - 1], axis=-1)

    def _detailed(
        self,
        logits: Float[Array, "b h w c"],
        palette: Float[Array, "b k 3"],
        details: Float[Array, "b s s d"],
        coarse: Float[Array, "b s s f"],
        fine: Float[Array, "b t t g"],
    ) -> tuple[Float[Array, "b h w e"], Float[Array, "b l 3"]]:
        """Logits and palette, those of details where there are any."""
        more, pixels = self.details(details, coarse, fine)
        pixels = _pixel_shuffle(pixels)
        palette = jnp.concatenate([palette, more], axis=1)
        near = self.details.nearness(jnp.tanh(pixels[..., :3]), palette)
        own = jnp.concatenate([near, pixels[..., 3:]], axis=-1)
        none = jnp.full((*logits.shape[:3], more.shape[1]), _NEVER)
        without = jnp.concatenate([logits[..., :-1], none, logits[..., -1:]], axis=-1)
        each = logits.shape[1] // self.side
        there = present(details).repeat(each, axis=1).repeat(each, axis=2)
        return jnp.where(there[..., None], own, without), palette

    def _palette(
        self, thumbnail: Float[Array, "b s s 4"], x: Float[Array, "b s s w"]
    ) -> Float[Array, "b k 3"]:
        """Colours, each the mean of some places of the thumbnail, and then shaded."""
        b = len(x)
        flat, x = thumbnail.reshape(b, -1, CHANNELS), x.reshape(b, -1, x.shape[-1])
        opaque = jnp.clip((flat[..., 3:] + 1) / 2, 0.02, 1)
        own = jnp.clip((flat[..., :3] - (1 - opaque)) / opaque, -1, 1)
        looks = nnx.softmax(self.places(x) + jnp.log(opaque), axis=1)
        color, seen = (jnp.einsum("bnk,bnc->bkc", looks, v) for v in (own, x))
        return jnp.tanh(
            jnp.arctanh(0.97 * color) + self.shades(seen) + self.tones[...][None]
        )


def agreed(
    logits: Float[Array, "b h w c"], palette: Float[Array, "b k 3"]
) -> Float[Array, "b h w c"]:
    """Logits of each pixel's colour and alpha, after a vote among its neighbours.

    Where the upsampler isn't sure it would speckle; who is sure isn't outvoted.
    Source: mean field inference as in Krähenbühl & Koltun, arXiv 1210.5644.
    """
    dark = nnx.sigmoid((_DARK - palette.mean(axis=-1)) * 10)[:, None, None]
    own, opaque = logits[..., :-1], logits[..., -1:]
    for _ in range(_ROUNDS):
        inside = nnx.sigmoid(opaque)
        votes = _around(inside * nnx.softmax(own))
        opaque = logits[..., -1:] + _VOTES * (_around(inside) - 0.5)
        within = _around(nnx.sigmoid(opaque)) > 0.95
        crowd = 2 * (votes * dark).sum(axis=-1, keepdims=True) - 1
        own = logits[..., :-1] + _VOTES * votes + within * dark * _LONELY * crowd
    return jnp.concatenate([own, opaque], axis=-1)


def _around(x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """The mean of the eight places around each, zeros beyond the border."""
    total = x
    for axis in (1, 2):
        ends = [(0, 0)] * 4
        ends[axis] = (1, 1)
        wide, n = jnp.pad(total, ends), x.shape[axis]
        parts = [jax.lax.slice_in_dim(wide, i, i + n, axis=axis) for i in range(3)]
        total = parts[0] + parts[1] + parts[2]
    return (total - x) / 8


def _pixel_shuffle(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
    """Each place's four parts, side by side."""
    b, h, w, c = x.shape
    x = x.reshape(b, h, w, 2, 2, c // 4).swapaxes(2, 3)
    return x.reshape(b, 2 * h, 2 * w, c // 4)
