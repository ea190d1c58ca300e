"""What negative prompts keep away, and how evenly a walk goes from prompt to prompt.

    python benchmarks/negative.py --data pokemon-cifar-64

Draws captions of held-out species that name no colour: as they are, with each colour
as the negative prompt, and with it at -1 on its slider, always with the same seeds.
Counted are the pictures in which that colour is the main one, by the rule that labels
training pictures; under `other negatives`, those with another colour to keep away.

Then goes from each caption to the next in five stops, with one seed, and measures LPIPS
from stop to stop and between the ends: a walk whose largest step is a quarter of them
all is even, and one in which it is nearly all of them jumps.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pokejax.attributes import COLORS, Attributes
from pokejax.data import cifar
from pokejax.data.cifar import Rows
from pokejax.evaluation import subject
from pokejax.evaluation.adherence import seen_colors
from pokejax.evaluation.features import extract
from pokejax.inference import shipped
from pokejax.inference.recipe import Recipe, slides_of
from pokejax.inference.sampler import Sampler
from pokejax.prompts.rules import parse_by_rules

TILE_ROWS = 32  # larger ones suffer less from what else a machine does
GUIDANCES = (1.0, 2.0, 3.0)
STOPS = (0.0, 0.25, 0.5, 0.75, 1.0)


def neutral(rows: Rows, num: int) -> list[Recipe]:
    """The first caption of a species that names no colour; some, evenly spaced."""
    firsts: dict[str, str] = {}
    for species, captions in zip(rows.species, rows.prompts, strict=True):
        for caption in captions:
            if not any(color.lower() in caption.lower() for color in (*COLORS, "Grey")):
                firsts.setdefault(species, caption)
    found = list(firsts.values())
    prompts = [found[i * len(found) // num] for i in range(num)]
    return [
        Recipe(prompt, parse_by_rules(prompt).attributes, seed)
        for seed, prompt in enumerate(prompts)
    ]


def shares(sampler: Sampler, recipes: Sequence[Recipe]) -> np.ndarray:
    """`colours 4`: how often each is seen, by the columns of the table."""

    def seen(what: str, drawn: Sequence[Recipe]) -> np.ndarray:
        return seen_colors(subject.draw(sampler, drawn, what))

    plain = seen("as they are", recipes)
    avoided, slid = [], []
    for color in COLORS:
        away = [replace(recipe, negative=color.lower()) for recipe in recipes]
        avoided.append(seen(f"not {color}", away))
        given = Attributes(primary_color=color)
        away = [
            replace(
                recipe,
                attributes=recipe.attributes.override(given),
                slides=slides_of({"primary_color": -1}),
            )
            for recipe in recipes
        ]
        slid.append(seen(f"{color} at -1", away))
    found: list[list[float]] = []
    for i in range(len(COLORS)):
        others = np.concatenate([own for j, own in enumerate(avoided) if j != i])
        columns = plain, avoided[i], others, slid[i]
        found.append([float((ids == i).mean()) for ids in columns])
    return np.array(found)


def avoid(sampler: Sampler, recipes: Sequence[Recipe]) -> None:
    """Print how often a colour is seen, asked to be away in either way or not."""
    print("| colour | as it is | negative prompt | other negatives | slider at -1 |")
    print("|---|---:|---:|---:|---:|")
    for guidance in GUIDANCES:
        led = [replace(recipe, guidance=guidance) for recipe in recipes]
        found = shares(sampler, led)
        rows = [(f"all, guidance {guidance:g}", found.mean(axis=0))]
        if guidance == 1:
            rows = [*zip(COLORS, found, strict=True), *rows]
        for name, own in rows:
            print(f"| {name} | {' | '.join(f'{share:.1%}' for share in own)} |")


def walk(sampler: Sampler, recipes: Sequence[Recipe]) -> None:
    """Print LPIPS along the ways from each prompt to the next."""
    ends = [
        replace(end, seed=start.seed)
        for start, end in zip(recipes, [*recipes[1:], recipes[0]], strict=True)
    ]
    stops = [
        replace(start, towards=end, mix=mix)
        for start, end in zip(recipes, ends, strict=True)
        for mix in STOPS
    ]
    perceptual = extract(subject.draw(sampler, stops, "walks")).perceptual
    at = perceptual.reshape(len(recipes), len(STOPS), -1)
    steps = ((at[:, 1:] - at[:, :-1]) ** 2).sum(axis=-1)
    whole = ((at[:, -1] - at[:, 0]) ** 2).sum(axis=-1)
    largest = steps.max(axis=1) / steps.sum(axis=1)
    print(f"\n{len(recipes)} walks in {len(STOPS)} stops, LPIPS:")
    print("from stop to stop", *(f"{step:.3f}" for step in steps.mean(axis=0)))
    print(f"between the ends {whole.mean():.3f}")
    print(
        f"largest step {largest.mean():.0%} of all four; more than half in"
        f" {(largest > 0.5).mean():.0%} of the walks"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="dataset directory")
    parser.add_argument("--model", type=Path, default=shipped.MODEL)
    parser.add_argument("--num", type=int, default=128, help="prompts (128)")
    args = parser.parse_args(argv)
    started = time.perf_counter()
    sampler = Sampler.load(args.model, prior="full", tile_rows=TILE_ROWS)
    recipes = neutral(cifar.read(args.data, sampler.image_size)["test"], args.num)
    avoid(sampler, recipes)
    walk(sampler, recipes)
    minutes = (time.perf_counter() - started) / 60
    print(f"{sampler.model_id}, {args.num} prompts, {minutes:.1f} minutes")


if __name__ == "__main__":
    main()
