"""What sampling with the learned priors costs, beside a plain decode of N(0, 1).

    python benchmarks/prior_latency.py [--pictures 8]

All draw through `Sampler`, as commands and service do, each in a process of its own,
taking turns (`turns.py`): with the quick prior, which plain requests get, and with the
full one, which all others get.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import turns

SIDES = ("normal", "flow", "full")
CALLS = 20  # a turn


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Time the drawing of pictures with and without the priors.",
        epilog="example: python benchmarks/prior_latency.py --rounds 15",
    )
    parser.add_argument("--model", type=Path, help="default: the shipped one")
    parser.add_argument("--pictures", type=int, default=1, help="in a call")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each side")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="cores that each side gets"
    )
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    turns.use_threads(args.threads)
    if args.side:
        serve(args.side, args.model, args.pictures)
        return
    arguments = ["--threads", str(args.threads), "--pictures", str(args.pictures)]
    arguments += ["--model", str(args.model)] if args.model else []
    taken = turns.take_turns(SIDES, __file__, arguments, args.rounds)
    turns.table(taken, "normal", pictures=args.pictures)


def serve(
    side: Literal["normal", "flow", "full"], model: Path | None, pictures: int
) -> None:
    import jax

    from pokejax import Sampler
    from pokejax.inference import shipped

    def prepare():
        sampler = Sampler.load(model or shipped.MODEL, prior=side)
        return lambda: sampler.generate("a red dragon", seed=1, num=pictures)

    turns.serve(prepare, CALLS, f"jax {jax.__version__}")


if __name__ == "__main__":
    main()
