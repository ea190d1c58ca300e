"""LPIPS against goldens of the PyPI package `lpips`, on drawn pictures.

Goldens: tests/parity/goldens/lpips.npz, its origin in lpips.json beside it.
"""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

lpips = pytest.importorskip("pokejax.models.lpips")

GOLDENS = Path(__file__).parent / "goldens"
NETS = {"alexnet": "alex", "vgg16": "vgg"}


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDENS / "lpips.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def origin() -> dict[str, Any]:
    return json.loads((GOLDENS / "lpips.json").read_text("utf-8"))


def load(net: Any) -> Any:
    try:
        return lpips.distance_function(net)
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.mark.weights
@pytest.mark.parametrize("net", NETS)
def test_distance_matches_the_reference(
    golden: dict[str, np.ndarray], origin: dict[str, Any], net: Any
):
    weights, distance = load(net)
    first, second = (to_signed(golden[key], jnp.float32) for key in ("first", "second"))
    with jax.default_matmul_precision("highest"):
        distances = jax.jit(distance)(weights, first, second)
    difference = np.abs(distances - golden[f"distance/{NETS[net]}"])
    assert difference.max() <= origin["max_abs_difference"]


@pytest.mark.weights
@pytest.mark.parametrize("net", NETS)
def test_gradient_matches_the_reference(
    golden: dict[str, np.ndarray], origin: dict[str, Any], net: Any
):
    """In float64: in float32 rounding decides on which side of a kink units fall."""
    weights, distance = load(net)
    with jax.enable_x64(True):
        weights = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), weights)
        pair = (to_signed(golden[key][:1], jnp.float64) for key in ("first", "second"))
        slope = jax.grad(lambda w, a, b: distance(w, a, b).sum(), argnums=1)
        gradient = np.asarray(jax.jit(slope)(weights, *pair))
    reference = golden[f"gradient/{NETS[net]}"]
    error = np.abs(gradient[:, ::2, ::2] - reference).max() / np.abs(reference).max()
    assert error <= origin["max_relative_gradient_error"]


@pytest.mark.weights
def test_epsilon_is_the_references(
    golden: dict[str, np.ndarray], origin: dict[str, Any]
):
    weights, distance = load("alexnet")
    last = weights["backbone"]["convs"][4]
    for leaf in (last["kernel"], last["bias"]):
        leaf[...] = leaf[...] * origin["faint"]
    first, second = (to_signed(golden[key], jnp.float32) for key in ("first", "second"))
    with jax.default_matmul_precision("highest"):
        faint = jax.jit(distance)(weights, first, second)
    expected = golden["distance/alex, faint"]
    assert np.abs(expected - golden["distance/alex"]).min() > 1e-3
    assert np.abs(faint - expected).max() <= origin["max_abs_difference"]


def to_signed(images: np.ndarray, dtype: Any) -> jax.Array:
    return jnp.asarray(images.astype(np.float32) / 127.5 - 1, dtype)
