"""Sprites drawn at 64x64 with 16 colours, from a checkout of a decompilation.

    graphics/pokemon/<species>[/<form>]/{anim_front,front,back}.png
    graphics/pokemon/<species>[/<form>]/{normal,shiny}.pal

The pictures are indices; index 0 is transparent. Their colours stand in the `.pal`
files (JASC's text format) of the same folder or the nearest above it: the palette
inside a PNG isn't reliable. `anim_front.png` holds two frames, one above the other.
"""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from .git_source import Repository
from .picture_files import leads_back
from .pokedex import slug, species_names
from .sprite_sources import FetchError, Species, Sprite, folder_name

SIDE = 64
STYLE = "native"
REPOSITORY = Repository(
    "https://github.com/SundayMoonday/pokeemerald-EmeraldZ",
    "3ba2af43ac49b73994493fd96649239409a53578",
    ("graphics/pokemon",),
)
FOLDER = Path(*REPOSITORY.paths)
# Folders that hold no creature, and forms whose pictures don't fit their palette here.
_NO_SPECIES = frozenset({"egg", "question_mark", "substitute"})
_BROKEN = frozenset(
    f"alcremie/{sweet}"
    for sweet in ["berry", "clover", "flower", "love", "ribbon", "star", "strawberry"]
)
_PALETTES = (("normal.pal", ""), ("shiny.pal", "shiny"))


def read_native(root: Path) -> tuple[list[Species], list[str]]:
    """Every sprite below `root`, a checkout or its `graphics/pokemon`.

    Returns:
      The species in alphabetical order, and one line for each file left out.

    Raises:
      FetchError: there is no such folder, or no sprite in it.
    """
    top = root / FOLDER if (root / FOLDER).is_dir() else root
    if not top.is_dir():
        raise FetchError(f"--from {str(root)!r} is not a folder")
    known = {slug(name): name for name in species_names().values()}
    problems: list[str] = []
    found: list[Species] = []
    for folder in sorted(p for p in top.iterdir() if p.is_dir()):
        if folder.name in _NO_SPECIES or leads_back(folder, top):
            continue
        name = known.get(slug(folder.name), folder.name.replace("_", " ").title())
        pictures: list[Sprite] = []
        for place in (folder, *sorted(p for p in folder.rglob("*") if p.is_dir())):
            if str(place.relative_to(top)) not in _BROKEN:
                form = slug("".join(place.relative_to(folder).parts))
                pictures += _pictures_in(place, top, form, problems)
        if pictures:
            found.append(Species(folder_name(name), slug(name), pictures))
    if not found:
        raise FetchError(
            f"--from {str(root)!r} holds no {FOLDER}/<species>/front.png with palettes"
        )
    return found, problems


def _pictures_in(
    folder: Path, top: Path, form: str, problems: list[str]
) -> Iterator[Sprite]:
    """The views of one form, each in both palettes."""
    for palette_name, shiny in _PALETTES:
        palette_file = _nearest(folder, top, palette_name)
        if palette_file is None:
            continue
        fronts = [f for f in ("anim_front.png", "front.png") if (folder / f).is_file()]
        for file in (*fronts[:1], "back.png"):
            if not (folder / file).is_file():
                continue
            label = str((folder / file).relative_to(top))
            try:
                frames = _frames(folder / file, read_palette(palette_file))
            except (OSError, ValueError, UnidentifiedImageError) as error:
                problems.append(f"{label!r}: {error}")
                continue
            kind = "back" if file == "back.png" else "front"
            # As in the package: "shiny" is the shiny front.
            kind = {"front": shiny or "front", "back": f"{shiny}_back".strip("_")}[kind]
            view = "_".join(filter(None, (form, STYLE, kind)))
            for number, data in enumerate(frames, 1):
                ending = f"_frame{number}" if number > 1 else ""
                yield Sprite(label, data, view + ending, svg=False)


def _nearest(folder: Path, top: Path, name: str) -> Path | None:
    """The palette `name` in `folder`, or in the nearest folder above it."""
    while folder != top:
        if (folder / name).is_file():
            return folder / name
        folder = folder.parent
    return None


def read_palette(path: Path) -> np.ndarray:
    """`n 3` uint8 from a JASC-PAL file, n <= 16: a header of three lines, then `r g b`.

    Raises:
      ValueError: not such a file.
    """
    lines = path.read_text("ascii", errors="replace").split("\n")
    if lines[0].strip() != "JASC-PAL":
        raise ValueError(f"{path.name} is not a JASC palette")
    rows = [[int(number) for number in line.split()[:3]] for line in lines[3:19]]
    colors = np.array([row for row in rows if row])
    if colors.shape[1:] != (3,) or colors.min() < 0 or colors.max() > 255:
        raise ValueError(f"{path.name} holds colors outside 0 to 255")
    return colors.astype(np.uint8)


def _frames(path: Path, palette: np.ndarray) -> list[bytes]:
    """The frames of one file as RGBA PNG, without repeated and empty ones."""
    with Image.open(path, formats=("PNG",)) as image:
        width, height = image.size
        if image.mode != "P" or width != SIDE or height not in (SIDE, 2 * SIDE):
            raise ValueError(f"{image.mode} of {width}x{height}, not 64x64 indices")
        index = np.asarray(image)
    if index.max() >= len(palette):
        raise ValueError(f"index {index.max()} in a palette of {len(palette)}")
    opaque = np.where(np.arange(len(palette)) > 0, 255, 0)[:, None]
    colors = np.concatenate([palette * (opaque > 0), opaque], axis=1)
    frames: list[bytes] = []
    for start in range(0, height, SIDE):
        frame = index[start : start + SIDE]
        if not frame.any():
            continue
        file = io.BytesIO()
        Image.fromarray(colors.astype(np.uint8)[frame]).save(file, "PNG")
        if file.getvalue() not in frames:
            frames.append(file.getvalue())
    return frames
