"""A dataset (directory, TFDS or packed) -> arrays; and which pictures a step sees.

Owns the choice of the reader, the checks against the config, the cache of prompt
embeddings, and the order of pictures.
"""

import dataclasses
import hashlib
import sys
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pokejax.attributes import CONDITIONS, STYLES
from pokejax.config import DataConfig, TextConfig
from pokejax.data import cifar, packed, tfds
from pokejax.data.cifar import Rows
from pokejax.data.split import Dataset, Pictures, Split
from pokejax.files import whole_file
from pokejax.images.cleanup import clean_up
from pokejax.text import load_text_encoder


class DataError(ValueError):
    """A dataset that can't be used; the message names the file and what is wrong."""


def load(config: DataConfig, text: TextConfig, *, debug_samples: int = 0) -> Dataset:
    """Read a dataset, embed its prompts (or take them from the cache), and check it.

    Args:
      config: `dir` is a dataset directory or a packed `.npz`.
      text: which encoder the prompts go through.
      debug_samples: keep only this many pictures of each split; 0 keeps all.

    Raises:
      DataError: missing, truncated, hostile or inconsistent files.
      FileNotFoundError: the text encoder's weights are missing.
    """
    path = Path(config.dir)
    try:
        dataset = (
            _of_styles(packed.read(path, text), path, config)
            if path.is_file()
            else _load_directory(path, config, text)
        )
    except ValueError as error:
        raise DataError(str(error)) from None
    splits = dataset.splits
    for name, split in splits.items():
        _check_images(split.images, f"{path} ({name})", config)
    if debug_samples:
        splits = {
            name: split.take(np.arange(min(debug_samples, len(split))))
            for name, split in splits.items()
        }
    if config.use_preprocessing:
        splits = {
            name: dataclasses.replace(split, images=clean_up(split.images[:]))
            for name, split in splits.items()
        }
    return dataclasses.replace(dataset, splits=splits)


