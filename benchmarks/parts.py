"""Parts in colours of their own: how often they come out, and where real ones are.

    python benchmarks/parts.py --data DIR [--model FILE]
    python benchmarks/parts.py --data DIR --where

DIR holds a dataset with native sprites. The first draws pictures of unseen species'
captions that name a part with a place and its colour, once as usual and once without
painting parts, and says in how many of them, and of the real pictures, at least a
quarter of that place has the colour. The second prints maps of real training fronts:
how much more frequent (in percent) the colour of a named part is in each square of a
silhouette than in all of it, in squares of 0.45 of its standard deviations.
"""

import argparse
import dataclasses
from collections import defaultdict
from pathlib import Path

import numpy as np
from faces import native

from pokejax.attributes import COLORS, Attributes
from pokejax.data import dataset as datasets
from pokejax.data.split import Split
from pokejax.evaluation import metrics
from pokejax.images.colors import name_of
from pokejax.images.pixels import to_float
from pokejax.inference import shipped
from pokejax.inference.parts import PLACES, Painted, paint_parts
from pokejax.inference.recipe import Recipe
from pokejax.inference.sampler import Sampler, open_model
from pokejax.prompts.rules import parse_by_rules
from pokejax.text import load_text_encoder

SIDE = 16  # of a thumbnail
ENOUGH = 0.25
SQUARES, SQUARE = 11, 0.45
Named = tuple[int, str, str, str]  # row, prompt, place, colour


def named_parts(split: Split, prompts: list[str]) -> list[Named]:
    """Of each native front, the first caption of each place with a colour."""
    found: dict[tuple[int, str], Named] = {}
    for row in native(split, "front"):
        for prompt_id in split.prompt_ids[row, : split.prompt_counts[row]]:
            prompt = prompts[prompt_id]
            for place, color in parse_by_rules(prompt).parts.items():
                found.setdefault((int(row), place), (int(row), prompt, place, color))
    return list(found.values())


def has_color(rgba: np.ndarray, place: str, color: str) -> bool:
    """Whether enough of a place, as parts are painted, has the colour."""
    cut = to_float(rgba).reshape(SIDE, 64 // SIDE, SIDE, 64 // SIDE, 4)
    painted = Painted.of(1, {0: {place: color}})
    _, share = paint_parts(cut.mean(axis=(1, 3)).reshape(1, -1), *painted)
    inside = (np.asarray(share[0]) > 0.5).repeat(64 // SIDE, 0).repeat(64 // SIDE, 1)
    inside &= rgba[..., 3] >= 128
    return bool((name_of(rgba[inside][:, :3]) == COLORS.index(color)).mean() >= ENOUGH)


def print_maps(split: Split, named: list[Named]) -> None:
    """Where in real pictures the colours of named parts are."""
    by_place: dict[str, list[Named]] = defaultdict(list)
    for item in named:
        by_place[item[2]].append(item)
    for place, items in by_place.items():
        total, count = np.zeros((2, SQUARES, SQUARES))
        for row, _, _, color in items:
            inside = split.alpha[row : row + 1][0] >= 128
            rgb = split.images[row : row + 1][0][inside]
            at = np.argwhere(inside)
            squares = (at - at.mean(0)) / (at.std(0) + 1e-6) / SQUARE + SQUARES / 2
            squares = np.floor(squares).astype(int)
            kept = ((squares >= 0) & (squares < SQUARES)).all(axis=1)
            hit = (name_of(rgb) == COLORS.index(color)).astype(float)
            hit -= hit.mean()
            index = tuple(squares[kept].T)
            np.add.at(total, index, hit[kept])
            np.add.at(count, index, 1)
        print(f"{place}, {len(items)} pictures")
        print(np.round(100 * total / np.maximum(count, 20)).astype(int))


def main() -> None:
    """Print the table, or the maps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="dataset with native sprites")
    parser.add_argument("--model", type=Path, default=shipped.MODEL)
    parser.add_argument("--where", action="store_true")
    parser.add_argument("--num", type=int, default=200, help="pictures of each place")
    args = parser.parse_args()
    bundle = open_model(args.model)
    config = bundle.header.config
    data = dataclasses.replace(config.data, dir=args.data, views=())
    dataset = datasets.load(data, config.text)
    split = dataset.splits["train" if args.where else "test"]
    named = named_parts(split, list(dataset.prompts))
    if args.where:
        print_maps(split, named)
        return
    sampler = Sampler(bundle, load_text_encoder(config.text))
    plain = Sampler(bundle, sampler.encoder)
    plain.parts = lambda recipe: {}
    print("| place | pictures | real | without | painted |")
    print("|---|---:|---:|---:|---:|")
    for place in PLACES:
        items = [item for item in named if item[2] == place]
        np.random.default_rng(0).shuffle(items)
        items = items[: args.num]
        recipes = [
            Recipe(prompt, Attributes.from_ids(split.attributes[row]), seed, colors=15)
            for seed, (row, prompt, _, _) in enumerate(items)
        ]
        drawn = [[s.rgba for s in each.sample(recipes)] for each in (plain, sampler)]
        real = [split.drawn(slice(row, row + 1))[0] for row, *_ in items]
        shares = [
            metrics.share(
                np.array(
                    [has_color(x, *i[2:]) for x, i in zip(some, items, strict=True)]
                )
            )
            for some in (real, *drawn)
        ]
        cells = " | ".join(f"{share.score:.0%}" for share in shares)
        print(f"| {place} | {len(items)} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
