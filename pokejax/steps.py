"""The compiled parts of training: state, the train step, one evaluation batch.

Everything random in a step (prompt choice, augmentation, dropout, noise) comes from
`fold_in(key(seed), step)`, so a step is a pure function of the state and the rows.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, UInt8

from pokejax import losses
from pokejax.attributes import UNKNOWN_ID
from pokejax.augment import augment
from pokejax.config import Config
from pokejax.data import Split

PARTS = ("Loss", "L1", "KL", "Perceptual")
Parts = dict[str, Float[Array, "*k"]]
# (weights, picture, picture) -> `b`; see `pokejax.lpips.distance_function`.
Distance = Callable[[Any, Array, Array], Array]
AnyArray = Array | np.ndarray  # on its way to the device, or there


class TrainState(NamedTuple):
    """All that a step changes, and so all that a checkpoint must hold.

    Attributes:
      params: the weights that are trained.
      ema_params: their running average, or None.
      opt_state: of the optimiser.
      step: steps done, of all epochs.
      skipped: steps among them that changed nothing, because they weren't finite.
      epoch_sums: sums of the loss parts over this epoch's steps so far; with them an
        epoch that is interrupted and resumed logs what an unbroken one does.
    """

    params: Any
    ema_params: Any
    opt_state: Any
    step: Int[Array, ""]
    skipped: Int[Array, ""]
    epoch_sums: dict[str, Float[Array, ""]]

    @property
    def eval_params(self) -> Any:
        """The weights to evaluate and keep: the average, if there is one."""
        return self.params if self.ema_params is None else self.ema_params


class DeviceSplit(NamedTuple):
    """A `Split` on the device, pictures still uint8, with the prompts' embeddings."""

    images: UInt8[AnyArray, "n h w 3"]
    attributes: Int[AnyArray, "n 10"]
    prompt_ids: Int[AnyArray, "n p"]
    prompt_counts: Int[AnyArray, " n"]
    text_emb: Float[AnyArray, "m d"]


class Batch(NamedTuple):
    """What the model sees of a few pictures."""

    image: Float[Array, "b h w 3"]
    text_emb: Float[Array, "b d"]
    attributes: Int[Array, "b 10"]


