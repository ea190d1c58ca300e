"""One run's machinery: mesh, compiled functions, data on the device, and the state.

Knows nothing of files: what is written when is `pokejax.train`'s business.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from pokejax.config import Config, ConfigError
from pokejax.data import dataset as data_lib
from pokejax.data.split import Dataset
from pokejax.data.stream import stream
from pokejax.inference.bundle import Header
from pokejax.training import losses
from pokejax.training import step as steps
from pokejax.training.mesh import any_process, make_mesh, put, spread, whole
from pokejax.training.stages import cvae_stage, prior_stage

_DEFAULT_STEPS_PER_CALL = 32


class TrainingError(RuntimeError):
    """Training can't go on; the message says which quantity failed, and when."""


@dataclasses.dataclass(frozen=True)
class Latents:
    """The health of the latent code on a split.

    Attributes:
      active: dimensions in use; see `losses.ACTIVE_VARIANCE`.
      kl: `z` nats, mean over pictures.
    """

    active: int
    kl: Float[np.ndarray, " z"]

    @property
    def collapsed(self) -> bool:
        """Whether the code says next to nothing about the picture.

        Under one nat in all, or with one dimension in fifty alive, a decoder can't tell
        pictures of the same condition apart.
        """
        return self.kl.sum() < 1.0 or self.active < max(1, len(self.kl) // 50)


class Trainer:
    """Steps and evaluations of one model on one dataset."""

    def __init__(self, config: Config, dataset: Dataset):
        """Build the model, put the data on the devices, and jit (nothing compiles yet).

        Raises:
          FileNotFoundError: LPIPS weights are wanted and missing.
          ConfigError: the batch can't be shared by the devices, or the config describes
            another CVAE than the prior's base.
          BundleError: the prior's base can't be read.
        """
        self.dataset = dataset
        self.mesh = make_mesh(config)
        batch_size = min(config.train.batch_size, len(dataset.splits["train"]))
        if batch_size % self.mesh.size:
            raise ConfigError(
                f"train.batch_size is {batch_size}; expected a multiple of the"
                f" {self.mesh.size} devices that share it (--mesh.devices)"
            )
        train = dataclasses.replace(config.train, batch_size=batch_size)
        self.config = dataclasses.replace(config, train=train)
        self.steps_per_epoch = len(dataset.splits["train"]) // batch_size
        self.header = Header(
            self.config, dataset.text_dim, dataset.encoder, 0, float("inf")
        )
        self._text_emb = self._replicate(dataset.text_emb)
        self._resident = {
            name: self._replicate(steps.split_arrays(split, self._text_emb))
            for name, split in dataset.splits.items()
            if split.images.nbytes <= config.data.resident_mb * 2**20
        }
        self.stage = (
            prior_stage(self.header, dataset)
            if config.prior.base
            else cvae_stage(self.header)
        )
        tx = steps.optimizer(self.config, train.epochs * self.steps_per_epoch)
        self.state = self.place_state(
            steps.initial_state(
                self.stage.params, tx, self.config, self.stage.objective.parts
            )
        )
        self.frozen = self._replicate(self.stage.frozen)
        self.key = self._replicate(jax.random.key(train.seed))
        shardings = jax.tree.map(lambda leaf: leaf.sharding, self.state)
        objective = self.stage.objective
        self._run = steps.make_run(objective, tx, self.config, self.mesh, shardings)
        self.compile_seconds = 0.0  # of the train step, so far
        self._shapes_seen: set[tuple[int, ...]] = set()
        self._evaluate = steps.make_evaluate(objective)
        self._draw = jax.jit(partial(_draw, self.stage.draw))

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the loss's parts, the total first."""
        return self.stage.objective.parts

    @property
    def step(self) -> int:
        """Steps done so far."""
        return int(self.state.step)

    def place_state(self, state: steps.TrainState) -> steps.TrainState:
        """A state on the devices: replicated, or spread by its largest axes."""

        def place(leaf: Any) -> Array:
            spec = PartitionSpec()
            if self.config.mesh.shard_params:
                spec = spread(leaf.shape, self.mesh.size)
            return put(leaf, NamedSharding(self.mesh, spec))

        return jax.tree.map(place, state)

    def train_epoch(
        self,
        epoch: int,
        *,
        stop: Callable[[], bool] = lambda: False,
        report: Callable[[int, float], None] = lambda count, loss: None,
    ) -> dict[str, float] | None:
        """Run what is left of an epoch (counted from 1).

        Args:
          epoch: the one that the state is in.
          stop: asked between compiled calls.
          report: told the number of steps behind each call, and a recent loss.

        Returns:
          The mean of each loss part over the whole epoch; None if stopped before its
          end, and then the state can be saved and gone on from.

        Raises:
          TrainingError: a part of the loss is not finite, unless those are skipped.
        """
        beta = self._replicate(jnp.float32(losses.beta(epoch, self.config.loss)))
        last = epoch * self.steps_per_epoch
        if self.step == last - self.steps_per_epoch:
            zeros = jax.tree.map(jnp.zeros_like, self.state.epoch_sums)
            self.state = self.state._replace(epoch_sums=zeros)
        waiting: tuple[int, steps.Parts] | None = None
        for first, split, rows in self._train_batches(self.step, last):
            # All processes must stop at the same step, so they vote on it.
            vote = any_process(stop(), self.mesh)
            if vote is True:  # alone; the answer of several is still on its way
                self._check(waiting, epoch)
                return None
            parts = self._call(split, rows, beta)
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

    def _call(
        self, split: steps.DeviceSplit, rows: Int[Array, "k b"], beta: Array
    ) -> steps.Parts:
        """One compiled call. The first of a shape compiles, and is timed."""
        fresh = rows.shape not in self._shapes_seen
        if fresh:  # or the time would hold steps that the device is still busy with
            jax.block_until_ready(self.state)
        started = time.monotonic()
        self.state, parts = self._run(
            self.state, self.frozen, split, rows, beta, self.key
        )
        if fresh:  # a call returns when it is compiled; its steps run on behind it
            self.compile_seconds += time.monotonic() - started
            self._shapes_seen.add(rows.shape)
        return parts

    def evaluate(self, name: str) -> tuple[dict[str, float], Latents | None]:
        """Loss parts (means, at beta = 1) and, of a CVAE, latent health on a split.

        The noise is the same at every call.
        """
        n, batch_size = len(self.dataset.splits[name]), self.config.train.batch_size
        sums: dict[str, Any] = {}
        for start in range(0, n, batch_size):
            wanted = np.arange(start, start + batch_size)
            # Padded to one compiled shape by starting over; padding weighs nothing.
            split, rows = self._feed(name, wanted % n)
            new = self._evaluate(
                self.state.eval_params,
                self.frozen,
                split,
                self._replicate(rows),
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
        return parts, Latents(
            int((variance > losses.ACTIVE_VARIANCE).sum()), means["kl"]
        )

    def draw(
        self, name: str, rows: Int[np.ndarray, " n"], samples: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pictures of a split, their reconstructions, and samples of their prompts.

        Returns:
          `n h w 3`, `n h w 3` and `n k h w 3` float32 in [-1, 1].
        """
        split, rows = self._feed(name, rows)
        shape = (samples, self.config.model.latent_dim)
        z = jax.random.normal(jax.random.key(0), shape)
        params, rows, z = self.state.eval_params, *self._replicate((rows, z))
        drawn = self._draw(params, self.frozen, split, rows, z)
        return jax.device_get(whole(drawn, self.mesh))

    def whole_params(self) -> tuple[Any, Any]:
        """The weights to keep, of CVAE and prior, where each process can read them."""
        trained = whole(self.state.eval_params, self.mesh)
        return self.stage.kept(trained, self.frozen)

    def first_batch(self) -> steps.Batch:
        """The first training batch, exactly as the model will see it."""
        _, split, rows = next(self._train_batches(0, self.steps_per_epoch))
        make = jax.jit(steps.augmented, static_argnums=3)
        rows, key = whole(rows, self.mesh)[0], steps.step_keys(self.key, 0)[0]
        return whole(make(split, rows, key, self.config), self.mesh)

    def _train_batches(
        self, first: int, last: int
    ) -> Iterator[tuple[int, steps.DeviceSplit, Int[Array, "k b"]]]:
        """What the compiled calls for steps `first` to `last - 1` are given."""
        batch_size = self.config.train.batch_size
        by_batch = NamedSharding(self.mesh, PartitionSpec(None, "data"))
        if "train" in self._resident:
            count = self.config.train.steps_per_call or (
                1 if jax.default_backend() == "cpu" else _DEFAULT_STEPS_PER_CALL
            )
            for start in range(first, last, count):
                chunk = range(start, min(start + count, last))
                rows = np.stack([self._rows_of_step(step) for step in chunk])
                yield start, self._resident["train"], put(rows, by_batch)
            return
        batches = stream(
            self.dataset.splits["train"],
            self._rows_of_step,
            first,
            last,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
        by_example = NamedSharding(self.mesh, PartitionSpec("data"))
        rows = put(np.arange(batch_size, dtype=np.int32)[None], by_batch)
        for step, part in enumerate(batches, first):
            local = steps.split_arrays(part, self._text_emb)
            shared = {
                name: jax.make_array_from_process_local_data(
                    by_example, np.asarray(getattr(local, name))
                )
                for name in local._fields
                if name != "text_emb"
            }
            yield step, local._replace(**shared), rows

    def _rows_of_step(self, step: int) -> Int[np.ndarray, " b"]:
        n = len(self.dataset.splits["train"])
        train = self.config.train
        return data_lib.batch_rows(train.seed, step, n, train.batch_size)

    def _feed(
        self, name: str, rows: np.ndarray
    ) -> tuple[steps.DeviceSplit, Int[np.ndarray, " b"]]:
        """A split on the device that holds these rows, and where in it they are."""
        if name in self._resident:
            return self._resident[name], rows.astype(np.int32)
        part = self.dataset.splits[name].take(rows)
        split = self._replicate(steps.split_arrays(part, self._text_emb))
        return split, np.arange(len(rows), dtype=np.int32)

    def _check(self, waiting: tuple[int, steps.Parts] | None, epoch: int) -> float:
        """Wait for a call's losses; returns the last one, nan if there was none."""
        if waiting is None:
            return float("nan")
        first, parts = waiting
        values = {name: np.asarray(jax.device_get(parts[name])) for name in self.parts}
        if self.config.train.on_nonfinite == "stop":
            # The total comes last: it is the symptom, a part of it the cause.
            for name in (*self.parts[1:], self.parts[0]):
                bad = np.flatnonzero(~np.isfinite(values[name]))
                if len(bad):
                    raise TrainingError(
                        f"{name} became {values[name][bad[0]]} at step"
                        f" {first + bad[0]} (epoch {epoch}): lower"
                        " --train.learning_rate, or pass --train.on_nonfinite skip"
                    )
        return float(values["Loss"][-1])

    def _replicate(self, tree: Any) -> Any:
        everywhere = NamedSharding(self.mesh, PartitionSpec())
        return jax.tree.map(lambda leaf: put(leaf, everywhere), tree)


def _draw(
    draw: Callable[..., tuple[Array, Array]],
    params: nnx.State,
    frozen: Any,
    split: steps.DeviceSplit,
    rows: Int[Array, " n"],
    z: Float[Array, "k z"],
) -> tuple[Array, Array, Array]:
    batch = steps.gather(split, rows, jnp.zeros_like(rows))
    return batch.image, *draw(params, frozen, batch, z)
