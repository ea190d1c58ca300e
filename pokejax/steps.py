"""The compiled parts of training: state, one step, one evaluation batch.

Everything random in a step (prompt choice, flips, dropout, noise) comes from
`fold_in(key(seed), step)`, so a step is a pure function of the state and the rows.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, UInt8

from pokejax import losses
from pokejax.attributes import UNKNOWN_ID
from pokejax.augment import augment
from pokejax.config import Config
from pokejax.data import Dataset, Split

Parts = dict[str, Float[Array, ""]]
# (weights, picture, picture) -> `b`; see `pokejax.lpips.distance_function`.
Distance = Callable[[Any, Array, Array], Array]


class TrainState(NamedTuple):
    """All that a step changes."""

    params: Any
    ema_params: Any  # None if no average is kept
    opt_state: Any
    step: Int[Array, ""]

    @property
    def eval_params(self) -> Any:
        """The weights to evaluate and keep: the average, if there is one."""
        return self.params if self.ema_params is None else self.ema_params


class DeviceSplit(NamedTuple):
    """A `Split` on the device, pictures still uint8, with the prompts' embeddings."""

    images: UInt8[Array, "n h w 3"]
    attributes: Int[Array, "n 10"]
    prompt_ids: Int[Array, "n p"]
    prompt_counts: Int[Array, " n"]
    text_emb: Float[Array, "m d"]


class Batch(NamedTuple):
    """What the model sees of a few pictures."""

    image: Float[Array, "b h w 3"]
    text_emb: Float[Array, "b d"]
    attributes: Int[Array, "b 10"]


def to_device(split: Split, dataset: Dataset) -> DeviceSplit:
    """Put a split and the dataset's embeddings on the device."""
    return DeviceSplit(
        jnp.asarray(split.images),
        jnp.asarray(split.attributes),
        jnp.asarray(split.prompt_ids),
        jnp.asarray(split.prompt_counts),
        jnp.asarray(dataset.text_emb),
    )


def optimizer(config: Config, total_steps: int) -> optax.GradientTransformation:
    """Adam behind a clip of the global gradient norm."""
    train = config.train
    schedule = optax.constant_schedule(train.learning_rate)
    if train.schedule == "cosine":
        steps_left = max(1, total_steps - train.warmup_steps)
        schedule = optax.cosine_decay_schedule(train.learning_rate, steps_left)
    if train.warmup_steps:
        warmup = optax.linear_schedule(0.0, train.learning_rate, train.warmup_steps)
        schedule = optax.join_schedules([warmup, schedule], [train.warmup_steps])
    return optax.chain(optax.clip_by_global_norm(train.grad_clip), optax.adam(schedule))


def initial_state(
    params: nnx.State, tx: optax.GradientTransformation, config: Config
) -> TrainState:
    """The state before the first step."""
    ema_params = jax.tree.map(jnp.copy, params) if config.train.ema_decay else None
    return TrainState(params, ema_params, tx.init(params), jnp.zeros((), jnp.int32))


def ema_rate(step: Int[Array, ""], decay: float) -> Float[Array, ""]:
    """The share of the old average that a step keeps.

    It rises to `decay`: an average that remembers its random start for thousands of
    steps is worse than none on a small set.
    """
    return jnp.minimum(decay, (1 + step) / (10 + step))


def gather(
    split: DeviceSplit, rows: Int[Array, " b"], prompt: Int[Array, " b"]
) -> Batch:
    """The pictures at `rows` in [-1, 1], each with its `prompt`-th prompt."""
    prompt_id = jnp.take_along_axis(split.prompt_ids[rows], prompt[:, None], axis=1)
    return Batch(
        image=split.images[rows].astype(jnp.float32) / 127.5 - 1,
        text_emb=split.text_emb[prompt_id[:, 0]].astype(jnp.float32),
        attributes=split.attributes[rows],
    )


def augmented(
    split: DeviceSplit, rows: Int[Array, " b"], key: Array, config: Config
) -> Batch:
    """A training batch: random prompts, changed pictures, some attributes hidden."""
    prompt_key, image_key, drop_key = jax.random.split(key, 3)
    uniform = jax.random.uniform(prompt_key, rows.shape)
    counts = split.prompt_counts[rows]
    batch = gather(split, rows, (uniform * counts).astype(jnp.int32))
    image = augment(batch.image, image_key, config.data)
    attributes = batch.attributes
    if config.train.attribute_drop_prob:
        drop = jax.random.bernoulli(
            drop_key, config.train.attribute_drop_prob, attributes.shape
        )
        attributes = jnp.where(drop, UNKNOWN_ID, attributes)
    return Batch(image, batch.text_emb, attributes)


