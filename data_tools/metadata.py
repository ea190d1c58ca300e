"""The metadata of one picture, and its file.

Owns the layout of that file (the original's, with `species`, `view`, `image` and
`sources` added), what is known about a picture offline, and the writing. A missing key
means unknown; `null` means there is none.
"""

import json
import random
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from data_tools import heuristics, tuxemon
from data_tools.captions import from_behind, write_captions
from data_tools.native_sprites import STYLE as NATIVE
from data_tools.picture_files import open_picture, to_rgba
from data_tools.pictures import base_view, find_metadata, metadata_path
from data_tools.pokedex import Facts, load_facts, slug
from data_tools.prompt_writer import write_prompts
from data_tools.species import Entry, find
from pokejax.attributes import NONE, attributes_from_metadata
from pokejax.files import whole_file
from pokejax.images.colors import (
    SECONDARY_SHARE,
    carried_over,
    name_colors,
    primary_and_secondary,
)

# What 64x64 sprites call some forms, and what the Pokédex does.
_FORMS = {
    "alolan": "alola",
    "galarian": "galar",
    "hisuian": "hisui",
    "paldean": "paldea",
    "gigantamax": "gmax",
}
# What the table calls a creature counts where this share of the picture shows it.
_SEEN_SHARE = 0.08
_LONGEST_CAPTIONS = 1 << 16  # bytes


class MetadataError(Exception):
    """The command can't go on; the message is the one line for the user."""


@dataclass(frozen=True)
class Outcome:
    """What became of one picture.

    Attributes:
      known: its attributes by name; empty where there's a problem.
      has_facts: whether its species is in the Pokédex.
      is_new: whether its file was written now.
      problem: why there's no metadata, or empty.
    """

    known: dict[str, str]
    has_facts: bool = False
    is_new: bool = False
    problem: str = ""


def blank_metadata(path: Path) -> dict[str, Any]:
    """What the path alone says about a picture, in the layout of a metadata file.

    Args:
      path: `<Species>/<species>_[<form>_]<view>[_frameN].png`.
    """
    species = path.parent.name
    prefix = f"{slug(species)}_"
    view = path.stem.removeprefix(prefix) if path.stem.startswith(prefix) else path.stem
    form, style = form_and_style(view)
    facts = None if style == tuxemon.STYLE else facts_of(species, form)
    if facts and not style:
        style = _package_style(view)
    return {
        "species": species,
        "family": facts.family if facts else species,
        "view": view,
        "style": style,
        "image": path.name,
        "entry": None,
        "prompts": [],
        "visual_attributes": {},
        "categorical_attributes": {},
        "semantic_attributes": {},
        "sources": {},
    }


def describe(path: Path) -> dict[str, Any]:
    """The metadata of the picture at `path`, as it is written to its JSON.

    Args:
      path: `<Species>/<species>_[<form>_]<view>[_frameN].png`.

    Returns:
      A mapping that `pokejax.attributes.attributes_from_metadata` reads.

    Raises:
      ValueError: unreadable, blank or too big.
    """
    metadata = blank_metadata(path)
    view = metadata["view"]
    form, _ = form_and_style(view)
    if metadata["style"] == tuxemon.STYLE:
        facts, entry = None, find(tuxemon.STYLE, metadata["species"])
        _add_tuxemon_facts(metadata, path.with_name(tuxemon.FACTS_FILE))
    else:
        facts = facts_of(metadata["species"], form)
        entry = find(metadata["species"], form)
    if facts:
        _add_facts(metadata, facts)
    if entry:
        _add_entry(metadata, entry)
    _add_colors(metadata, path, entry)
    attributes = attributes_from_metadata(metadata)
    # Frames, and pictures of one's own, may share a view, but never a stem.
    seed = f"{slug(metadata['species'])}/{path.stem}"
    kind = base_view(view)
    own = path.with_suffix(".txt")
    if own.is_file():
        metadata["prompts"] = own_captions(own)
    elif entry:
        metadata["entry"] = entry.name
        metadata["prompts"] = write_captions(
            entry, attributes, seed, behind="back" in kind, turned="shiny" in kind
        )
    else:
        metadata["prompts"] = write_prompts(attributes, seed)
        if "back" in kind:
            rng = random.Random(seed)
            metadata["prompts"] = [from_behind(p, rng) for p in metadata["prompts"]]
    return metadata


def own_captions(path: Path) -> list[str]:
    """What a person wrote about a picture: each line of a text file that isn't blank.

    Raises:
      ValueError: nothing in it, or no text.
    """
    lines = path.read_bytes()[:_LONGEST_CAPTIONS].decode("utf-8-sig").splitlines()
    captions = [line.strip() for line in lines if line.strip()]
    if not captions:
        raise ValueError(f"{path.name} holds no caption")
    return captions


def form_and_style(view: str) -> tuple[str, str]:
    """The form in a view's name, and the style that a 64x64 source has put there.

    `"mega_x_native_shiny_back"` gives `("mega_x", "native")`; other sources' views have
    no style in them.
    """
    kind = base_view(view)
    words = view[: view.rindex(kind)].strip("_").split("_") if kind in view else []
    style = words.pop() if words and words[-1] in (NATIVE, tuxemon.STYLE) else ""
    return "_".join(words), style


def _package_style(view: str) -> str:
    """Of a picture of the npm package: it has vector artwork, and animations."""
    return "vector" if "artwork" in base_view(view) else "gen5"


def facts_of(species: str, form: str) -> Facts | None:
    """Of a form, by names in any spelling, or else of its species."""
    facts = load_facts()
    for name, other in _FORMS.items():
        form = form.replace(name, other)
    return facts.get(slug(species + form)) or facts.get(slug(species))


