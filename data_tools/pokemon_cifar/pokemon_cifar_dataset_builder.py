"""The TFDS builder `pokemon_cifar`: the CIFAR directory as ArrayRecord files.

Owns the features, the splits, the version, and the reading of the directory that
`data_tools.create_dataset` writes. Neither building nor reading imports TensorFlow:
that's why pictures go to TFDS as PNG files (it would encode an array by TensorFlow) and
why the file format is ArrayRecord. PNG loses nothing, so pixels stay as they are.

TFDS itself has no checksum of what it has written. The builder records one for each
split, with its statistics, in the dataset's metadata: `pokejax.data.tfds` computes it
again from what it reads.
"""

import dataclasses
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from data_tools.cifar import META_FILE, SPLIT_FILES
from pokejax import safe_pickle
from pokejax.attributes import TYPES, UNKNOWN_ID, VOCABULARIES
from pokejax.data.tfds import TFDS_SPLITS, Rows

FILE_FORMAT = "array_record"


@dataclasses.dataclass(eq=False, kw_only=True)
class Config(tfds.core.BuilderConfig):
    """One size of picture.

    Attributes:
      image_size: side, pixels.
    """

    image_size: int


def _config(image_size: int) -> Config:
    return Config(
        name=f"{image_size}x{image_size}",
        description=f"RGB pictures of {image_size}x{image_size} pixels.",
        image_size=image_size,
    )


class Builder(tfds.core.GeneratorBasedBuilder):
    """Sprites with species, ten attributes and text prompts."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {
        "1.0.0": "Pictures, species, ten attributes and prompts, in the source's order."
    }
    BUILDER_CONFIGS: ClassVar[list[Config]] = [_config(32), _config(64)]
    DEFAULT_BUILDER_CONFIG_NAME = "64x64"
    # Nothing is downloaded. TFDS would look for a list of URLs, by a package
    # (importlib_resources) that it doesn't declare for this Python.
    url_infos = None
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    manual_dir is the folder that holds `pokemon-cifar-64` (or `pokemon-cifar-32`, for
    the config 32x32), as made by

        python -m data_tools.create_dataset --image-size 64 \\
          --output-dir <manual_dir>/pokemon-cifar-64
    """

    def __init__(self, *, file_format: Any = FILE_FORMAT, **kwargs: Any) -> None:
        """As TFDS's own, but for ArrayRecord, which alone needs no TensorFlow."""
        super().__init__(file_format=file_format, **kwargs)

    @property
    def _image_size(self) -> int:
        assert isinstance(self.builder_config, Config)
        return self.builder_config.image_size

    def _info(self) -> tfds.core.DatasetInfo:
        side = self._image_size
        text = tfds.features.Text
        features = {
            "image": tfds.features.Image(
                shape=(side, side, 3), dtype=np.uint8, encoding_format="png"
            ),
            "label": tfds.features.ClassLabel(names=TYPES, doc="the main type"),
            "species": text(),
            "view": text(doc="front, shiny, back, ..."),
            "filename": text(doc="<Species>/<file> in the images directory"),
            "prompts": tfds.features.Sequence(text()),
            "attributes": {
                name: tfds.features.ClassLabel(names=words, doc="-1 where unknown")
                for name, words in VOCABULARIES.items()
            },
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="Pokémon sprites with ten attributes and text prompts each.",
            features=tfds.features.FeaturesDict(features),
            homepage="https://github.com/pokejax/pokejax",
            supervised_keys=("image", "label"),
            # The order is part of the data: a row here is a row of the pickles.
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        side = self._image_size
        directory = Path(dl_manager.manual_dir) / directory_name(side)
        splits = {
            TFDS_SPLITS[name]: rows
            for name, rows in read_cifar(directory, side).items()
        }
        metadata = self.info.metadata
        assert metadata is not None  # as given in _info
        metadata["splits"] = {name: statistics(rows) for name, rows in splits.items()}
        # TFDS refuses to write a split without rows.
        return {
            name: self._generate_examples(rows)
            for name, rows in splits.items()
            if len(rows)
        }

    def _generate_examples(self, rows: Rows) -> Iterator[tuple[int, dict[str, Any]]]:
        for i, pixels in enumerate(rows.images):
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "png")
            ids = rows.attributes[i].tolist()
            attributes = dict(zip(VOCABULARIES, ids, strict=True))
            yield (
                i,
                {
                    "image": file.getvalue(),
                    "label": attributes["type1"],
                    "species": rows.species[i],
                    "view": rows.views[i],
                    "filename": rows.filenames[i],
                    "prompts": rows.prompts[i],
                    "attributes": attributes,
                },
            )


