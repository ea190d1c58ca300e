"""Training the prior: flow matching on the latents of a CVAE, which stays frozen.

Pictures are encoded afresh at each step, to the means of their latents; hidden
conditions teach guidance, and samples are shown by following the flow and decoding.
Relatives are encoded under the condition of what is drawn beside them, which is all
that is known when drawing.

With `model.compute_dtype` bfloat16 the matrix products of the blocks are rounded.

Source: Liu et al., arXiv 2209.03003; times as in Esser et al., arXiv 2403.03206.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from pokejax.attributes import CONDITIONS, UNKNOWN_ID
from pokejax.data.split import Dataset
from pokejax.images.pixels import to_float
from pokejax.inference.bundle import Header, new_prior
from pokejax.models.cvae import CVAE
from pokejax.models.prior import sample
from pokejax.training.tasks.base import load_base
from pokejax.training.tasks.task import Batch, Task, show

# Of the logit-normal times. The color of a whole picture is settled while there is
# still much more noise than picture, which times around a half hardly ever show.
_TIME_MEAN, _TIME_DEVIATION = -0.5, 1.2
# Pictures whose latents tell how large latents are, and how many are encoded at once.
_MEASURED_PICTURES = 2048
_MEASURED_TOGETHER = 64


def prior_task(header: Header, dataset: Dataset) -> Task:
    """A new prior over the latents of `config.prior.base`.

    Raises:
      BundleError: a broken bundle.
      ConfigError: no such bundle, or the config describes another CVAE than it holds.
    """
    config = header.config
    base = load_base(header)
    prior = nnx.eval_shape(lambda: new_prior(header, rngs=nnx.Rngs(0)))
    graphdef = nnx.graphdef(prior)
    base_graphdef, frozen = nnx.split(base)
    shift, scale = _latent_statistics(base, dataset, prior.shift.shape[0])

    def init() -> nnx.State:
        new = new_prior(header, rngs=nnx.Rngs(config.train.seed))
        new.shift[...], new.scale[...] = shift, scale
        return nnx.state(new)

    def random(key: Array, size: int) -> dict[str, Array]:
        keys = jax.random.split(key, 5)
        rate = config.prior.attribute_drop_prob * jax.random.uniform(keys[4], (size, 1))
        shape = (size, config.model.latent_dim)
        return {
            "start": jax.random.normal(keys[1], shape),
            "time": jax.nn.sigmoid(
                _TIME_MEAN + _TIME_DEVIATION * jax.random.normal(keys[2], (size,))
            ),
            "drop": jax.random.bernoulli(
                keys[3], config.prior.condition_drop_prob, (size, 1)
            ),
            "hidden": jax.random.bernoulli(keys[0], rate, (size, len(CONDITIONS))),
        }

    def terms(params, frozen, batch: Batch, random, beta, dropout_key):
        base, prior = nnx.merge(base_graphdef, frozen), nnx.merge(graphdef, params)
        mean, _ = base.encode(batch.image, batch.text_emb, batch.attributes)
        z = prior.normalise(mean)
        time = random["time"][:, None]
        x = (1 - time) * random["start"] + time * z
        cond = prior.embed(
            jnp.where(random["drop"], 0, batch.text_emb),
            jnp.where(random["drop"] | random["hidden"], UNKNOWN_ID, batch.attributes),
        )
        beside = None
        if batch.relative is not None and batch.relation is not None:
            relative, _ = base.encode(batch.relative, batch.text_emb, batch.attributes)
            beside, change = prior.relate(
                prior.normalise(relative),
                jnp.where(random["drop"][:, 0], UNKNOWN_ID, batch.relation),
            )
            cond = cond + change
        velocity = prior(x, random["time"], cond, beside)
        error = jnp.mean((velocity - (z - random["start"])) ** 2, axis=-1)
        return {"Loss": error}, {}

    def show_some(params, frozen, batch, z):
        def flow(noise, text_emb, attributes):
            return sample(
                nnx.merge(graphdef, params),
                noise,
                text_emb,
                attributes,
                steps=config.prior.steps,
                guidance=config.prior.guidance,
                time_power=config.prior.time_power,
                color_guidance=config.prior.color_guidance,
            )

        return show(nnx.merge(base_graphdef, frozen), batch, z, flow)

    return Task(
        model=base,
        prior=prior,
        init=init,
        frozen=frozen,
        parts=("Loss",),
        random=random,
        terms=terms,
        show=show_some,
        kept=lambda params, frozen: (frozen, params),
    )


def _latent_statistics(
    model: CVAE, dataset: Dataset, channels: int
) -> tuple[Float[np.ndarray, " c"], Float[np.ndarray, " c"]]:
    """Mean and standard deviation of each channel of the training pictures' latents."""
    split = dataset.splits["train"]
    count = min(_MEASURED_PICTURES, len(split))
    rows = np.random.default_rng(0).choice(len(split), count, replace=False)
    encode = jax.jit(partial(_encode, nnx.graphdef(model)))
    params = nnx.state(model)
    latents: list[np.ndarray] = []
    for start in range(0, count, _MEASURED_TOGETHER):
        # A last, shorter batch would compile once more: it starts over instead.
        wanted = np.arange(start, start + _MEASURED_TOGETHER) % count
        part = split.take(rows[wanted])
        text_emb = dataset.text_emb[part.prompt_ids[:, 0]].astype(np.float32)
        mean = encode(params, part.drawn(slice(None)), text_emb, part.attributes)
        latents.append(np.asarray(mean)[: count - start].reshape(-1, channels))
    all_latents = np.concatenate(latents)
    return all_latents.mean(axis=0), all_latents.std(axis=0) + 1e-6


def _encode(graphdef, params, images, text_emb, attributes) -> Array:
    image = to_float(images)
    return nnx.merge(graphdef, params).encode(image, text_emb, attributes)[0]
