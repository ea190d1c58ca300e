"""The command: a training run's checkpoint -> one bundle file for inference."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from flax import nnx

from pokejax import startup
from pokejax.arguments import Parser
from pokejax.commands import call_of
from pokejax.config import ConfigError, override
from pokejax.files import check_writable
from pokejax.inference import bundle as bundle_lib
from pokejax.inference.bundle import Bundle, BundleError, Header
from pokejax.inference.sampler import open_model
from pokejax.training.checkpoint import CheckpointError, load_bundle


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 when written, 2 on bad input."""
    parser = Parser(
        prog=call_of("pokejax.export"),
        description="Export a checkpoint as a bundle: one safetensors file, no pickle.",
        epilog="example: %(prog)s --checkpoint runs/quickstart --out model.safetensors",
    )
    parser.add_argument(
        "--checkpoint", type=Path, required=True, help="directory of a training run"
    )
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument(
        "--quick",
        type=Path,
        metavar="RUN",
        help="directory of a run that distilled this one's prior, or its bundle: added,"
        " for requests that leave guidance as it is",
    )
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
    parser.add_argument(
        "--guidance",
        type=float,
        help="default guidance of the bundle (default: the run's prior.guidance)",
    )
    parser.add_argument(
        "--steps",
        type=int,
        help="sampling steps of the bundle (default: the run's prior.steps)",
    )
    args = parser.parse_args(argv)
    try:
        check_writable(args.out)
        bundle = load_bundle(args.checkpoint, which=args.which)
        prior = nnx.state(bundle.prior) if bundle.prior else None
        params = nnx.state(bundle.model)
        header = _tuned(bundle, args.guidance, args.steps)
        quick = None
        if args.quick:
            given = open_model(args.quick)
            header = bundle_lib.with_quick(header, given, args.quick)
            quick = nnx.state(given.prior)
        bundle_lib.write(args.out, header, params, prior, quick=quick, dtype=args.dtype)
        written = bundle_lib.read(args.out)
    except (CheckpointError, BundleError, ConfigError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    size = args.out.stat().st_size / 2**20
    print(f"{args.out}: {written.model_id}, epoch {header.epoch}, {size:.1f} MiB")
    return 0


def _tuned(bundle: Bundle, guidance: float | None, steps: int | None) -> Header:
    changes = {"prior.guidance": guidance, "prior.steps": steps}
    given = {name: value for name, value in changes.items() if value is not None}
    if given and bundle.prior is None:
        raise ConfigError(f"{', '.join(given)}: this run has no prior to tune")
    return replace(bundle.header, config=override(bundle.header.config, given))


if __name__ == "__main__":
    startup.ready()
    sys.exit(main())
