"""Matrix products of bfloat16 numbers that are added up in float32.

Weights, activations and gradients stay float32; only what goes into a product is
rounded. GPUs have units for it, and so have CPUs with AMX or AVX512-BF16: there, such a
product takes a fifth of a float32 one's time, if its operands lie in memory as
XLA's kernels read them (a transposed one doesn't, and is copied first).
"""

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.layout import Layout, with_layout_constraint
from jaxtyping import Array, Float

_ROWS_FIRST = Layout(major_to_minor=(0, 1))


def bfloat16_dot_general(
    lhs: Float[Array, "*b k"],
    rhs: Float[Array, "k m"],
    dimension_numbers: lax.DotDimensionNumbers,
    precision: lax.PrecisionLike = None,
    **_: object,
) -> Float[Array, "*b m"]:
    """`jax.lax.dot_general` as `flax.nnx.Linear` calls it, in bfloat16.

    Raises:
      ValueError: another contraction than that of the last axis with the first.
    """
    last = lhs.ndim - 1
    if dimension_numbers != (((last,), (0,)), ((), ())) or rhs.ndim != 2:
        raise ValueError(f"expected rows times a matrix, got {dimension_numbers}")
    rows = lhs.reshape(-1, lhs.shape[-1])
    return _product(rows, rhs).reshape(*lhs.shape[:-1], rhs.shape[1])


def bfloat16_dot(
    a: Float[Array, "i j"], b: Float[Array, "k m"], axis_a: int, axis_b: int
) -> Float[Array, "n p"]:
    """The product of two matrices, summed over these axes."""
    axes = (((axis_a,), (axis_b,)), ((), ()))
    a, b = (with_layout_constraint(x.astype(jnp.bfloat16), _ROWS_FIRST) for x in (a, b))
    return lax.dot_general(a, b, axes, preferred_element_type=jnp.float32)


@jax.custom_vjp
def _product(x: Float[Array, "n k"], w: Float[Array, "k m"]) -> Float[Array, "n m"]:
    return bfloat16_dot(x, w, 1, 0)


def _forward(x: Array, w: Array) -> tuple[Array, tuple[Array, Array]]:
    x, w = x.astype(jnp.bfloat16), w.astype(jnp.bfloat16)
    return bfloat16_dot(x, w, 1, 0), (x, w)


def _backward(kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, w = kept
    gradient = gradient.astype(jnp.bfloat16)
    return bfloat16_dot(gradient, w, 1, 1), bfloat16_dot(x.T, gradient, 1, 0)


_product.defvjp(_forward, _backward)
