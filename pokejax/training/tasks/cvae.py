"""Training a CVAE: L1 + LPIPS + KL on pictures; nothing is frozen but LPIPS."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pokejax.inference.bundle import Header, new_model
from pokejax.models import lpips
from pokejax.training import losses
from pokejax.training.tasks.task import Batch, Task, show

# (weights, picture, picture) -> `b`; see `pokejax.models.lpips.distance_function`.
Distance = Callable[[Any, Array, Array], Array]


def cvae_task(header: Header) -> Task:
    """A new CVAE. Its layers compute in `model.compute_dtype`; losses are float32.

    Raises:
      FileNotFoundError: LPIPS's weights are wanted and missing.
    """
    config = header.config
    model = nnx.eval_shape(lambda: new_model(header, rngs=nnx.Rngs(0)))
    graphdef = nnx.graphdef(model)
    dtype = jnp.dtype(config.model.compute_dtype)
    weights, distance = _lpips_or_nothing(config.loss.perceptual_weight)

    def init() -> nnx.State:
        return nnx.state(new_model(header, rngs=nnx.Rngs(config.train.seed)))

    def random(key: Array, size: int) -> Float[Array, "b z"]:
        return jax.random.normal(key, (size, config.model.latent_dim))

    def terms(params, frozen, batch: Batch, random, beta, dropout_key):
        params, image, text_emb, noise = jax.tree.map(
            lambda x: x.astype(dtype), (params, batch.image, batch.text_emb, random)
        )
        outputs = nnx.merge(graphdef, params)(
            image, text_emb, batch.attributes, noise=noise, dropout_key=dropout_key
        )
        recon, mean, logvar = (x.astype(jnp.float32) for x in outputs)
        kl = losses.kl(mean, logvar)
        terms = {
            "L1": losses.l1(recon, batch.image),
            "KL": kl.sum(axis=-1),
            "Perceptual": distance(frozen, recon, batch.image),
        }
        terms["Loss"] = losses.total(
            terms["L1"],
            terms["Perceptual"],
            terms["KL"],
            beta=beta,
            pixel_values=batch.image[0].size,
            config=config.loss,
        )
        return terms, {"mean": mean, "mean_squared": mean**2, "kl": kl}

    def show_some(params, frozen, batch, z):
        return show(nnx.merge(graphdef, params), batch, z, lambda z, *_: z)

    return Task(
        model=model,
        prior=None,
        init=init,
        frozen=weights,
        parts=("Loss", "L1", "KL", "Perceptual"),
        random=random,
        terms=terms,
        show=show_some,
        kept=lambda params, frozen: (params, None),
    )


def _lpips_or_nothing(weight: float) -> tuple[Any, Distance]:
    """LPIPS's weights and distance; where it weighs nothing, one that costs nothing."""
    if weight:
        return lpips.distance_function()
    return None, lambda weights, image_0, image_1: jnp.zeros(len(image_0))
