"""How much bigger and more elaborate a next stage is than the one before.

    python benchmarks/evolution.py --data pokemon-cifar-64

Of 32 drawn creatures, four of each of README's prompts, in lines of three stages; and
of real pairs, native fronts of species that the model hasn't seen (`val` and `test`)
and of those that it has. Three numbers, each of the upper stage over the lower one, as
a median and as the share of pairs in which it is more:

- area: opaque pixels;
- contour: edges between pixels of different colours, or with nothing;
- detail: the same by area, since what is bigger has more edges anyway.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np

from pokejax.attributes import RELATIONS
from pokejax.creatures.evolution import draw_lines
from pokejax.creatures.kin import related
from pokejax.data import cifar
from pokejax.data.cifar import Rows
from pokejax.evaluation.protocol import SHEET_PROMPTS
from pokejax.images.finish import PixelArt, pixel_art
from pokejax.inference import recipe as recipe_module
from pokejax.inference import shipped
from pokejax.inference.recipe import Sample, recipes_for
from pokejax.inference.sampler import Sampler
from pokejax.prompts.rules import parse_by_rules

EACH, STAGES = 4, 3


def measured(art: PixelArt) -> np.ndarray:
    """Area, contour and detail."""
    around = np.pad(art.indices, 1)
    edges = sum((np.diff(around, axis=axis) != 0).sum() for axis in (0, 1))
    area = max(int((art.indices > 0).sum()), 1)
    return np.array([area, edges, edges / area])


def row(name: str, pairs: Sequence[tuple[PixelArt, PixelArt]]) -> str:
    """A line of the table, of the lower and the upper stage of some pairs."""
    ratios = np.array([measured(upper) / measured(lower) for lower, upper in pairs])
    cells = [
        f"{median:.2f}, {share:.0%}"
        for median, share in zip(
            np.median(ratios, axis=0), (ratios > 1).mean(axis=0), strict=True
        )
    ]
    return f"| {name} ({len(pairs)}) | {' | '.join(cells)} |"


def real(rows: Rows) -> Iterator[tuple[PixelArt, PixelArt]]:
    """The first native front of each species, with that of the stage before."""
    assert rows.relatives is not None
    seen: set[str] = set()
    for i, before in enumerate(rows.relatives[:, RELATIONS.index("evolution")]):
        wanted = rows.views[i] == "front" and rows.styles[i] == "native"
        if before >= 0 and wanted and rows.species[i] not in seen:
            seen.add(rows.species[i])
            lower, upper = (
                pixel_art(rows.images[j : j + 1][0], rows.alpha[j : j + 1][0])
                for j in (int(before), i)
            )
            yield lower, upper


def art_of(sample: Sample) -> PixelArt:
    assert sample.art
    return sample.art


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="dataset directory")
    parser.add_argument("--model", type=Path, default=shipped.MODEL)
    args = parser.parse_args(argv)
    sampler = Sampler.load(args.model)
    splits = cifar.read(args.data, sampler.image_size)
    print("| stage over the one before (pairs) | area | contour | detail |")
    print("|---|---:|---:|---:|")
    unseen = [pair for name in ("val", "test") for pair in real(splits[name])]
    print(row("real, unseen species", unseen))
    print(row("real, of training", list(real(splits["train"]))), flush=True)
    recipes = [
        recipe
        for prompt in SHEET_PROMPTS
        for recipe in recipes_for(
            parse_by_rules(prompt), range(EACH), colors=sampler.usual_colors
        )
    ]
    lines = draw_lines(sampler, sampler.sample(recipes), STAGES)
    alike = [r for line in lines if (r := related(sampler, line[0], "evolution"))]
    bigger = sampler.sample(alike)
    with patch.object(recipe_module, "GROWTH", 1.0):
        same = sampler.sample(alike)
    firsts, seconds, thirds = zip(*lines, strict=True)
    for name, lower, upper in (
        ("drawn, second, beside the first as it is", firsts, same),
        ("drawn, second, beside the first enlarged", firsts, bigger),
        ("drawn, second, and asked for the next size", firsts, seconds),
        ("drawn, third", seconds, thirds),
    ):
        arts = [[art_of(sample) for sample in own] for own in (lower, upper)]
        print(row(name, list(zip(*arts, strict=True))), flush=True)


if __name__ == "__main__":
    main()
