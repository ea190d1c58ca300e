"""A dataset (directory, TFDS or packed) -> arrays; and which pictures a step sees.

Owns reading and checking the CIFAR-format directory that `data_tools.create_dataset`
writes, its TFDS copy, and the file that `pokejax.pack` makes of them; and the cache of
prompt embeddings. The order of pictures is a function of (seed, step) and of nothing
else.
"""

import dataclasses
import functools
import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, Int, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pokejax import safe_pickle
from pokejax.attributes import UNKNOWN_ID, VOCABULARIES
from pokejax.config import DataConfig, TextConfig
from pokejax.data import tfds as tfds_reader
from pokejax.files import whole_file
from pokejax.images.cleanup import preprocess_all
from pokejax.text import load_text_encoder

SPLIT_FILES = {
    "train": tuple(f"data_batch_{i}" for i in range(1, 6)),
    "val": ("val_batch",),
    "test": ("test_batch",),
}


class DataError(ValueError):
    """A dataset that can't be used; the message names the file and what is wrong."""


class Pictures(Protocol):
    """`n h w 3` uint8: a numpy array, or something that reads rows on demand."""

    @property
    def shape(self) -> tuple[int, ...]:
        """As an array's."""
        ...

    @property
    def nbytes(self) -> int:
        """As an array's, if all were read."""
        ...

    def __len__(self) -> int:
        """Number of pictures."""
        ...

    def __getitem__(self, rows: np.ndarray | slice, /) -> UInt8[np.ndarray, "m h w 3"]:
        """Read some pictures."""
        ...


class _Stored(NamedTuple):
    """What a file on disk says of its pictures."""

    images: Pictures
    attributes: np.ndarray
    prompts: list[list[str]]
    views: list[str]


@dataclass(frozen=True)
class Split:
    """Pictures of one split, with everything a step needs of them.

    Attributes:
      images: `n h w 3` uint8, in memory or read on demand.
      attributes: `n 10` int32 ids in `VOCABULARIES` order.
      prompt_ids: `n p` int32 rows of `Dataset.text_emb`; the first `prompt_counts` of
        a row count, the rest are padding.
      prompt_counts: `n` int32, from 1 up.
    """

    images: Pictures
    attributes: Int[np.ndarray, "n 10"]
    prompt_ids: Int[np.ndarray, "n p"]
    prompt_counts: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.images)

    def take(self, rows: np.ndarray) -> "Split":
        """The split that holds these rows only."""
        return Split(
            self.images[rows],
            self.attributes[rows],
            self.prompt_ids[rows],
            self.prompt_counts[rows],
        )


@dataclass(frozen=True)
class Dataset:
    """Three splits and the embeddings of their prompts.

    Attributes:
      text_emb: `m d` float16, one row per different prompt.
      encoder: identity of the text encoder that made `text_emb`.
      text: its config, so that a bundle can say how to load it again.
      prompts: `m` texts, those of `text_emb`; empty if a packed file left them out.
    """

    splits: dict[str, Split]
    text_emb: Float[np.ndarray, "m d"]
    encoder: str
    text: TextConfig
    prompts: tuple[str, ...] = ()

    @property
    def text_dim(self) -> int:
        """Length of one text embedding."""
        return self.text_emb.shape[1]


def load(config: DataConfig, text: TextConfig, *, debug_samples: int = 0) -> Dataset:
    """Read a dataset, embed its prompts (or take them from the cache), and check it.

    Args:
      config: `dir` is a dataset directory or a packed `.npz`.
      text: which encoder the prompts go through.
      debug_samples: keep only so many pictures of each split; 0 keeps all.

    Raises:
      DataError: missing, truncated, hostile or inconsistent files.
      FileNotFoundError: the text encoder's weights are missing.
    """
    path = Path(config.dir)
    dataset = (
        _load_packed(path, config, text)
        if path.is_file()
        else (_load_directory(path, config, text))
    )
    splits = dataset.splits
    if debug_samples:
        splits = {
            name: split.take(np.arange(min(debug_samples, len(split))))
            for name, split in splits.items()
        }
    if config.use_preprocessing:
        splits = {
            name: dataclasses.replace(split, images=preprocess_all(split.images[:]))
            for name, split in splits.items()
        }
    return dataclasses.replace(dataset, splits=splits)


