"""Runs that end by how near their drawings come to training pictures."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pokejax import train
from pokejax.data import dataset as data
from pokejax.data.split import Dataset
from pokejax.training.checkpoint import load_bundle
from pokejax.training.loop import Loop
from pokejax.training.signals import StopRequest
from pokejax.training.trainer import Trainer
from tests.conftest import TINY

FLAGS = ["--train.sample_every=2", "--train.epochs=7", "--train.most_copies=0.5"]
FLAGS += ["--train.checkpoint_every=100"]  # so only what was looked at is saved


def run_on(dataset: Dataset, drawn_dataset: Path, workdir: Path, *more: str) -> Loop:
    """A run's loop, on other validation pictures than its directory's."""
    places = [f"--data.dir={drawn_dataset}", f"--train.workdir={workdir}"]
    _, config = train.parse_arguments([*TINY, *FLAGS, *places, *more])
    workdir.mkdir()
    return Loop(Trainer(config, dataset), [], StopRequest())


@pytest.fixture(scope="module")
def on_noise(drawn_dataset: Path) -> Dataset:
    """Validated on noise: whatever is drawn is nearer to a training picture."""
    _, config = train.parse_arguments([*TINY, f"--data.dir={drawn_dataset}"])
    dataset = data.load(config.data, config.text)
    val = dataset.splits["val"]
    shape = val.images.shape
    noise = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    splits = dataset.splits | {"val": replace(val, images=noise)}
    return replace(dataset, splits=splits)


def test_a_run_ends_once_too_many_drawings_are_nearer_than_held_out_pictures(
    on_noise: Dataset, drawn_dataset: Path, tmp_path: Path
):
    loop = run_on(on_noise, drawn_dataset, tmp_path / "run")
    assert loop.epochs()
    loop.finish(0)
    loop.close()
    assert [row.get("Copied") for row in loop.log.rows] == [None, 1.0]
    text = (tmp_path / "run" / "report.md").read_text()
    assert "100.0% of drawings were nearly training pictures" in text
    with (tmp_path / "run" / "training_losses.csv").open(newline="") as file:
        assert [row["Copied"] for row in csv.DictReader(file)] == ["", "1"]


def test_the_last_model_that_copies_little_is_kept_whatever_its_loss(
    on_noise: Dataset, drawn_dataset: Path, tmp_path: Path
):
    """One held-out picture is a training picture: no drawing is as near."""
    val, train_images = on_noise.splits["val"], on_noise.splits["train"].images
    images = np.concatenate([train_images[:1], val.images[1:]])
    splits = on_noise.splits | {"val": replace(val, images=images)}
    loop = run_on(replace(on_noise, splits=splits), drawn_dataset, tmp_path / "run")
    assert loop.epochs()
    rows = loop.log.rows
    assert [row.get("Copied") for row in rows] == [None, 0, None, 0, None, 0, 0]
    # The less it draws like noise, the worse.
    assert rows[1]["Val_Loss"] < rows[6]["Val_Loss"]
    loop.close()
    assert load_bundle(tmp_path / "run" / "checkpoints").header.epoch == 7
