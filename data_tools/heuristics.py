"""Rules for what the Pokédex doesn't state: body shape, habitat and size class.

Shapes of 649 species are curated in `body_shapes.json` beside this file; other species
get one from their egg groups, which are a rough guide to build. Habitats are all
derived, from types, egg groups and height. Sizes are bands of height.
"""

import functools
import json
from collections.abc import Mapping
from pathlib import Path

from .pokedex import Facts, slug

# Upper bounds in metres; taller than the last is Huge.
_SIZES = ((0.4, "Tiny"), (0.8, "Small"), (1.3, "Medium"), (2.0, "Large"))
# Desert dwellers whose types suggest forest, cave or mountain.
_DESERT = frozenset(
    {"cacnea", "cacturne", "maractus", "darumaka", "darmanitan", "yamask"}
    | {"cofagrigus", "sigilyph", "scraggy", "scrafty", "dwebble", "crustle"}
)
# The first that applies; in this order 62 % of the curated species get their shape.
_SHAPE_BY_EGG_GROUP = {
    "Flying": "Avian",
    "Bug": "Insectoid",
    "Water 2": "Aquatic",
    "Amorphous": "Amorphous",
    "Mineral": "Amorphous",
    "Monster": "Bipedal",
    "Fairy": "Bipedal",
    "Grass": "Bipedal",
    "Human-Like": "Humanoid",
    "Water 3": "Aquatic",
    "Field": "Quadruped",
    "Water 1": "Aquatic",
    "Dragon": "Quadruped",
}


def body_shape(facts: Facts) -> tuple[str, str]:
    """The shape of a species or form, and its source.

    Args:
      facts: of the species or form; a form without a curated shape has its species'.

    Returns:
      A word of `pokejax.attributes.SHAPES`, and `"curated"` or `"heuristic"`.
    """
    curated = _curated_shapes()
    for name in (facts.name, facts.species):
        if slug(name) in curated:
            return curated[slug(name)], "curated"
    for group, shape in _SHAPE_BY_EGG_GROUP.items():
        if group in facts.egg_groups:
            return shape, "heuristic"
    return _shape_without_eggs(set(facts.types)), "heuristic"


def habitat(facts: Facts) -> str:
    """Where it would live, as a word of `pokejax.attributes.HABITATS`.

    The first rule that fits decides: ice, water and flight matter more than the
    other types; then come types of barren ground, of woods, and of towns.
    """
    types, eggs = set(facts.types), set(facts.egg_groups)
    if slug(facts.species) in _DESERT:
        return "Desert"
    if "Ice" in types:
        return "Tundra"
    if "Water" in types:
        inland = types & {"Grass", "Bug", "Ground"} or eggs & {"Grass", "Bug", "Field"}
        is_marine = eggs & {"Water 2", "Water 3"} or facts.height_m >= 1.5
        return "Sea" if is_marine and not inland else "Freshwater"
    if "Flying" in types:
        return _flyers_habitat(facts, types)
    if types & {"Ghost", "Dark"}:
        return "Grassland" if "Dark" in types and "Field" in eggs else "Cave"
    if "Ground" in types:
        return "Cave" if types & {"Rock", "Steel"} else "Desert"
    if types & {"Rock", "Fire", "Dragon"}:
        is_grazer = "Fire" in types and "Field" in eggs and facts.height_m < 1
        return "Grassland" if is_grazer else "Mountain"
    if types & {"Bug", "Grass", "Fairy"}:
        return "Forest"
    return _everyday_habitat(types, eggs)


def size(height_m: float) -> str:
    """The band of `pokejax.attributes.SIZES` that a height in metres falls in."""
    return next((word for bound, word in _SIZES if height_m < bound), "Huge")


def _flyers_habitat(facts: Facts, types: set[str]) -> str:
    if "Bug" in types or "Grass" in types:
        return "Forest"
    if "Poison" in types:
        return "Cave"
    if types & {"Rock", "Steel", "Fire", "Dark", "Ground"} and not facts.legendary:
        return "Mountain"
    small_bird = "Normal" in types and facts.height_m < 0.5
    return "Forest" if small_bird else "Sky"


def _everyday_habitat(types: set[str], eggs: set[str]) -> str:
    if "Fighting" in types:
        return "Mountain"
    if types & {"Steel", "Poison"}:
        return "Urban" if not eggs & {"Monster", "Field"} else "Grassland"
    if "Electric" in types:
        return "Grassland" if eggs & {"Field", "Monster"} else "Urban"
    if "Psychic" in types:
        return "Urban"
    return "Grassland" if eggs & {"Field", "Monster"} else "Urban"


def _shape_without_eggs(types: set[str]) -> str:
    if "Flying" in types:
        return "Avian"
    if "Bug" in types:
        return "Insectoid"
    if types & {"Psychic", "Fighting", "Fairy"}:
        return "Humanoid"
    return "Bipedal" if types & {"Dragon", "Steel", "Electric"} else "Quadruped"


@functools.cache
def _curated_shapes() -> Mapping[str, str]:
    table = json.loads(Path(__file__).with_name("body_shapes.json").read_text("utf-8"))
    return {name: shape for shape, names in table.items() for name in names}
