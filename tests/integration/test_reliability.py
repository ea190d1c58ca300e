"""Killed at any moment, or spread over devices: the same run."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from pokejax import train
from pokejax.config import override
from pokejax.data import dataset as data
from pokejax.training.checkpoint import has_complete
from pokejax.training.mesh import replicate
from pokejax.training.trainer import Trainer
from tests.helpers import kill_driver
from tests.helpers.runs import argv, assert_same, log


@pytest.fixture(scope="module")
def first_epoch(drawn_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that ended after its first epoch; copy it to go on from there."""
    workdir = tmp_path_factory.mktemp("first_epoch") / "run"
    assert train.main([*argv(drawn_dataset, workdir), "--train.epochs=1"]) == 0
    return workdir


QUICK = [("step", "SIGTERM"), ("save", "SIGKILL")]
SLOW = itertools.product(["compile", "step", "eval", "save"], ["SIGTERM", "SIGKILL"])


@pytest.mark.parametrize(
    ("phase", "name"),
    [
        *QUICK,
        *(pytest.param(*p, marks=pytest.mark.slow) for p in SLOW if p not in QUICK),
    ],
)
def test_killed_and_resumed_equals_unbroken(
    phase: str,
    name: str,
    drawn_dataset: Path,
    unbroken: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    options = argv(drawn_dataset, tmp_path)
    if name == "SIGTERM":  # which this process survives
        with monkeypatch.context() as patch:
            for where, method in kill_driver.WRAPPED:  # put back in the end
                patch.setattr(where, method, getattr(where, method))
            kill_driver.arrange(phase, signal.SIGTERM)
            assert train.main(options) == 128 + signal.SIGTERM
        assert "continue with --resume auto" in capsys.readouterr().out
    else:
        driver = [sys.executable, "tests/helpers/kill_driver.py", phase, name, "--"]
        killed = subprocess.run(
            [*driver, *options],
            capture_output=True,
            timeout=500,
            env=os.environ | {"PYTHONPATH": "."},
        )
        assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "model.safetensors").exists()
    # Killed before the first save was complete, there is nothing to go on from: then
    # the same command begins anew.
    nothing_saved = not has_complete(tmp_path / "checkpoints")
    assert not nothing_saved or name == "SIGKILL"
    assert train.main([*options, "--resume", "auto"]) == 0
    assert_same(tmp_path, unbroken)
    assert log(tmp_path) == log(unbroken)


def test_negative_control_another_key_ends_elsewhere(
    drawn_dataset: Path,
    first_epoch: Path,
    unbroken: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """If the randomness were not restored, the comparison above would notice."""
    shutil.copytree(first_epoch, tmp_path, dirs_exist_ok=True)
    build = Trainer.__init__

    def build_with_another_key(self: Trainer, *args):
        build(self, *args)
        self.key = replicate(jax.random.key(1), self.mesh)

    monkeypatch.setattr(Trainer, "__init__", build_with_another_key)
    assert train.main([*argv(drawn_dataset, tmp_path), "--resume", "auto"]) == 0
    with pytest.raises(AssertionError):
        assert_same(tmp_path, unbroken)


@pytest.mark.parametrize("kilobytes", [20, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_full_disk_leaves_the_previous_checkpoint(
    kilobytes: int,
    drawn_dataset: Path,
    first_epoch: Path,
    unbroken: Path,
    tmp_path: Path,
):
    """A limit on a file's size makes writing fail in the middle, as a full disk does.

    The lower one hits pictures and a checkpoint's metadata, too. Nothing else differs:
    what was compiled for `unbroken` comes from the cache.
    """
    options = argv(drawn_dataset, tmp_path)
    shutil.copytree(first_epoch, tmp_path, dirs_exist_ok=True)
    limited = f'ulimit -f {kilobytes}; exec "$@"'
    command = [sys.executable, "-m", "pokejax.train", *options, "--resume", "auto"]
    failed = subprocess.run(
        ["bash", "-c", limited, "bash", *command],
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert failed.returncode == 2
    # Threads of Orbax may have complained before, but this is the last word.
    assert failed.stderr.splitlines()[-1].startswith("error: ")
    errors = [x for x in failed.stderr.splitlines() if x.startswith("error: ")]
    assert len(errors) == 1 and "can't save a checkpoint in" in errors[0]
    rows = log(tmp_path)
    assert 1 <= len(rows) <= 3 and rows == log(unbroken)[: len(rows)]
    kept = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert "4" in kept and not {"8", "12"} & kept
    assert train.main([*options, "--resume", "auto"]) == 0
    assert_same(tmp_path, unbroken)
    assert log(tmp_path) == log(unbroken)


def test_two_devices_equal_one(drawn_dataset: Path, tmp_path: Path, unbroken: Path):
    """The suite has two fake devices; `unbroken` used both, this run one."""
    assert jax.device_count() == 2
    assert train.main(argv(drawn_dataset, tmp_path, "--mesh.devices=1")) == 0
    assert_same(tmp_path, unbroken, tolerance=1e-5)


def test_chunks_and_accumulation_change_nothing(drawn_dataset: Path):
    plain = train.parse_arguments(argv(drawn_dataset, Path("unused")))[1]
    plain = override(plain, {"model.dropout": 0.0})
    results = []
    for change in ({}, {"train.accumulate": 2}, {"train.steps_per_call": 3}):
        config = override(plain, change)
        trainer = Trainer(config, data.load(config.data, config.text))
        parts = trainer.train_epoch(1)
        assert parts is not None
        results.append((list(parts.values()), jax.tree.leaves(trainer.state.params)))
    (parts, ours), *others = results
    for other_parts, theirs in others:
        np.testing.assert_allclose(parts, other_parts, rtol=1e-5)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_bfloat16_trains_and_keeps_float32_state(drawn_dataset: Path):
    config = train.parse_arguments(argv(drawn_dataset, Path("unused")))[1]
    config = override(config, {"model.compute_dtype": "bfloat16"})
    trainer = Trainer(config, data.load(config.data, config.text))
    first, *_, last = [trainer.train_epoch(epoch) for epoch in range(1, 6)]
    assert first is not None and last is not None
    assert last["Loss"] < first["Loss"]
    assert {x.dtype.name for x in jax.tree.leaves(trainer.state.params)} == {"float32"}


def test_skipping_counts_and_changes_nothing(drawn_dataset: Path):
    config = train.parse_arguments(argv(drawn_dataset, Path("unused")))[1]
    config = override(config, {"train.on_nonfinite": "skip"})
    trainer = Trainer(config, data.load(config.data, config.text))
    bad = trainer.feed.dataset.text_emb.copy()
    bad[:] = np.nan
    for name, split in trainer.feed.resident.items():
        spoilt = split._replace(text_emb=bad)
        trainer.feed.resident[name] = replicate(spoilt, trainer.mesh)
    before = jax.device_get(trainer.state.params)
    parts = trainer.train_epoch(1)
    assert parts is not None and parts["Loss"] == 0
    assert int(trainer.state.skipped) == trainer.steps_per_epoch
    jax.tree.map(np.testing.assert_array_equal, before, trainer.state.params)
