"""The compiled parts of training: state, the train step, one evaluation batch.

Everything random in a step (prompt choice, augmentation, dropout, noise) comes from
`fold_in(key(seed), step)`, so a step is a pure function of the state and the rows.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, UInt8

from pokejax.attributes import UNKNOWN_ID
from pokejax.config import Config
from pokejax.data.split import Split
from pokejax.images.pixels import to_float
from pokejax.training.augment import augment
from pokejax.training.mesh import BATCH
from pokejax.training.muon import muon
from pokejax.training.tasks.task import Batch, Task

Parts = dict[str, Float[Array, "*k"]]
AnyArray = Array | np.ndarray  # before or after its transfer to the device


class TrainState(NamedTuple):
    """All that a step changes, and so all that a checkpoint must hold.

    Attributes:
      params: the weights that are trained.
      ema_params: their running average, or None.
      opt_state: of the optimiser.
      step: steps done, of all epochs.
      skipped: steps among them that changed nothing, because they weren't finite.
      epoch_sums: sums of the loss parts over this epoch's steps so far, so that an
        interrupted and resumed epoch logs the same means as an unbroken one.
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
    alpha: UInt8[AnyArray, "n h w"]
    attributes: Int[AnyArray, "n 12"]
    prompt_ids: Int[AnyArray, "n p"]
    prompt_counts: Int[AnyArray, " n"]
    relatives: Int[AnyArray, "n 4"] | None
    text_emb: Float[AnyArray, "m d"]


def split_arrays(split: Split, text_emb: Any) -> DeviceSplit:
    """A split and the dataset's embeddings, ready to be put on a device."""
    return DeviceSplit(
        split.images[:],
        split.alpha[:],
        split.attributes,
        split.prompt_ids,
        split.prompt_counts,
        split.relatives,
        text_emb,
    )


def learning_rate(config: Config, total_steps: int) -> optax.Schedule:
    """Adam's step size at each step."""
    train = config.train
    schedule = optax.constant_schedule(train.learning_rate)
    if train.schedule == "cosine":
        steps_left = max(1, total_steps - train.warmup_steps)
        schedule = optax.cosine_decay_schedule(train.learning_rate, steps_left)
    if train.warmup_steps:
        warmup = optax.linear_schedule(0.0, train.learning_rate, train.warmup_steps)
        schedule = optax.join_schedules([warmup, schedule], [train.warmup_steps])
    return schedule


def optimizer(config: Config, total_steps: int) -> optax.GradientTransformation:
    """Adam or Muon behind a clip of the global gradient norm."""
    rate = learning_rate(config, total_steps)
    inner = muon(rate) if config.train.optimizer == "muon" else optax.adam(rate)
    return optax.chain(optax.clip_by_global_norm(config.train.grad_clip), inner)


def initial_state(
    params: Any,
    tx: optax.GradientTransformation,
    config: Config,
    parts: Sequence[str],
) -> TrainState:
    """The state before the first step, of a loss with these parts."""
    return TrainState(
        params=params,
        ema_params=jax.tree.map(jnp.copy, params) if config.train.ema_decay else None,
        opt_state=tx.init(params),
        step=jnp.zeros((), jnp.int32),
        skipped=jnp.zeros((), jnp.int32),
        epoch_sums={part: jnp.zeros(()) for part in parts},
    )


def ema_rate(step: Int[Array, ""], decay: float) -> Float[Array, ""]:
    """The share of the old average that a step keeps.

    It rises to `decay`, because an average that remembers its random start for
    thousands of steps is worse than none on a small set.
    """
    return jnp.minimum(decay, (1 + step) / (10 + step))


def gather(
    split: DeviceSplit, rows: Int[Array, " b"], prompt: Int[Array, " b"]
) -> Batch:
    """The pictures at `rows` in [-1, 1], each with its `prompt`-th prompt."""
    prompt_id = jnp.take_along_axis(split.prompt_ids[rows], prompt[:, None], axis=1)
    return Batch(
        image=_pictures(split, rows),
        text_emb=split.text_emb[prompt_id[:, 0]].astype(jnp.float32),
        attributes=split.attributes[rows],
    )


def _pictures(split: DeviceSplit, rows: Int[Array, " b"]) -> Float[Array, "b h w 4"]:
    return to_float(
        jnp.concatenate([split.images[rows], split.alpha[rows][..., None]], axis=-1)
    )


def beside_relatives(
    split: DeviceSplit, rows: Int[Array, " b"], key: Array, prob: float
) -> tuple[Int[Array, " b"], Int[Array, " b"]]:
    """For each picture one of its relatives at random, with a probability.

    Returns:
      The relatives' rows, and what each picture is to its own, in `RELATIONS`. Where
      there is none, the picture's own row, and `UNKNOWN_ID`.
    """
    prob_key, choice_key = jax.random.split(key)
    assert split.relatives is not None  # the feed has looked
    relatives = split.relatives[rows]
    there = relatives >= 0
    chance = jax.random.uniform(choice_key, relatives.shape)
    relation = jnp.where(there, chance, -1.0).argmax(axis=1)
    shown = jax.random.bernoulli(prob_key, prob, rows.shape) & there.any(axis=1)
    row = jnp.take_along_axis(relatives, relation[:, None], axis=1)[:, 0]
    return jnp.where(shown, row, rows), jnp.where(shown, relation, UNKNOWN_ID)


def step_keys(key: Array, step: Int[Array, ""] | int) -> Array:
    """The keys of a step's batch, noise and dropout."""
    return jax.random.split(jax.random.fold_in(key, step), 3)


