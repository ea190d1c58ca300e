"""The command: gives a bundle a picker, which `--best-of` needs."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from flax import nnx
from tqdm import tqdm

from pokejax import startup
from pokejax.arguments import Parser
from pokejax.attributes import CONDITIONS, Attributes
from pokejax.commands import call_of
from pokejax.data import dataset as datasets
from pokejax.data.dataset import DataError
from pokejax.data.split import Dataset
from pokejax.files import check_writable
from pokejax.inference import bundle as bundle_lib
from pokejax.inference import shipped
from pokejax.inference.bundle import BundleError
from pokejax.inference.recipe import Recipe
from pokejax.inference.sampler import Sampler
from pokejax.text import load_text_encoder
from pokejax.training import picking


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse and check the command line; exits with 2 on bad input."""
    parser = Parser(
        prog=call_of("pokejax.picker"),
        description="Train a picker for a model, and write the bundle with it: a small"
        " judge that tells the model's drawings from real pictures, and reads what they"
        " show. `--best-of` keeps the drawings that it likes best.",
        epilog="example: %(prog)s --data pokemon-cifar-64 --model model.safetensors"
        " --out model.safetensors",
    )
    parser.add_argument(
        "--data", required=True, help="dataset, as the model was trained on"
    )
    parser.add_argument(
        "--model",
        type=Path,
        default=shipped.MODEL,
        help="bundle (default: what ships)",
    )
    parser.add_argument("--out", type=Path, required=True, help="the bundle to write")
    parser.add_argument(
        "--drawn",
        type=int,
        default=6000,
        metavar="N",
        help="drawings to learn from, and as many real pictures (default: 6000)",
    )
    parser.add_argument(
        "--epochs", type=int, default=10, help="over all of them (default: 10)"
    )
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    args = parser.parse_args(argv)
    for name in ("drawn", "epochs"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} is {getattr(args, name)}; expected 1 or more")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 when written, 2 on bad input."""
    args = parse_arguments(argv)
    try:
        check_writable(args.out)
        bundle = bundle_lib.read(args.model)
        config = bundle.header.config
        data = replace(config.data, dir=args.data, views=())
        dataset = datasets.load(data, config.text)
        sampler = Sampler(bundle, load_text_encoder(config.text))
        real, drawn = _pictures(sampler, dataset, args.drawn, args.seed)
        picker, right = picking.fit(real, drawn, epochs=args.epochs, seed=args.seed)
        bundle_lib.write_picker(args.model, args.out, nnx.state(picker))
    except (BundleError, DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    told = ", ".join(f"{name} {share:.0%}" for name, share in right.items())
    print(f"{args.out}: {bundle.model_id} with a picker; right about {told}")
    return 0


def _pictures(
    sampler: Sampler, dataset: Dataset, num: int, seed: int
) -> tuple[picking.Shown, np.ndarray]:
    """Real pictures, and drawings of their prompts, as the model usually draws."""
    if not dataset.prompts:
        raise DataError("a packed dataset holds no prompts; expected its directory")
    train = dataset.splits["train"]
    usual = {"view": "front", "style": "native"}
    likely = np.ones(len(train))
    for name, word in usual.items():
        ids = train.attributes[:, list(CONDITIONS).index(name)]
        likely *= np.where(ids == CONDITIONS[name].index(word), 1, 0.25)
    rng = np.random.default_rng(seed)
    count = min(num, len(train))
    rows = np.sort(rng.choice(len(train), count, False, likely / likely.sum()))
    recipes = [
        Recipe(
            dataset.prompts[train.prompt_ids[row, 0]],
            Attributes.from_ids(train.attributes[row]),
            seed + i,
        )
        for i, row in enumerate(rows)
    ]
    drawn: list[np.ndarray] = []
    with tqdm(total=count, desc="drawing", unit="picture") as bar:
        for start in range(0, count, sampler.tile_rows):
            some = sampler.sample(recipes[start : start + sampler.tile_rows])
            drawn += [sample.image for sample in some]
            bar.update(len(some))
    real = picking.Shown(train.images[:][rows], train.attributes[rows])
    return real, np.stack(drawn)


if __name__ == "__main__":
    startup.ready()
    sys.exit(main())
