"""A small judge of pictures, which picks the best of several drawings.

It was shown real pictures and drawings of one model, so its notion of a good one is
what that model misses most. Beside it, it reads what a picture shows, of the attributes
that a prompt may ask for.

Source of the idea: Che et al., Your GAN is Secretly an Energy-based Model, arXiv
2003.06060, and Azadi et al., Discriminator Rejection Sampling, arXiv 1810.06758.
"""

import itertools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from pokejax.attributes import CONDITIONS, UNKNOWN_ID

# What it reads in pictures; habitats, stages and the like don't show.
READ = ("primary_color", "secondary_color", "type1", "shape", "size", "view")
_WIDTHS = (3, 24, 48, 72, 96)


class Picker(nnx.Module):
    """Convolutions that halve the picture four times, and a line for each question."""

    def __init__(self, image_size: int, *, rngs: nnx.Rngs):
        self.convs = nnx.List(
            nnx.Conv(a, b, (3, 3), strides=2, rngs=rngs)
            for a, b in itertools.pairwise(_WIDTHS)
        )
        self.norms = nnx.List(nnx.LayerNorm(b, rngs=rngs) for b in _WIDTHS[1:])
        features = (image_size // 2 ** len(self.convs)) ** 2 * _WIDTHS[-1]
        self.real = nnx.Linear(features, 1, rngs=rngs)
        self.shows = nnx.Dict(
            {
                name: nnx.Linear(features, len(CONDITIONS[name]), rngs=rngs)
                for name in READ
            }
        )

    def __call__(
        self, images: Float[Array, "b h w 3"]
    ) -> tuple[Float[Array, " b"], Mapping[str, Float[Array, "b k"]]]:
        """Logits of being real, and of what the pictures show, by attribute.

        `images` are RGB on white, in [-1, 1].
        """
        x = images
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = nnx.silu(norm(conv(x)))
        x = x.reshape(len(x), -1)
        return self.real(x)[:, 0], {name: read(x) for name, read in self.shows.items()}

    def liking(
        self, images: Float[Array, "b h w 3"], asked: Int[Array, "b 12"]
    ) -> Float[Array, " b"]:
        """How likely each picture is real and shows what was asked for, as a logarithm.

        What wasn't asked for doesn't count.
        """
        real, shows = self(images)
        score = jax.nn.log_sigmoid(real)
        for name, logits in shows.items():
            ids = asked[:, list(CONDITIONS).index(name)]
            each = jax.nn.log_softmax(logits)
            found = jnp.take_along_axis(each, jnp.maximum(ids, 0)[:, None], axis=1)
            score += jnp.where(ids == UNKNOWN_ID, 0, found[:, 0])
        return score
