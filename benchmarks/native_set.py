"""Fronts of native sprites, and of Tuxemon, as a dataset to try recipes on.

    PYTHONPATH=. python benchmarks/native_set.py --native CHECKOUT --tuxemon CHECKOUT \\
        --splits-of pokemon-cifar-64 --out native-cifar-64
    python -m pokejax.pack --dir native-cifar-64 --out set.npz
    python -m pokejax.train --config configs/native64.py --data.dir set.npz

Pixels stay as drawn, on white. Each training picture comes as it is and with its hues
turned three times, its colours named anew. Species keep the split that they have in
`--splits-of`; the others are split 80/8/12 by a hash of their name. What is drawn from
Tuxemon's sprites is CC BY-SA: name its authors.
"""

import argparse
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from data_tools import heuristics
from data_tools.captions import write_captions
from data_tools.cifar import Picture, write_dataset
from data_tools.metadata import facts_of
from data_tools.native_sprites import read_native
from data_tools.pictures import base_view
from data_tools.pokedex import slug
from data_tools.recolor import turn_hues
from data_tools.species import Entry, find
from pokejax.attributes import NONE, Attributes
from pokejax.data.cifar import read
from pokejax.images.colors import primary_and_secondary

ELEMENTS = {
    "metal": "Steel",
    "wood": "Grass",
    "water": "Water",
    "earth": "Ground",
    "fire": "Fire",
}
TURNS = np.arange(40, 321, 20)


@dataclass(frozen=True)
class Creature:
    """One source picture, and what its attributes are once its colours are known."""

    species: str
    name: str
    shiny: bool
    pixels: np.ndarray
    entry: Entry
    attributes: Callable[[str, str], Attributes]


def main() -> None:
    parser = argparse.ArgumentParser(description="Build a dataset of 64x64 fronts.")
    parser.add_argument("--native", type=Path, required=True)
    parser.add_argument("--tuxemon", type=Path, required=True)
    parser.add_argument("--splits-of", type=Path, default=Path("pokemon-cifar-64"))
    parser.add_argument("--out", type=Path, default=Path("native-cifar-64"))
    args = parser.parse_args()
    known = {
        slug(species): split
        for split, rows in read(args.splits_of, 64).items()
        for species in rows.species
    }
    splits: dict[str, list[Picture]] = {"train": [], "val": [], "test": []}
    rng = np.random.default_rng(0)
    for creature in (*native(args.native), *tuxemon(args.tuxemon)):
        split = known.get(creature.species) or split_by_name(creature.species)
        splits[split].append(picture(creature, creature.pixels, creature.shiny))
        if split == "train" and "frame" not in creature.name:
            for turn in rng.choice(TURNS, 3, replace=False):
                pixels = turn_hues(creature.pixels, float(turn))
                splits[split].append(picture(creature, pixels, True, f"@{turn}"))
    splits["train"] = [
        splits["train"][i] for i in rng.permutation(len(splits["train"]))
    ]
    args.out.mkdir(exist_ok=True)
    write_dataset(args.out, splits, image_size=64, split_by="species", seed=0)
    print({name: len(pictures) for name, pictures in splits.items()})


def native(root: Path) -> Iterator[Creature]:
    for species in read_native(root)[0]:
        for sprite in species.pictures:
            kind = base_view(sprite.view)
            form = sprite.view[: sprite.view.rindex(kind)].strip("_")
            entry, facts = find(species.slug, form), facts_of(species.slug, form)
            if kind in ("front", "shiny") and entry and facts:

                def attributes(primary, secondary, facts=facts, entry=entry):
                    return Attributes(
                        facts.types[0],
                        facts.types[1] if len(facts.types) > 1 else NONE,
                        primary,
                        secondary,
                        entry.shape,
                        heuristics.size(facts.height_m),
                        facts.evolution_stage,
                        entry.habitat,
                        "Yes" if facts.legendary else "No",
                        "Yes" if facts.mythical else "No",
                    )

                yield Creature(
                    species.slug,
                    f"{species.slug}_{sprite.view}",
                    kind == "shiny",
                    np.asarray(Image.open(io.BytesIO(sprite.data))),  # pyright: ignore
                    entry,
                    attributes,
                )


def tuxemon(root: Path) -> Iterator[Creature]:
    for path in sorted((root / "mods/tuxemon/gfx/sprites/battle").glob("*-front.png")):
        name = path.stem.removesuffix("-front")
        described = root / f"mods/tuxemon/db/monster/{name}.json"
        entry = find(f"tuxemon{name}")
        pixels = np.asarray(Image.open(path).convert("RGBA"))
        if described.is_file() and entry and pixels.shape == (64, 64, 4):
            types = [ELEMENTS[t] for t in json.loads(described.read_text())["types"]]

            def attributes(primary, secondary, types=types, entry=entry):
                first, second = (*types, NONE, NONE)[:2]
                return Attributes(
                    "Normal" if first == NONE else first,
                    second,
                    primary,
                    secondary,
                    entry.shape,
                    habitat=entry.habitat,
                )

            yield Creature(
                f"tuxemon{name}", f"{name}_front", False, pixels, entry, attributes
            )


def picture(
    creature: Creature, pixels: np.ndarray, turned: bool, ending: str = ""
) -> Picture:
    attributes = creature.attributes(*primary_and_secondary(Image.fromarray(pixels)))
    # Both frames of one picture share their captions.
    seed = creature.name.removesuffix("_frame2") + ending
    captions = write_captions(creature.entry, attributes, seed, turned=turned)
    opaque = pixels[..., 3:] >= 128
    return Picture(
        f"{creature.species}/{creature.name}{ending}.png",
        creature.species,
        "front",
        attributes,
        tuple(captions[:: 2 if ending else 1]),
        np.where(opaque, pixels[..., :3], 255).astype(np.uint8),
    )


def split_by_name(species: str) -> str:
    place = int(hashlib.sha256(species.encode()).hexdigest(), 16) % 100
    return "train" if place < 80 else "val" if place < 88 else "test"


if __name__ == "__main__":
    main()
