"""Which picture goes where: the split, duplicates across it, and the balance of train.

Pure functions of pictures and a seed; nothing here reads or writes a file. The order
matters: split first, then drop duplicates across splits, then balance train alone. Had
pictures been repeated before the split, copies of one picture would lie on both sides.
"""

import functools
import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .cifar import Picture

SPLITS = ("train", "val", "test")
RATIOS = (0.7, 0.15, 0.15)  # unless it is told others


def split_pictures(
    pictures: Sequence[Picture],
    ratios: Sequence[float],
    *,
    split_by: str,
    seed: int,
    known: Mapping[str, str] | None = None,
) -> dict[str, list[Picture]]:
    """Stratified split into `SPLITS`.

    A species' key is the type, colour and shape that most of its pictures have. Species
    are lined up by type, then by key, shuffled within a key; keys too rare to reach
    every split form one pool for each type. Each in turn goes whole to the split that
    lacks most pictures so far, so any stretch of the line, a type above all, is divided
    in nearly the wanted proportions.

    Args:
      pictures: in an order that doesn't depend on the machine.
      ratios: shares of train, val and test; positive, sum 1.
      split_by: `"species"`; `"family"`, all that evolve into each other together; or
        `"image"` to place each picture on its own, and then views of one species land
        on both sides.
      seed: same seed and pictures, same split.
      known: by species, splits that stay as they are, if that leaves no split empty;
        only of a split by species.

    Raises:
      ValueError: too few species (or pictures) to put one in each split.
    """
    if known and split_by == "species":
        placed = {name: [] for name in SPLITS}
        for picture in pictures:
            if picture.species in known:
                placed[known[picture.species]].append(picture)
        others = [p for p in pictures if p.species not in known]
        try:
            new = split_pictures(others, ratios, split_by=split_by, seed=seed)
        except ValueError:  # too few to be drawn from: they are trained on
            new = {"train": others, "val": [], "test": []}
        splits = {name: placed[name] + new[name] for name in SPLITS}
        if all(splits.values()):
            return splits
    units: dict[str, list[Picture]] = defaultdict(list)
    family = families(pictures)
    for picture in pictures:
        unit = {"species": picture.species, "family": family[picture.species]}
        units[unit.get(split_by, picture.filename)].append(picture)
    sizes = {
        name: Unit(len(unit), _commonest_key(unit)) for name, unit in units.items()
    }
    splits: dict[str, list[Picture]] = {name: [] for name in SPLITS}
    for name, split in place(sizes, ratios, split_by=split_by, seed=seed).items():
        splits[split] += units[name]
    return splits


class Unit(NamedTuple):
    """What goes into one split as a whole: its number of pictures, and its key."""

    size: int
    key: tuple[str, str]


def place(
    units: Mapping[str, Unit], ratios: Sequence[float], *, split_by: str, seed: int
) -> dict[str, str]:
    """The split of each unit, as `split_pictures` describes it.

    Args:
      units: by name, in the order of their first pictures.
      ratios: as in `split_pictures`, and so are the others.
      split_by: what the units are.
      seed: decides the order of those of one key.

    Raises:
      ValueError: as `split_pictures`.
    """
    rank = np.random.default_rng([seed, 0]).permutation(len(units))
    reach = math.ceil(1 / min(ratios))
    times = Counter(unit.key for unit in units.values())
    rare = {key for key, count in times.items() if count < reach}
    line = sorted(
        (type1, "" if (type1, group) in rare else group, place, name)
        for place, (name, (_, (type1, group))) in zip(rank, units.items(), strict=True)
    )
    splits: dict[str, str] = {}
    sizes: dict[str, int] = dict.fromkeys(SPLITS, 0)
    for *_, name in line:
        placed = sum(sizes.values()) + units[name].size
        lacking = [
            ratio * placed - sizes[split]
            for split, ratio in zip(SPLITS, ratios, strict=True)
        ]
        splits[name] = SPLITS[int(np.argmax(lacking))]
        sizes[splits[name]] += units[name].size
    for split, ratio in zip(SPLITS, ratios, strict=True):
        if not sizes[split]:
            what = {"species": "species", "family": "families"}.get(
                split_by, "pictures"
            )
            raise ValueError(
                f"not enough {what} to split: of {len(units)} none is left for {split} "
                f"at ratio {ratio:g}; at least {reach} are needed"
            )
    return splits


def place_species(
    species: Mapping[str, Unit], ratios: Sequence[float], *, seed: int
) -> dict[str, str]:
    """The split of each species, where those of `known_splits` stay as they are.

    As `split_pictures` splits by species, of what is known of the species alone.
    """
    known = {k: v for k, v in known_splits().items() if k in species}
    others = {name: unit for name, unit in species.items() if name not in known}
    try:
        new = place(others, ratios, split_by="species", seed=seed)
    except ValueError:
        new = dict.fromkeys(others, "train")
    if {*known.values(), *new.values()} == {*SPLITS}:
        return known | new
    return place(species, ratios, split_by="species", seed=seed)


@functools.cache
def known_splits() -> Mapping[str, str]:
    """Split by species of all sources, from `known_splits.txt` beside this file.

    Drawn anew, a species moves whenever labels of any change, and a model would be
    tested on what it was trained on.
    """
    found: dict[str, str] = {}
    split = ""
    for line in Path(__file__).with_name("known_splits.txt").read_text().splitlines():
        if line.startswith("  "):
            names = filter(None, map(str.strip, line.split(",")))
            found |= dict.fromkeys(names, split)
        elif not line.startswith("#"):
            split = line.removesuffix(":")
    return found


