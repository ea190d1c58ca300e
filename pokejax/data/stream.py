"""Batches from the host, for sets too large to live on the device.

The order is the same function of (seed, step) as for resident sets
(`pokejax.data.dataset.Order`), so both give the same batches. Grain reads ahead in
threads; its iterator could be checkpointed, but needn't be: the step says where to go
on. The only importer of Grain.
"""

from collections.abc import Callable, Iterator

import numpy as np

from pokejax.data.split import Split

# Batches read ahead; each takes the memory of one batch of uint8 pictures.
_READ_AHEAD = 4


def stream(
    split: Split,
    rows_of_step: Callable[[int], np.ndarray],
    first: int,
    last: int,
    *,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[Split]:
    """This process's share of the batches of steps `first` to `last - 1`.

    Args:
      split: pictures, in memory or read on demand.
      rows_of_step: step -> rows of the global batch.
      first: step to begin with.
      last: step to stop before.
      process_index: which contiguous share of each batch this process reads.
      process_count: how many equal shares a batch is cut into.

    Raises:
      ModuleNotFoundError: Grain isn't installed.
      ValueError: a batch can't be cut into equal shares.
    """
    try:
        import grain
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "a dataset larger than data.resident_mb is streamed with Grain:"
            " pip install grain"
        ) from None

    def fetch(step: int) -> Split:
        rows = rows_of_step(step)
        if len(rows) % process_count:
            raise ValueError(
                f"a batch of {len(rows)} can't be shared by {process_count} processes"
            )
        return split.take(np.split(rows, process_count)[process_index])

    steps = grain.MapDataset.range(first, last).map(fetch)
    options = grain.ReadOptions(num_threads=2, prefetch_buffer_size=_READ_AHEAD)
    return iter(steps.to_iter_dataset(options))
