"""A dataset (directory, TFDS or packed) -> arrays; and which pictures a step sees.

Owns the choice of the reader, the checks against the config, the cache of prompt
embeddings, and the order of pictures, which is a function of (seed, step) and of
nothing else.
"""

import dataclasses
import functools
import hashlib
import sys
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

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
            packed.read(path, text)
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


@functools.lru_cache(2)  # each batch of an epoch asks for it
def epoch_order(seed: int, epoch: int, n: int) -> Int[np.ndarray, " n"]:
    """The order in which an epoch, counted from 0, visits `n` pictures."""
    order = np.random.default_rng((seed, epoch)).permutation(n).astype(np.int32)
    order.flags.writeable = False  # shared by every caller
    return order


def batch_rows(
    seed: int, step: int, n: int, batch_size: int
) -> Int[np.ndarray, " batch"]:
    """Rows of the batch at a step (counted from 0); an epoch's remainder is dropped."""
    epoch, position = divmod(step, n // batch_size)
    start = position * batch_size
    return epoch_order(seed, epoch, n)[start : start + batch_size]


def _load_directory(path: Path, config: DataConfig, text: TextConfig) -> Dataset:
    if tfds.is_prepared(path):
        rows = tfds.read_prepared(path, decode_limit=config.resident_mb * 2**20)
    else:
        rows = cifar.read(path, config.image_size)
    prompt_rows: dict[str, int] = {}
    splits = {name: _to_split(part, config, prompt_rows) for name, part in rows.items()}
    if not len(splits["train"]):
        raise DataError(f"{path} has no training picture of data.views {config.views}")
    text_emb, encoder = _embed(list(prompt_rows), text, path)
    return Dataset(splits, text_emb, encoder, text, tuple(prompt_rows))


def _to_split(rows: Rows, config: DataConfig, prompt_rows: dict[str, int]) -> Split:
    """Keep the wanted views, and number the prompts."""
    width = max((len(p) for p in rows.prompts), default=1)
    prompt_ids = np.zeros((len(rows.prompts), width), np.int32)
    counts = np.array([len(p) for p in rows.prompts], np.int32)
    wanted = [not config.views or view in config.views for view in rows.views]
    keep = np.flatnonzero(wanted)
    for i in keep:
        texts = rows.prompts[i]
        prompt_ids[i, : len(texts)] = [
            prompt_rows.setdefault(text, len(prompt_rows)) for text in texts
        ]
    split = Split(rows.images, rows.attributes, prompt_ids, counts)
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
