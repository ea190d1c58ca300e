"""A dataset and its prompt embeddings as one compressed file: writing and reading it.

For machines that have no text encoder, and for carrying a set from one to another.
"""

import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pokejax.attributes import CONDITIONS
from pokejax.commands import call_of
from pokejax.config import TextConfig
from pokejax.data.split import Dataset, Split
from pokejax.files import whole_file

_TORN = (zipfile.BadZipFile, zlib.error)
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
      ValueError: not a packed dataset, or of another encoder or vocabulary.
    """
    try:
        # Opened here, because numpy leaves a torn file open.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(arrays["header"].tobytes())
        splits = {name: _split_of(arrays, name) for name in SPLITS}
        packed_text = TextConfig(**header["text"])
        vocabularies = header["vocabularies"]
        encoder = header["encoder"]
    except (*_TORN, OSError, KeyError, ValueError, TypeError, EOFError) as error:
        # numpy's own words for anything else advise to unpickle it.
        why = "" if "allow_pickle" in str(error) else f" ({error})"
        raise ValueError(
            f"{path} is not a packed dataset{why}: expected a dataset directory, or"
            f" the whole .npz that {call_of('pokejax.pack')} writes"
        ) from None
    if vocabularies != {k: list(v) for k, v in CONDITIONS.items()}:
        raise ValueError(f"{path} was packed with other attribute vocabularies")
    if packed_text.encoder != text.encoder:
        raise ValueError(
            f"{path} holds {packed_text.encoder!r} text embeddings, but the config"
            f" asks for {text.encoder!r}: pass --text.encoder {packed_text.encoder}"
        )
    prompts = tuple(header.get("prompts", ()))
    return Dataset(splits, arrays["text_emb"], encoder, packed_text, prompts)


def _split_of(arrays: dict[str, np.ndarray], name: str) -> Split:
    """One of its splits; not all files have relatives."""
    own = {
        key: arrays[f"{name}.{key}"]
        for key in Split.__dataclass_fields__
        if key != "relatives"
    }
    return Split(**own, relatives=arrays.get(f"{name}.relatives"))
