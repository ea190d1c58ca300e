"""Tells drawn pictures from real ones, by patches of pixels and of networks' features.

A few thousand sprites can't feed a discriminator of their own: features that know
ImageNet already are its eyes, and what is trained is small. Features are mixed at
random before anything trained looks at them, so that it can't pick the few that a
generator hasn't learned yet.

Source: Sauer et al., Projected GANs, arXiv 2111.01007.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

_WIDTH = 32


class Critic(nnx.Module):
    """A score for each patch: of pixels, and of each resolution of the features."""

    def __init__(self, feature_widths: Sequence[int], *, rngs: nnx.Rngs):
        """Make the heads.

        Args:
          feature_widths: channels of the features that will be given, in order.
          rngs: stream `params`.
        """
        self.pixels = nnx.Conv(4, _WIDTH // 2, (3, 3), rngs=rngs)
        self.patches = nnx.Conv(
            _WIDTH // 2, _WIDTH, (4, 4), strides=2, padding=((1, 1), (1, 1)), rngs=rngs
        )
        # Of vectors of length one; they stay as they are.
        unit = nnx.initializers.normal(1.0)
        self.projections = nnx.List(
            nnx.Linear(width, _WIDTH, use_bias=False, kernel_init=unit, rngs=rngs)
            for width in feature_widths
        )
        self.scores = nnx.List(
            nnx.Conv(_WIDTH, 1, (3, 3), rngs=rngs)
            for _ in range(1 + len(feature_widths))
        )

    def __call__(
        self, image: Float[Array, "b h w 4"], features: Sequence[Array]
    ) -> list[Float[Array, "b _"]]:
        """Scores of patches, above 0 for what looks real; a list entry a head.

        Args:
          image: in [-1, 1], RGB on white and alpha.
          features: of it, each `b h w c`, vectors of length one.
        """
        seen = [self.patches(nnx.leaky_relu(self.pixels(image), 0.2))]
        seen += [
            feature @ jax.lax.stop_gradient(project.kernel[...])
            for project, feature in zip(self.projections, features, strict=True)
        ]
        return [
            score(nnx.leaky_relu(x, 0.2)).reshape(len(image), -1)
            for score, x in zip(self.scores, seen, strict=True)
        ]


def fools(scores: Sequence[Float[Array, "b _"]]) -> Float[Array, " b"]:
    """What a generator minimises: minus the score, averaged over patches and heads."""
    return jnp.mean(jnp.stack([-s.mean(axis=1) for s in scores]), axis=0)


def tells_apart(
    real: Sequence[Float[Array, "b _"]], drawn: Sequence[Float[Array, "b _"]]
) -> Float[Array, " b"]:
    """The critic's hinge loss, averaged over heads; 2 where it can't tell."""
    losses = [
        nnx.relu(1 - r).mean(axis=1) + nnx.relu(1 + d).mean(axis=1)
        for r, d in zip(real, drawn, strict=True)
    ]
    return jnp.mean(jnp.stack(losses), axis=0)
