"""The command: a training run's checkpoint -> one bundle file for inference."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from flax import nnx

from pokejax import bundle as bundle_lib
from pokejax.bundle import BundleError
from pokejax.checkpoint import CheckpointError, load_bundle


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 when written, 2 on bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m pokejax.export",
        description="Export a checkpoint as a bundle: one safetensors file, no pickle.",
        epilog=(
            "example: python -m pokejax.export --checkpoint runs/quickstart"
            " --out model.safetensors"
        ),
    )
    parser.add_argument(
        "--checkpoint", type=Path, required=True, help="directory of a training run"
    )
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument(
        "--which",
        choices=("best", "latest"),
        default="best",
        help="lowest validation loss, or newest (default: best)",
    )
    args = parser.parse_args(argv)
    try:
        bundle = load_bundle(args.checkpoint, which=args.which)
        _, params = nnx.split(bundle.model)
        bundle_lib.write(args.out, bundle.header, params)
    except (CheckpointError, BundleError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    size = args.out.stat().st_size / 2**20
    print(f"{args.out}: {bundle.model_id}, epoch {bundle.header.epoch}, {size:.1f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
