"""The images directory: which files belong together, and which can't be used.

Owns the reading of `images/<Species>/<picture>` with the metadata beside it. A picture
that lacks something is never an error here: it becomes a `Skipped`, with the reason.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pokejax.attributes import STYLES, attributes_from_metadata, nearest_hint
from pokejax.commands import call_of

from .cifar import Picture
from .framing import Fit, load_framed
from .picture_files import LONGEST_NAME, SUFFIXES, is_too_long, leads_back
from .pokedex import slug
from .species import Entry, find
from .sprite_sources import VIEWS

SECTIONS = ("visual_attributes", "categorical_attributes", "semantic_attributes")
NOT_WANTED = "are not among --views"
_LARGEST_JSON = 1 << 20  # bytes; real ones have two thousand


@dataclass(frozen=True)
class Skipped:
    """A picture that isn't in the dataset; `kind` is what the report counts by."""

    kind: str
    filename: str
    reason: str


def find_pictures(images_dir: Path) -> list[Path]:
    """Every `<Species>/<picture>`, sorted by name.

    Raises:
      ValueError: no such directory, or no picture in it.
    """
    paths = [p for folder in find_folders(images_dir) for p in pictures_in(folder)]
    if not paths:
        raise ValueError(
            f"--images-dir {str(images_dir)!r} holds no <Species>/<picture>.png; "
            f"{call_of('data_tools.fetch_sprites')} fills it"
        )
    return sorted(paths, key=lambda p: p.relative_to(images_dir).as_posix())


def find_folders(images_dir: Path) -> list[Path]:
    """Every `<Species>`.

    Raises:
      ValueError: no such directory.
    """
    if not images_dir.is_dir():
        raise ValueError(f"--images-dir {str(images_dir)!r} is not a directory")
    return [
        folder
        for folder in images_dir.glob("*")
        if folder.is_dir() and not leads_back(folder, images_dir)
    ]


def pictures_in(folder: Path) -> Iterator[Path]:
    """Every picture of a folder, in any order."""
    for path in folder.glob("*"):
        # Hidden files are left-overs of a killed writer.
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            yield path


def metadata_path(picture: Path) -> Path:
    """`images/Mew/mew_front.png` -> `images/Mew/mew_mew_front.json`.

    Raises:
      ValueError: there can't be a file of that name.
    """
    name = f"{slug(picture.parent.name)}_{picture.stem}.json"
    if is_too_long(name):
        raise ValueError(
            f"its name is too long: {name[:24]}….json has over {LONGEST_NAME} bytes"
        )
    return picture.with_name(name)


def find_metadata(picture: Path) -> Path | None:
    """The file with the metadata of a picture, or None if there is none.

    Raises:
      ValueError: as `metadata_path`.
    """
    ours = metadata_path(picture)
    # The original lowers the letters of the folder and leaves its marks:
    # `mr. mime_front.json`, `farfetch'd_front.json`.
    theirs = picture.with_name(f"{picture.parent.name.lower()}_{picture.stem}.json")
    if ours.is_file():
        return ours
    return theirs if not is_too_long(theirs.name) and theirs.is_file() else None


def load_picture(
    path: Path, image_size: int, views: Sequence[str] = (), *, fit: Fit = "native"
) -> Picture | Skipped:
    """One picture with its metadata, or why it can't be used.

    Args:
      path: `<Species>/<file>`; the metadata lies beside it.
      image_size: pixels a side.
      views: only these; none means all.
      fit: as in `framing.load_framed`.
    """
    filename = f"{path.parent.name}/{path.name}"
    try:
        beside = find_metadata(path)
    except ValueError as error:
        return Skipped("have no metadata", filename, str(error))
    if beside is None:
        missing = metadata_path(path).name
        return Skipped("have no metadata", filename, f"{missing} is missing")
    try:
        if beside.stat().st_size > _LARGEST_JSON:
            raise ValueError("larger than 1 MiB")
        metadata = json.loads(beside.read_text("utf-8"))
        for section in SECTIONS:  # one's own captions need no more
            metadata.setdefault(section, {})
        view = _text(metadata.get("view") or path.stem, "view")
        style = metadata.get("style", "")
        if style and style not in STYLES:
            raise ValueError(
                f"style: {style!r} is not one of {', '.join(STYLES)}"
                + nearest_hint(str(style), STYLES)
            )
        species = _text(metadata.get("species") or path.parent.name, "species")
        attributes = attributes_from_metadata(metadata)
        prompts = metadata.get("prompts") or metadata.get("caption")
        if isinstance(prompts, str):  # one's own
            prompts = [prompts]
        if not isinstance(prompts, list) or not prompts:
            raise ValueError("no list of prompts")
        prompts = tuple(_text(prompt, "prompt") for prompt in prompts)
        _text(filename, "file name")
    except KeyError as error:
        return Skipped("have bad metadata", filename, f"{beside.name}: no {error}")
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        return Skipped("have bad metadata", filename, f"{beside.name}: {error}")
    if views and not {view, base_view(view)} & set(views):
        return Skipped(NOT_WANTED, filename, base_view(view))
    try:
        pixels = load_framed(path, image_size, fit=fit)
    except ValueError as error:
        return Skipped("can't be read", filename, str(error))
    # The file name still tells the form and the frame.
    return Picture(
        filename,
        species,
        base_view(view),
        attributes,
        prompts,
        pixels,
        style,
        family=_family_of(metadata) or (species,),
        entry=_entry_of(metadata),
        as_entry=metadata.get("as_entry") is True,
    )


def _family_of(metadata: dict) -> tuple[str, ...]:
    family = metadata.get("family") or []
    return tuple(map(str, family if isinstance(family, list) else [family]))


def _entry_of(metadata: dict) -> Entry | None:
    """What the captions were composed from, if they were composed."""
    name = metadata.get("entry")
    return find(name) if isinstance(name, str) else None


def base_view(view: str) -> str:
    """The view without its form or frame number: `attack_shiny` -> `shiny`."""
    view = re.sub(r"_frame\d+$", "", view)
    ends = [v for v in VIEWS if f"_{view}".endswith(f"_{v}")]
    return max(ends, key=len, default=view)


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{what}: {value!r} is not text")
    value.encode()  # half a surrogate pair can't be written; UnicodeEncodeError
    return value


def skipped_lines(skipped: Sequence[Skipped]) -> list[str]:
    """One line for each kind of skipped picture: how many, and the first few."""
    kinds: dict[str, list[Skipped]] = defaultdict(list)
    for item in skipped:
        kinds[item.kind].append(item)
    return [
        f"{len(items)} pictures {kind}, e.g. "
        + ", ".join(f"{s.filename} ({s.reason})" for s in items[:3])
        for kind, items in kinds.items()
    ]
