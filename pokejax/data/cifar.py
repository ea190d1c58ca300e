"""The CIFAR-10 layout of a dataset: its constants, and the only reader of it.

A directory holds

    data_batch_1 ... data_batch_5   the training pictures, shuffled
    val_batch                       for validation; CIFAR-10 has no file for it
    test_batch
    batches.meta
    README.txt                      the statistics, for people

Each batch is a pickled dict, one row a picture:

    data          uint8 [n, 3*S*S], a row is all red, then all green, then all blue,
                  each plane row by row; for `n h w c` pictures:
                  `data.reshape(n, 3, S, S).transpose(0, 2, 3, 1)`
    labels        list of int, the main type's position in `attributes.TYPES`; -1 for
                  unknown, which CIFAR-10 has not
    filenames     list of bytes, `<Species>/<file>` in the images directory
    batch_label   bytes
    alpha         uint8 [n, S*S], row by row: 0 is background, which is white in `data`
    attributes    int32 [n, 10], ids in `VOCABULARIES` order, -1 for unknown
    prompts       list of lists of text
    species       list of text
    views         list of text, e.g. "back_shiny"; what is seen is one of `VIEWS`
    styles        list of text, of `STYLES`; empty for unknown
    weights       float32 [n], how often training should draw each; 1 on average
    relatives     int32 [n, 4], pictures of relatives: the row, in the whole split, of
                  that whose front, back, evolution or other frame this one is; -1
                  where there is none. Sets of earlier versions lack it.

`batches.meta` is a dict too: `label_names` (the types, bytes), `num_cases_per_batch`
and `num_vis` as in CIFAR-10; `image_size`, `vocabularies`, `split_by`, `seed`,
`format_version`.

As in the original files, keys and byte strings are Python-2 strings: a reader that
asks for `encoding="bytes"` finds `b"data"`, one that asks for `"latin1"` finds
`"data"`. What can hold any character (prompts, species, views, styles) is text in both.
Other readers of CIFAR-10 take S = 32 for granted.
"""

import hashlib
import json
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int

from pokejax import safe_pickle
from pokejax.attributes import RELATIONS, STYLES, UNKNOWN_ID, VIEWS, VOCABULARIES
from pokejax.commands import call_of
from pokejax.data.split import Pictures

FORMAT_VERSION = 2
META_FILE = "batches.meta"
SPLIT_FILES: Mapping[str, tuple[str, ...]] = {
    "train": tuple(f"data_batch_{i}" for i in range(1, 6)),
    "val": ("val_batch",),
    "test": ("test_batch",),
}


@dataclass(frozen=True, eq=False)
class Rows:
    """The pictures of one split, in order, with their metadata.

    Attributes:
      images: `n h w 3` uint8, in memory or read on demand; the background is white.
      alpha: `n h w` uint8, in memory or read on demand; 0 is background.
      attributes: `n 10` int32 ids in `VOCABULARIES` order.
      prompts: one or more for each picture.
      styles: of `STYLES`; empty for unknown.
      weights: `n` float32, how often training draws each picture; 1 on average.
      filenames: `<Species>/<file>` in the images directory.
      relatives: `n 4` int32 rows in `RELATIONS` order, -1 for none; None if there is
        none at all, or a set of an earlier version doesn't say.
    """

    images: Pictures
    alpha: Pictures
    attributes: Int[np.ndarray, "n 10"]
    prompts: list[list[str]]
    views: list[str]
    styles: list[str]
    weights: Float32[np.ndarray, " n"]
    species: list[str]
    filenames: list[str]
    relatives: Int[np.ndarray, "n 4"] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def conditions(self) -> Int[np.ndarray, "n 12"]:
        """Ids in `CONDITIONS` order: the attributes, what is seen, and the style."""
        views = [_index(VIEWS, view_seen(view)) for view in self.views]
        styles = [_index(STYLES, style) for style in self.styles]
        drawn = np.array([views, styles], np.int32).T.reshape(-1, 2)
        return np.concatenate([self.attributes, drawn], axis=1)

    def sha256(self) -> str:
        """Checksum of all of it, in hexadecimal; the order of pictures counts."""
        texts = [
            self.filenames,
            self.species,
            self.views,
            self.styles,
            self.prompts,
            self.weights.tolist(),
        ]
        digest = hashlib.sha256(json.dumps([self.images.shape, texts]).encode())
        digest.update(np.ascontiguousarray(self.attributes, "<i4").data)
        digest.update(np.ascontiguousarray(self.images[:]).data)
        digest.update(np.ascontiguousarray(self.alpha[:]).data)
        if self.relatives is not None:
            digest.update(np.ascontiguousarray(self.relatives, "<i4").data)
        return digest.hexdigest()


def view_seen(view: str) -> str:
    """Which of `VIEWS` a named view shows, e.g. `"back"` for `"female_back_shiny"`."""
    words = view.replace("-", "_").split("_")
    if "back" in words:
        return "back"
    return "artwork" if "artwork" in words else "front"


def _index(words: tuple[str, ...], word: str) -> int:
    return words.index(word) if word in words else UNKNOWN_ID


def is_dataset(directory: Path) -> bool:
    """Whether a directory holds a dataset in this layout, readable or not."""
    return (directory / META_FILE).is_file()


