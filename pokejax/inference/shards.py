"""Many pictures as a few files: which shard a recipe belongs to, and writing one.

A shard is a tar file in the way of WebDataset: of each picture `<key>.png` and, its
recipe, `<key>.json`. The key is a hash of the recipe and the model, and decides the
shard. So each recipe is in one shard, wherever and however often it is asked for, and
the same table always makes the same shards, byte for byte. Knows no cluster.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pokejax.attributes import Attributes, nearest_hint
from pokejax.files import whole_file
from pokejax.inference.recipe import PromptError, Recipe, check_request, recipes_for
from pokejax.inference.sampler import Sampler
from pokejax.prompts.rules import parse_by_rules

# Columns of a table of prompts, and of what each value must be.
COLUMNS: dict[str, type] = {
    "prompt": str,
    "seed": int,
    "attributes": str,
    "temperature": float,
    "guidance": float,
    "negative": str,
    "shiny": bool,
}
REQUIRED = ("prompt", "seed")
# Drawn at once, because plain recipes and others don't share a tile.
_TILES = 16


def check_columns(names: Iterable[str]) -> None:
    """Refuse a table whose columns aren't understood.

    Raises:
      PromptError: names a column that is missing, or the nearest to an unknown one.
    """
    there = list(names)
    for name in REQUIRED:
        if name not in there:
            raise PromptError(
                f"the table has no column {name!r}; it has {', '.join(there)}"
            )
    for name in there:
        if name not in COLUMNS:
            raise PromptError(
                f"there is no column {name!r}; expected some of"
                f" {', '.join(COLUMNS)}{nearest_hint(name, COLUMNS)}"
            )


def recipe_of(row: Mapping[str, Any], colors: int) -> Recipe:
    """The recipe that a row of the table asks for, its prompt read by rules.

    Args:
      row: by the names in `COLUMNS`; what is missing or None is at its default.
        `attributes` is a JSON object, as a picture's recipe has it.
      colors: of the palette that pictures are finished in; 0 for none.

    Raises:
      PromptError: a value can't be used; the message names it.
    """
    values = {name: value for name, value in row.items() if value is not None}
    for name, value in values.items():
        kind = COLUMNS[name]
        number = kind is float and isinstance(value, int)
        if not (isinstance(value, kind) or number) or (
            kind is int and isinstance(value, bool)
        ):
            raise PromptError(f"{name} is {value!r}; expected {kind.__name__}")
    for name in REQUIRED:
        if name not in values:
            raise PromptError(f"{name} is missing in a row: {dict(row)}")
    prompt, seed = values["prompt"], values["seed"]
    knobs = {
        "temperature": float(values.get("temperature", 1)),
        "guidance": float(values.get("guidance", 1)),
        "negative": values.get("negative", ""),
    }
    check_request(prompt, num=1, seed=seed, **knobs)
    given = values.get("attributes") or "{}"
    try:
        named = json.loads(given)
        attributes = Attributes.from_names(named)
    except (ValueError, TypeError, AttributeError) as error:
        raise PromptError(f"attributes is {given!r}: {error}") from None
    parsed = parse_by_rules(prompt).override(attributes)
    shiny = values.get("shiny", False)
    (recipe,) = recipes_for(parsed, [seed], colors=colors, shiny=shiny, **knobs)
    return recipe


def key_of(recipe: Recipe, model_id: str) -> str:
    """24 hexadecimal digits that tell a picture from all others."""
    told = json.dumps(recipe.texts() | {"model": model_id}, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:24]


def shard_of(key: str, count: int) -> int:
    """Which of `count` shards a picture belongs to, from 0."""
    return int(key[:16], 16) % count


def shard_name(number: int, count: int) -> str:
    """The file of a shard, `shard-00012-of-00250.tar`."""
    return f"shard-{number:05}-of-{count:05}.tar"


def write_shard(path: Path, recipes: Iterable[Recipe], sampler: Sampler) -> None:
    """Draw a shard, each recipe once; the file is whole or not there.

    Args:
      path: of the tar file.
      recipes: in any order, repeated or not; the bytes don't depend on that.
      sampler: that draws.

    Raises:
      OSError: it can't be written.
      BundleError: the model drew no numbers.
    """
    keyed = {key_of(recipe, sampler.model_id): recipe for recipe in recipes}
    keys = sorted(keyed)
    with whole_file(path) as partial, tarfile.open(partial, "w") as tar:
        together = _TILES * sampler.tile_rows
        for start in range(0, len(keys), together):
            some = keys[start : start + together]
            samples = sampler.sample([keyed[key] for key in some])
            for key, sample in zip(some, samples, strict=True):
                _add(tar, f"{key}.png", sample.png())
                _add(tar, f"{key}.json", json.dumps(sample.texts).encode())


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)  # of no time and nobody, so always the same bytes
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))
