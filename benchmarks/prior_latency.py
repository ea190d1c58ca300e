"""What sampling with the learned prior costs, beside a plain decode of N(0, 1).

    python benchmarks/prior_latency.py

Both draw one picture through `Sampler`, as commands and service do, each in a process
of its own, taking turns (`turns.py`).
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import turns

SIDES = ("normal", "flow")
CALLS = 20  # a turn


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Time the drawing of one picture with and without the prior.",
        epilog="example: python benchmarks/prior_latency.py --rounds 15",
    )
    parser.add_argument("--model", type=Path, help="default: the shipped one")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each side")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="cores that each side gets"
    )
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    turns.use_threads(args.threads)
    if args.side:
        serve(args.side, args.model)
        return
    arguments = ["--threads", str(args.threads)]
    arguments += ["--model", str(args.model)] if args.model else []
    taken = turns.take_turns(SIDES, __file__, arguments, args.rounds)
    turns.table(taken, "normal", pictures=1)


def serve(side: str, model: Path | None) -> None:
    import jax

    from pokejax import Sampler
    from pokejax.inference import shipped

    def prepare():
        prior = "flow" if side == "flow" else "normal"
        sampler = Sampler.load(model or shipped.MODEL, prior=prior)
        return lambda: sampler.generate("a red dragon", seed=1)

    turns.serve(prepare, CALLS, f"jax {jax.__version__}")


if __name__ == "__main__":
    main()
