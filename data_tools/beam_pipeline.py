"""A dataset for TFDS straight from pictures, as a pipeline of Apache Beam.

It does what `create_dataset` and the builder `pokemon_cifar` do one after the other,
picture by picture, on as many machines as the runner has. What needs to know of all
pictures is counted where they are: a split is decided by a line for each species, a
weight by how many pictures there are of each kind. Rows come in no particular order,
so none names its relatives, which would be other rows' numbers.
"""

# Of the extra `beam`, which is in no lock file.
# pyright: reportMissingImports=false

import argparse
import dataclasses
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import apache_beam as beam
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import AsSingleton

from pokejax.attributes import VOCABULARIES
from pokejax.data.tfds import TFDS_SPLITS

from . import tuxemon
from .generate_metadata import process
from .metadata import MetadataError
from .pictures import Skipped, find_folders, load_picture, pictures_in
from .pokemon_cifar.pokemon_cifar_dataset_builder import Builder, Config, example
from .sampling import Kind, kind_of, weights_of
from .splits import (
    RATIOS,
    SPLITS,
    Unit,
    commonest,
    digest_of,
    key_of,
    place_species,
)
from .vision.labels import label_pictures
from .vision.questions import hash_file
from .vision.shares import Share, asker_of

_SKIPPED = "skipped"  # what counts of these are called


@dataclasses.dataclass(eq=False, kw_only=True)
class BeamConfig(Config):
    """What the command `beam_dataset` is told, as `options`."""

    options: argparse.Namespace


class PokemonBeam(Builder):
    """The rows of `pokemon_cifar`, straight from the pictures."""

    BUILDER_CONFIGS: ClassVar[list[Config]] = []
    KEEPS_ORDER = False

    def _split_generators(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, dl_manager: Any, pipeline: Any
    ) -> dict[str, Any]:
        """As TFDS asks for it where splits share a pipeline."""
        config = self.builder_config
        assert isinstance(config, BeamConfig)
        assert self.info.metadata is not None  # as given in _info
        self.info.metadata["attributes"] = list(VOCABULARIES)
        options = config.options
        authors = options.images_dir / tuxemon.ATTRIBUTIONS
        if authors.is_file():
            shutil.copyfile(authors, Path(self.data_dir) / authors.name)
        folders = [str(folder) for folder in find_folders(options.images_dir)]
        paths = (
            pipeline
            | "folders" >> beam.Create(folders)
            | "list" >> beam.FlatMap(lambda folder: map(str, pictures_in(Path(folder))))
            | "spread" >> beam.Reshuffle()
        )
        if options.provider == "pokedex":
            paths |= "label" >> beam.Map(_looked_up)
        if options.provider == "baml":
            paths = (
                paths
                | "choose asker" >> beam.Map(_with_asker, options.askers)
                | "for each asker" >> beam.GroupByKey()
                | "ask" >> beam.FlatMap(_asked, options)
            )
        pictures = paths | "load" >> beam.FlatMap(
            _load, side=config.image_size, has_authors=authors.is_file()
        )
        splits = _split(pictures, options.seed)
        return dict(zip(TFDS_SPLITS.values(), splits, strict=True))

    def _process_pipeline_result(self, pipeline_result: Any) -> None:
        found = pipeline_result.metrics().query()["counters"]
        for counter in found:
            if counter.key.metric.namespace == _SKIPPED:
                count, why = counter.result, counter.key.metric.name
                print(f"skipped: {count} pictures {why}", file=sys.stderr)


class _Row(NamedTuple):
    """A picture on its way: what decides its place, and what is written of it."""

    filename: str
    species: str
    digest: bytes
    key: tuple[str, str]
    values: tuple[str, ...]
    example: dict[str, Any]


def _looked_up(path: str) -> str:
    process(Path(path))  # what it can't label, `_load` skips and counts
    return path


def _with_asker(path: str, askers: int) -> tuple[int, str]:
    try:
        return asker_of(hash_file(Path(path)), askers), path
    except ValueError:  # which whoever is to ask about it will say
        return 0, path