def related(splits: Mapping[str, Sequence[Picture]]) -> tuple[int, int]:
    """How many species of test have a relative in train, and how many there are."""
    family = families([p for pictures in splits.values() for p in pictures])
    trained = {family[p.species] for p in splits["train"]}
    tested = {p.species for p in splits["test"]}
    return sum(family[name] in trained for name in tested), len(tested)


def families(pictures: Sequence[Picture]) -> dict[str, str]:
    """By species, a name that all of its relatives have in common.

    Not every creature names all of its family, so relatives of relatives count.
    """
    above: dict[str, str] = {}

    def top(name: str) -> str:
        while (next_one := above.get(name, name)) != name:
            name = next_one
        return name

    for species, relatives in sorted({(p.species, p.family) for p in pictures}):
        for name in relatives:
            # A species may be called like another's family.
            first, second = sorted((top(f"species {species}"), top(name)))
            above[second] = first
    return {p.species: top(f"species {p.species}") for p in pictures}


def pinned(splits: Mapping[str, Sequence[Picture]]) -> int:
    """How many species stand in the split that `known_splits` names."""
    known = known_splits()
    placed = {(p.species, name) for name, pictures in splits.items() for p in pictures}
    known_ones = {(species, name) for species, name in placed if species in known}
    return len(known_ones) if known_ones <= set(known.items()) else 0


def drop_duplicates(
    splits: Mapping[str, Sequence[Picture]],
) -> tuple[dict[str, list[Picture]], int]:
    """Drop pictures from val and test that an earlier split has, pixel for pixel.

    Returns:
      The splits, train untouched, and how many pictures were dropped.

    Raises:
      ValueError: nothing would be left of a split.
    """
    seen: set[bytes] = set()
    kept: dict[str, list[Picture]] = {}
    for name in SPLITS:
        kept[name] = [p for p in splits[name] if digest_of(p) not in seen]
        seen |= {digest_of(p) for p in kept[name]}
        if not kept[name]:
            raise ValueError(f"every picture of {name} is in an earlier split as well")
    return kept, sum(len(splits[name]) - len(kept[name]) for name in SPLITS)


@dataclass(frozen=True)
class Balance:
    """What balancing did.

    Attributes:
      raised: groups repeated up to the target.
      cut: groups thinned down to the target.
      kept: groups below the minimum, left as they were.
      kept_rows: pictures in those.
      most_copies: of a single picture.
    """

    raised: int
    cut: int
    kept: int
    kept_rows: int
    most_copies: int


def balance(
    pictures: Sequence[Picture], *, target: int, minimum: int, seed: int
) -> tuple[list[Picture], Balance]:
    """Even out the groups (type, colour and shape) of the training pictures.

    A group above `target` is thinned to it, one of `minimum` to `target` is repeated up
    to it, every picture equally often within one. A smaller group stays as it is: to
    repeat three pictures fifty times would have them memorised, and to remove them
    would lose whole kinds of creature.

    Args:
      target: rows for each group, >= 1.
      minimum: fewest pictures a group needs to be repeated, >= 1.
      seed: decides which pictures are left out or repeated once more, and the order.

    Returns:
      The rows, shuffled, a repeated picture standing there several times; and counts.
    """
    groups: dict[str, list[Picture]] = defaultdict(list)
    for picture in pictures:
        groups[picture.group].append(picture)
    rng = np.random.default_rng([seed, 1])
    rows: list[Picture] = []
    for group in sorted(groups):
        members = groups[group]
        if minimum <= len(members) < target or len(members) > target:
            copies, extra = divmod(target, len(members))
            rows += members * copies
            rows += [members[i] for i in rng.permutation(len(members))[:extra]]
        else:
            rows += members
    sizes = [len(members) for members in groups.values()]
    kept = [n for n in sizes if n < minimum and n <= target]
    counts = Balance(
        raised=sum(minimum <= n < target for n in sizes),
        cut=sum(n > target for n in sizes),
        kept=len(kept),
        kept_rows=sum(kept),
        most_copies=max(Counter(p.filename for p in rows).values(), default=0),
    )
    return [rows[i] for i in rng.permutation(len(rows))], counts


def leaks(splits: Mapping[str, Sequence[Picture]]) -> tuple[int, int]:
    """How many species, and how many different pictures, lie in more than one split."""
    species = [{p.species for p in splits[name]} for name in SPLITS]
    pixels = [{digest_of(p) for p in splits[name]} for name in SPLITS]
    return _in_several(species), _in_several(pixels)


def digest_of(picture: Picture) -> bytes:
    """What tells pictures apart: a hash of their colours, without alpha."""
    return hashlib.sha256(picture.pixels[..., :3].tobytes()).digest()


def _in_several(sets: Sequence[set]) -> int:
    return sum(n > 1 for n in Counter(item for s in sets for item in s).values())


def _commonest_key(pictures: Sequence[Picture]) -> tuple[str, str]:
    return commonest(Counter(key_of(p) for p in pictures))


def key_of(picture: Picture) -> tuple[str, str]:
    """By which a picture's species is lined up: its type, and its group."""
    return picture.attributes.type1 or "", picture.group


def commonest(keys: Mapping[tuple[str, str], int]) -> tuple[str, str]:
    """The key that most pictures have; ties are broken by name, not by their order."""
    return min(keys, key=lambda key: (-keys[key], key))
