"""What more devices cost and gain: the arithmetic of docs/scale.md.

    PYTHONPATH=.:benchmarks python benchmarks/scale.py --recipes thumbnail64

compiles a train step of each recipe for one device and reads off its work; nothing is
run, so a busy machine gives the same numbers. The table is arithmetic on these.
"""

import argparse
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from step_by_size import noise

from pokejax.config import load, override
from pokejax.inference import shipped
from pokejax.training.trainer import Trainer

BATCH = 8
# Bytes a second in each direction, of one device.
LINKS = {"NVLink, 450 GB/s": 450e9, "400 Gbit/s": 50e9, "10 Gbit/s": 1.25e9}


def work_of(recipe: str) -> tuple[int, float]:
    """How many weights a recipe trains, and a step's operations for each picture."""
    config = load(recipe)
    changes: dict[str, Any] = {"train.batch_size": BATCH, "train.steps_per_call": 1}
    if config.prior.base:
        changes["prior.base"] = str(shipped.MODEL)
    config = override(config, changes | {"mesh.devices": 1})
    trainer = Trainer(config, noise(BATCH, config.data.image_size))
    _, split, rows = next(trainer.feed.train_batches(0, 1))
    steps: Any = trainer.train_steps
    lowered = steps.lower(
        trainer.state, trainer.frozen, split, rows, jnp.float32(1), trainer.key
    )
    flops = lowered.compile().cost_analysis()["flops"]
    leaves = jax.tree.leaves(trainer.state.params)
    return sum(leaf.size for leaf in leaves), flops / BATCH


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    recipes = ["thumbnail64", "thumbnail64_prior"]
    parser.add_argument("--recipes", nargs="+", default=recipes)
    parser.add_argument(
        "--tflops", type=float, default=20, help="10^12 operations a second achieved"
    )
    args = parser.parse_args(argv)
    for recipe in args.recipes:
        parameters, flops = work_of(recipe)
        picture = flops / (args.tflops * 1e12)
        print(
            f"{recipe}: {parameters:,} weights, {flops / 1e9:.2f} GFLOP a picture,"
            f" {1e6 * picture:.0f} µs at {args.tflops:g} TFLOP/s"
        )
        for link, speed in LINKS.items():
            # A ring sends and receives all gradients twice, less a share of a device.
            seconds = 2 * 4 * parameters / speed
            print(
                f"  {link:18} all-reduce {1e6 * seconds:6.0f} µs, as long as"
                f" {seconds / picture:.1f} pictures"
            )


if __name__ == "__main__":
    main()