def _asked(
    asker: tuple[int, Iterable[str]], options: argparse.Namespace
) -> Iterator[str]:
    """Have one asker's pictures labelled by a model, as far as it goes."""
    number, paths = asker[0], [Path(path) for path in asker[1]]
    share = Share(number, options.askers)
    done = label_pictures(options, paths, lambda *_: None, share)
    if done.is_fatal:
        raise MetadataError(done.stop_reason)
    yield from map(str, paths)


def _load(path: str, *, side: int, has_authors: bool) -> Iterator[_Row]:
    """The picture as a row, or nothing and a count of why."""
    picture = load_picture(Path(path), side)
    if isinstance(picture, Skipped):
        Metrics.counter(_SKIPPED, picture.kind).inc()
        return
    if picture.style == tuxemon.STYLE and not has_authors:
        raise ValueError(f"{tuxemon.ATTRIBUTIONS} is missing in the images directory")
    yield _Row(
        picture.filename,
        picture.species,
        digest_of(picture),
        key_of(picture),
        kind_of(picture, 0).values,
        example(
            picture.pixels[..., :3],
            picture.pixels[..., 3],
            picture.attributes.ids()[: len(VOCABULARIES)].tolist(),
            species=picture.species,
            view=picture.view,
            style=picture.style,
            weight=picture.weight,
            filename=picture.filename,
            prompts=picture.prompts,
        ),
    )


def _split(pictures: Any, seed: int) -> list[Any]:
    """The collection of each split, as `(key, row)`."""
    places = AsSingleton(
        pictures
        | "species" >> beam.Map(lambda row: (row.species, (row.filename, {row.key: 1})))
        | "sum up species" >> beam.CombinePerKey(_summed)
        # One line for each species, no more, meets on one machine.
        | "all species" >> beam.combiners.ToList()
        | "place" >> beam.Map(_places, seed=seed)
    )
    rows = (
        pictures
        | "digest"
        >> beam.Map(lambda row, at: (row.digest, (at[row.species].split, row)), places)
        | "same pixels" >> beam.GroupByKey()
        | "once" >> beam.FlatMap(lambda same: _of_first_split(same[1]))
    )
    weights = AsSingleton(
        rows
        | "of train" >> beam.Filter(lambda placed: placed[0] == "train")
        | "kind" >> beam.Map(lambda placed, at: tuple(_kind(placed[1], at)), places)
        | "count kinds" >> beam.combiners.Count.PerElement()
        | "all kinds" >> beam.combiners.ToList()
        | "weigh" >> beam.Map(lambda n: weights_of({Kind(*k): c for k, c in n}))
    )

    def finished(placed: Any, at: dict[str, _Place], weights: dict[Kind, float]) -> Any:
        split, row = placed
        if split != "train":
            return row.filename, row.example
        weight = weights[_kind(row, at)]
        return row.filename, row.example | {"weight": weight}

    return [
        rows
        | f"only {name}" >> beam.Filter(lambda placed, name: placed[0] == name, name)
        | f"finish {name}" >> beam.Map(finished, places, weights)
        for name in SPLITS
    ]


class _Place(NamedTuple):
    """The split of a species, and how many pictures it has."""

    split: str
    size: int


def _summed(parts: Iterable[tuple[str, dict]]) -> tuple[str, dict]:
    """A species' first picture, and how many have each key."""
    first, keys = "", Counter()
    for filename, some in parts:
        first = min(first, filename) if first else filename
        keys.update(some)
    return first, dict(keys)


def _places(species: Sequence[tuple[str, Any]], seed: int) -> dict[str, _Place]:
    by_first = sorted(species, key=lambda each: each[1][0])
    units = {
        name: Unit(sum(keys.values()), commonest(keys)) for name, (_, keys) in by_first
    }
    splits = place_species(units, RATIOS, seed=seed)
    return {name: _Place(split, units[name].size) for name, split in splits.items()}


def _of_first_split(same: Iterable[tuple[str, _Row]]) -> list[tuple[str, _Row]]:
    """Of rows with the same pixels, those in the first split that has any."""
    rows = list(same)
    first = min((split for split, _ in rows), key=SPLITS.index)
    return [row for row in rows if row[0] == first]


def _kind(row: _Row, places: dict[str, _Place]) -> Kind:
    return Kind(places[row.species].size, row.values)
