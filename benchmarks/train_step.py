"""One full train step with LPIPS: pokejax beside the original's in PyTorch.

    PYTHONPATH=.:tests/parity python benchmarks/train_step.py --batch 128

In the environment that `make parity` builds. The same layers, batch and threads, random
pictures; each side in a process of its own, taking turns (`turns.py`). Ours is what
`pokejax.train` runs, reading of rows and logging of losses included; PyTorch's side is
given its batch for nothing.
"""

# torch is in nobody's development environment.
# pyright: reportMissingImports=false

import argparse
import os
from collections.abc import Callable, Sequence

import turns

SIDES = ("pokejax", "PyTorch eager", "PyTorch torch.compile")
STEPS = 4  # a turn


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Time one train step with LPIPS: pokejax, PyTorch, torch.compile.",
        epilog="example: python benchmarks/train_step.py --batch 32 --profile",
    )
    parser.add_argument("--batch", type=int, default=128, help="pictures a step")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each side")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="cores that each side gets"
    )
    parser.add_argument(
        "--profile", action="store_true", help="only ours, and where its time goes"
    )
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = parser().parse_args(argv)
    turns.use_threads(args.threads)
    if args.profile:
        from gpu_training import print_parts, random_dataset, trainer_for

        trainer = trainer_for(args.batch, random_dataset(args.batch))
        print_parts(trainer, args.rounds)
    elif args.side:
        serve(args.side, args.batch, args.threads)
    else:
        print(f"train step with LPIPS, batch {args.batch}, {args.threads} threads")
        arguments = ["--batch", str(args.batch), "--threads", str(args.threads)]
        taken = turns.take_turns(SIDES, __file__, arguments, args.rounds)
        turns.table(taken, SIDES[0], args.batch)


def serve(side: str, batch: int, threads: int) -> None:
    if side == SIDES[0]:
        import jax

        turns.serve(lambda: our_step(batch), STEPS, f"jax {jax.__version__}")
        return
    import torch

    torch.set_num_threads(threads)
    from torch_reference import train_step

    compiled = side == SIDES[2]
    about = f"torch {torch.__version__}"
    turns.serve(lambda: train_step(batch, compiled=compiled), STEPS, about)


def our_step(batch: int) -> Callable[[], object]:
    """One epoch of one step, over and over: all that the trainer does is counted."""
    from gpu_training import random_dataset, trainer_for

    from pokejax.training.mesh import keep_freed_memory

    keep_freed_memory()  # as the training command does
    trainer = trainer_for(batch, random_dataset(batch))
    return lambda: trainer.train_epoch(trainer.step + 1)


if __name__ == "__main__":
    main()
