"""Several devices, several processes: the same run as on one.

The processes are real ones that meet through `jax.distributed`; on CPU they talk
through gloo. Their results may differ in the last bits only, since sums are taken in
another order.
"""

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from pokejax import train
from pokejax.config import Config, ConfigError, MeshConfig, override
from pokejax.data import dataset as data
from pokejax.training import mesh
from pokejax.training.saving import Checkpoints
from pokejax.training.trainer import Trainer
from tests.helpers.hosts import by_flags, environment, free_port
from tests.helpers.runs import argv, assert_same, log, weights

# 4 steps an epoch. A step moves a weight by up to 2e-3, so 1e-5 can tell runs apart.
LONG = ("--train.epochs=4", "--train.sample_every=4")
STEPS = 16
SECONDS = 500  # far more than it takes, on a busy machine
TRAIN = ("-m", "pokejax.train")


def by_cluster(options: Sequence[str]) -> list[tuple[list[str], dict[str, str]]]:
    """The same in the environment that SLURM's `srun` gives its tasks."""
    job = {
        "SLURM_JOB_ID": "1",
        "SLURM_STEP_NODELIST": "127.0.0.1",
        "SLURM_NTASKS": "2",
        "JAX_COORDINATOR_PORT": str(free_port()),
    }
    return [
        (
            [*options, "--mesh.coordinator=auto"],
            environment(1, job | {"SLURM_PROCID": str(i), "SLURM_LOCALID": str(i)}),
        )
        for i in (0, 1)
    ]


