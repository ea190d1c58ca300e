"""The TFDS builder, its command, and the reader of what they prepare.

TFDS's own `DatasetBuilderTestCase` needs TensorFlow. What it checks (registered, the
splits' sizes, no example in two splits, the same after reloading, keys without local
paths) is checked here by hand.
"""

import dataclasses
import importlib.util
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

import data_tools.pokemon_cifar
from data_tools import cifar, create_dataset
from data_tools.pokemon_cifar.__main__ import main
from data_tools.pokemon_cifar.pokemon_cifar_dataset_builder import Builder
from pokejax.attributes import TYPES, UNKNOWN_ID, VOCABULARIES, Attributes
from pokejax.data import cifar as cifar_reader
from pokejax.data import tfds as tfds_reader
from pokejax.data.tfds import TFDS_SPLITS, read_prepared
from tests.helpers.drawn import write_drawn_images

NAME = "pokemon_cifar/32x32"


@pytest.fixture(scope="module")
def manual_dir(tmp_path_factory) -> Path:
    """A folder with the dummy data: `pokemon-cifar-32`, drawn here and now."""
    root = tmp_path_factory.mktemp("tfds")
    write_drawn_images(root / "images", species=16)
    output = root / "manual" / "pokemon-cifar-32"
    argv = [f"--images-dir={root / 'images'}", f"--output-dir={output}"]
    assert create_dataset.main([*argv, "--image-size=32", "--quiet"]) == 0
    (output / "ATTRIBUTIONS-drawn.md").write_text("All by this test\n")
    return output.parent


@pytest.fixture(scope="module")
def data_dir(manual_dir: Path) -> Path:
    data_dir = manual_dir.parent / "data"
    assert prepare(manual_dir, data_dir) == 0
    return data_dir


@pytest.fixture
def copy(data_dir: Path, tmp_path: Path) -> Path:
    """A prepared directory that a test may damage."""
    return Path(shutil.copytree(prepared(data_dir), tmp_path / "copy"))


def prepare(manual_dir: Path, data_dir: Path, *more: str) -> int:
    argv = [f"--manual-dir={manual_dir}", f"--data-dir={data_dir}", "--image-size=32"]
    return main([*argv, "--quiet", *more])


def prepared(data_dir: Path) -> Path:
    return data_dir / "pokemon_cifar" / "32x32" / "2.1.0"


def stock_batch(path: Path) -> dict:
    """As other CIFAR-10 readers do it, which take 32 pixels a side for granted."""
    with path.open("rb") as file:
        return pickle.load(file, encoding="bytes")


def picture(i: int, **attributes: str) -> cifar.Picture:
    pixels = np.random.default_rng(i).integers(0, 256, (32, 32, 4), np.uint8)
    record = Attributes(type1="Ghost", **attributes)
    name = "Flabébé ♀"
    return cifar.Picture(f"{name}/{i}.png", name, "front", record, ("é '☃", ""), pixels)


def write_pictures(directory: Path, **splits: list[cifar.Picture]) -> None:
    directory.mkdir(parents=True)
    full = {name: splits.get(name, []) for name in ("train", "val", "test")}
    cifar.write_dataset(directory, full, image_size=32, split_by="image", seed=0)


def test_the_builder_is_registered_with_its_configs():
    assert tfds.builder_cls("pokemon_cifar") is data_tools.pokemon_cifar.Builder
    sizes = {"32x32", "64x64"}
    assert set(Builder.builder_configs) == sizes | {f"{s}_balanced" for s in sizes}
    assert Builder.DEFAULT_BUILDER_CONFIG_NAME == "64x64"
    assert str(Builder.VERSION) in Builder.RELEASE_NOTES


@pytest.mark.parametrize("side", [32, 64])
def test_features_are_typed(side: int, tmp_path: Path):
    info: Any = tfds.builder(f"pokemon_cifar/{side}x{side}", data_dir=tmp_path).info
    assert info.features["image"].shape == (side, side, 3)
    assert info.features["image"].np_dtype == np.uint8
    assert tuple(info.features["label"].names) == TYPES
    for name, vocabulary in VOCABULARIES.items():
        assert tuple(info.features["attributes"][name].names) == vocabulary
    assert str(side) in info.config_description
    assert list(info.features["attributes"]) == list(VOCABULARIES)
    assert {"style", "view"} <= set(info.features)