def directory_name(image_size: int) -> str:
    """What the CIFAR directory of a size is called inside `manual_dir`."""
    return f"pokemon-cifar-{image_size}"


def statistics(rows: Rows) -> dict[str, Any]:
    """Counts of a split and its checksum, as the dataset's metadata keeps them.

    Returns:
      `rows`; `pictures`, the different files among them; `species`; `labels`, rows by
      main type; `sha256`, of `Rows.sha256`.
    """
    labels = Counter(rows.attributes[:, 0].tolist())
    return {
        "rows": len(rows),
        "pictures": len(set(rows.filenames)),
        "species": len(set(rows.species)),
        "labels": {name: labels[i] for i, name in enumerate(TYPES) if labels[i]},
        "sha256": rows.sha256(),
    }


def read_cifar(directory: Path, image_size: int) -> dict[str, Rows]:
    """Read every split of a CIFAR directory into memory, and check it.

    Args:
      directory: as `data_tools.create_dataset` writes it.
      image_size: the side that its pictures must have, pixels.

    Returns:
      `"train"`, `"val"` and `"test"`.

    Raises:
      ValueError: something is missing, damaged, or of another size or vocabulary;
        names the file.
    """
    if not (directory / META_FILE).is_file():
        raise ValueError(
            f"no dataset at {directory} (no {META_FILE}): make one with"
            f" python -m data_tools.create_dataset --image-size {image_size}"
            f" --output-dir {directory}"
        )
    meta = safe_pickle.load(directory / META_FILE, encoding="bytes")
    vocabularies = {name: list(words) for name, words in VOCABULARIES.items()}
    if not isinstance(meta, dict) or meta.get(b"vocabularies") != vocabularies:
        raise ValueError(
            f"{directory / META_FILE} doesn't hold the attribute vocabularies of this"
            " version: make the dataset again with python -m data_tools.create_dataset"
        )
    if meta.get(b"image_size") != image_size:
        raise ValueError(
            f"{directory} holds pictures of {meta.get(b'image_size')} pixels a side,"
            f" not {image_size}"
        )
    splits = {
        split: _concatenate(
            [_read_batch(directory / name, image_size) for name in names]
        )
        for split, names in SPLIT_FILES.items()
    }
    if not len(splits["train"]):
        raise ValueError(f"{directory} holds no training picture")
    return splits


def _read_batch(path: Path, image_size: int) -> Rows:
    try:
        # As bytes: file names are UTF-8 in what Python 2 called a string.
        batch = safe_pickle.load(path, encoding="bytes")
        data, attributes = batch[b"data"], batch[b"attributes"]
        filenames = [name.decode() for name in batch[b"filenames"]]
        prompts, views = batch[b"prompts"], batch[b"views"]
        species = batch[b"species"]
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror}") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} lacks what a pokejax dataset holds: {error}"
        ) from None
    n = len(filenames)
    if data.dtype != np.uint8 or data.shape != (n, 3 * image_size**2):
        raise ValueError(
            f"{path} holds {data.dtype} data of shape {data.shape}; expected {n} uint8"
            f" rows of {3 * image_size**2}"
        )
    sizes = np.array([len(words) for words in VOCABULARIES.values()])
    if attributes.shape != (n, len(sizes)) or {
        len(x) for x in (prompts, views, species)
    } != {n}:
        raise ValueError(
            f"{path}: its attributes or texts don't match its {n} pictures"
        )
    if (attributes < UNKNOWN_ID).any() or (attributes >= sizes).any():
        raise ValueError(f"{path} holds attribute ids outside their vocabularies")
    planes = data.reshape(n, 3, image_size, image_size)
    return Rows(
        np.ascontiguousarray(planes.transpose(0, 2, 3, 1)),
        attributes.astype(np.int32),
        prompts,
        views,
        species,
        filenames,
    )


def _concatenate(parts: list[Rows]) -> Rows:
    return Rows(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.attributes for part in parts]),
        [x for part in parts for x in part.prompts],
        [x for part in parts for x in part.views],
        [x for part in parts for x in part.species],
        [x for part in parts for x in part.filenames],
    )