def run_two(
    processes: list[tuple[list[str], dict[str, str]]],
    second: Sequence[str] = TRAIN,
) -> tuple[list[int], list[str]]:
    """Exit codes and outputs of two processes; `second` stands for the second's."""
    started = [
        subprocess.Popen(
            [sys.executable, *command, *options],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for (options, env), command in zip(processes, (TRAIN, second), strict=True)
    ]
    try:
        outputs = [process.communicate(timeout=SECONDS)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    return [process.returncode for process in started], outputs


@pytest.fixture(scope="module")
def alone(drawn_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run to compare with: on one device, in one process."""
    workdir = tmp_path_factory.mktemp("alone")
    options = argv(drawn_dataset, workdir, *LONG, "--mesh.devices=1")
    assert train.main(options) == 0
    assert (workdir / "checkpoints" / str(STEPS)).is_dir()
    return workdir


def assert_equal_runs(ours: Path, theirs: Path, tolerance: float = 1e-5) -> None:
    """All steps were done, with the same weights and losses at their end."""
    assert (ours / "checkpoints" / str(STEPS)).is_dir()
    assert_same(ours, theirs, tolerance)
    rows, expected = log(ours), log(theirs)
    assert [row["Epoch"] for row in rows] == [row["Epoch"] for row in expected]
    for row, other in zip(rows, expected, strict=True):
        for name in ("Train_Loss", "Val_Loss", "Train_KL", "Val_KL"):
            np.testing.assert_allclose(float(row[name]), float(other[name]), rtol=1e-4)


def test_the_comparison_can_fail(alone: Path, unbroken: Path):
    """Runs that differ by one epoch are further apart than any tolerance here."""
    with pytest.raises(AssertionError):
        assert_same(unbroken, alone, tolerance=1e-3)


def test_eight_devices_equal_one_and_restore_on_fewer(
    drawn_dataset: Path, alone: Path, tmp_path: Path
):
    """Two copies of the weights, each cut into four."""
    options = argv(drawn_dataset, tmp_path, *LONG, "--mesh.shard_params")
    options += ["--mesh.fsdp=4"]
    eight = subprocess.run(
        [sys.executable, *TRAIN, *options],
        env=environment(8),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert eight.returncode == 0, eight.stderr
    assert "Device: 8 x" in eight.stdout and "cut over 4 devices" in eight.stdout
    # One picture a device: more sums are taken in another order.
    assert_equal_runs(tmp_path, alone, tolerance=1e-4)
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    best = checkpoints.best
    assert best is not None
    expected = min(float(row["Val_Loss"]) for row in log(tmp_path))
    for devices in (1, 2):
        config = train.parse_arguments(options)[1]
        config = override(config, {"mesh.devices": devices, "mesh.fsdp": 0})
        trainer = Trainer(config, data.load(config.data, config.text))
        trainer.state = best.restore(trainer.state)
        on = [len(x.sharding.device_set) for x in jax.tree.leaves(trainer.state)]
        spread = [not x.is_fully_replicated for x in jax.tree.leaves(trainer.state)]
        assert set(on) == {devices} and any(spread) == (devices > 1)
        loss = trainer.evaluate("val")[0]["Loss"]
        np.testing.assert_allclose(loss, expected, rtol=1e-4)
    checkpoints.close()


# The quick suite has the next test, whose two processes do half of the steps.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("meet", "more"),
    [
        (by_flags, []),
        (by_cluster, ["--data.resident_mb=0", "--mesh.shard_params"]),
    ],
    ids=["resident", "streamed_and_spread"],
)
def test_two_processes_equal_one(
    meet, more: list[str], drawn_dataset: Path, alone: Path, tmp_path: Path
):
    processes = meet(argv(drawn_dataset, tmp_path, *LONG, *more))
    codes, outputs = run_two(processes)
    assert codes == [0, 0], "\n".join(outputs)
    assert "Device: 2 x" in outputs[0]
    # Gloo itself says that it is connected.
    said = [line for line in outputs[1].splitlines() if "Gloo" not in line]
    assert not said
    assert_equal_runs(tmp_path, alone)
    assert {path.name for path in tmp_path.iterdir()} == {
        path.name for path in alone.iterdir()
    }


def test_one_process_then_two_that_are_stopped_then_one(
    drawn_dataset: Path, alone: Path, tmp_path: Path
):
    """SIGTERM comes to the second process only; both stop, at the same step.

    Each of the two holds, and saves, half of the weights, and is fed its share of the
    pictures batch by batch.
    """
    options = argv(drawn_dataset, tmp_path, *LONG, "--mesh.shard_params")
    assert train.main([*options, "--train.epochs=1"]) == 0
    (tmp_path / "model.safetensors").unlink()
    kill = ("tests/helpers/kill_driver.py", "step", "SIGTERM", "--")
    streamed = [*options, "--data.resident_mb=0", "--resume", "auto"]
    codes, outputs = run_two(by_cluster(streamed), second=kill)
    assert codes == [128 + signal.SIGTERM] * 2, "\n".join(outputs)
    assert "Device: 2 x" in outputs[0]
    assert "continue with --resume auto" in outputs[0]
    # Gloo itself says that it is connected.
    said = [line for line in outputs[1].split("\n") if line and "Gloo" not in line]
    assert said == ["SIGTERM: saving after the current step…"]
    assert not (tmp_path / "model.safetensors").exists()
    assert len(log(tmp_path)) == 2  # the signal came in the third epoch
    assert train.main([*options, "--mesh.devices=1", "--resume", "auto"]) == 0
    assert_equal_runs(tmp_path, alone)


@pytest.mark.slow
def test_a_lost_process_ends_the_other(
    drawn_dataset: Path, alone: Path, tmp_path: Path
):
    """It can't go on alone; what was saved before is there to go on from."""
    options = argv(drawn_dataset, tmp_path, *LONG)
    kill = ("tests/helpers/kill_driver.py", "save", "SIGKILL", "--")
    codes, outputs = run_two(by_flags(options), second=kill)
    assert codes[0] not in (0, None) and codes[1] == -signal.SIGKILL, outputs
    assert train.main([*options, "--mesh.devices=1", "--resume", "auto"]) == 0
    assert_equal_runs(tmp_path, alone)


def test_weights_are_cut_over_neighbours():
    cut = MeshConfig(shard_params=True, fsdp=2)
    both = mesh.make_mesh(Config(mesh=cut))
    assert both.shape == {"data": 1, "fsdp": 2}
    assert mesh.spread((256, 16), both) == PartitionSpec("fsdp", None)
    assert mesh.spread((16, 16), both) == PartitionSpec()  # small
    for whole in (MeshConfig(), MeshConfig(shard_params=True, fsdp=1)):
        assert mesh.make_mesh(Config(mesh=whole)).shape == {"data": 2, "fsdp": 1}
    with pytest.raises(ConfigError, match="expected a divisor of the 2 devices"):
        mesh.make_mesh(Config(mesh=MeshConfig(shard_params=True, fsdp=3)))
    with pytest.raises(ConfigError, match="expected 0 without"):
        MeshConfig(fsdp=2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"processes": 2}, "mesh.coordinator is empty"),
        ({"coordinator": "here"}, "expected address:port"),
        (
            {"coordinator": "127.0.0.1:9", "processes": 2, "process_id": 1},
            "nothing is listening there",
        ),
    ],
)
def test_processes_that_cant_meet_are_told_why(
    settings: dict, message: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(mesh, "_MEETING_SECONDS", 0)
    with pytest.raises(ConfigError, match=message):
        mesh.join_processes(Config(mesh=MeshConfig(**settings)))


def test_auto_outside_a_cluster_is_one_line(drawn_dataset: Path, tmp_path: Path):
    options = argv(drawn_dataset, tmp_path / "run", "--mesh.coordinator=auto")
    asked = subprocess.run(
        [sys.executable, *TRAIN, *options],
        env=environment(1),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert asked.returncode == 2
    assert asked.stderr.startswith("error: mesh.coordinator is 'auto'")
    assert asked.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_weights_are_finite_and_not_the_first_ones(alone: Path):
    """Or equal runs would say little."""
    assert all(np.isfinite(value).all() for value in weights(alone).values())
    losses = [float(row["Train_Loss"]) for row in log(alone)]
    assert losses[-1] < 0.95 * losses[0]
