"""What a train step of a recipe costs here, in seconds and memory, on made-up pictures.

PYTHONPATH=. python benchmarks/step_by_size.py --config thumbnail64 --batch 4
PYTHONPATH=. python benchmarks/step_by_size.py --config thumbnail128 --batch 4
"""

import argparse
import resource
import statistics
import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from pokejax.attributes import CONDITIONS
from pokejax.config import TextConfig, load, override
from pokejax.data.split import Dataset, Split
from pokejax.training.trainer import Trainer


def noise(count: int, side: int) -> Dataset:
    """Pictures of noise, of which nothing is known, with one prompt."""
    random = np.random.default_rng(0)
    split = Split(
        random.integers(0, 256, (count, side, side, 3), np.uint8),
        np.full((count, side, side), 255, np.uint8),
        np.full((count, len(CONDITIONS)), -1, np.int32),
        np.zeros((count, 1), np.int32),
        np.ones(count, np.int32),
        np.ones(count, np.float32),
    )
    splits = {"train": split, "val": split, "test": split}
    return Dataset(splits, np.zeros((1, 256), np.float16), "noise", TextConfig())


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True, help="a first stage's name")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=5, help="timed, after the first")
    args = parser.parse_args(argv)
    changes = {"train.batch_size": args.batch, "train.steps_per_call": 1}
    config = override(load(args.config), {**changes, "mesh.devices": 1})
    trainer = Trainer(config, noise(args.batch, config.data.image_size))
    _, split, rows = next(trainer.feed.train_batches(0, 1))
    seconds: list[float] = []
    for _ in range(args.steps + 1):
        start = time.perf_counter()
        jax.block_until_ready(trainer.call(split, rows, jnp.float32(1)))
        seconds.append(time.perf_counter() - start)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    step = statistics.median(seconds[1:])
    print(
        f"{args.config}, batch {args.batch}: first step {seconds[0]:.1f} s, then"
        f" {step:.2f} s a step, {args.batch / step:.1f} pictures/s, {memory:.1f} GiB"
    )


if __name__ == "__main__":
    main()
