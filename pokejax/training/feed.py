"""What the compiled functions of training are fed: splits on the device, and rows.

Small sets live on the device, as uint8, and a batch is an array of row
numbers; larger ones are streamed from the host, a batch at a time. Both give the same
batches: their order is a function of (seed, step).
"""

from collections.abc import Iterator

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int

from pokejax.commands import call_of
from pokejax.config import Config, ConfigError
from pokejax.data.dataset import Order
from pokejax.data.split import Dataset
from pokejax.data.stream import stream
from pokejax.training.mesh import BATCH, put, replicate
from pokejax.training.step import DeviceSplit, split_arrays

_DEFAULT_STEPS_PER_CALL = 32


class Feed:
    """The batches of a run.

    Attributes:
      dataset: that they come from.
      batch_size: pictures per step, no more than there are.
      steps_per_epoch: whole batches of the training split.
      resident: splits that live on the device, by name.
    """

    def __init__(self, config: Config, dataset: Dataset, mesh: Mesh):
        """Put the splits that fit on the devices.

        Raises:
          ConfigError: the batch can't be shared by the devices.
        """
        self.dataset = dataset
        self._mesh, self._train = mesh, config.train
        pictures = len(dataset.splits["train"])
        self.batch_size = min(config.train.batch_size, pictures)
        if self.batch_size % mesh.size:
            raise ConfigError(
                f"train.batch_size is {self.batch_size}; expected a multiple of the"
                f" {mesh.size} devices that share it (--mesh.devices)"
            )
        self.steps_per_epoch = pictures // self.batch_size
        weights = dataset.splits["train"].weights
        self._order = Order(config.train.seed, weights, self.batch_size)
        self._check_relatives(config)
        self._text_emb = replicate(dataset.text_emb, mesh)
        self.resident = {
            name: replicate(split_arrays(split, self._text_emb), mesh)
            for name, split in dataset.splits.items()
            if split.images.nbytes <= config.data.resident_mb * 2**20
        }

    def _check_relatives(self, config: Config) -> None:
        """Refuse to learn relations that the data on the device don't show."""
        if not config.prior.relative_prob:
            return
        train = self.dataset.splits["train"]
        if train.relatives is None or not (train.relatives >= 0).any():
            raise ConfigError(
                f"prior.relative_prob is {config.prior.relative_prob}, but"
                f" {config.data.dir} holds no relatives: expected a dataset that"
                f" {call_of('data_tools.create_dataset')} of this version makes, or 0"
            )
        if train.images.nbytes > config.data.resident_mb * 2**20:
            raise ConfigError(
                f"prior.relative_prob is {config.prior.relative_prob}, and relatives of"
                f" streamed pictures aren't at hand: data.resident_mb is"
                f" {config.data.resident_mb}; expected at least"
                f" {-(-train.images.nbytes // 2**20)}"
            )

    def train_batches(
        self, first: int, last: int
    ) -> Iterator[tuple[int, DeviceSplit, Int[Array, "k b"]]]:
        """First step, split and rows of each compiled call for steps `first` to `last`.

        Args:
          first: step to begin with, counted from 0.
          last: step to stop before.
        """
        by_batch = NamedSharding(self._mesh, PartitionSpec(None, BATCH))
        if "train" in self.resident:
            count = self._train.steps_per_call or (
                1 if jax.default_backend() == "cpu" else _DEFAULT_STEPS_PER_CALL
            )
            for start in range(first, last, count):
                chunk = range(start, min(start + count, last))
                rows = np.stack([self._order.rows(step) for step in chunk])
                yield start, self.resident["train"], put(rows, by_batch)
            return
        batches = stream(
            self.dataset.splits["train"],
            self._order.rows,
            first,
            last,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
        by_example = NamedSharding(self._mesh, PartitionSpec(BATCH))
        rows = put(np.arange(self.batch_size, dtype=np.int32)[None], by_batch)
        for step, part in enumerate(batches, first):
            local = split_arrays(part, self._text_emb)
            shared = {
                name: jax.make_array_from_process_local_data(
                    by_example, np.asarray(getattr(local, name))
                )
                for name in local._fields
                if name not in ("text_emb", "relatives")
            }
            yield step, local._replace(relatives=None, **shared), rows

    def chosen(
        self, name: str, rows: Int[np.ndarray, " b"]
    ) -> tuple[DeviceSplit, Int[Array, " b"]]:
        """A split on the device that holds these rows, and their places in it.

        Args:
          name: of the split.
          rows: of the split.
        """
        if name in self.resident:
            split, places = self.resident[name], rows.astype(np.int32)
        else:
            part = self.dataset.splits[name].take(rows)
            split = replicate(split_arrays(part, self._text_emb), self._mesh)
            places = np.arange(len(rows), dtype=np.int32)
        return split, replicate(places, self._mesh)