@functools.lru_cache(2)  # each batch of an epoch asks for it
def epoch_order(seed: int, epoch: int, n: int) -> Int[np.ndarray, " n"]:
    """The order in which an epoch (counted from 0) visits `n` pictures."""
    order = np.random.default_rng((seed, epoch)).permutation(n).astype(np.int32)
    order.flags.writeable = False  # it is everybody's
    return order


def batch_rows(
    seed: int, step: int, n: int, batch_size: int
) -> Int[np.ndarray, " batch"]:
    """Rows of the batch at a step (counted from 0); an epoch's remainder is dropped."""
    epoch, position = divmod(step, n // batch_size)
    start = position * batch_size
    return epoch_order(seed, epoch, n)[start : start + batch_size]


def _load_packed(path: Path, config: DataConfig, text: TextConfig) -> Dataset:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(arrays["header"].tobytes())
        splits = {
            name: Split(
                *(arrays[f"{name}.{key}"] for key in Split.__dataclass_fields__)
            )
            for name in SPLIT_FILES
        }
        packed_text = TextConfig(**header["text"])
    except (OSError, KeyError, ValueError, EOFError) as error:
        raise DataError(f"{path} is not a packed dataset: {error}") from None
    if header["vocabularies"] != {k: list(v) for k, v in VOCABULARIES.items()}:
        raise DataError(f"{path} was packed with other attribute vocabularies")
    if packed_text.encoder != text.encoder:
        raise DataError(
            f"{path} holds {packed_text.encoder!r} text embeddings, and the config"
            f" asks for {text.encoder!r}: pass --text.encoder {packed_text.encoder}"
        )
    for name, split in splits.items():
        _check_images(split.images, f"{path} ({name})", config)
    return Dataset(
        splits,
        arrays["text_emb"],
        header["encoder"],
        packed_text,
        tuple(header.get("prompts", ())),
    )


def _load_directory(path: Path, config: DataConfig, text: TextConfig) -> Dataset:
    if tfds_reader.is_prepared(path):
        stored = _read_tfds(path, config)
    elif (path / "batches.meta").is_file():
        stored = {name: _read_cifar(path, name, config) for name in SPLIT_FILES}
    else:
        raise DataError(
            f"no dataset at {path} (no batches.meta): make one with"
            f" python -m data_tools.create_dataset --output-dir {path}"
        )
    prompt_rows: dict[str, int] = {}
    splits = {
        name: _to_split(part, config, prompt_rows) for name, part in stored.items()
    }
    if not len(splits["train"]):
        raise DataError(f"{path} has no training picture of data.views {config.views}")
    text_emb, encoder = _embed(list(prompt_rows), text, path)
    return Dataset(splits, text_emb, encoder, text, tuple(prompt_rows))


def _read_tfds(path: Path, config: DataConfig) -> dict[str, "_Stored"]:
    try:
        rows = tfds_reader.read_prepared(path, decode_limit=config.resident_mb * 2**20)
    except ValueError as error:
        raise DataError(str(error)) from None
    for name, part in rows.items():
        _check_images(part.images, f"{path} ({name})", config)
    return {
        name: _Stored(part.images, part.attributes, part.prompts, part.views)
        for name, part in rows.items()
    }


def _read_cifar(path: Path, split: str, config: DataConfig) -> "_Stored":
    batches = [_read_batch(path / name, config) for name in SPLIT_FILES[split]]
    return _Stored(
        np.concatenate([batch.images[:] for batch in batches]),
        np.concatenate([batch.attributes for batch in batches]),
        [prompts for batch in batches for prompts in batch.prompts],
        [view for batch in batches for view in batch.views],
    )


def _to_split(
    stored: "_Stored", config: DataConfig, prompt_rows: dict[str, int]
) -> Split:
    """Keep the wanted views, and number the prompts."""
    width = max((len(p) for p in stored.prompts), default=1)
    prompt_ids = np.zeros((len(stored.prompts), width), np.int32)
    counts = np.array([len(p) for p in stored.prompts], np.int32)
    wanted = [not config.views or view in config.views for view in stored.views]
    keep = np.flatnonzero(wanted)
    for i in keep:
        texts = stored.prompts[i]
        prompt_ids[i, : len(texts)] = [
            prompt_rows.setdefault(text, len(prompt_rows)) for text in texts
        ]
    split = Split(stored.images, stored.attributes, prompt_ids, counts)
    return split if len(keep) == len(split) else split.take(keep)


def _read_batch(path: Path, config: DataConfig) -> _Stored:
    """One CIFAR-format file, checked."""
    if not path.is_file():
        raise DataError(f"dataset file {path} is missing")
    try:
        batch = safe_pickle.load(path, encoding="latin1")
        data, attributes = batch["data"], batch["attributes"]
        prompts, views = batch["prompts"], batch["views"]
    except (KeyError, TypeError) as error:
        raise DataError(f"{path} lacks what a pokejax dataset holds: {error}") from None
    except ValueError as error:  # truncated, or refused by the safe unpickler
        raise DataError(str(error)) from None
    n = len(prompts)
    flat = 3 * config.image_size**2
    if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != flat:
        side = round((data.shape[-1] / 3) ** 0.5)
        raise DataError(
            f"{path} holds {side}x{side} pictures; the config's data.image_size is"
            f" {config.image_size}"
        )
    if not len(data) == len(attributes) == len(views) == n or not all(prompts):
        raise DataError(f"{path}: data, attributes, views and prompts don't match up")
    sizes = np.array([len(v) for v in VOCABULARIES.values()])
    valid = attributes.ndim == 2 and attributes.shape[1] == len(sizes)
    if n and (
        not valid or (attributes < UNKNOWN_ID).any() or (attributes >= sizes).any()
    ):
        raise DataError(f"{path} holds attribute ids outside their vocabularies")
    side = config.image_size
    return _Stored(
        data.reshape(n, 3, side, side).transpose(0, 2, 3, 1),
        attributes.astype(np.int32).reshape(n, len(sizes)),
        prompts,
        views,
    )


def _check_images(images: Pictures, origin: str, config: DataConfig) -> None:
    side = config.image_size
    if images.shape[1:] != (side, side, 3):
        raise DataError(
            f"{origin} holds {images.shape[1]}x{images.shape[2]} pictures; the"
            f" config's data.image_size is {side}"
        )


def _embed(
    prompts: list[str], text: TextConfig, directory: Path
) -> tuple[Float[np.ndarray, "m d"], str]:
    """Embeddings of prompts, from the cache in the directory if it has them.

    The cache's name holds the encoder's identity, and its header a hash of the prompts,
    so that neither another encoder nor a rebuilt dataset can be served stale vectors.
    """
    encoder = load_text_encoder(text)
    digest = hashlib.sha256("\0".join(prompts).encode()).hexdigest()
    cache = directory / f"text_embeddings_{encoder.identity}.safetensors"
    try:
        with safe_open(cache, framework="numpy") as file:
            if (file.metadata() or {}).get("prompts") == digest:
                return file.get_tensor("text_emb"), encoder.identity
    except (OSError, SafetensorError):
        pass  # absent, or left by a crash: made anew below
    text_emb = encoder.encode(prompts).astype(np.float16)
    try:
        with whole_file(cache) as partial:
            save_file({"text_emb": text_emb}, partial, metadata={"prompts": digest})
    except (OSError, SafetensorError):
        print(
            f"note: {directory} isn't writable; embeddings not cached", file=sys.stderr
        )
    return text_emb, encoder.identity
