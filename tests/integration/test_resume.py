"""Going on with a run: only with the same data and settings, and from what is whole."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from data_tools import create_dataset
from pokejax import pack, train
from pokejax.config import override
from pokejax.data import dataset as data
from pokejax.inference import bundle
from pokejax.training import resume
from pokejax.training.checkpoint import (
    Checkpoint,
    CheckpointError,
    DamagedError,
    load_bundle,
)
from pokejax.training.resume import Source, locate
from pokejax.training.saving import Checkpoints
from pokejax.training.trainer import Trainer
from tests.helpers.runs import argv, log


@pytest.fixture(scope="module")
def trainer(drawn_dataset: Path, unbroken: Path) -> Trainer:
    config = train.parse_arguments(argv(drawn_dataset, unbroken))[1]
    return Trainer(config, data.load(config.data, config.text))


@pytest.fixture
def run(unbroken: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(unbroken, tmp_path / "run"))


def test_other_data_and_settings_are_named_and_refused(
    drawn_dataset: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    images = drawn_dataset.parent / "images"
    rebuilt = tmp_path / "rebuilt"
    build = [f"--images-dir={images}", f"--output-dir={rebuilt}", "--seed=1"]
    build += ["--image-size=32", "--quiet", "--workers=1", "--target-per-group=8"]
    assert create_dataset.main(build) == 0
    for options, message in {
        ("--debug-samples=8",): "pictures: train 3",
        (f"--data.dir={rebuilt}",): "trained with other splits",
        ("--loss.kl_weight=2",): "loss.kl_weight = 8.0 (now 2.0)",
        ("--no-data.flip",): "data.flip = True (now False)",
    }.items():
        assert train.main([*argv(drawn_dataset, run, *options), "--resume=auto"]) == 2
        error = capsys.readouterr().err
        assert message in error and "--resume-anyway" in error
        assert error.count("\n") == 1


def test_the_same_data_in_another_file_is_the_same_run(
    drawn_dataset: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    packed = tmp_path / "set.npz"
    options = [f"--dir={drawn_dataset}", f"--out={packed}", "--image-size=32"]
    assert pack.main(options) == 0
    fewer = ["--resume=auto", "--train.epochs=2"]
    assert train.main([*argv(packed, run), *fewer]) == 0
    assert (
        "note: 3 epochs are done, and train.epochs is 2: nothing is left to train\n"
    ) in capsys.readouterr().out


def test_resume_anyway_counts_epochs_of_the_new_length(
    drawn_dataset: Path, run: Path, capsys: pytest.CaptureFixture[str]
):
    options = ["--resume=4", "--resume-anyway", "--debug-samples=16"]
    assert train.main([*argv(drawn_dataset, run), *options]) == 0
    assert "continuing anyway" in capsys.readouterr().out
    assert [row["Epoch"] for row in log(run)] == ["1", "2", "3"]
    steps = {p.name for p in (run / "checkpoints").glob("[0-9]*")}
    assert steps == {"4", "6", "8"}  # epochs of two steps, after one of four


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.write_bytes(content)


PLACES = [
    "_CHECKPOINT_METADATA",
    "metrics/metrics",
    "state/_METADATA",
    "state/manifest.ocdbt",
    "state/d/*",
    "state/ocdbt.process_0/d/*",
    "checksums.json",
]


def harm(run: Path, step: int, pattern: str, how: Callable[[Path], None]) -> None:
    (path,) = (run / "checkpoints" / str(step)).glob(pattern)
    how(path)


@pytest.mark.parametrize("how", [cut, flip, Path.unlink], ids=["cut", "flip", "unlink"])
@pytest.mark.parametrize("place", PLACES)
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_it_taken(
    place: str,
    how: Callable[[Path], None],
    run: Path,
    trainer: Trainer,
    capfd: pytest.CaptureFixture[str],
):
    harm(run, 12, place, how)
    history = resume.resume(trainer, Source(run / "checkpoints"), run)
    said = "".join(capfd.readouterr())
    assert "Traceback" not in said
    if (place, how) == ("checksums.json", Path.unlink):  # an older version's has none
        assert len(history) == 3
        return
    assert (len(history), trainer.step) == (2, 8)
    assert "12" in said and ("damaged" in said or "set_aside" in said)
    kept = {p.name for p in (run / "checkpoints").iterdir()}
    assert {"4", "8", "set_aside_12"} <= kept and "12" not in kept


def test_what_is_asked_for_by_name_must_be_whole(run: Path, trainer: Trainer):
    for step in (4, 8, 12):
        harm(run, step, "state/d/*", flip)
    with pytest.raises(DamagedError, match=r"checkpoint .*/4 is damaged"):
        resume.resume(trainer, Source(run / "checkpoints"), run)
    with pytest.raises(DamagedError, match=r"checkpoint .*/8 is damaged"):
        resume.resume(trainer, Source(run / "checkpoints", 8), run)
    with pytest.raises(CheckpointError, match="is damaged"):
        load_bundle(run)


@pytest.mark.parametrize("place", ["_CHECKPOINT_METADATA", "metrics/metrics"])
def test_without_one_whole_checkpoint_nothing_begins_anew(
    place: str, drawn_dataset: Path, run: Path, capsys: pytest.CaptureFixture[str]
):
    for step in (4, 8, 12):
        harm(run, step, place, cut)
    for _ in range(2):
        assert train.main([*argv(drawn_dataset, run), "--resume=auto"]) == 2
        error = capsys.readouterr().err
        assert "checkpoints/4 is damaged" in error and "later ones" in error
        assert error.count("\n") == 1
    for path in (run / "checkpoints").iterdir():
        path.rename(path.with_name(f"set_aside_{path.name}"))
    for options in ([], ["--resume=auto"]):
        assert train.main([*argv(drawn_dataset, run), *options]) == 2
        error = capsys.readouterr().err
        assert "but those that were set aside (set_aside_12, set_aside_4" in error
        assert "rename one" in error and error.count("\n") == 1


def test_what_is_no_checkpoint_is_passed_over(
    drawn_dataset: Path, run: Path, capfd: pytest.CaptureFixture[str]
):
    directory = run / "checkpoints"
    shutil.copytree(directory / "12", directory / "12.old")
    shutil.rmtree(directory / "12" / "state")  # an earlier version's had no checksums
    (directory / "12" / "checksums.json").unlink()
    for name in ("6", "20", "21", "stray"):
        (directory / name).mkdir()
    (directory / "20" / "note.txt").touch()
    (directory / "22").touch()
    assert train.main([*argv(drawn_dataset, run), "--resume=auto"]) == 0
    said = "".join(capfd.readouterr())
    assert "Traceback" not in said and "at step 8, after 2 whole epochs" in said
    assert "checkpoints/20 is damaged: state/ is missing; going back" in said
    assert [row["Epoch"] for row in log(run)] == ["1", "2", "3"]
    kept = {path.name for path in directory.iterdir()}
    assert {"12", "12.old", "set_aside_12", "set_aside_20", "stray"} <= kept
    assert not {"6", "20", "21"} & kept


def test_reading_a_run_changes_nothing_there(
    run: Path, trainer: Trainer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """A training may be at work in it."""
    directory = run / "checkpoints"
    (directory / "16.orbax-checkpoint-tmp" / "state").mkdir(parents=True)
    harm(run, 4, "metrics/metrics", cut)

    def content() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in run.rglob("*")}

    before = content()
    load_bundle(run)
    assert "checkpoints/4 is damaged: metrics/metrics" in capsys.readouterr().err
    resume.resume(trainer, Source(directory), tmp_path / "another")
    assert content() == before
    # It would have been noticed: this is what the training itself does.
    Checkpoints(directory).close()
    assert (directory / "set_aside_4").is_dir()


def test_a_checkpoint_that_is_replaced_while_it_is_read(
    run: Path, monkeypatch: pytest.MonkeyPatch
):
    """As a training does that has a better one; the reader takes that."""
    best = load_bundle(run).header.epoch * 4
    check = Checkpoint.check

    def check_as_it_vanishes(self: Checkpoint) -> None:
        if self.step == best and self.path.exists():
            shutil.rmtree(self.path)
        check(self)

    monkeypatch.setattr(Checkpoint, "check", check_as_it_vanishes)
    assert load_bundle(run).header.epoch * 4 != best


def test_another_run_is_not_mixed_with_what_is_there(
    drawn_dataset: Path, run: Path, unbroken: Path, capsys: pytest.CaptureFixture[str]
):
    assert train.main([*argv(drawn_dataset, run), f"--resume={unbroken}"]) == 2
    assert "already holds a run" in capsys.readouterr().err


def test_a_bundle_says_what_it_was_trained_on(unbroken: Path, trainer: Trainer):
    model = bundle.read(unbroken / "model.safetensors")
    assert model.header.fingerprint == trainer.header.fingerprint
    assert {"pictures", "splits", "prompts"} <= model.header.fingerprint.keys()


def test_every_way_to_name_a_checkpoint(unbroken: Path, tmp_path: Path):
    own = unbroken / "checkpoints"
    assert locate("auto", unbroken) == Source(own)
    assert locate("auto", tmp_path) is None
    assert locate(str(unbroken), tmp_path) == Source(own)
    assert locate(str(own), tmp_path) == Source(own)
    assert locate(str(own / "8"), tmp_path) == Source(own, 8)
    assert locate("8", unbroken) == Source(own, 8)
    with pytest.raises(CheckpointError, match="no checkpoint of step 9; it has 4, 8"):
        locate("9", unbroken)
    with pytest.raises(CheckpointError, match="no checkpoint in nowhere"):
        locate("nowhere", unbroken)


def test_a_longer_cosine_schedule_says_how_the_learning_rate_jumps(
    trainer: Trainer,
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    longer = override(trainer.config, {"train.schedule": "cosine", "train.epochs": 6})
    monkeypatch.setattr(trainer, "config", longer)
    resume.resume(trainer, Source(run / "checkpoints", 8), run)
    assert (
        "was to end at epoch 3 and now ends at epoch 6: the learning rate continues at"
        " 0.0015 instead of 0.0005"
    ) in capsys.readouterr().out


def test_some_checkpoints_are_kept_for_good(trainer: Trainer, tmp_path: Path):
    checkpoints = Checkpoints(tmp_path, keep=lambda step: step == 1)
    for step in range(1, 6):
        checkpoints.save(
            step, trainer.state, trainer.header, history=[], rank=None, first_step=0
        )
    checkpoints.close()
    assert {path.name for path in tmp_path.iterdir()} == {"1", "3", "4", "5"}
    steps = range(trainer.first_step, trainer.first_step + 17, 4)
    every_second = [trainer.ends_epoch_of(2)(step) for step in steps]
    assert every_second == [True, False, True, False, True]
    assert not any(map(trainer.ends_epoch_of(0), steps))
