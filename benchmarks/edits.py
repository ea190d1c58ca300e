"""What becomes of held-out sprites: new heads for old, and how far a picture is kept.

    python benchmarks/edits.py --data pokemon-cifar-64 --out outputs/edits

One native front of each of 32 species that the model hasn't seen.

**Heads**: all that is above two fifths of the creature's height is drawn anew, three
times, from the sprite's own caption. `outside` is LPIPS between sprite and result with
that part blanked in both; `inside` is LPIPS between the three with all else blanked,
beside the same part of three pictures drawn freely from the same caption, and of three
other sprites. `seam` is how much the rows on both sides of the cut differ, in OKLab,
beside what it is in the sprite.

**From a picture**: the prompt is "a creature", so that all else comes from the picture.
LPIPS to it, the distance of palettes (see `kin.py`), and how often the main colour is
the same, by strength.

Writes sheets of the first sixteen results to OUT_heads.png and OUT_strength.png. They
hold sprites, so they aren't to be published.
"""

import argparse
import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from kin import palette_distance, rgba

from pokejax.attributes import Attributes
from pokejax.data import cifar
from pokejax.data.cifar import Rows
from pokejax.evaluation.adherence import seen_colors
from pokejax.evaluation.features import extract
from pokejax.images.colors import oklab
from pokejax.images.finish import USUAL_COLORS, pixel_art
from pokejax.images.sheets import contact_sheet
from pokejax.inference import shipped
from pokejax.inference.recipe import Recipe, Start
from pokejax.inference.sampler import Sampler