def split_arrays(split: Split, text_emb: Any) -> DeviceSplit:
    """A split and the dataset's embeddings, ready to be put on a device."""
    return DeviceSplit(
        split.images[:],
        split.attributes,
        split.prompt_ids,
        split.prompt_counts,
        text_emb,
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
    return TrainState(
        params=params,
        ema_params=jax.tree.map(jnp.copy, params) if config.train.ema_decay else None,
        opt_state=tx.init(params),
        step=jnp.zeros((), jnp.int32),
        skipped=jnp.zeros((), jnp.int32),
        epoch_sums={part: jnp.zeros(()) for part in PARTS},
    )


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


def loss_terms(
    graphdef: nnx.GraphDef,
    params: nnx.State,
    batch: Batch,
    noise: Float[Array, "b z"],
    *,
    beta: Float[Array, ""] | float,
    distance: Callable[[Array, Array], Array],
    config: Config,
    dropout_key: Array | None = None,
) -> tuple[Parts, Float[Array, "b z"], Float[Array, "b z"]]:
    """Every term of the loss per example, posterior means, and KL per dimension.

    The layers compute in `model.compute_dtype`; losses are float32.
    """
    dtype = jnp.dtype(config.model.compute_dtype)
    params, image, text_emb, noise = jax.tree.map(
        lambda x: x.astype(dtype), (params, batch.image, batch.text_emb, noise)
    )
    outputs = nnx.merge(graphdef, params)(
        image, text_emb, batch.attributes, noise=noise, dropout_key=dropout_key
    )
    recon, mean, logvar = (x.astype(jnp.float32) for x in outputs)
    kl = losses.kl(mean, logvar)
    terms = {
        "L1": losses.l1(recon, batch.image),
        "KL": kl.sum(axis=-1),
        "Perceptual": distance(recon, batch.image),
    }
    terms["Loss"] = losses.total(
        terms["L1"],
        terms["Perceptual"],
        terms["KL"],
        beta=beta,
        pixel_values=batch.image[0].size,
        config=config.loss,
    )
    return terms, mean, kl


def no_distance(weights: None, image_0: Array, image_1: Array) -> Float[Array, " b"]:
    """Stands in for LPIPS where it weighs nothing, and costs nothing."""
    return jnp.zeros(len(image_0))


def make_run(
    graphdef: nnx.GraphDef,
    tx: optax.GradientTransformation,
    distance: Distance,
    config: Config,
    mesh: Mesh,
    state_shardings: Any,
) -> Callable[..., tuple[TrainState, Parts]]:
    """Some train steps as one compiled call.

    Args:
      graphdef: of the model.
      tx: the optimiser.
      distance: LPIPS, or `no_distance`.
      config: of the run.
      mesh: with an axis `data`, over which each batch is shared.
      state_shardings: where the state lives, and comes back to.

    Returns:
      `run(state, lpips_weights, split, rows, beta, key) -> (state, parts)`, with rows
      `k b`. The state that goes in is given up (donated). `parts` are `k` means over
      each batch.
    """
    by_example = NamedSharding(mesh, PartitionSpec("data"))

    def gradients(params, batch, noise, lpips_weights, beta, dropout_key):
        def objective(params: nnx.State) -> tuple[Array, Parts]:
            terms, _, _ = loss_terms(
                graphdef,
                params,
                batch,
                noise,
                beta=beta,
                distance=partial(distance, lpips_weights),
                config=config,
                dropout_key=dropout_key,
            )
            means = {name: terms[name].mean() for name in PARTS}
            return means["Loss"], means

        return jax.grad(objective, has_aux=True)(params)

    def accumulated(params, batch, noise, lpips_weights, beta, dropout_key):
        count = config.train.accumulate
        if count == 1:
            return gradients(params, batch, noise, lpips_weights, beta, dropout_key)
        cut = jax.tree.map(lambda x: x.reshape(count, -1, *x.shape[1:]), (batch, noise))
        keys = jax.random.split(dropout_key, count)

        def add(total, part):
            (batch, noise), key = part
            new = gradients(params, batch, noise, lpips_weights, beta, key)
            return jax.tree.map(jnp.add, total, new), None

        first = jax.tree.map(lambda x: x[0], (cut, keys))
        rest = jax.tree.map(lambda x: x[1:], (cut, keys))
        (batch0, noise0), key0 = first
        start = gradients(params, batch0, noise0, lpips_weights, beta, key0)
        total, _ = jax.lax.scan(add, start, rest)
        return jax.tree.map(lambda x: x / count, total)

    def step(state, lpips_weights, split, rows, beta, key):
        batch_key, noise_key, dropout_key = jax.random.split(
            jax.random.fold_in(key, state.step), 3
        )
        batch = augmented(split, rows, batch_key, config)
        batch = jax.lax.with_sharding_constraint(batch, by_example)
        noise = jax.random.normal(
            noise_key, (rows.shape[0], config.model.latent_dim), jnp.float32
        )
        grads, parts = accumulated(
            state.params, batch, noise, lpips_weights, beta, dropout_key
        )
        return _updated(state, grads, parts, tx, config), parts

    def run(state, lpips_weights, split, rows, beta, key):
        def body(state, rows):
            return step(state, lpips_weights, split, rows, beta, key)

        if rows.shape[0] > 1:
            return jax.lax.scan(body, state, rows)
        # XLA's CPU backend runs what is inside a loop several times slower.
        state, parts = body(state, rows[0])
        return state, jax.tree.map(lambda x: x[None], parts)

    everywhere = NamedSharding(mesh, PartitionSpec())
    return jax.jit(run, donate_argnums=0, out_shardings=(state_shardings, everywhere))


def _updated(
    state: TrainState,
    grads: Any,
    parts: Parts,
    tx: optax.GradientTransformation,
    config: Config,
) -> TrainState:
    """The state after a step with these gradients."""
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    ema_params = state.ema_params
    if config.train.ema_decay:
        keep = ema_rate(state.step, config.train.ema_decay)
        ema_params = jax.tree.map(
            lambda old, new: keep * old + (1 - keep) * new, ema_params, params
        )
    skipped = state.skipped
    added = parts
    if config.train.on_nonfinite == "skip":
        good = jnp.isfinite(optax.tree.norm(grads)) & jnp.isfinite(parts["Loss"])
        params, ema_params, opt_state, added = jax.tree.map(
            partial(jnp.where, good),
            (params, ema_params, opt_state, added),
            (
                state.params,
                state.ema_params,
                state.opt_state,
                jax.tree.map(jnp.zeros_like, added),
            ),
        )
        skipped = skipped + jnp.where(good, 0, 1)
    sums = {name: state.epoch_sums[name] + added[name] for name in PARTS}
    return TrainState(params, ema_params, opt_state, state.step + 1, skipped, sums)


def make_evaluate(
    graphdef: nnx.GraphDef, distance: Distance, config: Config
) -> Callable[..., dict[str, Array]]:
    """The jitted evaluation of one batch, without dropout, at beta = 1.

    Returns:
      `evaluate(params, lpips_weights, split, rows, weights, key) -> sums` over the
      batch, each example times its weight (0 for padding): the loss parts, and for the
      health of the latent `mean`, `mean_squared` and `kl`, `z` numbers each.
    """

    def evaluate(params, lpips_weights, split, rows, weights, key):
        batch = gather(split, rows, jnp.zeros_like(rows))
        noise = jax.random.normal(key, (rows.shape[0], config.model.latent_dim))
        terms, mean, kl = loss_terms(
            graphdef,
            params,
            batch,
            noise,
            # Losses of different epochs compare only at one beta.
            beta=1.0,
            distance=partial(distance, lpips_weights),
            config=config,
        )
        sums = {name: jnp.sum(term * weights) for name, term in terms.items()}
        per_dimension = {"mean": mean, "mean_squared": mean**2, "kl": kl}
        return sums | {name: weights @ x for name, x in per_dimension.items()}

    return jax.jit(evaluate)