def test_data_source_holds_what_the_pickles_hold(manual_dir: Path, data_dir: Path):
    keys: dict[str, set] = {}
    for split, names in cifar.SPLIT_FILES.items():
        rows: Any = tfds.data_source(NAME, split=TFDS_SPLITS[split], data_dir=data_dir)
        i = 0
        for name in names:
            batch = stock_batch(manual_dir / "pokemon-cifar-32" / name)
            images = batch[b"data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            for j, image in enumerate(images):
                row = rows[i]
                np.testing.assert_array_equal(row["image"], image, strict=True)
                ids = [row["attributes"][key] for key in VOCABULARIES]
                assert ids == batch[b"attributes"][j].tolist()
                assert row["label"] == batch[b"labels"][j]
                assert [p.decode() for p in row["prompts"]] == batch[b"prompts"][j]
                assert row["species"].decode() == batch[b"species"][j]
                assert row["view"].decode() == batch[b"views"][j]
                assert row["style"].decode() == batch[b"styles"][j]
                assert row["filename"] == batch[b"filenames"][j]
                i += 1
        assert len(rows) == i > 0
        keys[split] = {row["filename"] for row in rows}
    assert not keys["train"] & keys["val"]
    assert not keys["test"] & (keys["train"] | keys["val"])


def test_the_authors_go_along(data_dir: Path):
    text = (prepared(data_dir) / "ATTRIBUTIONS-drawn.md").read_text()
    assert text == "All by this test\n"


def test_the_reader_returns_what_the_directory_holds(manual_dir: Path, data_dir: Path):
    expected = cifar_reader.read(manual_dir / "pokemon-cifar-32", 32)
    rows = read_prepared(prepared(data_dir))
    assert list(rows) == ["train", "val", "test"]
    for name, split in rows.items():
        np.testing.assert_array_equal(split.images, expected[name].images, strict=True)
        np.testing.assert_array_equal(
            split.attributes, expected[name].attributes, strict=True
        )
        for field in ("prompts", "views", "species", "filenames"):
            assert getattr(split, field) == getattr(expected[name], field)


def test_the_examples_in_the_documents_run(
    data_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
):
    """On a small set, with one worker instead of two."""
    text = Path("docs/tfds.md").read_text("utf-8").replace("64x64", "32x32")
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    monkeypatch.chdir(tmp_path)
    Path("tfds").symlink_to(data_dir, target_is_directory=True)
    reading, batches = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    capsys.readouterr()
    exec(reading, {})
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:]]
    assert names == list(VOCABULARIES)
    for whole, part in (
        ("STEPS = 64, 200", "STEPS = 4, 3"),
        ("workers=2", "workers=1"),
    ):
        assert whole in batches
        batches = batches.replace(whole, part)
    Path("grain_example.py").write_text(batches, "utf-8")
    result = subprocess.run(
        [sys.executable, "grain_example.py"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    shapes = "{'attributes': (4, 10), 'image': (4, 32, 32, 3), 'prompt': (4,)}"
    assert result.stdout == f"3 {shapes}\n"


def test_the_balanced_config_holds_the_repeated_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    pictures = [picture(i) for i in (0, 1, 0, 0)]
    write_pictures(tmp_path / "pokemon-cifar-32-balanced", train=pictures)
    assert prepare(tmp_path, tmp_path / "data", "--balanced") == 0
    rows = read_prepared(tmp_path / "data/pokemon_cifar/32x32_balanced/2.1.0")["train"]
    assert rows.filenames == [p.filename for p in pictures]
    # Neither set passes for the other.
    write_pictures(tmp_path / "pokemon-cifar-32", train=pictures)
    weighed = [dataclasses.replace(picture(i), weight=0.5 + i) for i in (0, 1)]
    write_pictures(tmp_path / "other/pokemon-cifar-32-balanced", train=weighed)
    capsys.readouterr()
    assert prepare(tmp_path, tmp_path / "data") == 2
    assert "repeats pictures of train: call it pokemon-cifar-32-balanced" in (
        error := capsys.readouterr().err
    )
    assert error.count("\n") == 1
    assert prepare(tmp_path / "other", tmp_path / "data", "--balanced") == 2
    assert "isn't balanced: make it with --target" in capsys.readouterr().err
    assert not (tmp_path / "data/pokemon_cifar/32x32").exists()


def test_unknown_attributes_any_text_and_empty_splits_survive(tmp_path: Path):
    pictures = [picture(0), picture(1, type2="Fire", legendary="Yes")]
    write_pictures(tmp_path / "pokemon-cifar-32", train=pictures)
    assert prepare(tmp_path, tmp_path / "data") == 0
    rows = read_prepared(prepared(tmp_path / "data"))
    assert (len(rows["val"]), len(rows["test"])) == (0, 0)
    train = rows["train"]
    assert train.attributes[0].tolist() == [TYPES.index("Ghost")] + 9 * [UNKNOWN_ID]
    assert train.attributes[1].tolist() == pictures[1].attributes.ids()[:10].tolist()
    assert train.prompts == 2 * [["é '☃", ""]]
    assert train.filenames == ["Flabébé ♀/0.png", "Flabébé ♀/1.png"]
    np.testing.assert_array_equal(train.images[:][1], pictures[1].pixels[..., :3])


def test_metadata_counts_what_was_written(data_dir: Path):
    metadata: Any = tfds.builder_from_directory(prepared(data_dir)).info.metadata
    assert metadata["attributes"] == list(VOCABULARIES)
    for ours, theirs in TFDS_SPLITS.items():
        rows = read_prepared(prepared(data_dir))[ours]
        counts = metadata["splits"][theirs]
        assert counts["rows"] == len(rows) == sum(counts["labels"].values())
        assert counts["species"] == len(set(rows.species))
        assert counts["pictures"] == len(set(rows.filenames))


def test_the_checksum_covers_every_field_and_the_order(manual_dir: Path):
    def rows() -> cifar_reader.Rows:
        return cifar_reader.read(manual_dir / "pokemon-cifar-32", 32)["test"]

    sums = {rows().sha256()}
    changed = rows()
    changed.images[:][3, 4, 5, 1] ^= 1
    sums.add(changed.sha256())
    changed = rows()
    changed.attributes[0, 9] = UNKNOWN_ID
    sums.add(changed.sha256())
    for field in ("prompts", "views", "species", "filenames"):
        changed = rows()
        texts = getattr(changed, field)
        texts[0] = [texts[0][0]] if field == "prompts" else texts[0] + " "
        sums.add(changed.sha256())
    changed = rows()
    sums.add(dataclasses.replace(changed, images=changed.images[:][::-1]).sha256())
    relatives = np.zeros((len(changed), 4), np.int32)
    sums.add(dataclasses.replace(changed, relatives=relatives).sha256())
    assert len(sums) == 9


def truncate(directory: Path) -> None:
    path = next(directory.glob("*train*"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(directory: Path) -> None:
    path = next(directory.glob("*train*"))
    content = bytearray(path.read_bytes())
    content[1000] ^= 4
    path.write_bytes(content)


def lose_a_file(directory: Path) -> None:
    next(directory.glob("*train*")).unlink()


def swap_two_splits(directory: Path) -> None:
    info = directory / "dataset_info.json"
    text = info.read_text().replace('"validation"', '"x"')
    info.write_text(text.replace('"test"', '"validation"').replace('"x"', '"test"'))


def change_a_label(directory: Path) -> None:
    path = directory / "metadata.json"
    metadata = json.loads(path.read_text())
    metadata["splits"]["test"]["sha256"] = "0" * 64
    path.write_text(json.dumps(metadata))


def other_vocabulary(directory: Path) -> None:
    path = directory / "attributes-size.labels.txt"
    path.write_text(path.read_text().replace("Tiny", "Wee"))


def spoil_the_info(directory: Path) -> None:
    (directory / "dataset_info.json").write_text('{"name": ')


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "not usable"),
        (flip_a_bit, "not usable"),
        (lose_a_file, "not usable"),
        (swap_two_splits, "not usable"),
        (change_a_label, "rows of test don't match the checksum"),
        (other_vocabulary, "another vocabulary of size"),
        (spoil_the_info, "not usable"),
    ],
)
def test_a_damaged_copy_is_refused(damage, message: str, copy: Path):
    assert len(read_prepared(copy)["train"])
    damage(copy)
    with pytest.raises(ValueError, match=message) as caught:
        read_prepared(copy)
    assert str(copy) in str(caught.value)
    print(caught.value)


def test_a_directory_of_something_else_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="no prepared TFDS dataset at") as caught:
        read_prepared(tmp_path / "nothing")
    assert str(tmp_path / "nothing") in str(caught.value)
    assert not tfds_reader.is_prepared(tmp_path)


