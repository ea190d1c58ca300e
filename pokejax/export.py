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
    parser.add_argument(
        "--dtype",
        choices=("float32", "float16"),
        default="float32",
        help="float16 halves the file; both are used as float32 (default: float32)",
    )
    args = parser.parse_args(argv)
    try:
        bundle = load_bundle(args.checkpoint, which=args.which)
        prior = nnx.state(bundle.prior) if bundle.prior else None
        params = nnx.state(bundle.model)
        bundle_lib.write(args.out, bundle.header, params, prior, dtype=args.dtype)
    except (CheckpointError, BundleError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    size = args.out.stat().st_size / 2**20
    bundle = bundle_lib.read(args.out)
    print(f"{args.out}: {bundle.model_id}, epoch {bundle.header.epoch}, {size:.1f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
