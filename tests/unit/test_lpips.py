from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

from pokejax.inference.bundle import named_leaves
from pokejax.models import lpips


@pytest.mark.parametrize("net", ["alexnet", "vgg16"])
def test_real_weights_give_a_distance(net: lpips.Net, key: jax.Array):
    weights, distance = lpips.distance_function(net)
    shape = (2, 32, 32, 3)
    image = jax.random.uniform(key, shape, minval=-1)
    near = jnp.clip(image + 0.05, -1, 1)
    far = jax.random.uniform(jax.random.fold_in(key, 1), shape, minval=-1)
    distance = jax.jit(distance)
    np.testing.assert_allclose(distance(weights, image, image), [0, 0], atol=1e-9)
    assert (distance(weights, image, near) < distance(weights, image, far)).all()
    np.testing.assert_allclose(
        distance(weights, image, far), distance(weights, far, image), rtol=1e-5
    )


def test_gradient_is_finite_where_features_vanish():
    """A flat picture leaves whole feature vectors at zero; the reference gives NaN."""
    weights, distance = lpips.distance_function("alexnet")
    flat = jnp.zeros((1, 64, 64, 3))
    slope = jax.jit(jax.grad(lambda x, w: distance(w, x, -flat + 1).sum()))
    gradient = slope(flat, weights)
    assert np.isfinite(gradient).all()


def test_a_missing_or_misshapen_weight_is_named(tmp_path: Path):
    module = lpips.load("alexnet")
    arrays = {
        f"NetLinLayer_{i}/Conv_0/kernel": np.ones((1, 1, w, 1), np.float32)
        for i, w in enumerate((64, 192, 384, 256, 256))
    }
    for name, array in named_leaves(nnx.state(module.backbone)):  # convs.0.bias
        _, i, kind = name.split(".")
        arrays[f"AlexNet_0/Conv_{i}/{kind}"] = np.asarray(array)
    path = tmp_path / "alex.safetensors"
    save_file(arrays, path)
    loaded = lpips.load("alexnet", path)
    assert isinstance(loaded, nnx.Module)
    save_file({k: v for k, v in arrays.items() if "Conv_3/bias" not in k}, path)
    with pytest.raises(ValueError, match="no weight AlexNet_0/Conv_3/bias"):
        lpips.load("alexnet", path)
    arrays["AlexNet_0/Conv_0/kernel"] = np.ones((3, 3, 3, 64), np.float32)
    save_file(arrays, path)
    with pytest.raises(ValueError, match=r"Conv_0/kernel is \(3, 3, 3, 64\)"):
        lpips.load("alexnet", path)
