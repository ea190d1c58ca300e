"""What a person sees in each creature: nouns, visible parts, colours, shape, habitat.

`species.txt` beside this file was written by looking at contact sheets of the sprites,
a line a creature (but for eight that no source shows, which stand last):

    id | nouns | parts, each with a colour | primary, secondary | habitat | shape

An id is the sprite's folder in the source it was judged from (`charizard/mega_x`), or
`tuxemon:` and its name there. Colours are letters of `COLOR_LETTERS`, habitats the
first two letters of their word.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pokejax.attributes import COLORS, HABITATS, NONE, SHAPES

from .pokedex import slug

COLOR_LETTERS = dict(zip("ROYGBPKNXWA", COLORS, strict=True))
_HABITATS = {word[:2]: word for word in HABITATS}
# What the npm package calls some forms, and what the table does.
_FORMS = {
    "sandy": "sandy_cloak",
    "trash": "trash_cloak",
    "zen": "zen_mode",
    "east": "east_sea",
}
_TABLE = Path(__file__).with_name("species.txt")


@dataclass(frozen=True)
class Part:
    """Something that one sees: `"curled tail"`, and its colour."""

    name: str
    color: str


@dataclass(frozen=True)
class Entry:
    """One line of the table.

    Attributes:
      name: the slug of its id.
      nouns: one to three, the most specific first.
      parts: two to five.
      primary: the colour a person would name first.
      secondary: the next, or `"None"`.
    """

    name: str
    nouns: tuple[str, ...]
    parts: tuple[Part, ...]
    primary: str
    secondary: str
    habitat: str
    shape: str


def find(name: str, form: str = "") -> Entry | None:
    """The entry of a form, or else of its species, by names in any spelling."""
    return find_form(name, form) or load().get(slug(name))


def find_form(name: str, form: str) -> Entry | None:
    """The entry of a form only; without a form, the species' own."""
    table = load()
    return table.get(slug(name + form)) or table.get(
        slug(name + _FORMS.get(slug(form), form))
    )


@functools.cache
def load() -> Mapping[str, Entry]:
    """All entries by the slug of their id.

    Raises:
      ValueError: names the line that isn't as it should be.
    """
    entries: dict[str, Entry] = {}
    for number, line in enumerate(_TABLE.read_text("utf-8").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        try:
            name, entry = parse_line(line)
        except (ValueError, KeyError) as error:
            raise ValueError(f"{_TABLE.name}, line {number}: {error}") from error
        entries[slug(name)] = entry
    return entries


def parse_line(line: str) -> tuple[str, Entry]:
    """The id and the entry that one line of the table holds.

    Raises:
      ValueError: not six fields, or a count or a shape out of bounds.
      KeyError: a letter that stands for no colour or habitat.
    """
    name, nouns, parts, colors, habitat, shape = line.split("|")
    primary, secondary = colors.split(",")
    entry = Entry(
        name=slug(name),
        nouns=tuple(noun.strip() for noun in nouns.split(",")),
        parts=tuple(
            Part(text, COLOR_LETTERS[letter])
            for text, letter in (part.rsplit(" ", 1) for part in parts.split(";"))
        ),
        primary=COLOR_LETTERS[primary],
        secondary=NONE if secondary == "-" else COLOR_LETTERS[secondary],
        habitat=_HABITATS[habitat],
        shape=shape,
    )
    if not 1 <= len(entry.nouns) <= 3 or not all(entry.nouns):
        raise ValueError(f"{name}: one to three nouns are expected, not {nouns!r}")
    if not 2 <= len(entry.parts) <= 5:
        raise ValueError(f"{name}: two to five parts are expected, not {parts!r}")
    if shape not in SHAPES:
        raise ValueError(f"{name}: {shape!r} is not one of {', '.join(SHAPES)}")
    return name, entry
