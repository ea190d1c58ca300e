"""One run's machinery: mesh, compiled functions, and the state they change.

Knows nothing of files: what is written when is for `pokejax.training.loop`.
"""

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Array, Float, Int

from pokejax.config import Config, ConfigError
from pokejax.data.fingerprint import fingerprint
from pokejax.data.split import Dataset
from pokejax.images.pixels import to_uint8
from pokejax.images.training_index import TrainingIndex
from pokejax.inference.bundle import Header, weights_hash
from pokejax.training import losses
from pokejax.training.feed import Feed
from pokejax.training.latents import ACTIVE_VARIANCE, Latents
from pokejax.training.mesh import (
    any_process,
    gathered,
    make_mesh,
    memory_bytes,
    replicate,
    spread,
    whole,
)
from pokejax.training.start import started_from
from pokejax.training.step import (
    DeviceSplit,
    Parts,
    TrainState,
    augmented,
    gather,
    initial_state,
    make_evaluate,
    make_train_steps,
    optimizer,
    step_keys,
)
from pokejax.training.tasks import make_task
from pokejax.training.tasks.task import Batch, Task

# When copies are looked for: drawings, how many at once, and the share of held-out
# pictures that may be as near to a training picture as one that counts.
_DRAWN_FOR_COPIES = 512
_DRAWN_TOGETHER = 32
_NEAR = 0.01


class TrainingError(RuntimeError):
    """Training can't go on; the message says which quantity failed, and when."""


