"""A dataset and its prompt embeddings as one compressed file: writing and reading it.

For machines that have no text encoder, and for carrying a set from one to another.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from jaxtyping import Float16

from pokejax import npz
from pokejax.attributes import CONDITIONS, RELATIONS, UNKNOWN_ID
from pokejax.commands import call_of
from pokejax.config import TextConfig
from pokejax.data.split import Dataset, Split
from pokejax.files import whole_file

SPLITS = ("train", "val", "test")


def write(dataset: Dataset, path: Path, authors: Sequence[Path] = ()) -> None:
    """Write a dataset and its embeddings into one compressed `.npz`, no pickles.

    Args:
      dataset: what is written.
      path: of the `.npz`.
      authors: files that name whose pictures these are; they go along, as bytes under
        their names.
    """
    arrays: dict[str, np.ndarray] = {"text_emb": dataset.text_emb}
    for name, split in dataset.splits.items():
        for key, value in vars(split).items():
            if value is not None:
                arrays[f"{name}.{key}"] = value[:]
    header = {
        "encoder": dataset.encoder,
        "text": asdict(dataset.text),
        "vocabularies": {k: list(v) for k, v in CONDITIONS.items()},
        "prompts": dataset.prompts,
    }
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    for file in authors:
        arrays[file.name] = np.frombuffer(file.read_bytes(), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read(path: Path, text: TextConfig) -> Dataset:
    """The dataset in a packed file.

    Args:
      path: of the file.
      text: the encoder that the config asks for; the file must hold its embeddings.

    Raises:
      ValueError: not a packed dataset, a damaged or hostile one, or of another encoder
        or vocabulary; names the file.
    """
    try:
        arrays = npz.read(path)
        header = json.loads(arrays["header"].tobytes())
        packed_text = TextConfig(**header["text"])
        vocabularies, encoder = header["vocabularies"], header["encoder"]
        prompts = tuple(header.get("prompts", ()))
        if not all(isinstance(word, str) for word in (encoder, *prompts)):
            raise TypeError("its prompts and its encoder's name are to be texts")
        text_emb = _embeddings_of(arrays, prompts)
        splits = {name: _split_of(arrays, name, len(text_emb)) for name in SPLITS}
        if not len(splits["train"]):
            raise ValueError("it holds no training picture")
    except (OSError, LookupError, ValueError, TypeError, RecursionError) as error:
        # A name in the file may be anything, of any length.
        why = repr(str(error))[1:-1][:300]
        raise ValueError(
            f"{path} is not a packed dataset ({why}): expected a dataset directory, or"
            f" the whole .npz that {call_of('pokejax.pack')} writes"
        ) from None
    if vocabularies != {k: list(v) for k, v in CONDITIONS.items()}:
        raise ValueError(f"{path} was packed with other attribute vocabularies")
    if packed_text.encoder != text.encoder:
        raise ValueError(
            f"{path} holds {packed_text.encoder!r} text embeddings, but the config"
            f" asks for {text.encoder!r}: pass --text.encoder {packed_text.encoder}"
        )
    return Dataset(splits, text_emb, encoder, packed_text, prompts)


def _embeddings_of(
    arrays: Mapping[str, np.ndarray], prompts: Sequence[str]
) -> Float16[np.ndarray, "m d"]:
    text_emb = arrays["text_emb"]
    if text_emb.dtype != np.float16 or text_emb.ndim != 2 or not text_emb.size:
        raise TypeError(f"text_emb is {text_emb.dtype} of shape {text_emb.shape}")
    if not np.isfinite(text_emb).all():
        raise ValueError("text_emb holds numbers that aren't finite")
    if prompts and len(prompts) != len(text_emb):
        raise ValueError(f"{len(prompts)} prompts have {len(text_emb)} embeddings")
    return text_emb


def _split_of(arrays: Mapping[str, np.ndarray], name: str, embedded: int) -> Split:
    """One of its splits, checked; not all files have relatives."""
    images, prompt_ids = arrays[f"{name}.images"], arrays[f"{name}.prompt_ids"]
    n, sides, width = len(images), images.shape[1:3], prompt_ids.shape[-1]
    sizes = [len(words) for words in CONDITIONS.values()]
    # Type and shape; the lowest of its values, and what all are below.
    expected = {
        "images": (np.uint8, (n, *sides, 3)),
        "alpha": (np.uint8, (n, *sides)),
        "attributes": (np.int32, (n, len(sizes)), UNKNOWN_ID, sizes),
        "prompt_ids": (np.int32, (n, width), 0, embedded),
        "prompt_counts": (np.int32, (n,), 1, width + 1),
        "weights": (np.float32, (n,), np.finfo(np.float32).tiny, np.inf),
        "relatives": (np.int32, (n, len(RELATIONS)), -1, n),
    }
    if f"{name}.relatives" not in arrays:
        del expected["relatives"]
    for key, (dtype, shape, *bounds) in expected.items():
        array = arrays[f"{name}.{key}"]
        if array.dtype != dtype or array.shape != shape:
            raise TypeError(f"{name}.{key} is {array.dtype} of shape {array.shape}")
        if bounds and not ((array >= bounds[0]) & (array < bounds[1])).all():
            raise ValueError(f"{name}.{key} holds what can't be there")
    return Split(**{key: arrays[f"{name}.{key}"] for key in expected})
