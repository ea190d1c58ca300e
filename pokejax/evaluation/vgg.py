"""VGG16's activations, as LPIPS weighs them: a second pair of eyes.

AlexNet looks at every fourth pixel, VGG16 at each of them: what is flat in sprites and
mottled in drawings, it notices first. Upsamplers are trained with critics that look
through both, but see patches of the fine layers only, mixed at random.
"""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float, UInt8
from tqdm import tqdm

from pokejax.images.pixels import to_float
from pokejax.models import lpips

DIM = 64 + 128 + 256 + 512 + 512  # channels of the five layers
_LAYERS = 5
_BATCH = 32


class VGG:
    """The network with its weights; `fingerprint` names them in caches and results."""

    name = "vgg"

    def __init__(self):
        """Read the weights.

        Raises:
          FileNotFoundError: LPIPS's weights aren't installed.
        """
        weights = lpips.package_weights("vgg16").read_bytes()
        self.fingerprint = f"vgg16-lpips-pool-v1 {hashlib.sha256(weights).hexdigest()}"
        graphdef, self._weights = nnx.split(lpips.load("vgg16"))

        @jax.jit
        def forward(weights, images):
            with jax.default_matmul_precision("highest"):
                layers = nnx.merge(graphdef, weights).features(to_float(images))
            means = [jnp.mean(u, axis=(1, 2)) for u in layers]
            return jnp.concatenate(means, axis=-1) * np.sqrt(DIM / _LAYERS)

        self._forward = forward

    def pooled(
        self, images: UInt8[np.ndarray, "n h w 3"], *, progress: str
    ) -> Float[np.ndarray, "n d"]:
        """Each layer's activations, averaged over the picture, side by side."""
        parts: list[np.ndarray] = []
        with tqdm(total=len(images), desc=progress, unit="picture") as bar:
            for start in range(0, len(images), _BATCH):
                batch = images[start : start + _BATCH]
                padding = ((0, _BATCH - len(batch)), (0, 0), (0, 0), (0, 0))
                found = self._forward(self._weights, np.pad(batch, padding))
                parts.append(np.asarray(found)[: len(batch)])
                bar.update(len(batch))
        return np.concatenate(parts)