def test_a_missing_package_is_one_line(data_dir: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ValueError, match=r"needs the package .*pokejax\[data\]"):
        read_prepared(prepared(data_dir))


def test_the_command_compares_what_exists_and_replaces_it_when_told(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    source, data = tmp_path / "pokemon-cifar-32", tmp_path / "data"
    write_pictures(source, train=[picture(0)])
    assert prepare(tmp_path, data) == 0
    assert prepare(tmp_path, data) == 0
    shutil.rmtree(source)
    write_pictures(source, train=[picture(1)])
    capsys.readouterr()
    assert prepare(tmp_path, data) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert "differ in train" in output.err and "--overwrite" in output.err
    assert prepare(tmp_path, data, "--overwrite") == 0
    rows = read_prepared(prepared(data))["train"]
    np.testing.assert_array_equal(rows.images[:][0], picture(1).pixels[..., :3])


def test_a_damaged_copy_is_one_line_and_overwritten_when_told(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    write_pictures(tmp_path / "pokemon-cifar-32", train=[picture(0)])
    assert prepare(tmp_path, tmp_path / "data") == 0
    for damage in (truncate, spoil_the_info):
        damage(prepared(tmp_path / "data"))
        capsys.readouterr()
        assert prepare(tmp_path, tmp_path / "data") == 2
        assert capsys.readouterr().err.count("\n") == 1
        assert prepare(tmp_path, tmp_path / "data", "--overwrite") == 0


def no_meta(directory: Path) -> None:
    (directory / "batches.meta").unlink()


def cut_off(directory: Path) -> None:
    path = directory / "data_batch_3"
    path.write_bytes(path.read_bytes()[:100])


def hostile(directory: Path) -> None:
    (directory / "data_batch_3").write_bytes(b"cos\nsystem\n(S'false'\ntR.")


def lost_batch(directory: Path) -> None:
    (directory / "data_batch_3").unlink()


def a_list(directory: Path) -> None:
    (directory / "data_batch_3").write_bytes(pickle.dumps([1, 2], protocol=2))


def wrong_size(directory: Path) -> None:
    shutil.rmtree(directory)
    directory.mkdir()
    cifar.write_dataset(
        directory,
        {name: [] for name in ("train", "val", "test")},
        image_size=16,
        split_by="image",
        seed=0,
    )


def no_pictures(directory: Path) -> None:
    shutil.rmtree(directory)
    write_pictures(directory)


@pytest.mark.parametrize(
    ("damage", "named", "message"),
    [
        (no_meta, "", "create_dataset"),
        (cut_off, "data_batch_3", "truncated"),
        (hostile, "data_batch_3", "refused the global"),
        (lost_batch, "data_batch_3", "is missing"),
        (a_list, "data_batch_3", "doesn't hold what"),
        (wrong_size, "", "16x16 pictures; the image_size is 32"),
        (no_pictures, "", "no training picture"),
    ],
)
def test_a_bad_source_is_one_line_and_leaves_nothing(
    damage, named: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture
):
    source = tmp_path / "pokemon-cifar-32"
    write_pictures(source, train=[picture(i) for i in range(5)])
    damage(source)
    assert prepare(tmp_path, tmp_path / "data") == 2
    output = capsys.readouterr()
    assert output.err.count("\n") == 1
    assert str(source / named) in output.err and message in output.err
    assert not (tmp_path / "data").exists()


def test_a_full_disk_is_one_line_and_leaves_no_copy(manual_dir: Path, tmp_path: Path):
    code = (
        "import resource, sys; from data_tools.pokemon_cifar.__main__ import main;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); sys.exit(main())"
    )
    flags = [f"--manual-dir={manual_dir}", "--image-size=32", "--quiet"]
    result = subprocess.run(
        [sys.executable, "-c", code, *flags, f"--data-dir={tmp_path}"],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2, result.stderr
    assert result.stderr.count("\n") == 1 and "File too large" in result.stderr
    assert not any(p.is_file() for p in (tmp_path / "pokemon_cifar/32x32").rglob("*"))


# What `tfds build` runs, without the rest of TFDS's command line, which imports
# TensorFlow and Apache Beam for its other commands.
TFDS_BUILD = """
import sys
from absl import app
from tensorflow_datasets.scripts.cli import build, cli_utils

def main(args):
    args.execute()
    assert "tensorflow" not in sys.modules

app.run(main, flags_parser=cli_utils.make_flags_parser(build.Args, description=""))
"""


def test_tfds_build_prepares_the_same_without_tensorflow(
    manual_dir: Path, data_dir: Path, tmp_path: Path
):
    folder = Path(data_tools.pokemon_cifar.__file__).parent
    flags = ["--config=32x32", f"--manual_dir={manual_dir}", f"--data_dir={tmp_path}"]
    # TFDS's command imports Apache Beam where that is installed, which isn't strict.
    strict = [] if importlib.util.find_spec("apache_beam") else ["-W", "error"]
    subprocess.run(
        [sys.executable, *strict, "-c", TFDS_BUILD, str(folder), *flags],
        check=True,
        capture_output=True,
        cwd=tmp_path,
    )
    metadata = [prepared(d) / "metadata.json" for d in (tmp_path, data_dir)]
    assert metadata[0].read_text() == metadata[1].read_text()
    assert len(read_prepared(prepared(tmp_path))["test"])
