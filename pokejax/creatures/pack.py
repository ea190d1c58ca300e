"""All files of a creature, by name; the same creature gives the same bytes."""

import io
import json
import shlex
import zipfile
from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8

from pokejax.creatures.card import card_of, card_png
from pokejax.creatures.creature import Creature
from pokejax.creatures.sheet import icon_of, sheet_of, texture_packer
from pokejax.images import moving, palettes
from pokejax.images.finish import PixelArt
from pokejax.images.png import encode_indexed_png, encode_png
from pokejax.inference.recipe import Recipe

ICON_SIDE = 32
_READABLE = 0o644 << 16  # without which some programs unpack files that nobody may read


def files_of(creature: Creature) -> dict[str, bytes]:
    """Pictures, animations, sheet, palettes, card and recipe, by file name."""
    card = card_of(creature)
    pictures = {
        **creature.views,
        **{
            f"{view}_shiny": PixelArt(art.indices, creature.shiny)
            for view, art in creature.views.items()
        },
        "icon": icon_of(creature.views["front"], ICON_SIDE),
    }
    files: dict[str, bytes] = {}
    for name, art in pictures.items():
        files[f"{name}.png"] = encode_indexed_png(*art, _texts(creature, name))
    sheet, places = sheet_of({n: _rgba(a) for n, a in pictures.items()}, columns=3)
    files["sheet.png"] = encode_png(sheet, _texts(creature, "sheet"))
    idle = {
        "idle": ["front", "front_2"],
        "idle_shiny": ["front_shiny", "front_2_shiny"],
    }
    for name, frames in idle.items():
        arts = [pictures[frame] for frame in frames]
        files[f"{name}.gif"] = moving.gif(arts)
        files[f"{name}.png"] = moving.apng(arts, _texts(creature, name))
    size = sheet.shape[1], sheet.shape[0]
    files["sheet.json"] = _json(texture_packer(places, size, "sheet.png", idle))
    for suffix, palette in (("", creature.palette), ("_shiny", creature.shiny)):
        title = f"{card['name']}{suffix.replace('_', ' ')}"
        files[f"palette{suffix}.gpl"] = palettes.gimp(palette, title).encode()
        files[f"palette{suffix}.hex"] = palettes.hexes(palette).encode()
        files[f"palette{suffix}.pal"] = palettes.jasc(palette).encode()
    files["card.json"] = _json(card)
    files["card.png"] = card_png(creature, card)
    files["recipe.json"] = _json(_recipe(creature))
    return files


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A ZIP of the files; their date is 1980, so that it is always the same."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = _READABLE
            archive.writestr(entry, data)
    return buffer.getvalue()


def _rgba(art: PixelArt) -> UInt8[np.ndarray, "h w 4"]:
    opaque = (art.indices > 0).astype(np.uint8)[..., None] * 255
    return np.concatenate([art.rgb() * (opaque > 0), opaque], axis=-1)


def _texts(creature: Creature, name: str) -> dict[str, str]:
    """Text chunks: what the picture is of its creature, and the recipe of that."""
    view = name.removesuffix("_shiny")
    sample = creature.drawn.get(view, creature.front)
    return {"creature": name, **sample.texts}


def _recipe(creature: Creature) -> dict[str, object]:
    """How to draw all of it again."""
    return {
        "command": command_of(creature.front.recipe),
        "model": creature.front.model_id,
        "drawn": {
            view: sample.recipe.texts() for view, sample in creature.drawn.items()
        },
        "notes": list(creature.notes),
    }


def command_of(recipe: Recipe) -> str:
    """The command line that draws a creature of this front."""
    known = recipe.attributes.known()
    words = ["pokejax", "creature", "--prompt", recipe.prompt]
    words += ["--seed", str(recipe.seed), "--colors", str(recipe.colors)]
    words += ["--temperature", repr(recipe.temperature)]
    words += ["--guidance", repr(recipe.guidance)]
    if recipe.negative:
        words += ["--negative", recipe.negative]
    for name, value in known.items():
        words += ["--set", f"{name}={value}"]
    return shlex.join([*words, "--out", "creature"])


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