class Order:
    """The order in which training sees pictures: a function of (seed, step) alone."""

    def __init__(self, seed: int, weights: Float[np.ndarray, " n"], batch_size: int):
        """Take what never changes in a run.

        Args:
          seed: of the run.
          weights: how often an epoch visits each picture on average; all alike, once.
            The number of visits is one of the two whole numbers around that.
          batch_size: pictures a step, at most n.
        """
        self._seed, self._batch_size = seed, batch_size
        self._ends = np.cumsum(weights, dtype=np.float64)
        self._ends *= len(weights) / self._ends[-1]
        self._latest = (-1, np.empty(0, np.int32))

    def rows(self, step: int) -> Int[np.ndarray, " batch"]:
        """Rows of the batch at a step, from 0; an epoch's remainder is dropped."""
        epoch, position = divmod(step, len(self._ends) // self._batch_size)
        start = position * self._batch_size
        known, rows = self._latest  # at once: several threads may ask
        if epoch != known:
            rows = self._visits(epoch)
            self._latest = epoch, rows
        return rows[start : start + self._batch_size]

    def _visits(self, epoch: int) -> Int[np.ndarray, " n"]:
        rng = np.random.default_rng((self._seed, epoch))
        n = len(self._ends)
        # Evenly spaced marks along the weights: a picture as long as w gets about w.
        marks = np.arange(n) + rng.uniform()
        rows = np.minimum(np.searchsorted(self._ends, marks, side="right"), n - 1)
        return rng.permutation(rows).astype(np.int32)


def _load_directory(path: Path, config: DataConfig, text: TextConfig) -> Dataset:
    if tfds.is_prepared(path):
        rows = tfds.read_prepared(path, decode_limit=config.resident_mb * 2**20)
    else:
        rows = cifar.read(path, config.image_size)
    prompt_rows: dict[str, int] = {}
    splits = {name: _to_split(part, config, prompt_rows) for name, part in rows.items()}
    if not len(splits["train"]):
        raise DataError(
            f"{path} has no training picture of data.views {config.views} and"
            f" data.styles {config.styles}; it holds the styles"
            f" {', '.join(sorted(set(rows['train'].styles)))}"
        )
    text_emb, encoder = _embed(list(prompt_rows), text, path)
    return Dataset(splits, text_emb, encoder, text, tuple(prompt_rows))


def _of_styles(dataset: Dataset, path: Path, config: DataConfig) -> Dataset:
    """A packed dataset's pictures of the wanted styles."""
    if config.views:
        raise DataError(
            f"data.views is {config.views}, and {path} doesn't hold the names of views:"
            " train from the directory that it was packed from"
        )
    if not config.styles:
        return dataset
    place = list(CONDITIONS).index("style")
    wanted = [STYLES.index(style) for style in config.styles if style in STYLES]
    splits = {
        name: split.take(np.flatnonzero(np.isin(split.attributes[:, place], wanted)))
        for name, split in dataset.splits.items()
    }
    if not len(splits["train"]):
        raise DataError(f"{path} has no training picture of styles {config.styles}")
    return dataclasses.replace(dataset, splits=splits)


def _to_split(rows: Rows, config: DataConfig, prompt_rows: dict[str, int]) -> Split:
    """Keep the wanted views and styles, and number the prompts."""
    width = max((len(p) for p in rows.prompts), default=1)
    prompt_ids = np.zeros((len(rows.prompts), width), np.int32)
    counts = np.array([len(p) for p in rows.prompts], np.int32)
    wanted = [
        (not config.views or view in config.views)
        and (not config.styles or style in config.styles)
        for view, style in zip(rows.views, rows.styles, strict=True)
    ]
    keep = np.flatnonzero(wanted)
    for i in keep:
        texts = rows.prompts[i]
        prompt_ids[i, : len(texts)] = [
            prompt_rows.setdefault(text, len(prompt_rows)) for text in texts
        ]
    split = Split(
        rows.images,
        rows.alpha,
        rows.conditions(),
        prompt_ids,
        counts,
        rows.weights,
        rows.relatives,
    )
    return split if len(keep) == len(split) else split.take(keep)


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
    so that neither another encoder nor a rebuilt dataset can be served stale vectors;
    and one of the vectors, so that no damaged ones are.

    Raises:
      DataError: the encoder gives what isn't a number.
    """
    encoder = load_text_encoder(text)
    digest = hashlib.sha256("\0".join(prompts).encode()).hexdigest()
    cache = directory / f"text_embeddings_{encoder.identity}.safetensors"
    try:
        with safe_open(cache, framework="numpy") as file:
            known = file.metadata() or {}
            if known.get("prompts") == digest:
                text_emb = file.get_tensor("text_emb")
                # Those of earlier versions have no hash.
                right = known.get("content") in (None, _hash(text_emb))
                if right and np.isfinite(text_emb).all():
                    return text_emb, encoder.identity
                raise ValueError
    except FileNotFoundError:
        pass
    except (OSError, SafetensorError, ValueError):
        print(f"note: {cache} is damaged: embedding anew", file=sys.stderr)
    with np.errstate(over="ignore"):  # refused in the next line
        text_emb = encoder.encode(prompts).astype(np.float16)
    if not np.isfinite(text_emb).all():
        raise DataError(
            f"text encoder {encoder.identity} gives numbers that aren't finite: its"
            " weights are broken"
        )
    known = {"prompts": digest, "content": _hash(text_emb)}
    try:
        with whole_file(cache) as partial:
            save_file({"text_emb": text_emb}, partial, metadata=known)
    except (OSError, SafetensorError):
        print(
            f"note: {directory} isn't writable; embeddings not cached", file=sys.stderr
        )
    return text_emb, encoder.identity


def _hash(text_emb: Float[np.ndarray, "m d"]) -> str:
    return hashlib.sha256(text_emb.tobytes()).hexdigest()
