"""Training a quick prior: a few steps that lead where many guided ones of another do.

It starts as the prior that it is to replace, its teacher, follows its own flow from
noise, and at each step learns where the teacher would go from there, guidance by prompt
and by colour included. So it never sees a picture, only the prompts and attributes of
the dataset; and since it learns where its own steps lead, errors don't add up.

Source: Salimans & Ho, arXiv 2202.00512 (steps that stand for several); Meng et al.,
arXiv 2210.03142 (guidance as part of what is learned).
"""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pokejax.attributes import CONDITIONS, UNKNOWN_ID
from pokejax.config import ConfigError, PriorConfig
from pokejax.inference import bundle
from pokejax.inference.bundle import Header, named_leaves, new_prior
from pokejax.models.prior import COLOR_TIME, Prior, advance, leap, times, trends
from pokejax.training.tasks.base import load_base
from pokejax.training.tasks.task import Batch, Task, show

# The teacher's steps in each of the quick prior's.
_WITHIN = 4


def distil_task(header: Header) -> Task:
    """A quick prior of the one in `config.prior.base`.

    Raises:
      BundleError: a broken bundle.
      ConfigError: no such bundle, no prior in it, or of other sizes than the config's.
    """
    config = header.config
    base = load_base(header)
    path = Path(config.prior.base)
    given = bundle.read(path)
    if given.prior is None:
        raise ConfigError(
            f"prior.base is {str(path)!r}, which holds no prior to distil"
        )
    teacher_graphdef, teacher_params = nnx.split(given.prior)
    base_graphdef, base_params = nnx.split(base)
    prior = nnx.eval_shape(lambda: new_prior(header, rngs=nnx.Rngs(0)))
    graphdef, abstract = nnx.split(prior)
    begun = _begun(path, dict(named_leaves(teacher_params)), abstract)
    guide = _guide(given.header.config.prior)
    moments = times(config.prior.steps, config.prior.time_power)

    def random(key: Array, size: int) -> dict[str, Array]:
        keys = jax.random.split(key, 3)
        rate = config.prior.attribute_drop_prob * jax.random.uniform(keys[1], (size, 1))
        return {
            "start": jax.random.normal(keys[0], (size, config.model.latent_dim)),
            "hidden": jax.random.bernoulli(keys[2], rate, (size, len(CONDITIONS))),
        }

    def terms(params, frozen, batch: Batch, random, beta, dropout_key):
        teacher, quick = (
            nnx.merge(teacher_graphdef, frozen["prior"]),
            nnx.merge(graphdef, params),
        )
        attributes = jnp.where(random["hidden"], UNKNOWN_ID, batch.attributes)
        cond = quick.embed(batch.text_emb, attributes)
        x, errors = random["start"], []
        for time, until in itertools.pairwise(moments):
            there = guide(teacher, x, time, until, batch.text_emb, attributes)
            wanted = jax.lax.stop_gradient((there - x) / (until - time))
            velocity = quick(x, jnp.full(len(x), time), cond)
            errors.append(jnp.mean((velocity - wanted) ** 2, axis=-1))
            x = jax.lax.stop_gradient(x + (until - time) * velocity)
        return {"Loss": jnp.stack(errors).mean(axis=0)}, {}

    def show_some(params, frozen, batch, z):
        def flow(noise, text_emb, attributes):
            quick: Prior = nnx.merge(graphdef, params)
            x, cond = noise, quick.embed(text_emb, attributes)
            for span in itertools.pairwise(moments):
                start, end = (jnp.full(len(x), moment) for moment in span)
                x, _ = leap(quick, x, start, end, cond)
            return quick.denormalise(x)

        return show(nnx.merge(base_graphdef, frozen["model"]), batch, z, flow)

    return Task(
        model=base,
        prior=prior,
        init=lambda: begun,
        frozen={"model": base_params, "prior": teacher_params},
        parts=("Loss",),
        random=random,
        terms=terms,
        show=show_some,
        kept=lambda params, frozen: (frozen["model"], params),
    )


def _begun(path: Path, teacher: dict[str, Array], abstract: nnx.State) -> nnx.State:
    """The teacher's weights, but for what looks at relatives."""
    wanted = dict(named_leaves(abstract))
    for name, want in wanted.items():
        have = teacher[name].shape if name in teacher else "absent"
        if have != want.shape:
            raise ConfigError(
                f"prior.base is {str(path)!r}, whose prior has {name} of {have}; the"
                f" config makes it {want.shape}, and a quick prior starts as a copy"
            )
    # Copies: steps give up their arguments, and the teacher's are needed on.
    leaves = [jnp.array(teacher[name], copy=True) for name in wanted]
    return jax.tree.unflatten(jax.tree.structure(abstract), leaves)


def _guide(config: PriorConfig) -> Callable[..., Float[Array, "b z"]]:
    """Where the teacher, guided as its config says, goes in a span of time."""

    def guide(
        teacher: Prior,
        x: Float[Array, "b z"],
        start: float,
        end: float,
        text_emb: Float[Array, "b t"],
        attributes: Any,
    ) -> Float[Array, "b z"]:
        one = jnp.ones(len(x))
        cond = teacher.embed(text_emb, attributes)
        opened = teacher.embed(
            jnp.zeros_like(text_emb), jnp.full_like(attributes, UNKNOWN_ID)
        )
        color = teacher.embed_color(text_emb, attributes), config.color_guidance * one
        moments = [start + (end - start) * i / _WITHIN for i in range(_WITHIN + 1)]
        velocity = jnp.zeros_like(x)
        spans = itertools.pairwise(moments)
        for (time, until), trend in zip(spans, trends(moments), strict=True):
            x, _, velocity = advance(
                teacher,
                x,
                time * one,
                until * one,
                cond,
                opened,
                config.guidance * one,
                pull=color if config.color_guidance and time < COLOR_TIME else None,
                before=(velocity, jnp.asarray(trend)),
            )
        return x

    return guide
