import csv
import errno
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageSequence

from pokejax.config import Config, DataConfig
from pokejax.files import check_writable, locked, whole_file
from pokejax.training import grids, log, plots, report_page
from pokejax.training.latents import Latents
from pokejax.training.mesh import memory_kind, peak_memory_mb

PARTS = ("Loss", "L1", "KL", "Perceptual")


def row(epoch: int, **more: float) -> dict[str, float]:
    losses = {f"{split}_{part}": 0.5 for split in ("Train", "Val") for part in PARTS}
    return {"Epoch": float(epoch), **losses, **more}


def outcome(rows: list[dict[str, float]], **more) -> report_page.RunSummary:
    values = {
        "config": Config(),
        "best_epoch": 1,
        "best_val_loss": 0.5,
        "rows": rows,
        "test": None,
        "latents": Latents(active=2, kl=np.array([0.5, 0.25, 0.0])),
        "skipped": 0,
        "parameters": {"Encoder": 1000, "Decoder": 234},
        "pictures": {"train": 5037},
        "device": "1 x cpu (cpu)",
        "memory": "host",
        "debug_samples": 0,
    }
    return report_page.RunSummary(**(values | more))


def images(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (8, 16, 16, 3))


def frame_count(animation: Image.Image) -> int:
    return sum(1 for _ in ImageSequence.Iterator(animation))


def test_the_animation_is_read_back_in_order_and_without_a_lost_future(tmp_path: Path):
    for epoch in (2, 10, 25):
        grids.save_prompts(tmp_path, epoch, images(epoch), ["a prompt"] * 8)
    # Killed, resumed from epoch 2, and at epoch 10 again.
    grids.save_prompts(tmp_path, 10, images(10), ["a prompt"] * 8)
    paths = grids.picture_paths(tmp_path, "prompts", 10)
    assert [path.name for path in paths] == [
        "prompts_epoch_2.png",
        "prompts_epoch_10.png",
    ]
    with Image.open(tmp_path / "training_progression.gif") as animation:
        assert frame_count(animation) == 2
        shown = []
        for i, path in enumerate(paths):
            animation.seek(i)
            shown.append(animation.info["duration"])
            frame = np.asarray(animation.convert("RGB"), int)
            with Image.open(path) as picture:
                original = np.asarray(picture.convert("RGB"), int)
            assert np.abs(frame - original).mean() < 10  # 256 colours are left
        assert shown[-1] > shown[0]
        assert animation.info["loop"] == 0


def test_a_long_animation_is_thinned_and_ends_with_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(grids, "_MAX_FRAMES", 3)
    for epoch in range(1, 8):
        grids.save_prompts(tmp_path, epoch, images(epoch), [""] * 8)
    with Image.open(tmp_path / "training_progression.gif") as animation:
        assert frame_count(animation) == 3  # epochs 1, 4 and 7
        animation.seek(2)
        last = np.asarray(animation.convert("RGB"), int)
    with Image.open(tmp_path / "prompts_epoch_7.png") as picture:
        assert np.abs(last - np.asarray(picture, int)).mean() < 10


def test_what_fails_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "report.md"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), whole_file(path) as partial:
        partial.write_text("half of the n")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_with_the_file(tmp_path: Path):
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError) as caught, whole_file(tmp_path / "report.md"):
        raise full
    expected = f"{tmp_path / 'report.md'} can't be written: No space left on device"
    assert str(caught.value) == expected


def test_places_that_cannot_be_written_are_refused_before_the_work(tmp_path: Path):
    (tmp_path / "file").touch()
    check_writable(tmp_path / "new" / "a.png")
    check_writable(tmp_path / "new", directory=True)
    for path, directory in (("file/a.png", False), ("file", True), (".", False)):
        with pytest.raises(OSError, match="can't be written"):
            check_writable(tmp_path / path, directory=directory)


