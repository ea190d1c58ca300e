"""What a train step for 128x128 costs beside one for 64x64, in the same run.

    PYTHONPATH=. python benchmarks/step_by_size.py --batch 4
    PYTHONPATH=. python benchmarks/step_by_size.py --prior --batch 32

Made-up pictures, and untrained weights; the sizes take turns, step by step, and medians
are compared.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from pokejax.attributes import CONDITIONS
from pokejax.config import Config, TextConfig, load, override
from pokejax.data.split import Dataset, Split
from pokejax.inference import bundle
from pokejax.inference.bundle import Header, new_model
from pokejax.training.trainer import Trainer

SIZES = (64, 128)


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


def with_base(config: Config, data: Dataset, folder: Path) -> Config:
    """A prior's config whose first stage is there, untrained."""
    path = folder / f"{config.data.image_size}.safetensors"
    header = Header(config, data.text_dim, data.encoder, 0, 0.0)
    bundle.write(path, header, nnx.state(new_model(header, rngs=nnx.Rngs(0))))
    return replace(config, prior=replace(config.prior, base=str(path)))


def main(argv: Sequence[str] | None = None) -> None:
    """Print the seconds of a step for each size, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prior", action="store_true", help="the second stage's step")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=5, help="timed, after the first")
    args = parser.parse_args(argv)
    changes = {"train.batch_size": args.batch, "train.steps_per_call": 1}
    names = [f"thumbnail{size}{'_prior' * args.prior}" for size in SIZES]
    trainers: list[Trainer] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, side in zip(names, SIZES, strict=True):
            config = override(load(name), {**changes, "mesh.devices": 1})
            data = noise(args.batch, side)
            if args.prior:
                config = with_base(config, data, Path(folder))
            trainers.append(Trainer(config, data))
    seconds: list[list[float]] = [[] for _ in names]
    for _ in range(args.steps + 1):
        for trainer, own in zip(trainers, seconds, strict=True):
            _, split, rows = next(trainer.feed.train_batches(0, 1))
            start = time.perf_counter()
            jax.block_until_ready(trainer.call(split, rows, jnp.float32(1)))
            own.append(time.perf_counter() - start)
    medians = [statistics.median(own[1:]) for own in seconds]
    for name, own, median in zip(names, seconds, medians, strict=True):
        print(
            f"{name}, batch {args.batch}: first step {own[0]:.1f} s, then"
            f" {median:.3f} s a step, {median / medians[0]:.2f} times the first"
        )


if __name__ == "__main__":
    main()
