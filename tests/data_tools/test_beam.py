"""The pipeline gives the rows that the plain commands give, and what it leaves out."""

import argparse
import shutil
from pathlib import Path

import pytest

from data_tools import create_dataset
from data_tools.pokemon_cifar.__main__ import main as prepare
from pokejax.data.cifar import Rows
from pokejax.data.tfds import TFDS_SPLITS, read_prepared
from tests.helpers.drawn import write_drawn_images
from tests.helpers.llm_server import LlmServer
from tests.helpers.vision import draw_pictures, labels_of

pytest.importorskip("apache_beam")

from data_tools import beam_dataset
from data_tools.vision.ledger import Entries, read_ledger
from data_tools.vision.questions import hash_file
from data_tools.vision.shares import Share, asker_of


@pytest.fixture(scope="module")
def images_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn pictures, of which one stands in several species, and one has no label."""
    images = tmp_path_factory.mktemp("beam") / "images"
    write_drawn_images(images, species=16)
    first, *others = sorted(images.iterdir())
    picture = min(first.glob("*.png"))
    for folder in others:
        copy = folder / f"{folder.name.lower()}_copy.png"
        shutil.copyfile(picture, copy)
        beside = min(folder.glob("*.json"))
        shutil.copyfile(beside, folder / f"{folder.name.lower()}_{copy.stem}.json")
    shutil.copyfile(picture, first / "unlabelled.png")
    return images


def by_name(rows: Rows) -> dict[str, tuple]:
    """All that a row holds but its relatives, by its file's name."""
    assert len(set(rows.filenames)) == len(rows)
    return {
        name: (
            *(rows.images[i : i + 1].tobytes(), rows.alpha[i : i + 1].tobytes()),
            *(rows.attributes[i].tolist(), rows.prompts[i], rows.species[i]),
            *(rows.views[i], rows.styles[i], float(rows.weights[i])),
        )
        for i, name in enumerate(rows.filenames)
    }


def test_the_pipeline_gives_the_rows_of_the_plain_builder(
    images_dir: Path, capsys: pytest.CaptureFixture[str]
):
    root = images_dir.parent
    source = root / "manual" / "pokemon-cifar-32"
    argv = [f"--images-dir={images_dir}", f"--output-dir={source}"]
    assert create_dataset.main([*argv, "--image-size=32", "--quiet"]) == 0
    argv = [f"--manual-dir={source.parent}", f"--data-dir={root / 'plain'}"]
    assert prepare([*argv, "--image-size=32", "--quiet"]) == 0
    argv = [f"--images-dir={images_dir}", f"--data-dir={root / 'beam'}"]
    assert beam_dataset.main([*argv, "--image-size=32"]) == 0
    assert "1 pictures have no metadata" in capsys.readouterr().err
    plain = read_prepared(root / "plain" / "pokemon_cifar" / "32x32" / "2.1.0")
    built = read_prepared(root / "beam" / "pokemon_beam" / "32x32" / "2.1.0")
    copies = 0
    for name in TFDS_SPLITS:
        assert by_name(built[name]) == by_name(plain[name])
        copies += sum("copy" in file for file in plain[name].filenames)
    assert 0 < copies < 15  # those in other splits were dropped
    argv[-1] = f"--data-dir={root / 'labelled'}"
    assert beam_dataset.main([*argv, "--image-size=32", "--provider=pokedex"]) == 0
    more = read_prepared(root / "labelled" / "pokemon_beam" / "32x32" / "2.1.0")
    for rows, expected in ((built, 0), (more, 1)):
        files = [file for part in rows.values() for file in part.filenames]
        assert sum("unlabelled" in file for file in files) == expected


def test_what_cant_be_built_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    argv = [f"--images-dir={tmp_path / 'nowhere'}", f"--data-dir={tmp_path}"]
    assert beam_dataset.main(argv) == 2
    assert capsys.readouterr().err.endswith("nowhere' is not a directory\n")
    (tmp_path / "nowhere").mkdir()
    (tmp_path / "pokemon_beam" / "64x64" / "2.1.0").mkdir(parents=True)
    assert beam_dataset.main(argv) == 2
    error = capsys.readouterr().err
    assert "is there: delete it" in error and error.count("\n") == 1


def test_askers_share_rate_budget_and_answers(tmp_path: Path, use):
    pytest.importorskip("baml_client", reason="make setup generates it")
    paths = draw_pictures(tmp_path / "images", 20)
    argv = [f"--images-dir={tmp_path / 'images'}", "--image-size=32"]
    argv += ["--provider=baml", "--askers=2"]
    with LlmServer() as server:
        use(server)
        assert beam_dataset.main([*argv, f"--data-dir={tmp_path / 'one'}"]) == 0
        assert sorted(server.answered().values()) == [1] * 20
        for label in labels_of(tmp_path / "images"):
            label.unlink()
        # Another number of askers finds the answers in the ledgers of these.
        argv[-1] = "--askers=3"
        assert beam_dataset.main([*argv, f"--data-dir={tmp_path / 'two'}"]) == 0
        assert len(server.log) == 20
    one, two = (
        read_prepared(tmp_path / name / "pokemon_beam" / "32x32" / "2.1.0")
        for name in ("one", "two")
    )
    assert by_name(one["train"]) == by_name(two["train"])
    told = argparse.Namespace(
        images_dir=tmp_path / "images",
        requests_per_minute=60,
        max_cost_usd=100.0,
        concurrency=8,
    )
    spent = sum(
        read_ledger(path).spent_usd for path in told.images_dir.glob(".pokejax_ledger*")
    )
    parts = []
    for number in range(4):
        own, share = Entries(), Share(number, 4)
        parts.append(share.part_of(told, own))
        assert {key.picture for key in own.answers} == {
            digest for path in paths if asker_of(digest := hash_file(path), 4) == number
        }
    assert sum(part.requests_per_minute for part in parts) == 60
    assert sum(part.max_cost_usd for part in parts) == pytest.approx(100 - spent)
    assert sum(part.concurrency for part in parts) == 8