def test_a_directory_is_one_process_at_a_time(tmp_path: Path):
    with (
        locked(tmp_path),
        pytest.raises(OSError, match="another run is using"),
        locked(tmp_path),
    ):
        pass
    with locked(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_log_begun_before_a_column_existed_goes_on(tmp_path: Path):
    losses = log.LossLog(tmp_path / "log.csv", PARTS, [row(1)])
    losses.add(row(2, Collapsed=1.0, Peak_MB=12.5))
    with losses.path.open(newline="") as file:
        first, second = csv.DictReader(file)
    assert first["Peak_MB"] == "" and second["Peak_MB"] == "12.5"
    report_page.write(tmp_path, outcome(losses.rows))
    text = (tmp_path / "report.md").read_text()
    assert "collapsed in epochs 2**" in text
    assert "| images/s, median of epochs | nan |" in text


def test_peak_memory_is_at_least_what_is_held():
    before = peak_memory_mb()
    held = np.ones(64 * 2**20, np.uint8)
    assert memory_kind() == "host"  # on CPU, where the tests run
    assert peak_memory_mb() >= max(before, held.nbytes / 2**20)


def test_sample_grids_name_epoch_and_prompts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    written: list[str] = []
    draw = ImageDraw.ImageDraw.text

    def text(self, place, words, *rest):
        written.append(words)
        draw(self, place, words, *rest)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    real, path = images(0)[:2], tmp_path / "samples_epoch_7.png"
    samples = np.stack([real] * 6, axis=1)
    prompts = ["a red fish", "a blue bird"]
    grids.save_samples(path, real, real, samples, epoch=7, prompts=prompts)
    assert written[0].startswith("epoch 7: real | recon") and written[1:] == prompts


def test_curves_show_what_there_is_and_mark_the_best():
    rows = [
        row(i, Train_Perceptual=0.0, Val_Perceptual=0.0, Val_Loss=abs(i - 3.0))
        for i in (1, 2, 3, 4)
    ]
    figure = plots.loss_figure(rows, PARTS)
    panels = [axis for axis in figure.axes if axis.get_title()]
    assert [axis.get_title() for axis in panels] == ["Loss", "L1", "KL (nats)"]
    for axis in panels:
        assert all(tick == int(tick) for tick in axis.get_xticks())
        names = axis.get_legend_handles_labels()[1]
        assert names == ["Train", "Val", "best: 3"]
    plots.plt.close(figure)


@pytest.mark.parametrize(
    ("active", "nats", "collapsed"),
    [(0, 536.0, False), (0, 3.0, True), (2, 3.0, False), (40, 0.4, True)],
)
def test_a_code_of_many_nats_has_not_collapsed(
    active: int, nats: float, collapsed: bool
):
    assert Latents(active, np.full(100, nats / 100)).collapsed == collapsed


@pytest.mark.parametrize(
    ("epochs", "text"),
    [([], ""), ([4], "4"), ([1, 2, 3, 7], "1-3, 7"), ([2, 4, 5], "2, 4-5")],
)
def test_epoch_ranges(epochs: list[int], text: str):
    assert report_page.epoch_ranges(epochs) == text


def test_the_report_says_what_went_wrong(tmp_path: Path):
    rows = [row(i, Collapsed=float(i in (1, 2, 3, 7))) for i in range(1, 10)]
    report_page.write(tmp_path, outcome(rows, skipped=12))
    text = (tmp_path / "report.md").read_text()
    assert "9 of 300 epochs" in text and "Stopped early" in text
    assert "12 steps were not finite" in text
    assert "collapsed in epochs 1-3, 7**" in text
    assert "2 of 3 dimensions in use; KL 0.75 nats" in text
    assert "| total | 1,234 |" in text
    assert "training_curves.png" not in text  # there is none: no broken link


def test_a_pipe_stays_inside_its_cell(tmp_path: Path):
    config = Config(data=DataConfig(dir="a|b", views=("front", "back")))
    report_page.write(tmp_path, outcome([row(1)], config=config))
    text = (tmp_path / "report.md").read_text()
    assert "| `data.dir` | `pokemon-cifar-64` | `a\\|b` |" in text
    assert "| `data.views` | `` | `front,back` |" in text
