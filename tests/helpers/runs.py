"""What the tests of whole runs share: a small run's arguments, and how two compare."""

import csv
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from pokejax.training import log as loss_log
from tests.conftest import TINY

OPTIONS = [*TINY, "--train.epochs=3", "--train.checkpoint_every=1"]


def argv(dataset: Path, workdir: Path, *more: str) -> list[str]:
    """Arguments of `pokejax.train`: three epochs of four steps, all of them saved."""
    places = ["--data.dir", str(dataset), "--train.workdir", str(workdir)]
    return [*OPTIONS, *places, *more]


def weights(workdir: Path) -> dict[str, np.ndarray]:
    return load_file(workdir / "model.safetensors")


def assert_same(ours: Path, theirs: Path, tolerance: float = 0.0) -> None:
    """The best models of two runs are the same, bit for bit or nearly so."""
    expected = weights(theirs)
    for name, value in weights(ours).items():
        np.testing.assert_allclose(
            value, expected[name], rtol=0, atol=tolerance, err_msg=name
        )


def log(workdir: Path) -> list[dict[str, str]]:
    """The log's rows, but for how long things took."""
    with (workdir / "training_losses.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        {k: v for k, v in row.items() if k not in loss_log.COST_COLUMNS} for row in rows
    ]
