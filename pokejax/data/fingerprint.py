"""What a dataset holds, as short hashes: whether two runs learned from the same.

The format on disk doesn't count: a directory, its TFDS copy and its packed file have
the same fingerprint.
"""

import hashlib
from collections.abc import Iterable

import numpy as np

from pokejax.data.split import Dataset, Split

# Pictures of a split that are looked at, evenly spaced; smaller splits are looked at
# whole. A set that is read on demand would otherwise have to be decoded twice.
_MOST_PICTURES = 2**14
_READ_TOGETHER = 256


def fingerprint(dataset: Dataset) -> dict[str, str]:
    """Short hashes of what training learns from, by name.

    A quarter of a second for ten thousand 64x64 pictures in memory.

    Returns:
      `pictures`: their pixels and alpha, whichever split they are in.
      `splits`: which picture is where, in which order.
      `prompts`: the texts of each picture; left out if they aren't known.
      `attributes`, `weights`, `relatives`: likewise.
      `counts`: how many pictures each split has, in words.
    """
    pictures: list[bytes] = []
    labels: dict[str, list[bytes]] = {
        name: [] for name in ("prompts", "attributes", "weights", "relatives")
    }
    order = hashlib.sha256()
    for name, split in dataset.splits.items():
        step = max(1, -(-len(split) // _MOST_PICTURES))
        rows = np.arange(0, len(split), step)
        order.update(f"{name} {len(split)}".encode())
        for row, picture in zip(rows, _pictures(split, rows), strict=True):
            order.update(picture)
            pictures.append(picture)
            ids = split.prompt_ids[row, : split.prompt_counts[row]]
            texts = "\0".join(dataset.prompts[i] for i in ids if dataset.prompts)
            labels["prompts"].append(picture + texts.encode("utf-8", "surrogatepass"))
            labels["attributes"].append(picture + split.attributes[row].tobytes())
            labels["weights"].append(picture + split.weights[row].tobytes())
            if split.relatives is not None:
                labels["relatives"].append(picture + split.relatives[row].tobytes())
    if not dataset.prompts:
        del labels["prompts"]
    if not labels["relatives"]:
        del labels["relatives"]
    counts = ", ".join(f"{name} {len(s):,}" for name, s in dataset.splits.items())
    return {
        "counts": counts,
        "pictures": _short(sorted(pictures)),
        "splits": order.hexdigest()[:12],
        **{name: _short(sorted(values)) for name, values in labels.items()},
    }


def _pictures(split: Split, rows: np.ndarray) -> Iterable[bytes]:
    """A hash of each picture."""
    for start in range(0, len(rows), _READ_TOGETHER):
        for picture in split.drawn(rows[start : start + _READ_TOGETHER]):
            yield hashlib.sha256(picture.data).digest()


def _short(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(4, "little") + part)
    return digest.hexdigest()[:12]
