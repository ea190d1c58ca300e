"""Bundles taken apart and put together again, as an earlier version wrote them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file


def content(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and weights of a bundle."""
    with safe_open(path, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return json.loads(file.metadata()["pokejax"]), arrays


def write(path: Path, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """A bundle without a hash."""
    save_file(arrays, path, metadata={"pokejax": json.dumps(header)})


def write_wild(source: Path, path: Path) -> None:
    """A bundle whose weights are finite, and whose pixels are not."""
    header, arrays = content(source)
    for name, value in arrays.items():
        if name.startswith("decoder") and value.ndim > 1:
            signs = np.where(np.arange(value.size) % 2, 3e38, -3e38)
            value[:] = signs.reshape(value.shape)
    write(path, header, arrays)
