"""InceptionV3's pooled features, from weights that the user brings.

The network that FID was defined on: TensorFlow's graph of December 2015, in the names
and shapes of its PyTorch port (`pytorch-fid`'s `pt_inception-2015-12-05`), as a
safetensors file. Not the default space: the weights can't be installed from a package
index, and sprites are further from ImageNet's photographs than from AlexNet's edges.

Source: Szegedy et al., arXiv 1512.00567; Heusel et al., arXiv 1706.08500.
"""

import functools
import hashlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, UInt8
from safetensors import SafetensorError
from safetensors.numpy import load_file
from tqdm import tqdm

from pokejax.images.pixels import to_float

DIM = 2048
_SIDE = 299
_BATCH = 16
_EPSILON = 1e-3  # of its batch normalisation

Weights = dict[str, Array]


class Inception:
    """The network with its weights; `fingerprint` names them in caches and results."""

    name = "inception"

    def __init__(self, path: Path):
        """Read the weights.

        Raises:
          ValueError: not a safetensors file, or a weight is missing; it is named.
        """
        try:
            arrays = load_file(path)
        except (OSError, SafetensorError) as error:
            raise ValueError(f"{path} is not a safetensors file: {error}") from None
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        self.fingerprint = f"inception-v3-pool3 {digest}"
        self._weights = {k: jnp.asarray(v, jnp.float32) for k, v in arrays.items()}
        try:
            jax.eval_shape(pool3, self._weights, jnp.zeros((1, _SIDE, _SIDE, 3)))
        except KeyError as error:
            raise ValueError(
                f"{path} has no weight {error}; expected the names of pytorch-fid's"
                " pt_inception-2015-12-05"
            ) from None

    def pooled(
        self, images: UInt8[np.ndarray, "n h w 3"], *, progress: str
    ) -> Float[np.ndarray, "n 2048"]:
        """Features of pictures, enlarged to 299 pixels a side first."""
        parts: list[np.ndarray] = []
        with tqdm(total=len(images), desc=progress, unit="picture") as bar:
            for start in range(0, len(images), _BATCH):
                batch = images[start : start + _BATCH]
                padding = ((0, _BATCH - len(batch)), (0, 0), (0, 0), (0, 0))
                found = _forward(self._weights, np.pad(batch, padding))
                parts.append(np.asarray(found)[: len(batch)])
                bar.update(len(batch))
        return np.concatenate(parts)


@jax.jit
def _forward(weights: Weights, images: UInt8[Array, "b h w 3"]) -> Array:
    pixels = to_float(images)
    large = jax.image.resize(pixels, (len(images), _SIDE, _SIDE, 3), "bilinear")
    with jax.default_matmul_precision("highest"):
        return pool3(weights, large)


def pool3(weights: Weights, x: Float[Array, "b h w 3"]) -> Float[Array, "b 2048"]:
    """The last pooling's output for pictures in [-1, 1], 75 pixels a side or more."""
    conv = functools.partial(_conv, weights)
    x = conv("Conv2d_1a_3x3", x, stride=2)
    x = conv("Conv2d_2a_3x3", x, padding="VALID")
    x = _halve(conv("Conv2d_2b_3x3", x))
    x = conv("Conv2d_3b_1x1", x)
    x = _halve(conv("Conv2d_4a_3x3", x, padding="VALID"))
    for name in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
        x = _branches(conv, name, x, _BLOCK_A, _mean)
    x = _branches(conv, "Mixed_6a", x, _BLOCK_B, None)
    for name in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
        x = _branches(conv, name, x, _BLOCK_C, _mean)
    x = _branches(conv, "Mixed_7a", x, _BLOCK_D, None)
    x = _branches(conv, "Mixed_7b", x, _BLOCK_E, _mean)
    # The graph of 2015 takes the maximum here, and its port kept that.
    x = _branches(conv, "Mixed_7c", x, _BLOCK_E, _largest)
    return jnp.mean(x, axis=(1, 2))


# Branches of a block, side by side: convolutions in order. A `*` halves the picture, a
# pair splits the branch in two at its end.
_BLOCK_A = ("1x1", "5x5_1 5x5_2", "3x3dbl_1 3x3dbl_2 3x3dbl_3")
_BLOCK_B = ("3x3*", "3x3dbl_1 3x3dbl_2 3x3dbl_3*")
_BLOCK_C = (
    "1x1",
    "7x7_1 7x7_2 7x7_3",
    "7x7dbl_1 7x7dbl_2 7x7dbl_3 7x7dbl_4 7x7dbl_5",
)
_BLOCK_D = ("3x3_1 3x3_2*", "7x7x3_1 7x7x3_2 7x7x3_3 7x7x3_4*")
_BLOCK_E = ("1x1", "3x3_1 3x3_2a|3x3_2b", "3x3dbl_1 3x3dbl_2 3x3dbl_3a|3x3dbl_3b")


def _branches(conv, name: str, x: Array, branches: tuple[str, ...], pool) -> Array:
    """A block: its branches, then that of a pooling, side by side."""
    out: list[Array] = []
    for branch in branches:
        y = x
        for word in branch.split():
            ends = [
                conv(f"{name}.branch{end.rstrip('*')}", y, stride=1 + end.endswith("*"))
                for end in word.split("|")
            ]
            y = jnp.concatenate(ends, axis=-1)
        out.append(y)
    pooled = _halve(x) if pool is None else conv(f"{name}.branch_pool", pool(x))
    return jnp.concatenate([*out, pooled], axis=-1)


def _conv(
    weights: Weights, name: str, x: Array, *, stride: int = 1, padding: str = "SAME"
) -> Array:
    """Convolution, batch normalisation by its running statistics, ReLU."""
    x = jax.lax.conv_general_dilated(
        x,
        weights[f"{name}.conv.weight"],
        window_strides=(stride, stride),
        padding=padding if stride == 1 else "VALID",
        dimension_numbers=("NHWC", "OIHW", "NHWC"),
    )
    mean, variance = (weights[f"{name}.bn.running_{k}"] for k in ("mean", "var"))
    scale = weights[f"{name}.bn.weight"] / jnp.sqrt(variance + _EPSILON)
    shift = weights[f"{name}.bn.bias"] - mean * scale
    return nnx.relu(x * scale.reshape(1, 1, 1, -1) + shift.reshape(1, 1, 1, -1))


def _halve(x: Array) -> Array:
    return nnx.max_pool(x, (3, 3), strides=(2, 2))


def _mean(x: Array) -> Array:
    # Pixels beyond the border don't count.
    return nnx.avg_pool(x, (3, 3), padding="SAME", count_include_pad=False)


def _largest(x: Array) -> Array:
    return nnx.max_pool(x, (3, 3), padding="SAME")
