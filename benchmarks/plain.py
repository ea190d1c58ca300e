"""What imagining the rest does for prompts that say little.

    python benchmarks/plain.py --data DIR [--model FILE]

DIR holds a dataset with native sprites. Twenty-four pictures of each of 16 short
prompts, with what they leave open left open, and imagined, measured as by `faces.py`.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
from faces import COLOR, Real

from pokejax.data import dataset as datasets
from pokejax.images.finish import USUAL_COLORS
from pokejax.inference import shipped
from pokejax.inference.recipe import Recipe
from pokejax.inference.sampler import Sampler, open_model
from pokejax.prompts.rules import parse_by_rules
from pokejax.text import load_text_encoder

PROMPTS = (
    "a red fire lizard", "a blue water fish", "a big green grass dinosaur",
    "a yellow electric mouse", "a purple ghost", "a pink fairy creature",
    "a brown rock golem from the mountains", "a white ice fox", "a black dragon",
    "a green bug", "an orange cat", "a gray steel robot", "a small blue bird",
    "a red crab", "a yellow bee", "a purple snake",
)  # fmt: skip
EACH = 24


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="dataset with native sprites")
    parser.add_argument("--model", type=Path, default=shipped.MODEL)
    args = parser.parse_args()
    bundle = open_model(args.model)
    config = bundle.header.config
    data = dataclasses.replace(config.data, dir=args.data, views=())
    splits = datasets.load(data, config.text).splits
    real = Real(splits["train"], splits["test"])
    recipes = [
        Recipe(prompt, parse_by_rules(prompt).attributes, 1000 + EACH * i + j)
        for i, prompt in enumerate(PROMPTS)
        for j in range(EACH)
    ]
    asked = np.array([recipe.attributes.ids()[COLOR] for recipe in recipes])
    print("| the rest | KID, AlexNet | VGG16 | fronts | told apart | colour |")
    print("|---|---:|---:|---:|---:|---:|")
    for name in ("open", "imagined"):
        sampler = Sampler(bundle, load_text_encoder(config.text))
        if name == "open":
            sampler.imagine = lambda ids, seed, avoided: ids
        samples = sampler.sample(recipes)
        images = np.stack([sample.finished(USUAL_COLORS).image for sample in samples])
        print(real.row(name, images, asked), flush=True)


if __name__ == "__main__":
    main()
