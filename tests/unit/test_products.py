"""Products in bfloat16: values and gradients as in float32, but for the rounding."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from pokejax.models.products import bfloat16_dot_general


@pytest.mark.parametrize("rows", [(40,), (5, 8)])
def test_a_layer_computes_and_learns_as_in_float32(
    key: jax.Array, rows: tuple[int, ...]
):
    exact = nnx.Linear(24, 12, rngs=nnx.Rngs(0))
    rounded = nnx.Linear(24, 12, dot_general=bfloat16_dot_general, rngs=nnx.Rngs(0))
    x = jax.random.normal(key, (*rows, 24))

    @nnx.jit
    def both(layer: nnx.Linear, x: jax.Array):
        def loss(layer: nnx.Linear, x: jax.Array) -> jax.Array:
            return jnp.sum(jnp.sin(layer(x)))

        return layer(x), nnx.grad(loss, argnums=(0, 1))(layer, x)

    want, (want_of_layer, want_of_x) = both(exact, x)
    got, (got_of_layer, got_of_x) = both(rounded, x)
    pairs = {
        "output": (got, want),
        "kernel": (got_of_layer.kernel[...], want_of_layer.kernel[...]),
        "input": (got_of_x, want_of_x),
    }
    for name, (a, b) in pairs.items():
        assert a.dtype == jnp.float32, name
        error = float(jnp.linalg.norm(a - b) / jnp.linalg.norm(b))
        assert 0 < error < 0.01, name  # 0 would be no rounding at all


def test_another_contraction_is_refused():
    with pytest.raises(ValueError, match="rows times a matrix"):
        bfloat16_dot_general(
            jnp.ones((3, 4)), jnp.ones((4, 5)), (((0,), (1,)), ((), ()))
        )
