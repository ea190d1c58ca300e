"""The metadata of one picture, and its file.

Owns the layout of that file (the original's, with `species`, `view`, `image`,
`sources` and others added), what is known about a picture offline, and the writing. A
missing key means unknown; `null` means there is none. What `sources` doesn't name, and
`caption`, were put there by hand: they are kept whenever the file is written anew.
"""

import json
import random
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from pokejax.attributes import COLORS, NONE, attributes_from_metadata
from pokejax.files import whole_file
from pokejax.images.colors import (
    SECONDARY_SHARE,
    carried_over,
    name_colors,
    primary_and_secondary,
)

from . import heuristics, tuxemon
from .captions import from_behind, write_captions
from .native_sprites import STYLE as NATIVE
from .picture_files import OWN, open_picture, to_rgba
from .pictures import SECTIONS, base_view, find_metadata, metadata_path
from .pokedex import Facts, load_facts, slug
from .prompt_writer import write_prompts
from .species import Entry, find, find_form
from .sprite_sources import VIEWS

# What 64x64 sprites call some forms, and what the Pokédex does.
_FORMS = {
    "alolan": "alola",
    "galarian": "galar",
    "hisuian": "hisui",
    "paldean": "paldea",
    "gigantamax": "gmax",
}
# What the table calls a creature counts where this share of the picture shows it ...
_SHOWN_SHARE = 0.02
# ... and this one of a form that has no line of its own.
_SHOWN_SHARE_OF_FORM = 0.08
# The layout and the words of today; files of an older one are written anew.
FORMAT = 2
_SOURCE_OF = {
    "body_shape": "shape",
    "primary_colors": "primary_color",
    "color_distribution": "primary_color",
}
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
    """What a picture's name says about it, in the layout of a metadata file.

    Args:
      path: `<Species>/<species>_[<form>_]<view>[_frameN].png`.
    """
    species, view = path.parent.name, _view_of(path)
    form, style = form_and_style(view)
    facts = None if style == tuxemon.STYLE else facts_of(species, form)
    if facts and not style and not is_own(path):
        style = _package_style(view)
    return {
        "format": FORMAT,
        "species": species,
        "family": [facts.family if facts else species],
        "view": view,
        "style": style,
        "image": path.name,
        "entry": None,
        "as_entry": False,
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
        has_line = True
        _add_tuxemon_facts(metadata, path.with_name(tuxemon.FACTS_FILE))
    else:
        facts = facts_of(metadata["species"], form)
        entry, has_line = _line_of(path, form)
    if facts:
        _add_facts(metadata, facts)
    if entry:
        _add_entry(metadata, entry)
    _add_colors(metadata, path, entry, has_line)
    add_by_hand(metadata, path)
    attributes = attributes_from_metadata(metadata)
    # Frames, and pictures of one's own, may share a view, but never a stem.
    seed = f"{slug(metadata['species'])}/{path.stem}"
    behind = "back" in base_view(view)
    if captions := own_captions(path):
        metadata["prompts"] = captions
    elif entry:
        as_entry = has_line and metadata["sources"].get("primary_color") == "curated"
        metadata |= {"entry": entry.name, "as_entry": as_entry}
        kept = COLORS if as_entry else ()
        metadata["prompts"] = write_captions(
            entry, attributes, seed, behind=behind, kept=kept
        )
    else:
        metadata["prompts"] = write_prompts(attributes, seed)
        if behind:
            rng = random.Random(seed)
            metadata["prompts"] = [from_behind(p, rng) for p in metadata["prompts"]]
    return metadata


def _line_of(path: Path, form: str) -> tuple[Entry | None, bool]:
    """The table's entry for a picture, and whether it is that form's own.

    Nobody has looked at a picture of one's own, whatever species it is called.
    """
    species = path.parent.name
    if is_own(path):
        return None, False
    if "female" in base_view(_view_of(path)):
        # Few females look otherwise than the males.
        own = find_form(species, f"{form}female") or find_form(species, form)
    else:
        own = find_form(species, form)
    return own or find(species), own is not None


def own_captions(path: Path) -> list[str]:
    """What a person wrote about the picture at `path`; empty if nobody did.

    That is each line of `<picture>.txt` that isn't blank, or else `caption` in
    `<picture>.json` or in the picture's metadata, one text or several.

    Raises:
      ValueError: there is such a file, and no caption in it.
    """
    text = path.with_suffix(".txt")
    if text.is_file():
        lines = text.read_bytes()[:_LONGEST_CAPTIONS].decode("utf-8-sig").splitlines()
        captions = [line.strip() for line in lines if line.strip()]
        if not captions:
            raise ValueError(f"{text.name} holds no caption")
        return captions
    for file in (path.with_suffix(".json"), find_metadata(path)):
        caption = _read_json(file).get("caption")
        if file and caption is not None:
            captions = caption if isinstance(caption, list) else [caption]
            if not captions or not all(isinstance(c, str) and c for c in captions):
                raise ValueError(f"{file.name}: caption: {caption!r} is not text")
            return captions
    return []


def is_own(path: Path) -> bool:
    """Whether a picture is somebody's own, and not from a known source.

    Its name isn't of the kind that sources give, or the PNG says so.
    """
    if path.stem == _view_of(path) or base_view(_view_of(path)) not in VIEWS:
        return True
    try:
        with open_picture(path) as image:
            return image.info.get(OWN[0]) == OWN[1]
    except (OSError, SyntaxError, ValueError):
        return False  # as will be seen when it is read


def is_outdated(path: Path) -> bool:
    """Whether the metadata of the picture at `path` should be written anew.

    It should if it is of an older format, and wasn't labelled by a model, or if there
    is nothing but a caption in it.
    """
    metadata = _read_json(find_metadata(path))
    sources = metadata.get("sources")
    if not isinstance(sources, dict):
        return "caption" in metadata
    return "vision" not in sources.values() and metadata.get("format") != FORMAT


def add_by_hand(metadata: dict[str, Any], path: Path) -> None:
    """Add what somebody has written into the picture's metadata file by hand."""
    before = _read_json(find_metadata(path))
    if "caption" in before:
        metadata["caption"] = before["caption"]
    elif "sources" not in before:
        return  # the original's, or nothing
    sources = before.get("sources") or {}
    for section in SECTIONS:
        for name, value in (before.get(section) or {}).items():
            source = _SOURCE_OF.get(name, name)
            if source not in sources:
                metadata[section][name] = value
                metadata["sources"].pop(source, None)


def _read_json(path: Path | None) -> dict[str, Any]:
    """What a file holds; nothing if it isn't there or isn't a JSON object."""
    try:
        content = json.loads(path.read_text("utf-8")) if path else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _view_of(path: Path) -> str:
    return path.stem.removeprefix(f"{slug(path.parent.name)}_")


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


def _add_colors(
    metadata: dict[str, Any], path: Path, entry: Entry | None, has_line: bool
) -> None:
    """What a person called the creature's colors, carried over to another palette.

    A picture is measured where nobody looked: of a creature without an entry, of a
    shiny one whose normal picture isn't beside it, and where a picture shows nothing of
    what the table says.
    """
    image = read_picture(path)
    ranked = name_colors(image)
    primary, secondary = primary_and_secondary(image)
    source = "pixels"
    kind = base_view(metadata["view"])
    if entry and "shiny" not in kind:
        least = _SHOWN_SHARE if has_line else _SHOWN_SHARE_OF_FORM
        # The table was judged from these.
        is_judged = has_line and metadata["style"] in (NATIVE, tuxemon.STYLE)
        is_judged = is_judged and "front" in kind
        if is_judged or dict(ranked).get(entry.primary, 0) >= least:
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
    metadata["family"] = [f"Tuxemon {name}" for name in facts.family]
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
      ValueError: it says something that isn't in the vocabularies.
      OSError: the file can't be written.
    """
    known = attributes_from_metadata(metadata).known()
    with whole_file(metadata_path(path)) as partial:
        partial.write_text(json.dumps(metadata, indent=2) + "\n", "utf-8")
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
