"""What sliders do: how often pictures show an attribute, by how much of it was asked.

    python benchmarks/sliders.py --data pokemon-cifar-64 --out outputs/sliders

Draws short prompts that name one value of an attribute, at each value of its slider
with the same seeds, and reads the pictures: colours by the rule that labels training
pictures, all else by a judge of real ones (`pokejax.evaluation.judge`), beside what
these read in held-out pictures. Prints a table, and writes a plot of the curves and a
sheet of unpicked pictures. What is done is kept beside them: a run that was interrupted
goes on at the next attribute.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from pokejax.attributes import COLORS, NONE, UNKNOWN_ID, VOCABULARIES
from pokejax.data.dataset import DataError
from pokejax.evaluation import features, judge, subject
from pokejax.evaluation.reference import Reference
from pokejax.files import whole_file
from pokejax.images.colors import primary_and_secondary
from pokejax.images.sheets import contact_sheet
from pokejax.inference import shipped
from pokejax.inference.bundle import BundleError
from pokejax.inference.recipe import Recipe, slides_of
from pokejax.inference.sampler import Sampler
from pokejax.prompts.rules import parse_by_rules
from pokejax.text import load_text_encoder

TILE_ROWS = 32  # larger ones suffer less from what else a machine does
AT = (-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
PIXELS = ("primary_color", "secondary_color")
JUDGED = tuple(name for name in VOCABULARIES if name not in PIXELS)
# `{v}` is the value; the other words differ from picture to picture.
PROMPTS = {
    "type1": "a {color} {v}-type creature",
    "type2": "a {color} water/{v} type creature",
    "primary_color": "a {v} {shape} creature",
    "secondary_color": "a gray and {v} {shape} creature",
    "shape": "a {color} {v} creature",
    "size": "a {v} {color} creature",
    "evolution_stage": "a {v} {color} creature",
    "habitat": "a {color} creature from the {v}",
    "legendary": "a legendary {color} creature",
    "mythical": "a mythical {color} creature",
}
CONTEXT = {
    "color": ("red", "blue", "green", "yellow", "purple", "brown", "gray", "orange"),
    "shape": ("bipedal", "quadruped", "avian", "serpentine"),
}


def wanted(name: str) -> list[str]:
    """The values that there can be more of."""
    return [value for value in VOCABULARIES[name] if value not in (NONE, "No")]


def asked(name: str, num: int) -> list[Recipe]:
    """Prompts for an attribute; its values take turns, if the rules read them."""
    values = wanted(name)
    recipes: list[Recipe] = []
    turn = 0
    while len(recipes) < num:
        value, round_ = values[turn % len(values)], turn // len(values)
        words = {kind: own[round_ % len(own)] for kind, own in CONTEXT.items()}
        prompt = PROMPTS[name].format(v=value.lower(), **words)
        attributes = parse_by_rules(prompt).attributes
        if getattr(attributes, name) == value:
            recipes.append(Recipe(prompt, attributes, len(recipes)))
        turn += 1
    return recipes


def at(recipes: Sequence[Recipe], name: str, value: float) -> list[Recipe]:
    """The same recipes with a slider."""
    return [replace(recipe, slides=slides_of({name: value})) for recipe in recipes]


def read(
    images: np.ndarray, judged: judge.Judge, names: Sequence[str] = (*PIXELS, *JUDGED)
) -> dict[str, np.ndarray]:
    """Ids of what pictures show, by attribute; `UNKNOWN_ID` for colours of a blank."""
    seen: dict[str, np.ndarray] = {}
    if set(names) & set(PIXELS):
        both = [_colors(image) for image in images]
        seen |= {name: np.array([b[i] for b in both]) for i, name in enumerate(PIXELS)}
    if set(names) & set(JUDGED):
        layout = features.extract(images, perceptual=False).layout
        seen |= judged.read(layout, JUDGED)
    return {name: seen[name] for name in names}


def _colors(image: np.ndarray) -> tuple[int, int]:
    try:
        primary, secondary = primary_and_secondary(Image.fromarray(image))
    except ValueError:  # no colour at all
        return UNKNOWN_ID, UNKNOWN_ID
    return COLORS.index(primary), (*COLORS, NONE).index(secondary or NONE)


def real_shares(name: str, seen: np.ndarray, ids: np.ndarray) -> tuple[float, float]:
    """How often a value is seen in real pictures that have it, and in all others.

    Each value that is asked for counts the same; `seen` and `ids` are of the pictures
    that are labelled.
    """
    values = [VOCABULARIES[name].index(value) for value in wanted(name)]
    values = [v for v in values if (ids == v).any()]
    return (
        float(np.mean([(seen[ids == v] == v).mean() for v in values])),
        float(np.mean([(seen[ids != v] == v).mean() for v in values])),
    )


def verdict(hits: np.ndarray) -> str:
    """Whether shares rise with the slider, and nowhere fall, seed by seed.

    From the first point to the last they must rise by two standard errors; a fall
    between any two of them counts from three, since there are 21 pairs.

    Args:
      hits: `points pictures`; whether a picture shows what was asked.
    """

    def change(low: int, high: int) -> float:
        """In standard errors."""
        by_seed = hits[high].astype(float) - hits[low]
        return by_seed.mean() / (by_seed.std() / np.sqrt(len(by_seed)) + 1e-9)

    pairs = [(i, j) for j in range(len(hits)) for i in range(j)]
    falls = [f"{AT[i]:g} to {AT[j]:g}" for i, j in pairs if change(i, j) < -3]
    if falls:
        return f"no: falls from {falls[0]}"
    return "yes" if change(0, len(hits) - 1) > 2 else "flat"


def measure(sampler: Sampler, judged: judge.Judge, name: str, num: int) -> np.ndarray:
    """`points pictures`: which show what was asked of an attribute."""
    recipes, vocabulary = asked(name, num), VOCABULARIES[name]
    wished = [vocabulary.index(getattr(r.attributes, name)) for r in recipes]
    slid = [recipe for value in AT for recipe in at(recipes, name, value)]
    images = subject.draw(sampler, slid, name)
    seen = read(images, judged, [name])[name].reshape(len(AT), num)
    return seen == np.array(wished)[None]


def learned(reference: Reference) -> dict[str, np.ndarray]:
    """The judge's arrays, and as `real` what it reads in held-out pictures, `10 2`."""
    train, heldout = reference.train, reference.heldout
    layout = features.extract(
        train.images[:], perceptual=False, progress="judge"
    ).layout
    judged = judge.fit(layout, train.attributes, JUDGED)
    seen = read(heldout.images[:], judged)
    real: list[tuple[float, float]] = []
    for i, name in enumerate(VOCABULARIES):
        ids = heldout.attributes[:, i]
        known = ids != UNKNOWN_ID
        real.append(real_shares(name, seen[name][known], ids[known]))
    return {**vars(judged), "real": np.array(real)}