class Trainer:
    """Steps and evaluations of one model on one dataset.

    Attributes:
      feed: the batches.
      mesh: the devices.
      config: of the run, with the batch size that the dataset allows.
      header: of the model, before the first epoch.
      first_step: at which the first epoch began; a run that goes on with another
        dataset, whose epochs are longer or shorter, pretends another.
      task: what is trained.
      state: all that a step changes.
      train_steps: the compiled call, from `step.make_train_steps`.
      compile_seconds: spent compiling it so far.
    """

    def __init__(self, config: Config, dataset: Dataset):
        """Build the model, put the data on the devices, and initialise the state.

        Raises:
          FileNotFoundError: LPIPS's weights are wanted and missing.
          ConfigError: the batch can't be shared by the devices, the model is too large
            for them, or the config describes another CVAE than the prior's base, or
            another model than the run begins with.
          BundleError: the prior's base, or what the run begins with, can't be read.
        """
        self.mesh = make_mesh(config)
        self.feed = Feed(config, dataset, self.mesh)
        train = dataclasses.replace(config.train, batch_size=self.feed.batch_size)
        self.config = dataclasses.replace(config, train=train)
        self.header = Header(
            self.config,
            dataset.text_dim,
            dataset.encoder,
            epoch=0,
            val_loss=float("inf"),
            fingerprint=fingerprint(dataset),
        )
        self.task = make_task(self.header, dataset)
        self._add_frozen_weights()
        tx = optimizer(self.config, train.epochs * self.feed.steps_per_epoch)

        def init() -> TrainState:
            params = self.task.init()
            return initial_state(params, tx, self.config, self.task.parts)

        # Shapes first, so that weights are created where they belong, on every device.
        abstract = jax.eval_shape(init)
        self._check_it_fits(abstract)
        shardings = jax.tree.map(self._sharding, abstract)
        self.state: TrainState = jax.jit(init, out_shardings=shardings)()
        if train.start_from:
            self.state = started_from(Path(train.start_from), self.state, self.header)
        self.frozen = replicate(self.task.frozen, self.mesh)
        self.key = replicate(jax.random.key(train.seed), self.mesh)
        self.train_steps = make_train_steps(
            self.task, tx, self.config, self.mesh, shardings
        )
        self.first_step = 0
        self.compile_seconds = 0.0
        self._index: TrainingIndex | None = None
        self._shapes_seen: set[tuple[int, ...]] = set()
        self._evaluate = make_evaluate(self.task)
        self._show = jax.jit(partial(_show, self.task))

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass over the training split."""
        return self.feed.steps_per_epoch

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the loss's parts, the total first."""
        return self.task.parts

    @property
    def step(self) -> int:
        """Steps done so far."""
        return int(jax.device_get(self.state.step))

    def go_on(self, state: TrainState, epochs: int, first_step: int) -> None:
        """Take over a saved state.

        Args:
          state: of a run of the same model.
          epochs: whole ones behind it.
          first_step: of the run that it's from.
        """
        self.state, self.first_step = state, first_step
        begun = self.step - first_step - epochs * self.steps_per_epoch
        if not 0 <= begun < self.steps_per_epoch:
            # Its epochs had another length: the next one begins here.
            self.first_step += begun

    def steps_into(self, epoch: int) -> int:
        """How many steps of an epoch (counted from 1) are done."""
        return self.step - self.first_step - (epoch - 1) * self.steps_per_epoch

    def ends_epoch_of(self, interval: int) -> Callable[[int], bool]:
        """Whether a step ends each `interval`-th epoch; none does, if that is 0."""
        first, steps = self.first_step, interval * self.steps_per_epoch
        return lambda step: bool(steps) and (step - first) % steps == 0

    def train_epoch(
        self,
        epoch: int,
        *,
        stop: Callable[[], bool] = lambda: False,
        report: Callable[[int, float], None] = lambda count, loss: None,
    ) -> dict[str, float] | None:
        """Do what is left of an epoch (counted from 1).

        Args:
          epoch: the one that the state is in.
          stop: asked between compiled calls.
          report: told the number of steps behind each call, and a recent loss.

        Returns:
          The mean of each loss part over the whole epoch; None if stopped before its
          end, in which case the state can be saved and resumed from.

        Raises:
          TrainingError: a part of the loss is not finite, unless those are skipped.
        """
        beta = self._replicate(np.float32(losses.beta(epoch, self.config.loss)))
        last = self.first_step + epoch * self.steps_per_epoch
        if self.step == last - self.steps_per_epoch:
            zeros = jax.tree.map(jnp.zeros_like, self.state.epoch_sums)
            self.state = self.state._replace(epoch_sums=zeros)
        waiting: tuple[int, Parts] | None = None
        for first, split, rows in self.feed.train_batches(self.step, last):
            # All processes must stop at the same step, so they vote on it.
            vote = any_process(stop(), self.mesh)
            if vote is True:  # alone; the answer of several is still on its way
                self._check(waiting, epoch)
                return None
            # Everything a step needs is on the device already; say so if not.
            with jax.transfer_guard("disallow"):
                parts = self.call(split, rows, beta)
            # Looked at one call late: reading a value waits for the device.
            loss = self._check(waiting, epoch)
            waiting = (first, parts)
            report(rows.shape[0], loss)
            if vote and self.step < last:
                self._check(waiting, epoch)
                return None
        self._check(waiting, epoch)
        sums = jax.device_get(self.state.epoch_sums)
        return {part: float(sums[part]) / self.steps_per_epoch for part in self.parts}

    def call(
        self, split: DeviceSplit, rows: Int[Array, "k b"], beta: Float[Array, ""]
    ) -> Parts:
        """One compiled call of `k` steps; the first of a shape compiles, timed."""
        fresh = rows.shape not in self._shapes_seen
        if fresh:  # or the time would include steps still running on the device
            jax.block_until_ready(self.state)
        started = time.monotonic()
        self.state, parts = self.train_steps(
            self.state, self.frozen, split, rows, beta, self.key
        )
        if fresh:  # a call returns once compiled, while its steps still run
            self.compile_seconds += time.monotonic() - started
            self._shapes_seen.add(rows.shape)
        return parts

    def evaluate(
        self, name: str, *, most: int = 0
    ) -> tuple[dict[str, float], Latents | None]:
        """Loss parts (means, at beta = 1) and, of a CVAE, latent health on a split.

        The noise is the same at every call.

        Args:
          name: of the split.
          most: look at this many pictures at most, evenly spaced; 0: at all.
        """
        pictures, batch_size = self.feed.dataset.splits[name], self.feed.batch_size
        n = min(len(pictures), most or len(pictures))
        chosen = np.arange(n) * len(pictures) // max(n, 1)
        sums: dict[str, Any] = {}
        params = self._eval_params()
        for start in range(0, n, batch_size):
            wanted = np.arange(start, start + batch_size)
            # Padded to one compiled shape with rows from the start, at weight zero.
            split, rows = self.feed.chosen(name, chosen[wanted % n])
            new = self._evaluate(
                params,
                self.frozen,
                split,
                rows,
                self._replicate((wanted < n).astype(np.float32)),
                jax.random.fold_in(self.key, start),
            )
            new = jax.device_get(whole(new, self.mesh))
            sums = {key: sums.get(key, 0) + value for key, value in new.items()}
        means = {key: value / max(n, 1) for key, value in sums.items()}
        parts = {part: float(means[part]) for part in self.parts}
        if "kl" not in means:
            return parts, None
        variance = means["mean_squared"] - means["mean"] ** 2
        return parts, Latents(int((variance > ACTIVE_VARIANCE).sum()), means["kl"])

    def show(
        self, name: str, rows: Int[np.ndarray, " n"], samples: int, *, seed: int = 0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pictures of a split, their reconstructions, and samples of their prompts.

        Args:
          name: of the split.
          rows: of the split.
          samples: of each prompt; all prompts' first samples share their noise.
          seed: of the noise.

        Returns:
          `n h w 3`, `n h w 3` and `n k h w 3` float32 in [-1, 1].
        """
        split, places = self.feed.chosen(name, rows)
        shape = (samples, self.config.model.latent_dim)
        z = self._replicate(jax.random.normal(jax.random.key(seed), shape))
        shown = self._show(self._eval_params(), self.frozen, split, places, z)
        return jax.device_get(whole(shown, self.mesh))

    def copied(self, name: str) -> float:
        """Share of drawings that are nearer to a training picture than held-out ones.

        By rough colours: a drawing counts if at most one in a hundred of the split's
        own pictures is as near. As many prompts of the split as `_DRAWN_FOR_COPIES` are
        drawn, each time from the same noise.
        """
        if self._index is None:
            splits = self.feed.dataset.splits
            train, held_out = splits["train"].images[:], splits[name].images[:]
            self._index = TrainingIndex.of(train, held_out)
        count = min(_DRAWN_FOR_COPIES, len(self.feed.dataset.splits[name]))
        rows = np.arange(count) * len(self.feed.dataset.splits[name]) // count
        nearer: list[float] = []
        for start in range(0, count, _DRAWN_TOGETHER):
            # A last, shorter batch would compile once more: it starts over instead.
            wanted = rows[np.arange(start, start + _DRAWN_TOGETHER) % count]
            _, _, drawn = self.show(name, wanted, 1, seed=start)
            images = to_uint8(drawn[: count - start, 0])
            nearer += [self._index.nearness(image).nearer for image in images]
        return float((np.array(nearer) <= _NEAR).mean())

    def whole_params(self) -> tuple[Any, Any]:
        """The weights to keep, of CVAE and prior, where each process can read them."""
        trained = whole(self.state.eval_params, self.mesh)
        return self.task.kept(trained, self.frozen)

    def _eval_params(self) -> Any:
        """The weights to evaluate, put together where they are cut, as in a step."""
        params = self.state.eval_params
        return gathered(params, self.mesh) if self.mesh.shape["fsdp"] > 1 else params

    def first_batch(self) -> Batch:
        """The first training batch, exactly as the model will see it."""
        _, split, rows = next(self.feed.train_batches(0, self.steps_per_epoch))
        make = jax.jit(augmented, static_argnums=3)
        rows, key = whole(rows, self.mesh)[0], step_keys(self.key, 0)[0]
        return whole(make(split, rows, key, self.config), self.mesh)

    def _check(self, waiting: tuple[int, Parts] | None, epoch: int) -> float:
        """Wait for a call's losses; returns the last one, nan if there was none."""
        if waiting is None:
            return float("nan")
        first, parts = waiting
        values = {name: np.asarray(jax.device_get(parts[name])) for name in self.parts}
        if self.config.train.on_nonfinite == "stop":
            # The total is checked last: it is the symptom, one of its parts the cause.
            for name in (*self.parts[1:], self.parts[0]):
                bad = np.flatnonzero(~np.isfinite(values[name]))
                if len(bad):
                    raise TrainingError(
                        f"{name} became {values[name][bad[0]]} at step"
                        f" {first + bad[0]} (epoch {epoch}): lower"
                        " --train.learning_rate, or pass --train.on_nonfinite skip"
                    )
        return float(values["Loss"][-1])

    def _add_frozen_weights(self) -> None:
        """Let the fingerprint tell another LPIPS, and another base of a prior."""
        if self.task.frozen is None:
            return
        frozen = weights_hash(self.task.frozen)
        known = {**self.header.fingerprint, "frozen weights": frozen}
        self.header = dataclasses.replace(self.header, fingerprint=known)

    def _check_it_fits(self, abstract: TrainState) -> None:
        """Refuse a state that the devices can't hold, which would kill the process."""
        leaves, weights = jax.tree.leaves(abstract), jax.tree.leaves(abstract.params)
        # Gradients are as large as the weights.
        needed = sum(x.size * x.dtype.itemsize for x in (*leaves, *weights))
        there = memory_bytes()
        if needed / self.mesh.shape["fsdp"] > there:
            raise ConfigError(
                f"the model has {sum(x.size for x in weights):,} parameters, and"
                f" training it takes {needed / 2**30:,.0f} GiB or more; there are"
                f" {there / 2**30:,.0f}: lower model.latent_dim, hidden_dim or channels"
            )

    def _sharding(self, leaf: jax.ShapeDtypeStruct) -> NamedSharding:
        """Where a part of the state lives: whole everywhere, or spread by an axis."""
        return NamedSharding(self.mesh, spread(leaf.shape, self.mesh))

    def _replicate(self, tree: Any) -> Any:
        return replicate(tree, self.mesh)


def _show(
    task: Task,
    params: Any,
    frozen: Any,
    split: DeviceSplit,
    rows: Int[Array, " n"],
    z: Float[Array, "k z"],
) -> tuple[Array, Array, Array]:
    batch = gather(split, rows, jnp.zeros_like(rows))
    return batch.image[..., :3], *task.show(params, frozen, batch, z)
