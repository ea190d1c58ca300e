"""How a model's drawings of native fronts compare with real ones, in a minute.

    python benchmarks/faces.py --data DIR --model FILE [--full] [--best-of 4]

192 pictures, four of each of 48 prompts of test species, against 256 real fronts of
test species: KID in the features of AlexNet and of VGG16, through whose layers critics
look when upsamplers are trained; how many a judge takes for fronts, and tells from real
ones; how many have the colour asked for. Real training fronts get the same treatment in
the first line. The whole evaluation is `pokejax evaluate`; this is for choosing.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image

from pokejax.attributes import CONDITIONS, Attributes
from pokejax.data import dataset as datasets
from pokejax.data.split import Split
from pokejax.evaluation import adherence, faces, features, metrics
from pokejax.evaluation.vgg import VGG
from pokejax.images.finish import USUAL_COLORS
from pokejax.inference import shipped
from pokejax.inference.recipe import Recipe
from pokejax.inference.sampler import Sampler, open_model
from pokejax.text import load_text_encoder

PROMPTS, EACH = 48, 4
REAL, TRAIN = 256, 1000
COLOR = list(CONDITIONS).index("primary_color")


def native(split: Split, view: str) -> np.ndarray:
    """Rows of native pictures of a view."""
    wanted = {"style": "native", "view": view}
    columns = {name: list(CONDITIONS).index(name) for name in wanted}
    found = [
        split.attributes[:, columns[name]] == CONDITIONS[name].index(word)
        for name, word in wanted.items()
    ]
    return np.flatnonzero(np.logical_and(*found))


class Real:
    """Real pictures of test species, and the judges."""

    def __init__(self, train: Split, test: Split):
        rng = np.random.default_rng(0)
        fronts = native(test, "front")
        self.rows = fronts[rng.permutation(len(fronts))[:REAL]]
        some = [
            rng.permutation(native(train, view))[:TRAIN] for view in ("front", "back")
        ]
        self.is_front = np.repeat([True, False], [len(rows) for rows in some])
        self.vgg = VGG()
        images = test.images[:][self.rows]
        self.train_images = train.images[:][np.concatenate(some)]
        self.layout = features.extract(self.train_images, perceptual=False).layout
        self.pooled = features.extract(images, perceptual=False).pooled
        self.seen = self.vgg.pooled(images, progress="real fronts")
        self.prompted = fronts[rng.permutation(len(fronts))[:PROMPTS]]

    def row(self, name: str, images: np.ndarray, asked: np.ndarray) -> str:
        """A line of the table: `n h w 3` pictures, and the ids of colours asked for."""
        found = features.extract(images, perceptual=False)
        vgg = self.vgg.pooled(images, progress=name)
        (front,) = faces.front_share(self.layout, self.is_front, [found.layout])
        told = faces.told_apart(found.pooled, self.pooled, 0)
        color = (adherence.seen_colors(images) == asked).mean()
        return (
            f"| {name} | {1000 * metrics.kid(found.pooled, self.pooled):.0f}"
            f" | {1000 * metrics.kid(vgg, self.seen):.0f} | {front:.0%} | {told:.0%}"
            f" | {color:.0%} |"
        )


def main() -> None:
    """Print the table and save the drawings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="dataset with native sprites")
    parser.add_argument("--model", type=Path, default=shipped.MODEL)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--color-guidance", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--full", action="store_true", help="without its quick prior")
    parser.add_argument("--best-of", type=int, default=1)
    parser.add_argument("--sheet", type=Path, default=Path("outputs/faces.png"))
    args = parser.parse_args()
    bundle = open_model(args.model)
    config = bundle.header.config
    changes = {
        name: value
        for name in ("guidance", "color_guidance", "steps")
        if (value := getattr(args, name)) is not None
    }
    prior = dataclasses.replace(config.prior, **changes)
    config = dataclasses.replace(config, prior=prior)
    header = dataclasses.replace(bundle.header, config=config)
    data = dataclasses.replace(config.data, dir=args.data, views=())
    dataset = datasets.load(data, config.text)
    train, test = dataset.splits["train"], dataset.splits["test"]
    real = Real(train, test)
    sampler = Sampler(
        dataclasses.replace(bundle, header=header),
        load_text_encoder(config.text),
        prior="full" if args.full else "flow",
    )
    rows = np.repeat(real.prompted, EACH)
    recipes = [
        Recipe(
            dataset.prompts[test.prompt_ids[row, 0]],
            Attributes.from_ids(test.attributes[row]),
            1000 + i * args.best_of + j,
        )
        for i, row in enumerate(rows)
        for j in range(args.best_of)
    ]
    samples = sampler.best(sampler.sample(recipes), args.best_of)
    asked = test.attributes[rows, COLOR]
    print("| pictures | KID, AlexNet | VGG16 | fronts | told apart | colour |")
    print("|---|---:|---:|---:|---:|---:|")
    own = train.images[:]
    some = native(train, "front")[:: len(native(train, "front")) // REAL][:REAL]
    print(real.row("real, training", own[some], train.attributes[some, COLOR]))
    raw = np.stack([sample.image for sample in samples])
    print(real.row(f"{args.model.stem}, raw", raw, asked), flush=True)
    images = np.stack([sample.finished(USUAL_COLORS).image for sample in samples])
    print(real.row(f"{args.model.stem}, pixel art", images, asked))
    args.sheet.parent.mkdir(parents=True, exist_ok=True)
    grid = np.concatenate([np.concatenate(list(images[i::12]), 1) for i in range(12)])
    Image.fromarray(grid).save(args.sheet)


if __name__ == "__main__":
    main()
