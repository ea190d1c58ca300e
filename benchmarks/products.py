"""How fast this CPU multiplies matrices: float32 beside bfloat16 added up in float32.

    python benchmarks/products.py

The three products of a layer that is trained: forward, and the gradients of its input
and its matrix. Medians, taking turns.
"""

import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from pokejax.models.products import bfloat16_dot

ROWS, IN, OUT = 4096, 256, 1024
ROUNDS = 40


def float32_dot(a: jax.Array, b: jax.Array, axis_a: int, axis_b: int) -> jax.Array:
    """As `bfloat16_dot`, without rounding."""
    return lax.dot_general(a, b, (((axis_a,), (axis_b,)), ((), ())))


def main() -> None:
    """Print GFLOP/s of each product, both ways."""
    x, w, g = jnp.ones((ROWS, IN)), jnp.ones((IN, OUT)), jnp.ones((ROWS, OUT))
    products: dict[str, tuple[Callable[..., jax.Array], ...]] = {}
    for dot in (float32_dot, bfloat16_dot):
        of = {
            "forward": (lambda x, w, g, dot=dot: dot(x, w, 1, 0)),
            "input's gradient": (lambda x, w, g, dot=dot: dot(g, w, 1, 1)),
            "matrix's gradient": (lambda x, w, g, dot=dot: dot(x.T, g, 1, 0)),
        }
        for name, product in of.items():
            products[name] = (*products.get(name, ()), jax.jit(product))
    print(f"jax {jax.__version__}, {jax.default_backend()}, {ROWS}x{IN}x{OUT}, GFLOP/s")
    print(f"{'':20}{'float32':>10}{'bfloat16':>10}")
    for name, pair in products.items():
        seconds: list[list[float]] = [[], []]
        for product in pair:
            product(x, w, g).block_until_ready()
        for _ in range(ROUNDS):
            for product, times in zip(pair, seconds, strict=True):
                start = time.perf_counter()
                product(x, w, g).block_until_ready()
                times.append(time.perf_counter() - start)
        rates = [2e-9 * ROWS * IN * OUT / statistics.median(t) for t in seconds]
        print(f"{name:20}{rates[0]:10.0f}{rates[1]:10.0f}")


if __name__ == "__main__":
    main()
