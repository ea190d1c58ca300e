"""The loss: unreduced terms, the beta schedule, and their weighted total.

Terms come back per example, never averaged, so that the caller decides. The
perceptual distance lives in `pokejax.models.lpips`.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from pokejax.config import LossConfig


def l1(
    recon: Float[Array, "b h w c"], image: Float[Array, "b h w c"]
) -> Float[Array, " b"]:
    """Mean absolute difference of each example.

    Args:
      recon: `b h w c` float32 in [-1, 1].
      image: `b h w c` float32 in [-1, 1].

    Returns:
      `b` float32 in [0, 2].
    """
    return jnp.mean(jnp.abs(recon - image), axis=(1, 2, 3))


def kl(mean: Float[Array, "b z"], logvar: Float[Array, "b z"]) -> Float[Array, "b z"]:
    """KL(N(mean, exp(logvar)) || N(0, 1)) of each example and latent dimension.

    Returns:
      `b z` float32, nats; the KL of an example is its sum over z.

    Source: Kingma & Welling, arXiv 1312.6114, appendix B.
    """
    return -0.5 * (1 + logvar - mean**2 - jnp.exp(logvar))


def beta(epoch: int, config: LossConfig) -> float:
    """The weight of the KL at an epoch, in [0, 1].

    Args:
      epoch: counted from 1.
      config: `annealing` is `"cyclical"` (rises over the first half of each cycle, then
        stays at 1), `"monotonic"` (rises once) or `"constant"` (1).

    Source: the original README's `get_kl_annealing_factor`; the cycle is Fu et al.,
    arXiv 1903.10145.
    """
    if config.annealing == "cyclical":
        position = (epoch - 1) % config.kl_cycle_epochs
        return min(1.0, position / (config.kl_cycle_epochs * 0.5))
    if config.annealing == "monotonic":
        return min(1.0, epoch / config.kl_warmup_epochs)
    return 1.0


def total(
    l1_loss: Float[Array, " b"],
    perceptual_loss: Float[Array, " b"],
    kl_nats: Float[Array, " b"],
    *,
    beta: float | Float[Array, ""],
    pixel_values: int,
    config: LossConfig,
) -> Float[Array, " b"]:
    """L1 + perceptual_weight LPIPS + beta kl_weight KL, per example.

    The L1 is a mean over `pixel_values` numbers while the KL is a sum in nats. With
    `kl_per_dimension` the KL is divided by the same count: the total is then the
    negative ELBO of a Laplace decoder with scale `kl_weight`, per pixel value and up to
    a constant. Without it the total is the original's, which weighs the KL
    `pixel_values` times as much and so collapses the posterior.

    Args:
      l1_loss: from `l1`.
      perceptual_loss: from `pokejax.models.lpips.lpips`; zeros if unused.
      kl_nats: from `kl`, summed over z.
      beta: from `beta`.
      pixel_values: height x width x channels of one picture.
      config: the weights.
    """
    scale = 1.0 / pixel_values if config.kl_per_dimension else 1.0
    return (
        l1_loss
        + config.perceptual_weight * perceptual_loss
        + beta * config.kl_weight * scale * kl_nats
    )