def read_picture(path: Path) -> Image.Image:
    """The first frame of the picture at `path`, RGBA.

    Raises:
      ValueError: unreadable or too big.
    """
    with warnings.catch_warnings():
        # Pillow warns about odd chunks, and about sizes that are checked here.
        warnings.simplefilter("ignore")
        try:
            with open_picture(path) as image:
                return to_rgba(image)
        except (OSError, SyntaxError) as error:
            raise ValueError("not a readable picture") from error


def _add_colors(metadata: dict[str, Any], path: Path, entry: Entry | None) -> None:
    """What a person called the creature's colors, carried over to another palette.

    A picture is measured where nobody looked: of a creature without an entry, and of a
    shiny one whose normal picture isn't beside it.
    """
    image = read_picture(path)
    ranked = name_colors(image)
    primary, secondary = primary_and_secondary(image)
    source = "pixels"
    # Not of somebody's own drawing that has other colors.
    is_usual = entry and dict(ranked).get(entry.primary, 0) >= _SEEN_SHARE
    if entry and is_usual and "shiny" not in base_view(metadata["view"]):
        primary, secondary, source = entry.primary, entry.secondary, "curated"
    elif entry and (normal := _normal_beside(path)):
        names = entry.primary, entry.secondary
        primary, secondary = carried_over(read_picture(normal), image, names)
        source = "curated and pixels"
    others = [name for name, share in ranked if share >= SECONDARY_SHARE]
    metadata["visual_attributes"] |= {
        "primary_colors": list(dict.fromkeys([primary, *others])),
        "color_distribution": {
            "primary": primary,
            "secondary": None if secondary == NONE else secondary,
        },
    }
    metadata["sources"] |= {"primary_color": source, "secondary_color": source}


def _normal_beside(shiny: Path) -> Path | None:
    """The same drawing in its normal palette, as 64x64 sources have it."""
    frame = re.search(r"_frame\d+$", shiny.stem)
    stem = shiny.stem[: frame.start()] if frame else shiny.stem
    if not stem.endswith((f"{NATIVE}_shiny", f"{NATIVE}_shiny_back")):
        return None
    stem = stem.replace("_shiny_back", "_back").replace("_shiny", "_front")
    normal = shiny.with_name(stem + (frame.group() if frame else "") + shiny.suffix)
    return normal if normal.is_file() else None


def _add_facts(metadata: dict[str, Any], facts: Facts) -> None:
    shape, shape_source = heuristics.body_shape(facts)
    metadata["visual_attributes"] |= {
        "body_shape": shape,
        "size": heuristics.size(facts.height_m),
    }
    metadata["categorical_attributes"] |= {
        "type1": facts.types[0],
        "type2": facts.types[1] if len(facts.types) > 1 else None,
        "evolution_stage": facts.evolution_stage,
        "generation": facts.generation,
    }
    metadata["semantic_attributes"] |= {
        "habitat": heuristics.habitat(facts),
        "legendary": facts.legendary,
        "mythical": facts.mythical,
    }
    stated = ("type1", "type2", "size", "evolution_stage", "generation")
    metadata["sources"] |= dict.fromkeys((*stated, "legendary", "mythical"), "pokedex")
    metadata["sources"] |= {"shape": shape_source, "habitat": "heuristic"}


def _add_tuxemon_facts(metadata: dict[str, Any], path: Path) -> None:
    """What the game says of the creature, if its file lies beside the picture.

    Raises:
      ValueError: the file is no description.
    """
    if not path.is_file():
        return
    facts = tuxemon.parse_facts(path.read_text("utf-8"))
    metadata["family"] = f"Tuxemon {facts.family[0]}"
    if facts.type1:
        metadata["categorical_attributes"] |= {
            "type1": facts.type1,
            "type2": facts.type2,
        }
    if facts.evolution_stage:
        metadata["categorical_attributes"]["evolution_stage"] = facts.evolution_stage
    if facts.size:
        metadata["visual_attributes"]["size"] = facts.size
    metadata["semantic_attributes"] |= {"legendary": False, "mythical": False}
    stated = ("type1", "type2", "size", "evolution_stage", "legendary", "mythical")
    metadata["sources"] |= dict.fromkeys(stated, tuxemon.STYLE)


def _add_entry(metadata: dict[str, Any], entry: Entry) -> None:
    """What was judged by eye; it takes precedence over rules."""
    metadata["visual_attributes"]["body_shape"] = entry.shape
    metadata["sources"]["shape"] = "curated"
    metadata["semantic_attributes"]["habitat"] = entry.habitat
    metadata["sources"]["habitat"] = "curated"


def write_metadata(path: Path, metadata: dict[str, Any]) -> Outcome:
    """Write `metadata` beside the picture at `path`, whole or not at all.

    Raises:
      OSError: the file can't be written.
    """
    with whole_file(metadata_path(path)) as partial:
        partial.write_text(json.dumps(metadata, indent=2) + "\n", "utf-8")
    known = attributes_from_metadata(metadata).known()
    return Outcome(known, "type1" in known, is_new=True)


def read_outcome(path: Path) -> Outcome:
    """What the metadata that is already beside the picture at `path` says."""
    target = find_metadata(path) or metadata_path(path)
    try:
        known = attributes_from_metadata(json.loads(target.read_text("utf-8"))).known()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        hint = "--no-skip-existing writes it anew"
        return Outcome({}, problem=f"{target}: {reason}; {hint}")
    return Outcome(known, "type1" in known)
