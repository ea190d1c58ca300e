"""The creatures of Tuxemon, a free game: its battle sprites, and what it says of each.

    mods/tuxemon/gfx/sprites/battle/<slug>-{front,back}.png    64x64 RGBA
    mods/tuxemon/db/monster/<slug>.json                        types, stage, height

Its art is mostly CC BY-SA 4.0, so the list of its authors goes along, as
`ATTRIBUTIONS-tuxemon.md`, into what is built from it.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import heuristics
from .git_source import Repository
from .pokedex import slug
from .sprite_sources import FetchError, Species, Sprite, folder_name

REPOSITORY = Repository(
    "https://github.com/Tuxemon/Tuxemon",
    "ca9b3362e158f31619a508cafc87b5be131a05c0",
    (
        "mods/tuxemon/gfx/sprites/battle",
        "mods/tuxemon/db/monster",
        "ATTRIBUTIONS.md",
        "LICENSE",
    ),
)
STYLE = "tuxemon"
ATTRIBUTIONS = "ATTRIBUTIONS-tuxemon.md"
FACTS_FILE = "tuxemon.json"
_SPRITES = Path("mods/tuxemon/gfx/sprites/battle")
_MONSTERS = Path("mods/tuxemon/db/monster")
_TYPES = {
    "metal": "Steel",
    "wood": "Grass",
    "water": "Water",
    "earth": "Ground",
    "fire": "Fire",
}
_STAGES = {
    "basic": "Basic",
    "stage1": "Stage 1",
    "stage2": "Stage 2",
    "standalone": "Single",
}


@dataclass(frozen=True)
class TuxemonFacts:
    """What the game says of a creature, in this project's words; None is unknown.

    Attributes:
      family: slugs of those that it says it evolves from or to, and its own, sorted.
        Not each creature names all of its family.
    """

    family: tuple[str, ...]
    type1: str | None
    type2: str | None
    evolution_stage: str | None
    size: str | None


def read_tuxemon(root: Path) -> tuple[list[Species], list[str]]:
    """Every creature that has a battle sprite and a description.

    Args:
      root: a checkout of the game.

    Returns:
      The species in alphabetical order, and one line for each file left out.

    Raises:
      FetchError: no such folder, no sprite in it, or no list of authors.
    """
    if not (root / "ATTRIBUTIONS.md").is_file() or not (root / _SPRITES).is_dir():
        raise FetchError(
            f"--from {str(root)!r} is no checkout of Tuxemon: it lacks ATTRIBUTIONS.md"
            f" or {_SPRITES}"
        )
    species: list[Species] = []
    problems: list[str] = []
    # Some creatures have a question mark until somebody draws their back.
    count = Counter(p.read_bytes() for p in (root / _SPRITES).glob("*-back.png"))
    for path in sorted((root / _SPRITES).glob("*-front.png")):
        name = path.stem.removesuffix("-front")
        described = root / _MONSTERS / f"{name}.json"
        if not described.is_file():
            problems.append(f"{path.name!r}: {described.name} is missing")
            continue
        pictures = [Sprite(path.name, path, f"{STYLE}_front", svg=False)]
        back = path.with_name(f"{name}-back.png")
        if back.is_file():
            if (shared := count[back.read_bytes()]) > 1:
                problems.append(f"{back.name!r}: {shared} creatures have this picture")
            else:
                pictures.append(Sprite(back.name, back, f"{STYLE}_back", svg=False))
        folder = folder_name(name.replace("_", " ").title())
        facts = described.read_bytes()
        species.append(Species(folder, slug(name), pictures, {FACTS_FILE: facts}))
    if not species:
        raise FetchError(f"--from {str(root)!r} holds no {_SPRITES}/<name>-front.png")
    return species, problems


def parse_facts(text: str) -> TuxemonFacts:
    """The facts in a creature's JSON.

    Raises:
      ValueError: not such a file.
    """
    described: Any = json.loads(text)
    if not isinstance(described, Mapping):
        raise ValueError("no JSON object")
    types = [_TYPES[word] for word in described.get("types", []) if word in _TYPES]
    height = described.get("height")
    relatives = [str(m.get("mon_slug")) for m in described.get("history", [])]
    return TuxemonFacts(
        family=tuple(sorted({str(described.get("slug")), *relatives})),
        type1=types[0] if types else None,
        type2=types[1] if len(types) > 1 else None,
        evolution_stage=_STAGES.get(str(described.get("stage"))),
        # Centimetres; a few say metres, and those are below 3.
        size=heuristics.size(height / 100 if height >= 3 else float(height))
        if isinstance(height, int | float) and height > 0
        else None,
    )
