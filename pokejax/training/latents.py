"""The health of a latent code. Imports no JAX."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

# A latent dimension is in use if its posterior mean varies by this much over pictures.
# Source: Burda et al., arXiv 1509.00519, section 5.2.
ACTIVE_VARIANCE = 0.01
# To tell n pictures apart takes log(n) nats: this is some twenty thousand of them.
_FEW_NATS = 10.0


@dataclass(frozen=True)
class Latents:
    """The health of the latent code on a split.

    Attributes:
      active: dimensions in use; see `ACTIVE_VARIANCE`.
      kl: `z` nats, mean over pictures.
    """

    active: int
    kl: Float[np.ndarray, " z"]

    @property
    def collapsed(self) -> bool:
        """Whether the code says next to nothing about the picture.

        Under one nat in all, a decoder can't tell pictures of the same condition apart;
        nor with a few nats in fewer than one dimension in fifty. With many nats the
        count says nothing: over a handful of pictures no mean varies much.
        """
        nats = float(self.kl.sum())
        too_few = self.active < max(1, len(self.kl) // 50)
        return nats < 1.0 or (too_few and nats < _FEW_NATS)
