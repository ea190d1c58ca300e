"""The command that measures a model on species it was never trained on.

Owns the protocol: which pictures, prompts and seeds, and in which order the parts of
`pokejax.evaluation` look at them. `quick` is for use during training.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pokejax.evaluation import adherence, features, nearest, quality, report, subject
from pokejax.evaluation.inception import Inception
from pokejax.evaluation.reference import Reference
from pokejax.inference import shipped
from pokejax.inference.bundle import Bundle, BundleError
from pokejax.inference.recipe import SEED_LIMIT, Recipe
from pokejax.inference.sampler import Sampler
from pokejax.models.cvae import parameter_count
from pokejax.prompts.rules import parse_by_rules

DEFAULT_OUT = Path("outputs/evaluation")
QUICK_NUM = 256
# Rows of the contact sheet, which shows seeds 0 to 15 of each.
SHEET_PROMPTS: tuple[str, ...] = (
    "a red fire lizard",
    "a blue water fish",
    "a small blue water turtle with a red shell",
    "a big green grass dinosaur",
    "a yellow electric mouse",
    "a purple ghost",
    "a pink fairy creature",
    "a brown rock golem from the mountains",
)
_SHEET_COLUMNS = 16
_COLOR_PROMPTS = 220  # pictures: 20 of each colour
_SWAPS = 128
_DIVERSITY_PROMPTS = 128


def quick(sampler: Sampler, reference: Reference, *, seed: int = 0) -> dict[str, Any]:
    """KID, FID and colour adherence on the reference's pictures, in seconds.

    Args:
      sampler: the model, from `subject.sampler_for`.
      reference: keep it over several calls; its statistics are computed once.
      seed: of prompts and pictures.

    Returns:
      `generation` and `adherence` as the command writes them, for colour only.
    """
    images = _draw_heldout(sampler, reference, seed, 0)
    drawn = features.extract(images, perceptual=False, progress="features").pooled
    colors = {
        kind: {"primary_color": adherence.seen_colors(shown)}
        for kind, shown in (("drawn", images), ("real", reference.heldout.images[:]))
    }
    return {
        "generation": quality.likeness(drawn, reference, seed),
        "adherence": adherence.adherence(reference.heldout.attributes, **colors),
    }


class _Evaluation:
    """Everything at once: results by part, contact sheets by name, seconds by part."""

    def __init__(
        self,
        sampler: Sampler,
        reference: Reference,
        *,
        seed: int,
        samples: int,
        inception: Inception | None,
    ):
        self.sampler, self.reference, self.inception = sampler, reference, inception
        self.seed, self.samples = seed, samples
        self.real = reference.heldout.images[:]
        self.results: dict[str, Any] = {"left_out": []}
        self.sheets: dict[str, Image.Image] = {}
        self.seconds: dict[str, float] = {}

    def run(self) -> None:
        """Measure all parts."""
        reference = self.reference
        with self._timed("reference"):
            _ = reference.heldout_pooled, reference.train_pooled, reference.judge
            _ = reference.heldout_nearest
        with self._timed("reconstruction"):
            rows = reference.prompt_rows(self.seed)
            rebuilt = subject.rebuild(self.sampler.bundle, reference, rows)
            part = quality.reconstruction(rebuilt, self.real)
            self.results["reconstruction"] = part | self._rebuilt(rebuilt)
            self.results["latent"] = quality.latent_health(rebuilt)
        with self._timed("drawing"):
            images = _draw_heldout(self.sampler, reference, self.seed, 0)
        with self._timed("generation"):
            found = features.extract(images, perceptual=False, progress="features")
            part = quality.likeness(found.pooled, reference, self.seed)
            self.results["generation"] = part
        if self.inception:
            with self._timed("inception"):
                pooled = self.inception.pooled(images, progress="Inception")
                real = reference.seen_by(self.inception)
                part = quality.likeness(pooled, real, self.seed)
                self.results["inception"] = part
        with self._timed("adherence"):
            self._adherence(images, found.layout)
        with self._timed("copying"):
            self._copying(images)
        with self._timed("diversity"):
            self._diversity(images)
        with self._timed("prompts"):
            self._prompts()
        some = self._spread()
        self.sheets["heldout"] = report.captioned(
            {
                "real, never trained on": self.real[some],
                "rebuilt": quality.to_uint8(rebuilt.images[some]),
                "drawn from its prompt and attributes": images[some],
            }
        )

    def _rebuilt(self, rebuilt: subject.Rebuilt) -> dict[str, Any]:
        """How good pictures could be if latents were drawn as real ones lie."""
        images = quality.to_uint8(rebuilt.images)
        found = features.extract(images, perceptual=False, progress="features")
        near = quality.likeness(found.pooled, self.reference, self.seed)
        colors = {"primary_color": adherence.seen_colors(images)}
        real = {"primary_color": adherence.seen_colors(self.real)}
        asked = self.reference.heldout.attributes
        scores = adherence.adherence(asked, colors, real)
        return {
            "fid_over_floor": near["fid_over_floor"],
            "kid": near["drawn"]["kid"],
            "color_over_real": scores["primary_color"]["drawn_over_real"],
        }

    def _adherence(self, images: UInt8[np.ndarray, "n h w 3"], layout) -> None:
        judge = self.reference.judge
        colors = adherence.seen_colors(images)
        self.results["adherence"] = adherence.adherence(
            self.reference.heldout.attributes,
            {"primary_color": colors, **judge.read(layout)},
            adherence.read_all(judge, self.real, "reading real pictures"),
        )

    def _copying(self, images: UInt8[np.ndarray, "n h w 3"]) -> None:
        train = self.reference.train.images[:]
        found = nearest.nearest_pictures(images, train)
        part = quality.copying(found, self.reference.heldout_nearest)
        self.results["copying"] = part
        some = self._spread()
        closest = np.argsort(found.distance, kind="stable")[:_SHEET_COLUMNS]
        self.sheets["nearest"] = report.captioned(
            {
                "drawn": images[some],
                "nearest training picture, or its mirror image": train[found.row[some]],
                "drawn, the nearest of all": images[closest],
                "nearest training picture": train[found.row[closest]],
            }
        )

    def _diversity(self, images: UInt8[np.ndarray, "n h w 3"]) -> None:
        if self.samples < 2:
            self.results["left_out"].append("diversity (one sample a prompt)")
            return
        n = min(_DIVERSITY_PROMPTS, len(images))
        rows = np.arange(n) * len(images) // n
        more = [
            _draw_heldout(self.sampler, self.reference, self.seed, i, rows)
            for i in range(1, self.samples)
        ]
        groups = np.stack([images[rows], *more], axis=1)
        part = quality.diversity(list(groups), self.real, self.seed)
        self.results["diversity"] = part

    def _prompts(self) -> None:
        """Whatever needs prompts that aren't the dataset's."""
        if not subject.reads_any_prompt(self.sampler):
            reason = "plain prompts, swap test and their sheet (no text encoder here)"
            self.results["left_out"].append(reason)
            return
        self.results["color_prompts"] = adherence.color_prompts(
            self.sampler, num=_COLOR_PROMPTS, seed=self.seed
        )
        self.results["swap"] = adherence.swap_test(
            self.sampler, self.reference, num=_SWAPS, seed=self.seed
        )
        recipes = [
            Recipe(prompt, parse_by_rules(prompt).attributes, seed)
            for prompt in SHEET_PROMPTS
            for seed in range(_SHEET_COLUMNS)
        ]
        images = subject.draw(self.sampler, recipes, "contact sheet")
        rows = np.split(images, len(SHEET_PROMPTS))
        self.sheets["prompts"] = report.captioned(
            dict(zip(SHEET_PROMPTS, rows, strict=True))
        )

    def _spread(self) -> np.ndarray:
        """Rows of sixteen held-out pictures, evenly spaced."""
        n = min(_SHEET_COLUMNS, len(self.real))
        return np.arange(n) * len(self.real) // n

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[part] = round(time.perf_counter() - start, 2)


def _draw_heldout(
    sampler: Sampler,
    reference: Reference,
    seed: int,
    sample: int,
    rows: np.ndarray | None = None,
) -> UInt8[np.ndarray, "n h w 3"]:
    """Draw held-out pictures' prompts and attributes, no seed twice."""
    records, prompts = reference.attributes(), reference.prompt_rows(seed)
    n = len(records)
    recipes = [
        Recipe(reference.prompts[prompts[i]], records[i], seed + sample * n + int(i))
        for i in (np.arange(n) if rows is None else rows)
    ]
    return subject.draw(sampler, recipes, f"drawing, sample {sample + 1}")


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse and check the command line; exits with 2 on bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m pokejax.evaluate",
        description=(
            "Measure a model on species it was never trained on: how like real pictures"
            " its pictures are, whether they show what was asked for, and whether they"
            " are copies. Writes JSON, a Markdown table and contact sheets."
        ),
        epilog=(
            "example: python -m pokejax.evaluate --data pokemon-cifar-64"
            " --model runs/mine --out results/mine.json"
        ),
    )
    add = parser.add_argument
    add(
        "--model",
        type=Path,
        default=shipped.MODEL,
        help="bundle, or a run's directory (default: the one that comes with pokejax)",
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
        choices=("flow", "normal"),
        default="flow",
        help="where latents come from: the model's learned prior, if it has one, or"
        " N(0, 1) (default: flow)",
    )
    add(
        "--inception",
        type=Path,
        metavar="FILE",
        help="FID, KID and the rest in InceptionV3's space, too: its weights as"
        " safetensors, in pytorch-fid's names (slow on a CPU)",
    )
    add("--num", type=int, help="held-out pictures, evenly spaced (default: all)")
    add("--seed", type=int, default=0, help="of prompts and pictures (default: 0)")
    add(
        "--samples-per-prompt",
        type=int,
        default=4,
        help="pictures of one prompt whose differences are measured (default: 4)",
    )
    add(
        "--quick",
        action="store_true",
        help=f"only KID, FID and colour (default of --num: {QUICK_NUM})",
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
        raise ValueError("--inception is slow; expected it without --quick")
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
            "prior": _prior(bundle) if args.prior == "flow" else None,
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
        full = _Evaluation(
            sampler,
            reference,
            seed=args.seed,
            samples=args.samples_per_prompt,
            inception=inception,
        )
        full.run()
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
        results, sheets = _evaluate(args)
        name = "quick.json" if args.quick else "results.json"
        paths = report.write(args.out or DEFAULT_OUT / name, results, sheets)
    except (BundleError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(report.markdown(results))
    for path in paths:
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