def loss_parts(
    model: Any,
    batch: Batch,
    noise: Float[Array, "b z"],
    *,
    beta: Float[Array, ""] | float,
    distance: Callable[[Array, Array], Array],
    config: Config,
    dropout_key: Array | None = None,
) -> dict[str, Float[Array, " b"]]:
    """Every term of the loss and their total, per example."""
    recon, mean, logvar = model(
        batch.image,
        batch.text_emb,
        batch.attributes,
        noise=noise,
        dropout_key=dropout_key,
    )
    l1 = losses.l1(recon, batch.image)
    kl = losses.kl(mean, logvar)
    perceptual = distance(recon, batch.image)
    total = losses.total(
        l1,
        perceptual,
        kl,
        beta=beta,
        pixel_values=batch.image[0].size,
        config=config.loss,
    )
    return {"Loss": total, "L1": l1, "KL": kl, "Perceptual": perceptual}


def no_distance(weights: None, image_0: Array, image_1: Array) -> Float[Array, " b"]:
    """Stands in for LPIPS where it weighs nothing, and costs nothing."""
    return jnp.zeros(len(image_0))


def make_step(
    graphdef: nnx.GraphDef,
    tx: optax.GradientTransformation,
    distance: Distance,
    config: Config,
) -> Callable[..., tuple[TrainState, Parts]]:
    """The jitted train step.

    Returns:
      `step(state, lpips_weights, split, rows, beta, key) -> (state, parts)`; the state
      that goes in is given up (donated). `parts` are means over the batch.
    """

    def step(
        state: TrainState,
        lpips_weights: nnx.State | None,
        split: DeviceSplit,
        rows: Int[Array, " b"],
        beta: Float[Array, ""],
        key: Array,
    ) -> tuple[TrainState, Parts]:
        key = jax.random.fold_in(key, state.step)
        batch_key, noise_key, dropout_key = jax.random.split(key, 3)
        batch = augmented(split, rows, batch_key, config)
        latent_shape = (rows.shape[0], config.model.latent_dim)
        noise = jax.random.normal(noise_key, latent_shape)

        def objective(params: nnx.State) -> tuple[Array, Parts]:
            terms = loss_parts(
                nnx.merge(graphdef, params),
                batch,
                noise,
                beta=beta,
                distance=partial(distance, lpips_weights),
                config=config,
                dropout_key=dropout_key,
            )
            means = {name: term.mean() for name, term in terms.items()}
            return means["Loss"], means

        grads, parts = jax.grad(objective, has_aux=True)(state.params)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        ema_params = state.ema_params
        if config.train.ema_decay:
            keep = ema_rate(state.step, config.train.ema_decay)
            ema_params = jax.tree.map(
                lambda old, new: keep * old + (1 - keep) * new, ema_params, params
            )
        return TrainState(params, ema_params, opt_state, state.step + 1), parts

    return jax.jit(step, donate_argnums=0)


def make_evaluate(
    graphdef: nnx.GraphDef, distance: Distance, config: Config
) -> Callable[..., Parts]:
    """The jitted evaluation of one batch, without dropout, at beta = 1.

    Returns:
      `evaluate(params, lpips_weights, split, rows, weights, key) -> parts`, sums of the
      terms over the batch, each example times its weight (0 for padding).
    """

    def evaluate(
        params: nnx.State,
        lpips_weights: nnx.State | None,
        split: DeviceSplit,
        rows: Int[Array, " b"],
        weights: Float[Array, " b"],
        key: Array,
    ) -> Parts:
        batch = gather(split, rows, jnp.zeros_like(rows))
        noise = jax.random.normal(key, (rows.shape[0], config.model.latent_dim))
        terms = loss_parts(
            nnx.merge(graphdef, params),
            batch,
            noise,
            # Losses of different epochs compare only at one beta.
            beta=1.0,
            distance=partial(distance, lpips_weights),
            config=config,
        )
        return {name: jnp.sum(term * weights) for name, term in terms.items()}

    return jax.jit(evaluate)
