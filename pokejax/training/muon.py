"""Muon: matrices take steps along their momentum made orthogonal; the rest, Adam's.

As `optax.contrib.muon`, with its products in bfloat16, which on a CPU is most of the
time of a small model's step.

Source: Jordan et al., https://kellerjordan.github.io/posts/muon/.
"""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from pokejax.models.products import bfloat16_dot

# How much longer Muon's steps are than Adam's: with it, a number of a matrix of width
# 128 moves as far in a step of either.
_STEP = 20
_MOMENTUM = 0.95
# Of the quintic that moves singular values towards 1, and how often it is applied.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


def muon(rate: optax.Schedule) -> optax.GradientTransformation:
    """Muon on layers' matrices, Adam on all else; `rate` is Adam's step size."""
    on_matrices = optax.chain(
        optax.ema(_MOMENTUM, debias=False),
        optax.stateless(lambda updates, _: jax.tree.map(_orthogonal, updates)),
        optax.scale_by_learning_rate(lambda step: _STEP * rate(step)),
    )
    return optax.partition(
        {"matrix": on_matrices, "other": optax.adam(rate)},
        lambda params: jax.tree.map_with_path(_kind, params),
    )


def _kind(path: tuple, value: Array) -> str:
    """Embeddings are matrices by shape only: their rows are used one by one."""
    is_kernel = any(getattr(key, "key", None) == "kernel" for key in path)
    return "matrix" if is_kernel and value.ndim == 2 else "other"


def _orthogonal(momentum: Float[Array, "k m"]) -> Float[Array, "k m"]:
    """The nearest matrix with equal singular values, roughly, times what suits."""
    k, m = momentum.shape
    x = momentum.T if k > m else momentum
    x = x / (jnp.linalg.norm(x) + 1e-8)
    a, b, c = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        square = bfloat16_dot(x, x, 1, 1)
        x = a * x + bfloat16_dot(
            b * square + c * bfloat16_dot(square, square, 1, 0), x, 1, 0
        )
    x = x.T if k > m else x
    return x * max(1.0, m / k) ** 0.5
