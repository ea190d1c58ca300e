"""How kin the pictures are that a model draws beside relatives of unseen species.

    python benchmarks/kin.py --model runs/thumbnail64_kin --data pokemon-cifar-64

One native picture of each of some held-out species, drawn from its own caption and
attributes beside its true relative, is compared with the true picture. Three numbers:

- the distance of palettes to the relative's: of each pixel to the nearest colour of the
  other picture, in OKLab, on average and both ways;
- how often LPIPS finds the true picture among ten of the same type and view, in colour
  and in gray, where a palette gives nothing away;
- the share of pixels that differ from the relative's, which for the other frame of an
  animation should be neither none nor all.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from pokejax.attributes import RELATIONS, Attributes
from pokejax.data import cifar
from pokejax.data.cifar import Rows
from pokejax.evaluation.features import extract
from pokejax.images.colors import oklab
from pokejax.images.finish import pixel_art
from pokejax.images.sheets import contact_sheet
from pokejax.inference.recipe import Kin, Recipe, Sample
from pokejax.inference.sampler import Sampler

CHOICES = 10
SHOWN = 16
STYLE = "native"


class Case(NamedTuple):
    """Rows: a held-out picture, its relative, and what it could be mistaken for."""

    row: int
    relative: int
    others: list[int]


def cases(rows: Rows, relation: int, count: int) -> list[Case]:
    """One picture of each species that has a relative and enough others of its type."""
    assert rows.relatives is not None
    rng = np.random.default_rng(0)
    types, views = rows.attributes[:, 0], rows.conditions()[:, 10]
    native = np.array([style == STYLE for style in rows.styles])
    normal = np.array(["shiny" not in view for view in rows.views])
    firsts: dict[str, int] = {}
    there = native & normal & (rows.relatives[:, relation] >= 0)
    for row in np.flatnonzero(there):
        firsts.setdefault(rows.species[row], int(row))
    found: list[Case] = []
    for species, row in firsts.items():
        alike = native & normal & (types == types[row]) & (views == views[row])
        by_species = {rows.species[i]: int(i) for i in np.flatnonzero(alike)}
        by_species.pop(species, None)
        # Nor its relative's own picture, in another stage.
        relative = int(rows.relatives[row, relation])
        by_species.pop(rows.species[relative], None)
        if len(by_species) >= CHOICES - 1:
            others = rng.choice(sorted(by_species.values()), CHOICES - 1, replace=False)
            found.append(Case(row, relative, others.tolist()))
    picked = rng.permutation(len(found))[:count]
    return [found[i] for i in sorted(picked)]


def rgba(rows: Rows, row: int) -> np.ndarray:
    """`h w 4`: RGB on white, and alpha."""
    return np.dstack([rows.images[row : row + 1][0], rows.alpha[row : row + 1][0]])


def palette_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Between two pictures, `h w 4`."""
    colors = [oklab(x[x[..., 3] > 127][:, :3] / 255.0) for x in (one, other)]
    if not all(map(len, colors)):
        return float("nan")
    ways = [
        np.mean(
            [
                np.linalg.norm(theirs - color[None], axis=1).min()
                for color in own[:: max(1, len(own) // 200)]
            ]
        )
        for own, theirs in (colors, colors[::-1])
    ]
    return float(np.mean(ways))


def perceptual(
    pictures: UInt8[np.ndarray, "n h w 3"], *, gray: bool
) -> Float[np.ndarray, "n p"]:
    """LPIPS's vectors; of the lightness only, if `gray`."""
    if gray:
        lightness = pictures.mean(axis=-1, keepdims=True).round().astype(np.uint8)
        pictures = lightness.repeat(3, axis=-1)
    return extract(pictures).perceptual


def found_share(
    drawn: Float[np.ndarray, "n p"], choices: Float[np.ndarray, "m p"]
) -> float:
    """How often the first of a picture's choices, `m / n` each, is the nearest."""
    theirs = choices.reshape(len(drawn), CHOICES, -1)
    distances = [
        ((own[None] - some) ** 2).sum(axis=1)
        for own, some in zip(drawn, theirs, strict=True)
    ]
    return float((np.argmin(distances, axis=1) == 0).mean())


def changed(one: np.ndarray, other: np.ndarray) -> float:
    """The share of the creature's pixels that differ visibly between two pictures."""
    lab = [oklab(x[..., :3] / 255.0) for x in (one, other)]
    inside = (one[..., 3] > 127) | (other[..., 3] > 127)
    return float((np.linalg.norm(lab[0] - lab[1], axis=-1) > 0.05)[inside].mean())


def own_palette(sample: Sample) -> np.ndarray:
    """A raw picture as pixel art, whatever it was drawn beside: `h w 4`."""
    art = pixel_art(sample.image, sample.alpha)
    return np.dstack([art.rgb(), (art.indices > 0).astype(np.uint8) * 255])


def compare(
    sampler: Sampler, rows: Rows, relation: str, count: int, sheets: Path | None
) -> None:
    """Print the table of one relation, and draw its sheet if there is a place."""
    some = cases(rows, RELATIONS.index(relation), count)
    ids = rows.conditions()
    recipes = [
        Recipe(
            rows.prompts[case.row][0],
            Attributes.from_ids(ids[case.row]),
            seed=i,
            kin=Kin(rgba(rows, case.relative).tobytes(), relation),
        )
        for i, case in enumerate(some)
    ]
    alone = [dataclasses.replace(recipe, kin=None) for recipe in recipes]
    beside, without = sampler.sample(recipes), sampler.sample(alone)
    true = [rgba(rows, case.row) for case in some]
    sources = [rgba(rows, case.relative) for case in some]
    choices = rows.images[np.array([[case.row, *case.others] for case in some]).ravel()]
    spaces = {gray: perceptual(choices, gray=gray) for gray in (False, True)}
    colors = rows.attributes[:, 2]
    alike = [
        # Of the same main colour, if there is one.
        rgba(rows, min(case.others, key=lambda i, c=case: colors[i] != colors[c.row]))
        for case in some
    ]
    print(f"\n{relation}: {len(some)} species")
    print(f"{'':<36} palette  in ten  in gray  changed")
    for name, pictures in (
        ("true pictures", true),
        ("another's, of its type and colour", alike),
        ("drawn beside it, own palette", [own_palette(x) for x in beside]),
        ("drawn beside it, as shipped", [x.finished().rgba for x in beside]),
        ("drawn without it", [own_palette(x) for x in without]),
    ):
        pairs = list(zip(sources, pictures, strict=True))
        palette = np.nanmean([palette_distance(*pair) for pair in pairs])
        rgb = np.stack(pictures)[..., :3]
        shares = [
            found_share(perceptual(rgb, gray=gray), space)
            for gray, space in spaces.items()
        ]
        moved = np.mean([changed(*pair) for pair in pairs])
        print(
            f"{name:<36} {palette:7.3f} {shares[0]:6.0%} {shares[1]:7.0%} {moved:8.0%}"
        )
    if sheets:
        finished = [x.finished().rgba for x in beside]
        shown = list(zip(sources, finished, true, strict=True))[:SHOWN]
        row = [picture[..., :3] for three in shown for picture in three]
        title = f"{relation}: given, drawn, true; the first {len(shown)}, unpicked"
        sheets.mkdir(parents=True, exist_ok=True)
        sheet = contact_sheet([row], [""], title=title)
        sheet.save(sheets / f"kin_{relation}.png")


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table for each relation that the model has learned."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="bundle or run")
    parser.add_argument(
        "--data", type=Path, default=Path("pokemon-cifar-64"), help="dataset directory"
    )
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument("--count", type=int, default=96, help="species a relation")
    parser.add_argument("--sheets", type=Path, help="directory to draw sheets into")
    args = parser.parse_args(argv)
    sampler = Sampler.load(args.model)
    if not sampler.relations:
        raise SystemExit(f"error: {args.model} wasn't trained beside relatives")
    rows = cifar.read(args.data, sampler.image_size)[args.split]
    for relation in RELATIONS:
        if relation in sampler.relations:
            compare(sampler, rows, relation, args.count, args.sheets)


if __name__ == "__main__":
    main()
