"""Parts in colours of their own: how often they come out, and where real ones are.

    python benchmarks/parts.py --data DIR [--model FILE]
    python benchmarks/parts.py --data DIR --where
    python benchmarks/parts.py --data DIR --eyes

DIR holds a dataset with native sprites. The first draws pictures of unseen species'
captions that name a part with a place and its colour, once as usual and once without
painting parts, and says in how many of them, and of the real pictures, at least a
quarter of that place has the colour. The second prints maps of real training fronts:
how much more frequent (in percent) the colour of a named part is in each square of a
silhouette than in all of it, in squares of 0.45 of its standard deviations. The third
says how often eyes would be painted near those of real training fronts, as far as a
simple rule finds these: small light areas within dark ones, in the upper part.
"""

import argparse
import dataclasses
from collections import defaultdict
from pathlib import Path
from typing import cast

import numpy as np
from faces import native
from scipy import ndimage

from pokejax.attributes import COLORS, Attributes
from pokejax.data import dataset as datasets
from pokejax.data.split import Split
from pokejax.evaluation import metrics
from pokejax.images.colors import name_of
from pokejax.images.pixels import to_float
from pokejax.inference import shipped
from pokejax.inference.eyes import face_of
from pokejax.inference.parts import PLACES, Painted, paint_parts
from pokejax.inference.recipe import Recipe
from pokejax.inference.sampler import Sampler, open_model
from pokejax.prompts.rules import parse_by_rules
from pokejax.text import load_text_encoder

SIDE = 16  # of a thumbnail
ENOUGH = 0.25
SQUARES, SQUARE = 11, 0.45
FRONTS, NEAR = 1500, 5  # looked at for eyes; pixels
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
        total = np.zeros((SQUARES, SQUARES))
        count = np.zeros_like(total)
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


def eyes_in(rgba: np.ndarray) -> np.ndarray:
    """Rows and columns of what looks like eyes in a picture."""
    inside, rgb = rgba[..., 3] >= 128, rgba[..., :3]
    around = np.ones((3, 3))
    light = (rgb.min(axis=-1) > 190) & ndimage.binary_erosion(inside, iterations=2)
    dark = (rgb.max(axis=-1) < 90) & inside
    rows = np.flatnonzero(inside.any(axis=1))
    lowest = rows[0] + 0.62 * (rows[-1] - rows[0])
    areas, count = cast(tuple[np.ndarray, int], ndimage.label(light, around))
    found: list[np.ndarray] = []
    for i in range(1, count + 1):
        area = areas == i
        ring = ndimage.binary_dilation(area, around) & ~area
        middle = np.argwhere(area).mean(axis=0)
        framed = (dark & ring).sum() >= max(2, 0.3 * ring.sum())
        if area.sum() <= 14 and framed and middle[0] < lowest:
            found.append(middle)
    return np.array(found).reshape(-1, 2)


def print_eyes(split: Split) -> None:
    """How often painted eyes, and others, are near real ones."""
    rng = np.random.default_rng(0)
    rows = rng.permutation(native(split, "front"))[:FRONTS]
    found = [(rgba, eyes_in(rgba)) for rgba in split.drawn(rows)]
    # More than a few are claws, teeth or patterns.
    found = [(rgba, eyes) for rgba, eyes in found if 1 <= len(eyes) <= 3]
    each = 64 // SIDE
    near: dict[str, list[bool]] = defaultdict(list)
    for rgba, eyes in found:
        opaque = rgba[..., 3].reshape(SIDE, each, SIDE, each).mean(axis=(1, 3)) / 255
        silhouette = opaque[None].astype(np.float32)
        face = face_of(silhouette, np.zeros_like(silhouette))
        row, column = (int(x[0]) for x in face)
        at = np.argwhere(opaque > 0.8)
        at = at if len(at) else np.argwhere(opaque > 0)
        middle = np.round(at.mean(axis=0) - (0.54 * at.std(axis=0)[0], 0)).astype(int)
        for name, (y, x) in {
            "painted": (row, column),
            "around a fixed place of the silhouette": middle,
            "around one of its squares": at[rng.integers(len(at))],
        }.items():
            both = np.array([[y, x - 1], [y, x + 1]]) * each + (each - 1) / 2
            apart = np.linalg.norm(both[:, None] - eyes[None], axis=-1).min()
            near[name].append(bool(apart <= NEAR))
    print(f"of {len(rows)} fronts, {len(found)} seem to have one to three eyes;")
    print(f"within {NEAR} pixels of one of these are eyes")
    for name, hits in near.items():
        print(f"{name:40}{np.mean(hits):.0%}")


def main() -> None:
    """Print the table, or the maps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="dataset with native sprites")
    parser.add_argument("--model", type=Path, default=shipped.MODEL)
    parser.add_argument("--where", action="store_true")
    parser.add_argument("--eyes", action="store_true")
    parser.add_argument("--num", type=int, default=200, help="pictures of each place")
    args = parser.parse_args()
    bundle = open_model(args.model)
    config = bundle.header.config
    data = dataclasses.replace(config.data, dir=args.data, views=())
    dataset = datasets.load(data, config.text)
    split = dataset.splits["train" if args.where or args.eyes else "test"]
    if args.eyes:
        print_eyes(split)
        return
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
