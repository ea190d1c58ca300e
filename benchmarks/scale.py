"""What more devices cost and gain: the arithmetic of docs/scale.md.

    python benchmarks/scale.py

compiles a train step of each recipe and reads off its work; with `--exchange` also what
eight pretended devices tell each other in it, their weights whole or cut in four, which
takes some minutes more. Nothing is run, so a busy machine gives the same numbers. The
table is arithmetic on these, with `--tflops` for what a device achieves.
"""

import argparse
import os
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

# Nothing is run, so the machine code needn't be good.
os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
    " --xla_llvm_disable_expensive_passes=true"
)

import jax
import jax.numpy as jnp
from step_by_size import noise

from pokejax.config import load, override
from pokejax.inference import shipped
from pokejax.training.trainer import Trainer

DEVICES = 8
LAYOUTS: dict[str, dict[str, Any]] = {
    "one device": {"mesh.devices": 1},
    "8, whole weights": {},
    "2 x 4, cut in 4": {"mesh.shard_params": True, "mesh.fsdp": 4},
}
# Bytes a second in each direction, of one device.
LINKS = {"NVLink, 450 GB/s": 450e9, "400 Gbit/s": 50e9, "10 Gbit/s": 1.25e9}
_WIDTHS = {"f32": 4, "bf16": 2, "s32": 4, "u32": 4, "pred": 1, "u8": 1}
_COLLECTIVE = re.compile(
    r"= (\(?[^=]*?) (all-reduce|all-gather|reduce-scatter|all-to-all"
    r"|collective-permute)(?:-start)?\("
)


def collectives(program: str) -> Counter[str]:
    """Bytes of what each kind of collective gives a device, in a compiled program."""
    counted: Counter[str] = Counter()
    for shapes, kind in _COLLECTIVE.findall(program):
        for dtype, sides in re.findall(r"(\w+)\[([\d,]*)\]", shapes):
            count = 1
            for side in filter(None, sides.split(",")):
                count *= int(side)
            counted[kind] += count * _WIDTHS[dtype]
    return counted


def compiled(recipe: str, layout: dict[str, Any], pictures: int) -> tuple[Any, Trainer]:
    """A recipe's train step for a batch of so many pictures, and its trainer."""
    config = load(recipe)
    changes = {"train.batch_size": pictures, "train.steps_per_call": 1, **layout}
    if config.prior.base:
        changes |= {"prior.base": str(shipped.MODEL)}
    config = override(config, changes)
    trainer = Trainer(config, noise(pictures, config.data.image_size))
    _, split, rows = next(trainer.feed.train_batches(0, 1))
    steps: Any = trainer.train_steps
    lowered = steps.lower(
        trainer.state, trainer.frozen, split, rows, jnp.float32(1), trainer.key
    )
    return lowered.compile(), trainer


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    recipes = ["thumbnail64", "thumbnail64_prior"]
    parser.add_argument("--recipes", nargs="+", default=recipes)
    parser.add_argument(
        "--tflops", type=float, default=20, help="10^12 operations a second achieved"
    )
    parser.add_argument(
        "--exchange", action="store_true", help="count what eight devices exchange"
    )
    args = parser.parse_args(argv)
    layouts = LAYOUTS if args.exchange else {"one device": LAYOUTS["one device"]}
    work: dict[str, tuple[int, float]] = {}
    for recipe in args.recipes:
        print(f"\n{recipe}")
        for name, layout in layouts.items():
            program, trainer = compiled(recipe, layout, DEVICES)
            leaves = jax.tree.leaves(trainer.state.params)
            parameters = sum(leaf.size for leaf in leaves)
            there = program.memory_analysis().argument_size_in_bytes
            told = ", ".join(
                f"{kind} {size / 1e6:.2f} MB"
                for kind, size in sorted(collectives(program.as_text()).items())
            )
            print(f"  {name:18} arguments {there / 1e6:6.1f} MB; {told or 'nothing'}")
            if trainer.mesh.size == 1:
                flops = program.cost_analysis()["flops"] / DEVICES
                work[recipe] = parameters, flops
                print(f"    {parameters:,} weights, {flops / 1e9:.2f} GFLOP a picture")
    print(f"\nPictures a device and step from which computing, at {args.tflops:g}")
    print("TFLOP/s, takes longer than a ring's all-reduce of the gradients:")
    print(f"\n| recipe | {' | '.join(LINKS)} |\n|---|{'---|' * len(LINKS)}")
    for recipe, (parameters, flops) in work.items():
        picture = flops / (args.tflops * 1e12)
        least = (2 * 4 * parameters / speed / picture for speed in LINKS.values())
        print(f"| {recipe} | {' | '.join(f'{n:,.1f}' for n in least)} |")


if __name__ == "__main__":
    main()