HEAD = 0.4  # of the creature's height
DRAWS, SHOWN = 3, 16
STRENGTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def sprites(rows: Rows, count: int) -> list[int]:
    """The first native front of each species; some of them, evenly spaced."""
    firsts: dict[str, int] = {}
    for i, species in enumerate(rows.species):
        if rows.styles[i] == "native" and rows.views[i] == "front":
            firsts.setdefault(species, i)
    found = list(firsts.values())
    return [found[i * len(found) // count] for i in range(count)]


def neck(picture: np.ndarray) -> int:
    """The first row below the head, of `h w 4`."""
    rows = np.flatnonzero((picture[..., 3] > 127).any(axis=1))
    return int(rows[0] + HEAD * (rows[-1] + 1 - rows[0]))


def only(pictures: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """`n h w 3`, white where `n h w` isn't kept."""
    return np.where(kept[..., None], pictures, np.uint8(255))


def apart(pictures: np.ndarray) -> float:
    """LPIPS between pictures of the same sprite, on average; `n draws h w 3`."""
    vectors = extract(pictures.reshape(-1, *pictures.shape[2:])).perceptual
    vectors = vectors.reshape(*pictures.shape[:2], -1)
    pairs = itertools.combinations(range(pictures.shape[1]), 2)
    return float(
        np.mean([((vectors[:, i] - vectors[:, j]) ** 2).sum(-1) for i, j in pairs])
    )


def lpips(one: np.ndarray, other: np.ndarray) -> float:
    """Between pictures, pair by pair, on average; `n h w 3`."""
    a, b = (extract(pictures).perceptual for pictures in (one, other))
    return float(((a - b) ** 2).sum(axis=1).mean())


def seam(pictures: np.ndarray, necks: np.ndarray) -> float:
    """How much the rows above and below the cut differ, on average."""
    steps = [
        np.linalg.norm(np.subtract(*oklab(picture[row - 1 : row + 1] / 255.0)), axis=-1)
        for picture, row in zip(pictures, necks, strict=True)
    ]
    return float(np.mean(steps))


def heads(sampler: Sampler, rows: Rows, some: Sequence[int], out: Path) -> None:
    """Print what is measured of new heads, and draw the sheet."""
    given = np.stack([rgba(rows, i) for i in some])
    necks = np.array([neck(picture) for picture in given])
    anew = np.broadcast_to(
        np.arange(given.shape[1])[None, :, None] < necks[:, None, None],
        given.shape[:3],
    )
    ids = rows.conditions()
    recipes = [
        Recipe(
            rows.prompts[row][0],
            Attributes.from_ids(ids[row]),
            seed,
            colors=USUAL_COLORS,
            start=Start.of(picture, mask),
        )
        for row, picture, mask in zip(some, given, anew, strict=True)
        for seed in range(DRAWS)
    ]
    free = [dataclasses.replace(recipe, start=None) for recipe in recipes]
    drawn, freely = (
        np.stack([sample.image for sample in sampler.sample(own)]).reshape(
            len(some), DRAWS, *given.shape[1:3], 3
        )
        for own in (recipes, free)
    )
    # What was given, finished as the result is.
    before = np.stack([pixel_art(p[..., :3], p[..., 3]).rgb() for p in given])
    same = [
        np.array_equal(only(d, ~anew), only(before, ~anew))
        for d in drawn.swapaxes(0, 1)
    ]
    outside = lpips(only(before, ~anew), only(drawn[:, 0], ~anew))
    others = np.stack([np.roll(before, i, axis=0) for i in range(1, DRAWS + 1)], axis=1)
    inside = [
        apart(np.stack([only(own[:, i], anew) for i in range(DRAWS)], axis=1))
        for own in (drawn, freely, others)
    ]
    seams = [seam(pictures, necks) for pictures in (drawn[:, 0], before)]
    print(f"heads of {len(some)} sprites, {DRAWS} each:")
    print(f"outside: LPIPS {outside:.4f}, the same to the byte: {all(same)}")
    print(
        "inside: LPIPS {:.3f}; drawn freely {:.3f}; of other sprites {:.3f}".format(
            *inside
        )
    )
    print("seam: {:.3f}; in the sprite {:.3f}".format(*seams))
    sheet = [picture for i in range(SHOWN) for picture in (before[i], *drawn[i])]
    title = f"sprite, and {DRAWS} other heads; the first {SHOWN}, unpicked"
    contact_sheet([sheet], [""], title=title).save(f"{out}_heads.png")


def strengths(sampler: Sampler, rows: Rows, some: Sequence[int], out: Path) -> None:
    """Print what is kept of a picture by strength, and draw the sheet."""
    given = [rgba(rows, i) for i in some]
    images = np.stack(given)[..., :3]
    colors = seen_colors(images)
    print("\n| strength | LPIPS to the picture | palette | same main colour |")
    print("|---|---:|---:|---:|")
    shown: list[list[np.ndarray]] = [[image] for image in images[:SHOWN]]
    for strength in STRENGTHS:
        samples = sampler.sample(
            [
                Recipe(
                    "a creature",
                    Attributes(),
                    i,
                    colors=USUAL_COLORS,
                    start=Start.of(picture, strength=strength),
                )
                for i, picture in enumerate(given)
            ]
        )
        drawn = np.stack([sample.image for sample in samples])
        palette = np.nanmean(
            [palette_distance(p, s.rgba) for p, s in zip(given, samples, strict=True)]
        )
        away, kept = lpips(images, drawn), (seen_colors(drawn) == colors).mean()
        print(f"| {strength:g} | {away:.3f} | {palette:.3f} | {kept:.0%} |", flush=True)
        for row, image in zip(shown, drawn, strict=False):
            row.append(image)
    title = f"picture, and at {', '.join(f'{s:g}' for s in STRENGTHS)}"
    flat = [picture for row in shown for picture in row]
    sheet = contact_sheet([flat], [""], title=title, columns=2 * len(shown[0]))
    sheet.save(f"{out}_strength.png")


def main(argv: Sequence[str] | None = None) -> None:
    """Print both tables and write both sheets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="dataset directory")
    parser.add_argument("--model", type=Path, default=shipped.MODEL)
    parser.add_argument("--out", type=Path, required=True, help="start of file names")
    parser.add_argument("--count", type=int, default=32, help="sprites (32)")
    args = parser.parse_args(argv)
    sampler = Sampler.load(args.model)
    rows = cifar.read(args.data, sampler.image_size)["test"]
    some = sprites(rows, args.count)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    heads(sampler, rows, some, args.out)
    strengths(sampler, rows, some, args.out)


if __name__ == "__main__":
    main()
