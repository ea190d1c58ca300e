"""Helpers of the tests of `--provider baml`."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from data_tools.generate_metadata import main
from data_tools.vision import ledger
from pokejax.attributes import COLORS, SHAPES
from tests.helpers.drawn import draw_creature
from tests.helpers.llm_server import LlmServer, Request

SECRET = "sk-very-secret"  # how the server's key begins


def draw_pictures(root: Path, count: int, species: int = 20) -> list[Path]:
    """`count` pictures, all different, of made-up species."""
    rng = np.random.default_rng(0)
    paths = []
    for i in range(count):
        folder = root / f"Blorp{i % species}"
        folder.mkdir(parents=True, exist_ok=True)
        color, shape = COLORS[i % 11], SHAPES[i % 8]
        path = folder / f"picture{i:03d}.png"
        draw_creature(rng, color, shape, 32).save(path)
        paths.append(path)
    return paths


def run(folder: Path, *flags: str) -> int:
    return main(["--images-dir", str(folder), "--provider", "baml", *flags])


def labels_of(root: Path) -> list[Path]:
    return sorted(root.glob("*/*.json"))


def ledger_lines(root: Path) -> list[dict]:
    lines = (root / ledger.NAME).read_text().splitlines()
    return [json.loads(line) for line in lines]


def start(root: Path, server: LlmServer, *flags: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "data_tools.generate_metadata", "--images-dir"]
    return subprocess.Popen(
        [*command, str(root), "--provider", "baml", "--timeout-s", "1", *flags],
        env=os.environ | server.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def every_trouble(request: Request, nth: int) -> str:
    """Most pictures meet one kind of trouble first, some twice; then all is well."""
    kinds = ("429", "500", "hang", "truncated", "refusal", "wrong-word", "ok", "drop")
    kind = kinds[int(request.picture[:4], 16) % len(kinds)]
    return kind if nth == 0 or (nth == 1 and kind == "429") else "ok"
