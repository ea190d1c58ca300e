"""A prepared TFDS directory -> arrays, checked against its checksums; no TensorFlow.

The builder that prepares such a directory is `data_tools.pokemon_cifar`; nothing of it
is needed to read one. Only `read_prepared` needs the package tensorflow-datasets.
"""

import dataclasses
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pokejax.attributes import RELATIONS, VOCABULARIES
from pokejax.commands import call_of
from pokejax.data.cifar import Rows

# TFDS's names of the splits, by ours.
TFDS_SPLITS = {"train": "train", "val": "validation", "test": "test"}
INFO_FILE = "dataset_info.json"


def is_prepared(directory: Path) -> bool:
    """Whether TFDS prepared this directory, `<data_dir>/pokemon_cifar/64x64/2.1.0`."""
    return (directory / INFO_FILE).is_file()


class LazyPictures:
    """Pictures of a TFDS split, or their alpha, decoded when they are asked for."""

    def __init__(self, source: Any, feature: str, shape: tuple[int, ...]):
        """Decode one feature of a source.

        Args:
          source: of examples.
          feature: `"image"` or `"alpha"`.
          shape: `n h w 3` or `n h w`.
        """
        self._source, self._feature, self._shape = source, feature, shape

    @property
    def shape(self) -> tuple[int, ...]:
        """As in the constructor."""
        return self._shape

    @property
    def nbytes(self) -> int:
        """Bytes that all of them would take in memory."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, rows: np.ndarray | slice) -> UInt8[np.ndarray, "m h w ..."]:
        """Decode some pictures."""
        wanted = np.arange(len(self))[rows]
        out = np.empty((len(wanted), *self.shape[1:]), np.uint8)
        for place, row in zip(out, wanted, strict=True):
            png = self._source[int(row)][self._feature]
            place[:] = _decode(png, self._shape[1:])
        return out


def read_prepared(
    directory: Path, *, decode_limit: int | None = None
) -> dict[str, Rows]:
    """Read every split of a prepared directory, and verify its checksum.

    Args:
      directory: as `is_prepared`.
      decode_limit: bytes; a split whose pictures are larger is left on disk and read on
        demand, and its checksum, which covers the pixels, is not verified. None: no
        limit. A set built by Beam has no checksum.

    Returns:
      `"train"`, `"val"` and `"test"`; a split may have no rows.

    Raises:
      ValueError: the directory isn't a prepared `pokemon_cifar`, was prepared with
        other vocabularies, is damaged, or tensorflow-datasets isn't installed.
    """
    if not is_prepared(directory):
        raise ValueError(
            f"no prepared TFDS dataset at {directory} (no {INFO_FILE}): make one with"
            f" {call_of('data_tools.pokemon_cifar.__main__')}"
        )
    try:
        import tensorflow_datasets as tfds
    except ImportError:
        raise ValueError(
            f"reading {directory} needs the package tensorflow-datasets, which comes"
            " with pip install 'pokejax[data]'"
        ) from None
    try:
        builder: Any = tfds.builder_from_directory(str(directory))
        _check_features(builder.info.features)
        side = builder.info.features["image"].shape[0]
        # A set that many machines built has none: they'd take all rows in order.
        statistics = builder.info.metadata.get("splits", {})
        return {
            ours: _read_split(
                tfds, builder, theirs, side, statistics.get(theirs), decode_limit
            )
            for ours, theirs in TFDS_SPLITS.items()
        }
    # A damaged file can fail in Python, protobuf or C++, each with its own exception.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"{directory} is not usable as pokemon_cifar: {reason}; to make it again:"
            f" {call_of('data_tools.pokemon_cifar.__main__')} --overwrite"
        ) from error


def _check_features(features: Any) -> None:
    for name, vocabulary in VOCABULARIES.items():
        if tuple(features["attributes"][name].names) != vocabulary:
            raise ValueError(f"it was prepared with another vocabulary of {name}")


def _read_split(
    tfds: Any,
    builder: Any,
    name: str,
    side: int,
    statistics: dict[str, Any] | None,
    decode_limit: int | None,
) -> Rows:
    source = []
    if name in builder.info.splits:  # TFDS can't hold a split without rows
        # Pixels are decoded here, into their place: TFDS would take OpenCV if it finds
        # it, and complain if it doesn't.
        raw_image = dict.fromkeys(("image", "alpha"), tfds.decode.SkipDecoding())
        source = builder.as_data_source(split=name, decoders=raw_image)
    n = len(source)
    lazy = decode_limit is not None and n * side * side * 3 > decode_limit
    shapes = {"image": (n, side, side, 3), "alpha": (n, side, side)}
    pixels: dict[str, Any] = {
        name: LazyPictures(source, name, shape) if lazy else np.empty(shape, np.uint8)
        for name, shape in shapes.items()
    }
    attributes = np.empty((n, len(VOCABULARIES)), np.int32)
    weights = np.empty(n, np.float32)
    relatives = np.full((n, len(RELATIONS)), -1, np.int32)
    rows = Rows(
        pixels["image"], pixels["alpha"], attributes, [], [], [], weights, [], []
    )
    for i, example in enumerate(source):
        if not lazy:
            for feature, shape in shapes.items():
                pixels[feature][i] = _decode(example[feature], shape[1:])
        attributes[i] = [example["attributes"][key] for key in VOCABULARIES]
        # Those of earlier versions have no such feature.
        relatives[i] = example.get("relatives", -1)
        rows.prompts.append([prompt.decode() for prompt in example["prompts"]])
        rows.views.append(example["view"].decode())
        rows.styles.append(example["style"].decode())
        weights[i] = example["weight"]
        rows.species.append(example["species"].decode())
        rows.filenames.append(example["filename"].decode())
    if (relatives >= 0).any():
        rows = dataclasses.replace(rows, relatives=relatives)
    if statistics is None or (lazy and n == statistics["rows"]):
        return rows
    if n != statistics["rows"] or rows.sha256() != statistics["sha256"]:
        raise ValueError(
            f"the {n} rows of {name} don't match the checksum of the"
            f" {statistics['rows']} that were built"
        )
    return rows


def _decode(png: bytes, shape: tuple[int, ...]) -> UInt8[np.ndarray, "h w ..."]:
    mode = "RGB" if len(shape) == 3 else "L"
    with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
        if image.size != shape[1::-1] or image.mode != mode:
            raise ValueError(f"a picture isn't {shape[1]}x{shape[0]} {mode}")
        return np.asarray(image)
