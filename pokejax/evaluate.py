"""The command that measures a model on species it was never trained on."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from pokejax import startup
from pokejax.arguments import Parser
from pokejax.commands import call_of
from pokejax.evaluation import features, quality, report, subject
from pokejax.evaluation.inception import Inception
from pokejax.evaluation.protocol import Evaluation, quick
from pokejax.evaluation.reference import Reference
from pokejax.files import check_writable
from pokejax.inference import shipped
from pokejax.inference.bundle import Bundle, BundleError
from pokejax.inference.recipe import SEED_LIMIT
from pokejax.models.cvae import parameter_count

DEFAULT_OUT = Path("outputs/evaluation")
QUICK_NUM = 256


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse and check the command line; exits with 2 on bad input."""
    parser = Parser(
        prog=call_of("pokejax.evaluate"),
        description=(
            "Measure a model on species it was never trained on: how closely its"
            " pictures resemble real ones, whether they show what was asked for, and"
            " whether they are copies. Writes JSON, a Markdown table and contact"
            " sheets."
        ),
        epilog=(
            "example: %(prog)s --data pokemon-cifar-64 --model runs/mine"
            " --out results/mine.json"
        ),
    )
    add = parser.add_argument
    add(
        "--model",
        type=Path,
        default=shipped.MODEL,
        help="bundle, or a run's directory (default: the included model)",
    )
    add("--data", type=Path, required=True, help="dataset directory or packed .npz")
    add(
        "--out",
        type=Path,
        help="the JSON; table and sheets go beside it (default:"
        f" {DEFAULT_OUT}/results.json, or quick.json)",
    )
    add(
        "--split",
        choices=("val", "test"),
        default="test",
        help="which held-out pictures (default: test; use val while you choose)",
    )
    add(
        "--prior",
        choices=("flow", "full", "normal"),
        default="flow",
        help="where latents come from: the model's learned prior, if it has one, and"
        " its quick one where that will do (flow); never the quick one (full); or"
        " N(0, 1) (normal) (default: flow)",
    )
    add(
        "--inception",
        type=Path,
        metavar="FILE",
        help="also measure FID, KID and so on in InceptionV3's features; FILE holds"
        " its weights as safetensors, named as in pytorch-fid (slow on a CPU)",
    )
    add("--num", type=int, help="held-out pictures, evenly spaced (default: all)")
    add("--seed", type=int, default=0, help="seed of prompts and pictures (default: 0)")
    add(
        "--samples-per-prompt",
        type=int,
        default=4,
        help="pictures of one prompt whose differences are measured (default: 4)",
    )
    add(
        "--quick",
        action="store_true",
        help=f"measure only KID, FID and colour (--num is then {QUICK_NUM} by default)",
    )
    return parser.parse_args(argv)


def _check(args: argparse.Namespace) -> None:
    limit = SEED_LIMIT // 2
    if args.num is not None and args.num <= quality.NEIGHBOURS:
        raise ValueError(
            f"num is {args.num}; expected more than {quality.NEIGHBOURS}, the"
            " neighbours that precision and coverage look at"
        )
    if not 0 <= args.seed < limit:
        raise ValueError(f"seed is {args.seed}; expected 0 to {limit - 1:,}")
    if args.inception and args.quick:
        raise ValueError("--inception is too slow for --quick; pass one of them")
    if not 1 <= args.samples_per_prompt <= 100:
        raise ValueError(
            f"samples-per-prompt is {args.samples_per_prompt}; expected 1 to 100"
        )


def _evaluate(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Results and contact sheets of what the command line asks for."""
    start = time.perf_counter()
    inception = Inception(args.inception) if args.inception else None
    bundle, dataset = subject.load(args.model, args.data)
    num = args.num or (QUICK_NUM if args.quick else 0)
    reference = Reference(dataset, args.split, args.data, num=num)
    sampler = subject.sampler_for(bundle, reference, prior=args.prior)
    loading = {"loading": round(time.perf_counter() - start, 2)}
    heading = {
        "model": {
            "id": sampler.model_id,
            "epoch": bundle.header.epoch,
            "encoder": bundle.header.encoder,
            "parameters": parameter_count(bundle.model),
            "prior": None if args.prior == "normal" else _prior(bundle),
        },
        "data": {
            "split": args.split,
            "heldout": len(reference.heldout),
            "train": len(reference.train),
            "reference_hash": reference.hash,
        },
        "protocol": {
            "features": features.NAME,
            "inception": inception.fingerprint if inception else None,
            "fid_dimensions": features.FID_DIM,
            "neighbours": quality.NEIGHBOURS,
            "seed": args.seed,
            "samples_per_prompt": args.samples_per_prompt,
            "tile_rows": sampler.tile_rows,
            "device": jax.devices()[0].device_kind,
            "jax": jax.__version__,
        },
    }
    if args.quick:
        parts = quick(sampler, reference, seed=args.seed) | {
            "left_out": ["all but KID, FID and colour (--quick)"]
        }
        sheets: dict[str, Any] = {}
        seconds = {}
    else:
        full = Evaluation(
            sampler,
            reference,
            seed=args.seed,
            samples=args.samples_per_prompt,
            inception=inception,
        )
        full.measure()
        parts, sheets, seconds = full.results, full.sheets, full.seconds
    total = {"total": round(time.perf_counter() - start, 2)}
    return heading | parts | {"seconds": loading | seconds | total}, sheets


def _prior(bundle: Bundle) -> dict[str, Any] | None:
    if bundle.prior is None:
        return None
    sampling = bundle.header.config.prior
    return {
        "parameters": parameter_count(bundle.prior),
        "steps": sampling.steps,
        "guidance": sampling.guidance,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 when measured, 2 on bad input."""
    args = parse_arguments(argv)
    try:
        _check(args)
        name = "quick.json" if args.quick else "results.json"
        out = args.out or DEFAULT_OUT / name
        check_writable(out)
        results, sheets = _evaluate(args)
        paths = report.write(out, results, sheets)
    except (BundleError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(report.markdown(results))
    for path in paths:
        print(path)
    return 0


if __name__ == "__main__":
    startup.ready()
    sys.exit(main())
