"""The interface between the train loop and what is trained."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pokejax.models.cvae import CVAE, parameter_count
from pokejax.models.prior import Prior

Terms = dict[str, Float[Array, " b"]]
Stats = dict[str, Float[Array, "b z"]]


class Batch(NamedTuple):
    """What the model sees of a few pictures: RGB on white and alpha, in [-1, 1].

    Where relations are learned there are pictures of relatives, too, and what each
    picture is to its own, in `RELATIONS`; `UNKNOWN_ID` where the relative is none.
    """

    image: Float[Array, "b h w 4"]
    text_emb: Float[Array, "b d"]
    attributes: Int[Array, "b 12"]
    relative: Float[Array, "b h w 4"] | None = None
    relation: Int[Array, " b"] | None = None


class Task(NamedTuple):
    """What is trained, and to what end.

    Random numbers are drawn for a whole batch first, so that a batch cut into parts
    sees the same ones; terms come back unreduced, so that the caller averages.

    Attributes:
      model: the CVAE, to be trained or trained already; only its shape is looked at.
      prior: the prior to be trained, or None; likewise.
      init: makes the weights to be trained; pure, so it can be jitted.
      frozen: weights that the terms need beside them; an argument of every compiled
        function, so that they don't become constants of the program.
      parts: names of the loss's parts to log, the total `Loss` first.
      random: `(key, batch size) -> random numbers`, arrays with the batch axis first.
      terms: `(params, frozen, batch, random, beta, dropout_key) -> (terms, stats)`,
        both per example; `stats` describe the latent, if any.
      show: `(params, frozen, batch, z) -> (recon, samples)`, `b h w 3` and
        `b k h w 3`: reconstructions, and what `k` latents of N(0, 1) become under each
        picture's condition.
      kept: `(params, frozen) -> (CVAE's weights, prior's weights or None)`.
    """

    model: CVAE
    prior: Prior | None
    init: Callable[[], Any]
    frozen: Any
    parts: tuple[str, ...]
    random: Callable[[Array, int], Any]
    terms: Callable[..., tuple[Terms, Stats]]
    show: Callable[[Any, Any, Batch, Array], tuple[Array, Array]]
    kept: Callable[[Any, Any], tuple[Any, Any]]

    def parameter_counts(self) -> dict[str, int]:
        """Weights of each part of the model, by the part's name."""
        counts = {
            "Encoder": parameter_count(self.model.encoder),
            "Decoder": parameter_count(self.model.decoder),
        }
        if self.model.conditional:
            counts["Embedder"] = parameter_count(self.model.category_embedder)
            counts["Gate"] = parameter_count(self.model.condition_gate)
        if self.prior:
            counts["Prior"] = parameter_count(self.prior)
        return counts


def show(
    model: CVAE,
    batch: Batch,
    z: Float[Array, "k z"],
    to_latent: Callable[[Array, Array, Array], Array],
) -> tuple[Float[Array, "b h w 3"], Float[Array, "b k h w 3"]]:
    """Reconstructions, and samples under each picture's condition.

    Args:
      model: that encodes and decodes.
      batch: the pictures.
      z: N(0, 1).
      to_latent: `(z, text_emb, attributes)` -> latents for the decoder.
    """
    known = batch.text_emb, batch.attributes
    mean, _ = model.encode(batch.image, *known)
    recon = model(batch.image, *known, noise=jnp.zeros_like(mean))[0][..., :3]

    def draw(text_emb: Array, attributes: Array) -> Array:
        condition = jnp.tile(text_emb, (len(z), 1)), jnp.tile(attributes, (len(z), 1))
        return model.decode(to_latent(z, *condition), *condition)[..., :3]

    return recon, jax.vmap(draw)(batch.text_emb, batch.attributes)
