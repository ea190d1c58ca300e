"""The TFDS builder `pokemon_cifar`: the CIFAR directory as ArrayRecord files.

Owns the features, the splits and the version. Neither building nor reading imports
TensorFlow: that's why pictures go to TFDS as PNG files (it would encode an array by
TensorFlow) and why the file format is ArrayRecord. PNG loses nothing, so pixels stay as
they are.

TFDS itself has no checksum of what it has written. The builder records one for each
split, with its statistics, in the dataset's metadata: `pokejax.data.tfds` computes it
again from what it reads.
"""

import dataclasses
import io
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from pokejax.attributes import RELATIONS, TYPES, VOCABULARIES
from pokejax.data import cifar
from pokejax.data.cifar import Rows
from pokejax.data.tfds import TFDS_SPLITS

FILE_FORMAT = "array_record"


@dataclasses.dataclass(eq=False, kw_only=True)
class Config(tfds.core.BuilderConfig):
    """One size of picture, each in train once or in balanced numbers.

    Attributes:
      image_size: side, pixels.
      balanced: rows of train are repeated and thinned out, as the original does it;
        otherwise each picture is one row, with a weight.
    """

    image_size: int
    balanced: bool

    @property
    def directory_name(self) -> str:
        """What its source is called inside `manual_dir`."""
        return f"pokemon-cifar-{self.image_size}" + "-balanced" * self.balanced


def config_of(image_size: int, balanced: bool) -> Config:
    """The config `"64x64"` or `"64x64_balanced"`, or of another size."""
    rows = (
        "those of train repeated and thinned out by type, colour and shape"
        if balanced
        else "each once, with a weight for training"
    )
    return Config(
        name=f"{image_size}x{image_size}" + "_balanced" * balanced,
        description=f"RGB pictures of {image_size}x{image_size} pixels, {rows}.",
        image_size=image_size,
        balanced=balanced,
    )


