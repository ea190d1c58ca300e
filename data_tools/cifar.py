"""Writes a dataset in the layout that `pokejax.data.cifar` describes and reads."""

import pickle
import statistics
import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pokejax import safe_pickle
from pokejax.attributes import TYPES, VOCABULARIES, Attributes
from pokejax.data.cifar import FORMAT_VERSION, META_FILE, SPLIT_FILES

from .species import Entry


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture with its metadata, ready to be written.

    Attributes:
      filename: `<Species>/<file>`, relative to the images directory.
      pixels: `size size 4` uint8, RGB over white and, beside it, alpha.
      attributes: `type1` is the label, -1 if it is unknown.
      prompts: one or more.
      style: of `STYLES`; empty for unknown.
      family: names of relatives; those who share one are of one family. The file
        doesn't hold it.
      entry: of the table, if its captions were composed from it; likewise.
      as_entry: whether the creature has the entry's own colours; likewise.
      weight: how often training should draw it; 1 on average.
    """

    filename: str
    species: str
    view: str
    attributes: Attributes
    prompts: tuple[str, ...]
    pixels: np.ndarray
    style: str = ""
    family: tuple[str, ...] = ()
    entry: Entry | None = None
    as_entry: bool = False
    weight: float = 1.0

    @property
    def group(self) -> str:
        """The balancing key, `"<type1>_<primary colour>_<shape>"`."""
        a = self.attributes
        parts = a.type1, a.primary_color, a.shape
        return "_".join(part or "Unknown" for part in parts)


def write_dataset(
    directory: Path,
    splits: Mapping[str, Sequence[Picture]],
    *,
    image_size: int,
    split_by: str,
    seed: int,
    relatives: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write every file but `README.txt` into an existing directory.

    Args:
      splits: pictures of `"train"`, `"val"` and `"test"`, in the order to be written;
        train is cut into five batches of equal size, the last possibly smaller.
      image_size: side of the pictures, pixels.
      split_by: `"species"` or `"image"`.
      seed: what the split and the order were drawn with.
      relatives: from `relatives.relatives`; None leaves them out.
    """
    per_batch = -(-len(splits["train"]) // len(SPLIT_FILES["train"]))
    for split, names in SPLIT_FILES.items():
        step = per_batch if split == "train" else len(splits[split])
        for i, name in enumerate(names):
            label = (
                f"training batch {i + 1} of 5" if split == "train" else f"{split} set"
            )
            part = slice(i * step, (i + 1) * step)
            batch = _batch(splits[split][part], label, image_size)
            if relatives:
                batch[b"relatives"] = relatives[split][part]
            _dump(directory / name, batch)
    meta = {
        b"label_names": [name.encode() for name in TYPES],
        b"num_cases_per_batch": per_batch,
        b"num_vis": 3 * image_size**2,
        b"image_size": image_size,
        b"vocabularies": {name: list(words) for name, words in VOCABULARIES.items()},
        b"split_by": split_by,
        b"seed": seed,
        b"format_version": FORMAT_VERSION,
    }
    _dump(directory / META_FILE, meta)


def is_dataset(directory: Path) -> bool:
    """Whether `directory` holds a dataset that `write_dataset` wrote."""
    try:
        meta = safe_pickle.load(directory / META_FILE)
    except (OSError, ValueError):
        return False
    return isinstance(meta, dict) and "format_version" in meta


def dataset_statistics(
    splits: Mapping[str, Sequence[Picture]],
) -> dict[str, dict[str, Any]]:
    """Counts for each split.

    Returns:
      For each split: `rows`; `pictures`, the different files among them; `species`;
      `groups` (type, colour and shape); `median_group` and `largest_group` in rows;
      `types`, rows by main type.
    """
    result = {}
    for name, pictures in splits.items():
        groups = Counter(p.group for p in pictures)
        types = Counter(p.attributes.type1 for p in pictures)
        result[name] = {
            "rows": len(pictures),
            "pictures": len({p.filename for p in pictures}),
            "species": len({p.species for p in pictures}),
            "groups": len(groups),
            "median_group": statistics.median(groups.values()) if groups else 0,
            "largest_group": max(groups.values(), default=0),
            "types": {name: types[name] for name in TYPES},
        }
    return result


def _batch(pictures: Sequence[Picture], label: str, image_size: int) -> dict:
    n = len(pictures)
    data = np.empty((n, 3, image_size, image_size), np.uint8)
    alpha = np.empty((n, image_size, image_size), np.uint8)
    ids = np.empty((n, len(VOCABULARIES)), np.int32)
    for i, picture in enumerate(pictures):
        data[i] = picture.pixels[..., :3].transpose(2, 0, 1)
        alpha[i] = picture.pixels[..., 3]
        ids[i] = picture.attributes.ids()[: len(VOCABULARIES)]
    return {
        b"batch_label": label.encode(),
        b"data": data.reshape(n, 3 * image_size**2),
        b"alpha": alpha.reshape(n, image_size**2),
        b"labels": ids[:, 0].tolist(),
        b"filenames": [p.filename.encode() for p in pictures],
        b"attributes": ids,
        b"prompts": [list(p.prompts) for p in pictures],
        b"species": [p.species for p in pictures],
        b"views": [p.view for p in pictures],
        b"styles": [p.style for p in pictures],
        b"weights": np.array([p.weight for p in pictures], np.float32),
    }


def _dump(path: Path, content: dict) -> None:
    opcodes = (pickle.PROTO, b"\x02", *_opcodes(content), pickle.STOP)
    path.write_bytes(b"".join(opcodes))


def _opcodes(value: Any) -> Iterator[bytes]:
    """`value` in pickle's protocol 2, with `bytes` as Python 2 wrote its strings.

    Python 3's picklers can't write those. Nothing is shared within a file, as it is by
    `pickle.dump`, so equal data is equal bytes whatever objects it came in.
    """
    match value:
        case int():
            yield pickle.BININT + struct.pack("<i", value)
        case bytes():
            yield pickle.BINSTRING + struct.pack("<i", len(value))
            yield value
        case str():
            text = value.encode()
            yield pickle.BINUNICODE + struct.pack("<I", len(text)) + text
        case list():
            yield pickle.EMPTY_LIST + pickle.MARK
            for item in value:
                yield from _opcodes(item)
            yield pickle.APPENDS
        case dict():
            yield pickle.EMPTY_DICT + pickle.MARK
            for key, item in value.items():
                yield from _opcodes(key)
                yield from _opcodes(item)
            yield pickle.SETITEMS
        case np.ndarray():
            yield from _array_opcodes(value)
        case _:
            raise TypeError(f"a dataset holds no {type(value).__name__}")


def _array_opcodes(array: np.ndarray) -> Iterator[bytes]:
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    # The module's name before numpy 2, which every numpy answers to.
    yield b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    # The state: version, shape, dtype, by column, bytes.
    yield b"(K\x01("
    for side in array.shape:
        yield from _opcodes(side)
    yield b"tcnumpy\ndtype\n"
    yield from _opcodes(array.dtype.str[1:].encode())
    order = array.dtype.str[:1].encode()
    yield b"\x89\x88\x87R(K\x03U\x01" + order + b"NNN" + 2 * b"J\xff\xff\xff\xff"
    yield b"K\x00tb\x89"
    yield from _opcodes(array.tobytes())
    yield b"tb"
