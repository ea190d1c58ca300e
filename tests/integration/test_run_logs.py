"""What a run leaves to be looked at: report, animation, TensorBoard, costs."""

import csv
import re
import shlex
import shutil
import struct
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageSequence
from tensorboardX.proto import event_pb2

from pokejax import train
from pokejax.training.trainer import Trainer
from tests.conftest import TINY

PROTO: Any = event_pb2  # its classes are made when it is loaded
STEPS = 4  # an epoch of the drawn set
ARGV = [*TINY, "--train.epochs=3", "--train.sample_every=1", "--train.tensorboard"]
ARGV += ["--train.checkpoint_every=1"]


def argv(dataset: Path, workdir: Path, *more: str) -> list[str]:
    return [*ARGV, f"--data.dir={dataset}", f"--train.workdir={workdir}", *more]


def log(workdir: Path) -> list[dict[str, float]]:
    with (workdir / "training_losses.csv").open(newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def resumed(drawn_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that lost its second epoch's checkpoint, but not that epoch's logs."""
    workdir = tmp_path_factory.mktemp("resumed") / "run"
    assert train.main(argv(drawn_dataset, workdir, "--train.epochs=2")) == 0
    newest = max((workdir / "checkpoints").glob("[0-9]*"), key=lambda p: int(p.name))
    shutil.rmtree(newest)
    assert train.main(argv(drawn_dataset, workdir, "--resume=auto")) == 0
    return workdir


def events(path: Path) -> list[Any]:
    """The records of an event file: length, its checksum, bytes, their checksum."""
    data, found = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        event = PROTO.Event()
        event.ParseFromString(data[12 : 12 + length])
        found.append(event)
        data = data[16 + length :]
    return found


def test_tensorboard_shows_every_epoch_once(resumed: Path):
    files = sorted((resumed / "tensorboard").iterdir())
    assert len(files) == 2
    seen: dict[tuple[str, int], float | tuple[int, int]] = {}
    for event in (event for path in files for event in events(path)):
        if event.session_log.status == PROTO.SessionLog.START:
            # What TensorBoard does: all from this step on is void.
            seen = {key: v for key, v in seen.items() if key[1] < event.step}
        for value in event.summary.value:
            key = (value.tag, event.step)
            assert key not in seen
            picture = value.HasField("image")
            size = (value.image.width, value.image.height)
            seen[key] = size if picture else value.simple_value
    rows = log(resumed)
    assert [row["Epoch"] for row in rows] == [1, 2, 3]
    for row in rows:
        epoch = int(row.pop("Epoch"))
        for name, value in row.items():
            assert seen.pop((name, epoch)) == pytest.approx(value, rel=1e-5)
        for kind in ("samples", "prompts"):
            with Image.open(resumed / f"{kind}_epoch_{epoch}.png") as picture:
                assert seen.pop((kind, epoch)) == picture.size
    assert not seen


def test_a_resumed_run_is_animated_from_its_beginning(
    resumed: Path, drawn_dataset: Path, tmp_path: Path
):
    # Of a run that left no checkpoint: not to be mixed with this one.
    (tmp_path / "prompts_epoch_2.png").write_bytes(b"broken")
    assert train.main(argv(drawn_dataset, tmp_path)) == 0
    name = "training_progression.gif"
    with Image.open(tmp_path / name) as animation:
        assert sum(1 for _ in ImageSequence.Iterator(animation)) == 3
    assert (resumed / name).read_bytes() == (tmp_path / name).read_bytes()


def test_the_report_links_to_what_is_there_and_says_how_to_repeat(
    tiny_run: Path, drawn_dataset: Path
):
    text = (tiny_run / "report.md").read_text()
    links = re.findall(r"]\((.+?)\)", text)
    assert set(links) == {
        "training_curves.png",
        "training_progression.gif",
        "samples_epoch_2.png",
        "prompts_epoch_2.png",
        "latent_kl.png",
    }
    for link in links:
        with Image.open(tiny_run / link) as picture:
            picture.load()
    (command,) = re.findall(r"```sh\npython -m pokejax.train (.+)\n```", text)
    _, config = train.parse_arguments(shlex.split(command))
    places = [f"--data.dir={drawn_dataset}", f"--train.workdir={tiny_run}"]
    assert config == train.parse_arguments([*TINY, *places, "--train.epochs=2"])[1]
    best = min(log(tiny_run), key=lambda row: row["Val_Loss"])
    assert f"a validation loss of {best['Val_Loss']:.4f}" in text
    assert f"was epoch {best['Epoch']:.0f}." in text


def test_compiling_is_kept_out_of_the_speed(
    drawn_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    build = Trainer.__init__

    def build_slow_to_compile(self: Trainer, *args):
        build(self, *args)
        train_steps = self.train_steps

        def slow_once(*inputs):
            self.train_steps = train_steps
            time.sleep(1.5)
            return train_steps(*inputs)

        self.train_steps = slow_once

    monkeypatch.setattr(Trainer, "__init__", build_slow_to_compile)
    # Were it counted twice, in the steps too, an epoch would be shorter than both.
    options = [*TINY, f"--data.dir={drawn_dataset}", f"--train.workdir={tmp_path}"]
    assert train.main([*options, "--train.epochs=2"]) == 0
    first, second = log(tmp_path)
    assert first["Compile_s"] >= 1.5 and second["Compile_s"] == 0
    batch_size = first["Images_per_s"] * first["Step_ms"] / 1000
    assert batch_size == pytest.approx(8, rel=1e-3)
    ran = STEPS * first["Step_ms"] / 1000
    assert ran + first["Compile_s"] <= first["Seconds"]
    assert second["ETA_s"] == 0 and first["ETA_s"] > 0


def test_tensorboard_without_its_package_is_refused_before_training(
    drawn_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert train.main(argv(drawn_dataset, tmp_path / "run")) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "pip install pokejax[tensorboard]" in error
    assert not (tmp_path / "run").exists()