def read(directory: Path, image_size: int) -> dict[str, Rows]:
    """Read every split of a dataset into memory, and check it.

    Args:
      directory: as `data_tools.create_dataset` writes it.
      image_size: the side that its pictures must have, pixels.

    Returns:
      `"train"`, `"val"` and `"test"`; only the last two may be without rows.

    Raises:
      ValueError: something is missing, damaged, hostile, or of another size or
        vocabulary; names the file.
    """
    if not is_dataset(directory):
        raise ValueError(
            f"no dataset at {directory} (no {META_FILE}): make one with"
            f" {call_of('data_tools.create_dataset')} --image-size {image_size}"
            f" --output-dir {directory}"
        )
    meta = _unpickle(directory / META_FILE)
    vocabularies = {name: list(words) for name, words in VOCABULARIES.items()}
    if not isinstance(meta, dict) or meta.get("vocabularies") != vocabularies:
        raise ValueError(
            f"{directory / META_FILE} doesn't hold the attribute vocabularies of this"
            " version: make the dataset again with"
            f" {call_of('data_tools.create_dataset')}"
        )
    version = meta.get("format_version")
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{directory} has format version {reprlib.repr(version)}; this version"
            f" reads {FORMAT_VERSION}: make it again with"
            f" {call_of('data_tools.create_dataset')}"
        )
    side = meta.get("image_size")
    if side != image_size:
        raise ValueError(
            f"{directory} holds {reprlib.repr(side)}x{reprlib.repr(side)} pictures; the"
            f" image_size is {image_size}"
        )
    splits = {
        split: _concatenate(
            [_read_batch(directory / name, image_size) for name in names]
        )
        for split, names in SPLIT_FILES.items()
    }
    for split, rows in splits.items():
        if rows.relatives is not None and (rows.relatives >= len(rows)).any():
            raise ValueError(
                f"{directory / SPLIT_FILES[split][0]}: its relatives are rows that"
                f" {split}, of {len(rows)}, doesn't have"
            )
    if not len(splits["train"]):
        raise ValueError(f"{directory} holds no training picture")
    return splits


def _unpickle(path: Path) -> Any:
    try:
        return safe_pickle.load(path, encoding="latin1")
    except FileNotFoundError:
        raise ValueError(f"dataset file {path} is missing") from None
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror}") from None


def _read_batch(path: Path, image_size: int) -> Rows:
    batch = _unpickle(path)
    try:
        # UTF-8, which "latin1" has taken byte by byte.
        filenames = [name.encode("latin1").decode() for name in batch["filenames"]]
        n = len(filenames)
        data = _array(batch, "data", np.uint8, (n, 3 * image_size**2))
        alpha = _array(batch, "alpha", np.uint8, (n, image_size**2))
        weights = _array(batch, "weights", np.float32, (n,))
        attributes = _array(batch, "attributes", np.integer, (n, len(VOCABULARIES)))
        species, views, styles = (
            _texts(batch[name], n) for name in ("species", "views", "styles")
        )
        prompts = [_texts(texts) for texts in batch["prompts"]]
        if len(prompts) != n:
            raise TypeError(f"{len(prompts)} lists of prompts for {n} pictures")
        relatives = batch.get("relatives")
        if relatives is not None:
            relatives = _array(batch, "relatives", np.int32, (n, len(RELATIONS)))
    except (LookupError, TypeError, AttributeError, UnicodeError) as error:
        raise ValueError(
            f"{path} doesn't hold what a pokejax dataset holds: {error}"
        ) from None
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError(f"{path} holds weights that aren't positive numbers")
    sizes = [len(words) for words in VOCABULARIES.values()]
    if (attributes < UNKNOWN_ID).any() or (attributes >= sizes).any():
        raise ValueError(f"{path} holds attribute ids outside their vocabularies")
    if relatives is not None and (relatives < -1).any():
        raise ValueError(f"{path} holds relatives in rows below -1")
    planes = data.reshape(n, 3, image_size, image_size)
    return Rows(
        np.ascontiguousarray(planes.transpose(0, 2, 3, 1)),
        alpha.reshape(n, image_size, image_size),
        attributes.astype(np.int32),
        prompts,
        views,
        styles,
        weights,
        species,
        filenames,
        relatives,
    )


def _array(
    batch: Mapping[str, Any], name: str, kind: type[np.generic], shape: tuple[int, ...]
) -> np.ndarray:
    array = batch[name]
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} is a {type(array).__name__}, not an array")
    fits = np.issubdtype(array.dtype, kind) and array.dtype.isnative
    if not fits or array.shape != shape:
        raise TypeError(
            f"{name} is {array.dtype} of shape {array.shape}; expected"
            f" {kind.__name__} of shape {shape}"
        )
    return array


def _texts(value: object, count: int | None = None) -> list[str]:
    """`value`, if it is a list of texts: of so many, or of one at least."""
    if not isinstance(value, list) or not all(type(text) is str for text in value):
        raise TypeError("what should be a list of texts is not one")
    if not value if count is None else len(value) != count:
        raise TypeError(f"a list of {len(value)} texts; expected {count or 'some'}")
    return value


def _concatenate(parts: list[Rows]) -> Rows:
    relatives = [part.relatives for part in parts if part.relatives is not None]
    return Rows(
        np.concatenate([part.images[:] for part in parts]),
        np.concatenate([part.alpha[:] for part in parts]),
        np.concatenate([part.attributes for part in parts]),
        [x for part in parts for x in part.prompts],
        [x for part in parts for x in part.views],
        [x for part in parts for x in part.styles],
        np.concatenate([part.weights for part in parts]),
        [x for part in parts for x in part.species],
        [x for part in parts for x in part.filenames],
        _known(np.concatenate(relatives)) if len(relatives) == len(parts) else None,
    )


def _known(relatives: Int[np.ndarray, "n 4"]) -> Int[np.ndarray, "n 4"] | None:
    return relatives if (relatives >= 0).any() else None