def kept(
    path: Path, compute: Callable[[], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """What was computed by a run before, or else now."""
    if path.is_file():
        with np.load(path) as arrays:
            return dict(arrays)
    arrays = compute()
    with whole_file(path) as partial:
        np.savez(partial, **arrays)  # type: ignore[arg-type]
    return arrays


def table(
    hits: dict[str, np.ndarray], real: dict[str, tuple[float, float]]
) -> list[str]:
    """The lines of a table in Markdown, shares in percent."""
    head = ("attribute", *(f"{v:g}" for v in AT), "rises?", "real", "others")
    lines = [" | ".join(head), "|".join(["---", *["---:"] * len(AT), *["---"] * 3])]
    for name, own in hits.items():
        shares = [f"{100 * share:.0f}" for share in own.mean(axis=1)]
        seen = [f"{100 * share:.0f}" for share in real[name]]
        lines.append(" | ".join([name, *shares, verdict(own), *seen]))
    return [f"| {line} |" for line in lines]


def plot(
    path: Path, hits: dict[str, np.ndarray], real: dict[str, tuple[float, float]]
) -> None:
    """A curve for each attribute, between what is read in real pictures."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, grid = pyplot.subplots(2, 5, figsize=(11, 4.2), sharex=True)
    for axes, (name, own) in zip(grid.flat, hits.items(), strict=True):
        axes.plot(AT, 100 * own.mean(axis=1), "o-", color="#d8402f", markersize=4)
        for share, style in zip(real[name], ("--", ":"), strict=True):
            axes.axhline(100 * share, color="#6b6f78", linestyle=style, linewidth=1)
        axes.set_title(name, fontsize=9)
        axes.set_ylim(0, 100)
        axes.tick_params(labelsize=8)
    figure.supxlabel("slider", fontsize=9)
    figure.supylabel("pictures that show it, %", fontsize=9)
    figure.tight_layout()
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", dpi=90)


def sheet(path: Path, sampler: Sampler) -> None:
    """The first prompt of each attribute along its slider."""
    rows: list[list[np.ndarray]] = []
    captions: list[str] = []
    steps = " ".join(f"{v:g}" for v in AT)
    for name in VOCABULARIES:
        first = [replace(asked(name, 1)[0], colors=sampler.usual_colors)]
        drawn = sampler.sample([at(first, name, value)[0] for value in AT])
        rows.append([sample.image for sample in drawn])
        captions.append(f"{first[0].prompt}: {name} at {steps}")
    with whole_file(path) as partial:
        contact_sheet(rows, captions).save(partial, "PNG")


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table, write plot and sheet; 2 on bad input."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="dataset directory")
    parser.add_argument("--model", type=Path, default=shipped.MODEL)
    parser.add_argument("--num", type=int, default=64, help="pictures a point (64)")
    parser.add_argument("--out", type=Path, required=True, help="start of file names")
    args = parser.parse_args(argv)
    if args.num < 2:
        print(f"error: --num is {args.num}; expected 2 or more", file=sys.stderr)
        return 2
    started = time.perf_counter()
    try:
        bundle, dataset = subject.load(args.model, args.data)
        reference = Reference(dataset, "test", args.data)
    except (BundleError, DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    encoder = load_text_encoder(bundle.header.config.text)
    sampler = Sampler(bundle, encoder, prior="full", tile_rows=TILE_ROWS)
    if not sampler.takes_pictures:
        print(f"error: {args.model} has no learned prior to slide", file=sys.stderr)
        return 2
    args.out.parent.mkdir(parents=True, exist_ok=True)

    def beside(what: str) -> Path:
        return args.out.with_name(f"{args.out.name}_{what}.npz")

    own = kept(beside(f"judge_{reference.hash[:8]}"), lambda: learned(reference))
    real = dict(zip(VOCABULARIES, own.pop("real").tolist(), strict=True))
    judged = judge.Judge(**own)
    hits = {
        name: kept(
            beside(f"{name}_{args.num}_{sampler.model_id}"),
            lambda name=name: {"hits": measure(sampler, judged, name, args.num)},
        )["hits"]
        for name in VOCABULARIES
    }
    print(*table(hits, real), sep="\n")
    plot(args.out.with_name(args.out.name + "_curves.png"), hits, real)
    sheet(args.out.with_name(args.out.name + "_sheet.png"), sampler)
    minutes = (time.perf_counter() - started) / 60
    print(f"{sampler.model_id}, {args.num} pictures a point, {minutes:.1f} minutes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