def augmented(
    split: DeviceSplit, rows: Int[Array, " b"], key: Array, config: Config
) -> Batch:
    """A training batch: random prompts, changed pictures, some attributes hidden.

    A relative's picture changes as the one beside it does.
    """
    prompt_key, image_key, drop_key, relative_key = jax.random.split(key, 4)
    uniform = jax.random.uniform(prompt_key, rows.shape)
    counts = split.prompt_counts[rows]
    batch = gather(split, rows, (uniform * counts).astype(jnp.int32))
    image, relation = batch.image, None
    if config.prior.relative_prob:
        beside, relation = beside_relatives(
            split, rows, relative_key, config.prior.relative_prob
        )
        image = jnp.concatenate([image, _pictures(split, beside)], axis=-1)
    # What enters from outside is 1: white, and, with alpha turned over, transparent.
    sign = jnp.tile(jnp.array([1.0, 1.0, 1.0, -1.0]), image.shape[-1] // 4)
    sign = sign.reshape(1, 1, 1, -1)
    image = sign * augment(sign * image, image_key, config.data)
    attributes = batch.attributes
    if config.train.attribute_drop_prob:
        drop = jax.random.bernoulli(
            drop_key, config.train.attribute_drop_prob, attributes.shape
        )
        attributes = jnp.where(drop, UNKNOWN_ID, attributes)
    relative = None if relation is None else image[..., 4:]
    return Batch(image[..., :4], batch.text_emb, attributes, relative, relation)


def make_train_steps(
    task: Task,
    tx: optax.GradientTransformation,
    config: Config,
    mesh: Mesh,
    state_shardings: Any,
) -> Callable[..., tuple[TrainState, Parts]]:
    """Some train steps as one compiled call.

    Args:
      task: what is trained.
      tx: the optimiser.
      config: of the run.
      mesh: over all of which each batch is shared.
      state_shardings: where the state lives, and comes back to.

    Returns:
      `train_steps(state, frozen, split, rows, beta, key) -> (state, parts)`, with
      rows `k b`. The state that goes in is given up (donated). `parts` are `k` means
      over each batch.
    """
    by_example = NamedSharding(mesh, PartitionSpec(BATCH))
    everywhere = NamedSharding(mesh, PartitionSpec())

    def gradients(params, batch, random, frozen, beta, dropout_key):
        # Cut weights are put together for the step. Left to choose, XLA computes with
        # the parts, and on a mesh of 2 x 4 got another loss (jax 0.10.2, on CPU).
        params = jax.lax.with_sharding_constraint(params, everywhere)

        def mean_loss(params: Any) -> tuple[Array, Parts]:
            terms, _ = task.terms(
                params, frozen, batch, random, beta=beta, dropout_key=dropout_key
            )
            means = {name: terms[name].mean() for name in task.parts}
            return means["Loss"], means

        return jax.grad(mean_loss, has_aux=True)(params)

    def accumulated(params, batch, random, frozen, beta, dropout_key):
        count = config.train.accumulate
        if count == 1:
            return gradients(params, batch, random, frozen, beta, dropout_key)
        cut = jax.tree.map(
            lambda x: x.reshape(count, -1, *x.shape[1:]), (batch, random)
        )
        keys = jax.random.split(dropout_key, count)

        def add(total, part):
            (batch, random), key = part
            new = gradients(params, batch, random, frozen, beta, key)
            return jax.tree.map(jnp.add, total, new), None

        first = jax.tree.map(lambda x: x[0], (cut, keys))
        rest = jax.tree.map(lambda x: x[1:], (cut, keys))
        (batch0, random0), key0 = first
        start = gradients(params, batch0, random0, frozen, beta, key0)
        total, _ = jax.lax.scan(add, start, rest)
        return jax.tree.map(lambda x: x / count, total)

    def step(state, frozen, split, rows, beta, key):
        batch_key, noise_key, dropout_key = step_keys(key, state.step)
        batch = augmented(split, rows, batch_key, config)
        batch = jax.lax.with_sharding_constraint(batch, by_example)
        random = task.random(noise_key, rows.shape[0])
        grads, parts = accumulated(
            state.params, batch, random, frozen, beta, dropout_key
        )
        return _updated(state, grads, parts, tx, config), parts

    def train_steps(state, frozen, split, rows, beta, key):
        def body(state, rows):
            return step(state, frozen, split, rows, beta, key)

        if rows.shape[0] > 1:
            return jax.lax.scan(body, state, rows)
        # XLA's CPU backend runs the body of a loop several times slower.
        state, parts = body(state, rows[0])
        return state, jax.tree.map(lambda x: x[None], parts)

    return jax.jit(
        train_steps, donate_argnums=0, out_shardings=(state_shardings, everywhere)
    )


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
            # So that weights that nothing moves stay what they are to the bit.
            lambda old, new: old + (1 - keep) * (new - old),
            ema_params,
            params,
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
    sums = {name: total + added[name] for name, total in state.epoch_sums.items()}
    return TrainState(params, ema_params, opt_state, state.step + 1, skipped, sums)


def make_evaluate(task: Task) -> Callable[..., dict[str, Array]]:
    """The jitted evaluation of one batch, without dropout, at beta = 1.

    Returns:
      `evaluate(params, frozen, split, rows, weights, key) -> sums` over the batch, each
      example times its weight (0 for padding): the loss parts, and the task's
      `stats` of the latent, `z` numbers each.
    """

    def evaluate(params, frozen, split, rows, weights, key):
        batch = gather(split, rows, jnp.zeros_like(rows))
        random = task.random(key, rows.shape[0])
        # Losses of different epochs are comparable only at the same beta.
        terms, stats = task.terms(
            params, frozen, batch, random, beta=1.0, dropout_key=None
        )
        sums = {name: jnp.sum(term * weights) for name, term in terms.items()}
        return sums | {name: weights @ x for name, x in stats.items()}

    return jax.jit(evaluate)
