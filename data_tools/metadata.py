"""The metadata of one picture, and its file.

Owns the layout of that file (the original's, with `species`, `view`, `image` and
`sources` added), what is known about a picture offline, and the writing. A missing key
means unknown; `null` means there is none.
"""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from data_tools import heuristics
from data_tools.captions import write_captions
from data_tools.pictures import base_view, metadata_path
from data_tools.pokedex import Facts, load_facts, slug
from data_tools.prompt_writer import write_prompts
from data_tools.species import Entry, find
from pokejax.attributes import NONE, attributes_from_metadata
from pokejax.files import whole_file
from pokejax.images.colors import SECONDARY_SHARE, name_colors, primary_and_secondary

# What 64x64 sprites call some forms, and what the Pokédex does.
_FORMS = {
    "alolan": "alola",
    "galarian": "galar",
    "hisuian": "hisui",
    "paldean": "paldea",
    "gigantamax": "gmax",
}
_LARGEST_PICTURE = 32 << 20  # pixels; a sprite has ten thousand


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
    return {
        "species": species,
        "view": view,
        "image": path.name,
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
    form = view[: view.rindex(base_view(view))] if base_view(view) in view else ""
    facts = facts_of(metadata["species"], form)
    entry = find(metadata["species"], form)
    _add_colors(metadata, read_picture(path))
    if facts:
        _add_facts(metadata, facts)
    if entry:
        _add_entry(metadata, entry)
    attributes = attributes_from_metadata(metadata)
    # Frames, and pictures of one's own, may share a view, but never a stem.
    seed = f"{slug(metadata['species'])}/{path.stem}"
    if entry:
        kind = base_view(view)
        metadata["prompts"] = write_captions(
            entry, attributes, seed, behind="back" in kind, turned="shiny" in kind
        )
    else:
        metadata["prompts"] = write_prompts(attributes, seed)
    return metadata


def facts_of(species: str, form: str) -> Facts | None:
    """Of a form, by names in any spelling, or else of its species."""
    facts = load_facts()
    for name, other in _FORMS.items():
        form = form.replace(name, other)
    return facts.get(slug(species + form)) or facts.get(slug(species))


def read_picture(path: Path) -> Image.Image:
    """The first frame of the picture at `path`, decoded.

    Raises:
      ValueError: unreadable or too big.
    """
    with warnings.catch_warnings():
        # Pillow warns about odd chunks, and about sizes that are checked here.
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                width, height = image.size
                if width * height > _LARGEST_PICTURE:
                    raise ValueError(f"{width}x{height} pixels is too big")
                return image.copy()
        except Image.DecompressionBombError as error:
            raise ValueError("too many pixels") from error
        except (OSError, SyntaxError) as error:
            raise ValueError("not a readable picture") from error


def _add_colors(metadata: dict[str, Any], image: Image.Image) -> None:
    ranked = name_colors(image)
    primary, secondary = primary_and_secondary(image)
    others = [name for name, share in ranked if share >= SECONDARY_SHARE]
    metadata["visual_attributes"] |= {
        "primary_colors": list(dict.fromkeys([primary, *others])),
        "color_distribution": {
            "primary": primary,
            "secondary": None if secondary == NONE else secondary,
        },
    }
    metadata["sources"] |= {"primary_color": "pixels", "secondary_color": "pixels"}


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


def _add_entry(metadata: dict[str, Any], entry: Entry) -> None:
    """What was judged by eye; it takes precedence over rules.

    Not the shape, where there is one: it takes part in splitting, and the species that
    a shipped model was tested on must stay in test.
    """
    if "body_shape" not in metadata["visual_attributes"]:
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
    target = metadata_path(path)
    try:
        known = attributes_from_metadata(json.loads(target.read_text("utf-8"))).known()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        hint = "--no-skip-existing writes it anew"
        return Outcome({}, problem=f"{target}: {reason}; {hint}")
    return Outcome(known, "type1" in known)
