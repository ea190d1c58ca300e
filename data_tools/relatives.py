"""Which pictures of a split show relatives: other views, frames, stages of evolution.

Files of one creature differ in their names by view, frame and hue only. What a species
evolves from is the one species of its family that is a stage below; a family that
branches before has two, and then nothing is said.
"""

import itertools
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np
from jaxtyping import Int32

from pokejax.attributes import RELATIONS
from pokejax.data.cifar import view_seen

from .cifar import Picture
from .pokedex import slug
from .splits import families

_STAGES = ("Baby", "Basic", "Stage 1", "Stage 2")


@dataclass(frozen=True)
class _Drawing:
    """What tells a species' pictures apart.

    Attributes:
      form: with the source's word for its style, as the file's name has them.
      palette: what a view is called beyond its side, e.g. `"female_shiny"`.
      turn: degrees of a copy in other hues, or empty.
    """

    species: str
    style: str
    form: str
    palette: str
    turn: str
    side: str
    frame: int


def relatives(
    splits: Mapping[str, Sequence[Picture]],
) -> dict[str, Int32[np.ndarray, "n 4"]]:
    """For each picture, the rows of those whose front, back, ... it is.

    Returns:
      By split, rows of the same split in `RELATIONS` order; -1 for none. A picture that
      stands there several times is the first of them.
    """
    before = _evolves_from([p for pictures in splits.values() for p in pictures])
    found: dict[str, Int32[np.ndarray, "n 4"]] = {}
    for name, pictures in splits.items():
        drawings = [_drawing_of(picture) for picture in pictures]
        rows = {
            drawing: row
            for row, drawing in reversed(list(enumerate(drawings)))
            if drawing
        }
        found[name] = np.full((len(pictures), len(RELATIONS)), -1, np.int32)
        for row, drawing in enumerate(drawings):
            for relation, relative in _relatives_of(drawing, before).items():
                there = rows.get(relative, -1)
                found[name][row, RELATIONS.index(relation)] = there
    return found


def _relatives_of(
    drawing: _Drawing | None, before: Mapping[str, str]
) -> dict[str, _Drawing]:
    """By what the drawing is to it."""
    if drawing is None:
        return {}
    found: dict[str, _Drawing] = {}
    if drawing.side == "front":
        found["front"] = replace(drawing, side="back", frame=1)
    if drawing.side == "back":
        found["back"] = replace(drawing, side="front", frame=1)
    if drawing.species in before:
        found["evolution"] = replace(drawing, species=before[drawing.species], frame=1)
    found["frame"] = replace(drawing, frame=3 - drawing.frame)
    return found


def _drawing_of(picture: Picture) -> _Drawing | None:
    """What a file's name tells; None if it isn't of the kind that sources give."""
    path = PurePosixPath(picture.filename)
    stem, _, turn = path.stem.partition("@")
    frame = re.search(r"_frame([12])$", stem)
    stem = stem[: frame.start()] if frame else stem
    if not stem.endswith(picture.view):
        return None
    form = stem.removesuffix(picture.view).removeprefix(f"{slug(path.parent.name)}_")
    side = view_seen(picture.view)
    words = [word for word in picture.view.split("_") if word != side]
    return _Drawing(
        picture.species,
        picture.style,
        form,
        "_".join(words),
        turn,
        side,
        int(frame[1]) if frame else 1,
    )


def _evolves_from(pictures: Sequence[Picture]) -> dict[str, str]:
    """By species, the one a stage below in its family, where there is only one."""
    family = families(pictures)
    stages: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for picture in pictures:
        # A form's stage is that of its species, or "Alternate".
        stage = picture.attributes.evolution_stage or ""
        stages[family[picture.species]][stage].add(picture.species)
    found: dict[str, str] = {}
    for by_stage in stages.values():
        for lower, upper in itertools.pairwise(_STAGES):
            if len(by_stage[lower]) == 1:
                (species,) = by_stage[lower]
                found |= dict.fromkeys(by_stage[upper] - {species}, species)
    return found