class Builder(tfds.core.GeneratorBasedBuilder):
    """Sprites with species, ten attributes and text prompts."""

    VERSION = tfds.core.Version("2.1.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {
        "2.1.0": "Rows of each picture's relatives.",
        "2.0.0": "Alpha, style and weight of each picture.",
        "1.0.0": "Pictures, species, ten attributes, prompts, in the source's order.",
    }
    BUILDER_CONFIGS: ClassVar[list[Config]] = [
        config_of(size, balanced) for balanced in (False, True) for size in (32, 64)
    ]
    DEFAULT_BUILDER_CONFIG_NAME = "64x64"
    KEEPS_ORDER = True
    # Nothing is downloaded. TFDS would look for a list of URLs, by a package
    # (importlib_resources) that it doesn't declare for this Python.
    url_infos = None
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    manual_dir is the folder that holds `pokemon-cifar-64` (or `pokemon-cifar-32`, for
    the config 32x32), as made by

        python -m data_tools.create_dataset --image-size 64 \\
          --output-dir <manual_dir>/pokemon-cifar-64

    or, for the configs that end in _balanced, `pokemon-cifar-64-balanced`, as made with
    --target-per-group 50.
    """

    def __init__(self, *, file_format: Any = FILE_FORMAT, **kwargs: Any) -> None:
        """As TFDS's own, but for ArrayRecord, which alone needs no TensorFlow."""
        super().__init__(file_format=file_format, **kwargs)

    @property
    def _own_config(self) -> Config:
        assert isinstance(self.builder_config, Config)
        return self.builder_config

    def _info(self) -> tfds.core.DatasetInfo:
        side = self._own_config.image_size
        text = tfds.features.Text
        features = {
            "image": tfds.features.Image(
                shape=(side, side, 3), dtype=np.uint8, encoding_format="png"
            ),
            "alpha": tfds.features.Image(
                shape=(side, side, 1),
                dtype=np.uint8,
                encoding_format="png",
                doc="0 is background, which is white in the image",
            ),
            "label": tfds.features.ClassLabel(names=TYPES, doc="the main type"),
            "species": text(),
            "view": text(doc="front, shiny, back, ..."),
            "style": text(doc="native, gen5, vector or tuxemon; empty if unknown"),
            "weight": tfds.features.Scalar(
                np.float32, doc="how often training should draw it; 1 on average"
            ),
            "filename": text(doc="<Species>/<file> in the images directory"),
            "relatives": tfds.features.Tensor(
                shape=(len(RELATIONS),),
                dtype=np.int32,
                doc="rows of the split whose front, back, ... it is; -1 for none",
            ),
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
            disable_shuffling=self.KEEPS_ORDER,
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        source = read_source(Path(dl_manager.manual_dir), self._own_config)
        splits = {TFDS_SPLITS[name]: rows for name, rows in source.items()}
        metadata = self.info.metadata
        assert metadata is not None  # as given in _info
        # TFDS keeps no order in its own files.
        metadata["attributes"] = list(VOCABULARIES)
        metadata["splits"] = {name: statistics(rows) for name, rows in splits.items()}
        # Whose pictures these are, which must stay with what is built from them.
        directory = Path(dl_manager.manual_dir) / self._own_config.directory_name
        for file in directory.glob("ATTRIBUTIONS-*.md"):
            shutil.copyfile(file, Path(self.data_dir) / file.name)
        # TFDS refuses to write a split without rows.
        return {
            name: self._generate_examples(rows)
            for name, rows in splits.items()
            if len(rows)
        }

    def _generate_examples(self, rows: Rows) -> Iterator[tuple[int, dict[str, Any]]]:
        for i in range(len(rows)):
            yield (
                i,
                example(
                    rows.images[i : i + 1][0],
                    rows.alpha[i : i + 1][0],
                    rows.attributes[i].tolist(),
                    species=rows.species[i],
                    view=rows.views[i],
                    style=rows.styles[i],
                    weight=rows.weights[i],
                    filename=rows.filenames[i],
                    prompts=rows.prompts[i],
                    relatives=None if rows.relatives is None else rows.relatives[i],
                ),
            )


def example(
    image: np.ndarray,
    alpha: np.ndarray,
    ids: Sequence[int],
    *,
    prompts: Sequence[str],
    relatives: np.ndarray | None = None,
    **texts: Any,
) -> dict[str, Any]:
    """A row as TFDS is given it.

    Args:
      image: `h w 3` uint8.
      alpha: `h w` uint8.
      ids: of the attributes, in the order of `VOCABULARIES`.
      prompts: one or more.
      relatives: rows of the split, -1 for none; None for no relatives at all.
      texts: the other features, as they are.
    """
    attributes = dict(zip(VOCABULARIES, ids, strict=True))
    if relatives is None:
        relatives = np.full(len(RELATIONS), -1, np.int32)
    return {
        "image": _png(image),
        "alpha": _png(alpha),
        "label": attributes["type1"],
        "relatives": relatives,
        "prompts": list(prompts),
        "attributes": attributes,
        **texts,
    }


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def read_source(manual_dir: Path, config: Config) -> dict[str, Rows]:
    """The CIFAR directory that a config is a copy of.

    Raises:
      ValueError: `cifar.read`'s; or train is balanced where it shouldn't be, or isn't.
    """
    directory = manual_dir / config.directory_name
    splits = cifar.read(directory, config.image_size)
    train = splits["train"]
    repeats = len(set(train.filenames)) < len(train)
    if repeats and not config.balanced:
        raise ValueError(
            f"{directory} repeats pictures of train: call it {directory.name}-balanced"
            " for the balanced config, or make it without --target-per-group"
        )
    if config.balanced and (train.weights != 1).any():
        raise ValueError(
            f"{directory} weighs its pictures and isn't balanced: make it with"
            " --target-per-group"
        )
    return splits


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
