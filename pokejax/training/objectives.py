"""What a run minimises: the CVAE's loss, or the prior's, behind one small interface.

An objective draws its random numbers for a whole batch first, so that a batch cut into
parts sees the same ones, and returns unreduced terms, so that the caller averages.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from pokejax.attributes import UNKNOWN_ID, VOCABULARIES
from pokejax.config import Config
from pokejax.training import losses

# (weights, picture, picture) -> `b`; see `pokejax.models.lpips.distance_function`.
Distance = Callable[[Any, Array, Array], Array]
Terms = dict[str, Float[Array, " b"]]
Stats = dict[str, Float[Array, "b z"]]


class Batch(NamedTuple):
    """What the model sees of a few pictures."""

    image: Float[Array, "b h w 3"]
    text_emb: Float[Array, "b d"]
    attributes: Int[Array, "b 10"]


class Objective(NamedTuple):
    """A loss and its parts.

    Attributes:
      parts: names of the terms to log, the total `Loss` first.
      draw: `(key, batch size) -> random numbers`, arrays with the batch axis first.
      terms: `(params, frozen, batch, random, beta, dropout_key) -> (terms, stats)`,
        both per example. `frozen` are weights that aren't trained, an argument so that
        they don't become constants of the program. `stats` describe the latent, if
        any.
    """

    parts: tuple[str, ...]
    draw: Callable[[Array, int], Any]
    terms: Callable[..., tuple[Terms, Stats]]


def no_distance(weights: None, image_0: Array, image_1: Array) -> Float[Array, " b"]:
    """Stands in for LPIPS where it weighs nothing, and costs nothing."""
    return jnp.zeros(len(image_0))


def cvae_objective(
    graphdef: nnx.GraphDef, distance: Distance, config: Config
) -> Objective:
    """L1 + LPIPS + KL; `frozen` are LPIPS's weights.

    The layers compute in `model.compute_dtype`; losses are float32.
    """
    dtype = jnp.dtype(config.model.compute_dtype)

    def draw(key: Array, size: int) -> Float[Array, "b z"]:
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

    return Objective(("Loss", "L1", "KL", "Perceptual"), draw, terms)


def prior_objective(
    graphdef: nnx.GraphDef, base_graphdef: nnx.GraphDef, config: Config
) -> Objective:
    """Flow matching on a CVAE's latents; `frozen` are that CVAE's weights.

    Source: Liu et al., arXiv 2209.03003; times as in Esser et al., arXiv 2403.03206.
    """
    dtype = jnp.dtype(config.model.compute_dtype)

    def draw(key: Array, size: int) -> dict[str, Array]:
        keys = jax.random.split(key, 6)
        rate = config.prior.attribute_drop_prob * jax.random.uniform(keys[4], (size, 1))
        shape = (size, config.model.latent_dim)
        return {
            "posterior": jax.random.normal(keys[0], shape),
            "start": jax.random.normal(keys[1], shape),
            "time": jax.nn.sigmoid(jax.random.normal(keys[2], (size,))),
            "drop": jax.random.bernoulli(
                keys[3], config.prior.condition_drop_prob, (size, 1)
            ),
            "hidden": jax.random.bernoulli(keys[5], rate, (size, len(VOCABULARIES))),
        }

    def terms(params, frozen, batch: Batch, random, beta, dropout_key):
        params, frozen, image, text_emb = jax.tree.map(
            lambda x: x.astype(dtype), (params, frozen, batch.image, batch.text_emb)
        )
        base, prior = nnx.merge(base_graphdef, frozen), nnx.merge(graphdef, params)
        mean, logvar = base.encode(image, text_emb, batch.attributes)
        z = prior.normalise(mean + jnp.exp(0.5 * logvar) * random["posterior"])
        time = random["time"][:, None]
        x = ((1 - time) * random["start"] + time * z).astype(dtype)
        cond = prior.embed(
            jnp.where(random["drop"], 0, text_emb),
            jnp.where(random["drop"] | random["hidden"], UNKNOWN_ID, batch.attributes),
        )
        velocity = prior(x, random["time"].astype(dtype), cond)
        wanted = (z - random["start"]).astype(jnp.float32)
        error = jnp.mean((velocity.astype(jnp.float32) - wanted) ** 2, axis=-1)
        return {"Loss": error}, {}

    return Objective(("Loss",), draw, terms)
