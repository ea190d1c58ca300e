"""Where a CLIP checkpoint lies, and its tensors by name, read one at a time.

Owns the way from a source (hub id, folder or file) to open safetensors files. Nothing
but safetensors is opened: a pickle can run code when it is read.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".msgpack", ".h5"}
_WANTED = [
    "config.json",
    "model*.safetensors",
    INDEX,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
]
_ADVICE = (
    "use --text.encoder static, or --text.weights with a folder that holds "
    f"config.json, {WEIGHTS} and tokenizer.json"
)


@dataclass(frozen=True)
class ClipFiles:
    """An opened checkpoint.

    Attributes:
        folder: where config and tokenizer lie.
        config: `config.json` as read.
        tensors: tensor name to the open safetensors file that holds it. Opening reads
            the header only; `get_slice(name).get_shape()` and `get_tensor(name)` reach
            one tensor without the rest.
    """

    folder: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, Any]


def open_checkpoint(source: str) -> ClipFiles:
    """Find a checkpoint and open its safetensors files.

    Args:
        source: a hub id such as "openai/clip-vit-large-patch14" (the local Hugging
            Face cache first, then a download), a folder, or one safetensors file with
            its config and tokenizer beside it.

    Returns:
        The opened checkpoint; no tensor is read yet.

    Raises:
        FileNotFoundError: nothing there, or not in the cache and the hub is out of
            reach; the message says what to do instead.
        ValueError: a pickle checkpoint, or a file that can't be read.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return _open(path.parent, path)
    if not path.is_dir():
        if not _is_hub_id(source):
            raise FileNotFoundError(f"no CLIP weights at {source!r}: {_ADVICE}")
        path = _from_hub(source)
    return _open(path, path / (WEIGHTS if (path / WEIGHTS).is_file() else INDEX))


def cached(repo_id: str) -> Path | None:
    """The folder of a hub repository in the local cache, if its weights are there."""
    return _cached_snapshot(_cache_folder(), repo_id)


def _open(folder: Path, weights: Path) -> ClipFiles:
    if weights.suffix in _PICKLES:
        raise ValueError(
            f"{weights}: pickle checkpoints are not read, since they can run code; "
            f"give the same weights as {WEIGHTS}"
        )
    if not weights.is_file():
        pickles = sorted(p.name for p in folder.iterdir() if p.suffix in _PICKLES)
        found = f" (only {pickles[0]}, which is not read)" if pickles else ""
        raise FileNotFoundError(f"{folder}: no {WEIGHTS}{found}")
    config = _read_json(folder / "config.json")
    if weights.name.endswith(".index.json"):
        tensors = _open_shards(folder, _read_json(weights).get("weight_map"))
    else:
        file = _open_safetensors(weights)
        tensors = dict.fromkeys(file.keys(), file)
    return ClipFiles(folder, config, tensors)


def _open_shards(folder: Path, weight_map: Any) -> dict[str, Any]:
    """Open the shards that are here; a tensor of an absent one is reported missing."""
    if not isinstance(weight_map, dict):
        raise ValueError(f"{folder / INDEX}: no 'weight_map'")
    # Shards are named within the folder: an index must not lead out of it.
    names = {str(name) for name in weight_map.values()}
    strays = sorted(name for name in names if Path(name).name != name)
    if strays:
        raise ValueError(f"{folder / INDEX}: shard {strays[0]!r} is outside the folder")
    files = {
        name: _open_safetensors(folder / name)
        for name in names
        if (folder / name).is_file()
    }
    return {key: file for file in files.values() for key in file.keys()}  # noqa: SIM118


def _open_safetensors(path: Path) -> Any:
    try:
        # "flax" and not "numpy": NumPy has no bfloat16.
        return safe_open(path, framework="flax")
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path}: not a complete safetensors file ({error})"
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path.parent}: no {path.name}")
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object")
    return content


def _is_hub_id(source: str) -> bool:
    looks_like_a_file = Path(source).suffix in {".safetensors", *_PICKLES}
    return not looks_like_a_file and bool(
        re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", source)
    )


def _from_hub(repo_id: str) -> Path:
    """Return the snapshot folder of a hub repository, downloaded if need be."""
    snapshot = cached(repo_id)
    if snapshot is not None:
        return snapshot
    cache = _cache_folder()
    from huggingface_hub import snapshot_download  # slow to import, seldom needed

    try:
        return Path(snapshot_download(repo_id, cache_dir=cache, allow_patterns=_WANTED))
    except Exception as error:  # every kind of network, hub and disk failure
        raise FileNotFoundError(
            f"CLIP weights {repo_id!r} are not in {cache} and could not be fetched "
            f"({type(error).__name__}): {_ADVICE}"
        ) from error


def _cache_folder() -> Path:
    """Return the hub's cache folder by the rules of `huggingface_hub`."""
    home = os.environ.get("HF_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface"
    )
    cache = os.environ.get("HF_HUB_CACHE") or os.path.join(home, "hub")
    return Path(os.path.expandvars(cache)).expanduser()


def _cached_snapshot(cache: Path, repo_id: str) -> Path | None:
    """Return the cached snapshot that `main` points to, if its weights are there."""
    repo = cache / f"models--{repo_id.replace('/', '--')}"
    main = repo / "refs" / "main"
    if main.is_file():
        snapshots = [repo / "snapshots" / main.read_text("utf-8").strip()]
    else:
        snapshots = sorted(repo.glob("snapshots/*"), key=os.path.getmtime)[::-1]
    for snapshot in snapshots:
        if (snapshot / WEIGHTS).is_file() or (snapshot / INDEX).is_file():
            return snapshot
    return None
