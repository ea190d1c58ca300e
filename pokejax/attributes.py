"""The closed vocabularies, and the record of their values that everything shares.

Ten describe a creature, and are the original's; two more describe how it is drawn.
Owns the names and their order (an id is a position in its vocabulary, so the order
is part of every trained model's contract) and the `Attributes` record that data,
training, sampling and serving pass around. Imports nothing of ours.

"Unknown" is a value of its own: `None` in a record, `UNKNOWN_ID` in an id vector. It
isn't the same as "no second type", which is the word `"None"`.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import SupportsInt

import numpy as np

UNKNOWN_ID = -1
NONE = "None"

TYPES = (
    "Normal",
    "Fire",
    "Water",
    "Electric",
    "Grass",
    "Ice",
    "Fighting",
    "Poison",
    "Ground",
    "Flying",
    "Psychic",
    "Bug",
    "Rock",
    "Ghost",
    "Dragon",
    "Dark",
    "Steel",
    "Fairy",
)
COLORS = (
    "Red",
    "Orange",
    "Yellow",
    "Green",
    "Blue",
    "Purple",
    "Pink",
    "Brown",
    "Black",
    "White",
    "Gray",
)
SHAPES = (
    "Bipedal",
    "Quadruped",
    "Humanoid",
    "Avian",
    "Serpentine",
    "Aquatic",
    "Insectoid",
    "Amorphous",
)
SIZES = ("Tiny", "Small", "Medium", "Large", "Huge")
EVOLUTION_STAGES = ("Baby", "Basic", "Stage 1", "Stage 2", "Single", "Alternate")
HABITATS = (
    "Forest",
    "Grassland",
    "Mountain",
    "Cave",
    "Sea",
    "Freshwater",
    "Urban",
    "Desert",
    "Tundra",
    "Sky",
)
FLAGS = ("No", "Yes")
VIEWS = ("front", "back", "artwork")
STYLES = ("native", "gen5", "vector", "tuxemon")

VOCABULARIES: Mapping[str, tuple[str, ...]] = {
    "type1": TYPES,
    "type2": (*TYPES, NONE),
    "primary_color": COLORS,
    "secondary_color": (*COLORS, NONE),
    "shape": SHAPES,
    "size": SIZES,
    "evolution_stage": EVOLUTION_STAGES,
    "habitat": HABITATS,
    "legendary": FLAGS,
    "mythical": FLAGS,
}
DRAWING: Mapping[str, tuple[str, ...]] = {"view": VIEWS, "style": STYLES}
CONDITIONS: Mapping[str, tuple[str, ...]] = {**VOCABULARIES, **DRAWING}
# What a picture can be to that of a relative: the same creature from the front, from
# behind, as it evolves, or in the other frame of its animation.
RELATIONS = ("front", "back", "evolution", "frame")


@dataclass(frozen=True)
class Attributes:
    """What is known of one creature and its picture; `None` where nothing is known.

    Every value is a word of its field's vocabulary, spelled as there. A field that
    can be absent in nature (a second type, a second colour) says so with `"None"`.

    Raises:
      ValueError: names the field, the value, and the nearest valid one.
    """

    type1: str | None = None
    type2: str | None = None
    primary_color: str | None = None
    secondary_color: str | None = None
    shape: str | None = None
    size: str | None = None
    evolution_stage: str | None = None
    habitat: str | None = None
    legendary: str | None = None
    mythical: str | None = None
    view: str | None = None
    style: str | None = None

    def __post_init__(self) -> None:
        for name, vocabulary in CONDITIONS.items():
            value = getattr(self, name)
            if value is not None and value not in vocabulary:
                raise ValueError(
                    f"{name}: {value!r} is not one of {', '.join(vocabulary)}"
                    + nearest_hint(str(value), vocabulary)
                )

    def ids(self) -> np.ndarray:
        """Ids in `CONDITIONS` order, `UNKNOWN_ID` for unknown; `12` int32."""
        return np.array(
            [
                UNKNOWN_ID
                if (value := getattr(self, name)) is None
                # a linear scan over at most 19 words
                else vocabulary.index(value)
                for name, vocabulary in CONDITIONS.items()
            ],
            np.int32,
        )

    @classmethod
    def from_ids(cls, ids: Iterable[SupportsInt]) -> "Attributes":
        """The record that `ids` stands for; the inverse of `Attributes.ids`.

        The ten of `VOCABULARIES` alone will do: view and style are then unknown.
        """
        return cls(
            **{
                name: None if i == UNKNOWN_ID else vocabulary[i]
                # ten ids or twelve
                for (name, vocabulary), i in zip(
                    CONDITIONS.items(), map(int, ids), strict=False
                )
            }
        )

    @classmethod
    def from_names(cls, names: Mapping[str, str | None]) -> "Attributes":
        """A record from a mapping that a person wrote, in any letter case.

        Raises:
          ValueError: an unknown field or value, with the nearest valid one.
        """
        values: dict[str, str | None] = {}
        for name, value in names.items():
            if name not in CONDITIONS:
                raise ValueError(
                    f"unknown attribute {name!r}" + nearest_hint(name, CONDITIONS)
                )
            by_lower = {word.lower(): word for word in CONDITIONS[name]}
            values[name] = None if value is None else by_lower.get(value.lower(), value)
        return cls(**values)

    def known(self) -> dict[str, str]:
        """The fields that have a value, in `CONDITIONS` order."""
        return {
            f.name: value
            for f in fields(self)
            if (value := getattr(self, f.name)) is not None
        }

    def override(self, other: "Attributes") -> "Attributes":
        """This record, with every value that `other` knows taking precedence."""
        return replace(self, **other.known())


def nearest_hint(word: str, valid: Iterable[str]) -> str:
    """`"; did you mean 'Blue'?"` for the nearest of `valid`, or nothing if none is."""
    by_lower = {v.lower(): v for v in valid}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.5)
    return f"; did you mean {by_lower[close[0]]!r}?" if close else ""


def attributes_from_metadata(metadata: Mapping) -> Attributes:
    """The record in a metadata JSON (the original's layout).

    There a missing second type or colour is `null`, which here is `"None"`: the file
    describes a picture that somebody looked at, so "none" is information. A key that
    isn't in the file at all is unknown.

    Raises:
      ValueError: a value outside its vocabulary.
      KeyError: one of the three attribute sections is missing.
    """
    visual = metadata["visual_attributes"]
    categorical = metadata["categorical_attributes"]
    semantic = metadata["semantic_attributes"]
    colors = visual.get("color_distribution", {})

    def optional(section: Mapping, key: str) -> str | None:
        return None if key not in section else section[key] or NONE

    def flag(key: str) -> str | None:
        return None if semantic.get(key) is None else FLAGS[bool(semantic[key])]

    return Attributes(
        type1=categorical.get("type1"),
        type2=optional(categorical, "type2"),
        primary_color=colors.get("primary"),
        secondary_color=optional(colors, "secondary"),
        shape=visual.get("body_shape"),
        size=visual.get("size"),
        evolution_stage=categorical.get("evolution_stage"),
        habitat=semantic.get("habitat"),
        legendary=flag("legendary"),
        mythical=flag("mythical"),
    )
