"""The two things a run can train: a CVAE, or the prior over a trained one's latents."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from pokejax.config import ConfigError
from pokejax.data.split import Dataset
from pokejax.images.pixels import to_float
from pokejax.inference import bundle as bundle_lib
from pokejax.inference.bundle import Header
from pokejax.models import lpips
from pokejax.models.cvae import CVAE
from pokejax.models.prior import Prior, sample
from pokejax.training.objectives import (
    Batch,
    Objective,
    cvae_objective,
    no_distance,
    prior_objective,
)

# Pictures whose latents tell how large latents are, and how many are encoded at once.
_MEASURED_PICTURES = 2048
_MEASURED_TOGETHER = 64


class Stage(NamedTuple):
    """What is trained, and to what end.

    Attributes:
      model: the CVAE, to be trained or trained already.
      prior: to be trained, or None.
      params: the weights to be trained.
      frozen: those that the objective needs beside them.
      objective: what is minimised.
      draw: `(params, frozen, batch, z) -> (recon, samples)`, `b h w 3` and
        `b k h w 3`: reconstructions, and what `k` latents of N(0, 1) become under each
        picture's condition.
      kept: `(params, frozen) -> (CVAE's weights, prior's weights or None)`.
    """

    model: CVAE
    prior: Prior | None
    params: nnx.State
    frozen: Any
    objective: Objective
    draw: Callable[[Any, Any, Batch, Array], tuple[Array, Array]]
    kept: Callable[[Any, Any], tuple[Any, Any]]


def cvae_stage(header: Header) -> Stage:
    """A new CVAE, and LPIPS if the loss weighs it.

    Raises:
      FileNotFoundError: LPIPS weights are wanted and missing.
    """
    config = header.config
    model = bundle_lib.new_model(header, rngs=nnx.Rngs(config.train.seed))
    graphdef, params = nnx.split(model)
    weights, distance = (
        lpips.distance_function()
        if config.loss.perceptual_weight
        else (None, no_distance)
    )

    def draw(params, frozen, batch, z):
        return _pictures(nnx.merge(graphdef, params), batch, z, lambda z, *_: z)

    return Stage(
        model=model,
        prior=None,
        params=params,
        frozen=weights,
        objective=cvae_objective(graphdef, distance, config),
        draw=draw,
        kept=lambda params, frozen: (params, None),
    )


def prior_stage(header: Header, dataset: Dataset) -> Stage:
    """A new prior over the latents of `config.prior.base`.

    Raises:
      BundleError: a broken bundle.
      ConfigError: no such bundle, or the config describes another CVAE than it holds.
    """
    config = header.config
    path = Path(config.prior.base)
    if not path.is_file():
        raise ConfigError(
            f"prior.base is {config.prior.base!r}, and no bundle is there; train the"
            " CVAE first, e.g. --config configs/pokemon64.py"
        )
    base = bundle_lib.read(path)
    _check_base(base.header, header)
    prior = bundle_lib.new_prior(header, rngs=nnx.Rngs(config.train.seed))
    shift, scale = _latent_statistics(base.model, dataset, len(prior.shift[...]))
    prior.shift[...], prior.scale[...] = shift, scale
    graphdef, params = nnx.split(prior)
    base_graphdef, frozen = nnx.split(base.model)

    def draw(params, frozen, batch, z):
        def flow(noise, text_emb, attributes):
            return sample(
                nnx.merge(graphdef, params),
                noise,
                text_emb,
                attributes,
                steps=config.prior.steps,
                guidance=config.prior.guidance,
            )

        return _pictures(nnx.merge(base_graphdef, frozen), batch, z, flow)

    return Stage(
        model=base.model,
        prior=prior,
        params=params,
        frozen=frozen,
        objective=prior_objective(graphdef, base_graphdef, config),
        draw=draw,
        kept=lambda params, frozen: (frozen, params),
    )


def _pictures(
    model: CVAE, batch: Batch, z: Float[Array, "k z"], to_latent: Callable[..., Array]
) -> tuple[Array, Array]:
    mean, _ = model.encode(batch.image, batch.text_emb, batch.attributes)
    recon = model.decode(mean, batch.text_emb, batch.attributes)

    def draw(text_emb: Array, attributes: Array) -> Array:
        condition = jnp.tile(text_emb, (len(z), 1)), jnp.tile(attributes, (len(z), 1))
        return model.decode(to_latent(z, *condition), *condition)

    return recon, jax.vmap(draw)(batch.text_emb, batch.attributes)


def _check_base(base: Header, header: Header) -> None:
    pairs = {
        "data.image_size": (
            base.config.data.image_size,
            header.config.data.image_size,
        ),
        "model": (base.config.model, header.config.model),
        "the text encoder": (base.encoder, header.encoder),
    }
    for name, (have, want) in pairs.items():
        if have != want:
            raise ConfigError(
                f"{header.config.prior.base} was trained with {name} = {have}; the"
                f" config has {want}"
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
        mean = encode(params, part.images[:], text_emb, part.attributes)
        latents.append(np.asarray(mean)[: count - start].reshape(-1, channels))
    all_latents = np.concatenate(latents)
    return all_latents.mean(axis=0), all_latents.std(axis=0) + 1e-6


def _encode(graphdef, params, images, text_emb, attributes) -> Array:
    image = to_float(images)
    return nnx.merge(graphdef, params).encode(image, text_emb, attributes)[0]
