"""Pictures and folders as people have them: every data command takes the same ones."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_tools import create_dataset, fetch_sprites, generate_metadata
from data_tools.framing import frame, load_framed
from data_tools.metadata import read_picture
from data_tools.picture_files import SUFFIXES, open_picture, to_rgba
from data_tools.pictures import find_pictures
from data_tools.sprite_sources import folder_name
from pokejax.attributes import COLORS
from tests.helpers.drawn import draw_creature


def creature(color: str = "Red", side: int = 48) -> Image.Image:
    return draw_creature(np.random.default_rng(0), color, "Quadruped", side)


def fetch(source: Path, out: Path) -> int:
    command = ["--source", str(source), "--out", str(out)]
    return fetch_sprites.main([*command, "--workers", "1"])


def label(images: Path) -> int:
    return generate_metadata.main(
        ["--images-dir", str(images), "--quiet", "--workers", "1"]
    )


def build(images: Path, out: Path) -> int:
    argv = [f"--images-dir={images}", f"--output-dir={out}", "--image-size=32"]
    return create_dataset.main([*argv, "--quiet", "--workers=1"])


def written(out: Path) -> set[str]:
    return {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}


def test_gray_of_16_bits_is_scaled_and_not_clipped(tmp_path: Path):
    ramp = np.linspace(1, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    source, out = tmp_path / "own/Blorbo", tmp_path / "images"
    source.mkdir(parents=True)
    Image.fromarray(ramp).save(source / "deep.png")
    Image.fromarray(ramp).save(source / "clear.png", transparency=int(ramp[0, 9]))
    expected = np.round(ramp / 257)
    assert fetch(source.parent, out) == 0
    for path in (source / "deep.png", out / "Blorbo/blorbo_deep.png"):
        for pixels in (np.asarray(read_picture(path)), load_framed(path, 64)):
            np.testing.assert_array_equal(pixels[..., 0], expected)
            assert (pixels[..., :3] == pixels[..., :1]).all()
    with open_picture(source / "clear.png") as image:
        alpha = np.asarray(to_rgba(image))[..., 3]
    assert alpha[0, 9] == 0 and (alpha == 255).sum() == 64 * 64 - 1


@pytest.mark.parametrize(
    ("exif", "is_turned"),
    [
        (b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0", True),
        (b"MM\0*\0\0\0\x08\0\x01\x01", False),
        (b"MM", False),
    ],
    ids=["whole", "torn", "cut off"],
)
def test_notes_of_which_side_is_up_are_heeded_if_whole(
    exif: bytes, is_turned: bool, tmp_path: Path
):
    path = tmp_path / "a.png"
    image = creature()
    image.save(path, exif=exif)
    seen = image.transpose(Image.Transpose.ROTATE_270) if is_turned else image
    np.testing.assert_array_equal(np.asarray(read_picture(path)), np.asarray(seen))
    np.testing.assert_array_equal(load_framed(path, 32), frame(seen, 32))


def test_every_command_takes_the_same_formats(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    source, out = tmp_path / "own", tmp_path / "images"
    for place in (source, out):
        for i, suffix in enumerate(SUFFIXES):
            folder = place / f"Blorb{'abcdefgh'[i]}"
            folder.mkdir(parents=True)
            mode = "RGB" if suffix in (".jpg", ".jpeg") else "RGBA"
            image = creature(COLORS[i]).convert(mode)
            image.save(folder / f"x{suffix}")
        # Not of these, whatever it is called.
        creature().save(place / "Blorba/tiff.png", "TIFF")
    assert label(out) == build(out, tmp_path / "set") == 0
    told = capsys.readouterr().err
    assert len(list(out.glob("*/*.json"))) == len(SUFFIXES)
    assert told.count("tiff.png") == 2  # neither labelled nor taken
    assert fetch(source, tmp_path / "fetched") == 0
    assert len(written(tmp_path / "fetched")) == len(SUFFIXES)
    assert capsys.readouterr().err.count("tiff.png") == 1


def test_links_back_to_where_they_lie_are_no_species(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    source, out = tmp_path / "own", tmp_path / "images"
    source.mkdir()
    creature().save(source / "eevee_front.png")
    (source / "again").symlink_to(source, target_is_directory=True)
    (source / "above").symlink_to("..", target_is_directory=True)
    assert fetch(source, out) == 0
    assert written(out) == {"Eevee/eevee_front.png"}
    told = capsys.readouterr().err
    assert told.count("skipped 'a") == 2 and "a link to a folder it lies in" in told
    creature().save(out / "loose.png")
    (out / "again").symlink_to(out, target_is_directory=True)
    assert find_pictures(out) == [out / "Eevee/eevee_front.png"]


def test_one_overlong_name_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture):
    source, out = tmp_path / "own", tmp_path / "images"
    long = "x" * 240
    for folder in (long, "Eevee"):
        (source / folder).mkdir(parents=True)
        creature().save(source / folder / "front.png")
    creature().save(source / "Eevee" / f"{long}.png")
    assert fetch(source, out) == 0
    assert written(out) == {"Eevee/eevee_front.png"}
    told = capsys.readouterr().err.splitlines()
    lines = [line for line in told if line.startswith("skipped ")]
    assert len(lines) == 2 and all(
        "too long" in line and len(line) < 200 for line in lines
    )
    # Nor where they lie in the images folder already.
    for i, color in enumerate(("Gray", "Blue", "Green", "Pink")):
        (out / f"Blorb{'abcd'[i]}").mkdir()
        creature(color).save(out / f"Blorb{'abcd'[i]}/x.png")
    creature("Yellow").save(out / "Eevee" / f"{long}.png")
    # The original's name of its metadata would be too long, ours isn't.
    (out / ("ピ" * 80)).mkdir()
    creature("Orange").save(out / ("ピ" * 80) / "a_name_for_a_picture.png")
    assert label(out) == 0
    told = capsys.readouterr().err
    assert told.count("skipped ") == 1 and "too long" in told
    assert build(out, tmp_path / "set") == 0
    told = capsys.readouterr().err
    assert told.count("skipped") == 1 and "too long" in told


@pytest.mark.parametrize(
    ("name", "json_name"),
    [("Mr. Mime", "mr. mime_back.json"), ("Farfetch'd", "farfetch'd_back.json")],
)
def test_metadata_of_the_originals_names_are_found(
    tmp_path: Path, name: str, json_name: str
):
    images = tmp_path / "images"
    for folder in (name, "Abra", "Ditto", "Mew", "Muk"):
        (images / folder).mkdir(parents=True)
        creature().save(images / folder / "back.png")
    said = {
        "prompts": ["what the original said"],
        "visual_attributes": {
            "color_distribution": {"primary": "Red", "secondary": None},
            "body_shape": "Quadruped",
            "size": "Small",
        },
        "categorical_attributes": {"type1": "Psychic", "type2": None, "generation": 1},
        "semantic_attributes": {
            "habitat": "Urban",
            "legendary": False,
            "mythical": False,
        },
    }
    theirs = images / name / json_name
    theirs.write_text(json.dumps(said))
    assert label(images) == 0
    assert list((images / name).glob("*.json")) == [theirs]
    picture = create_dataset.load_picture(images / name / "back.png", 32)
    assert isinstance(picture, create_dataset.Picture)
    assert picture.prompts == ("what the original said",)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("Łódź Ølaf", "Lodz Olaf"),
        ("Þórr Æsir Œuf", "Thorr AEsir OEuf"),
        ("Đặng Straße", "Dang Strasse"),
        ("Flabébé", "Flabebe"),
    ],
)
def test_letters_keep_their_sound(name: str, folder: str, tmp_path: Path):
    assert folder_name(name) == folder
    source, out = tmp_path / "own", tmp_path / "images"
    (source / name).mkdir(parents=True)
    creature().save(source / name / "front.png")
    assert fetch(source, out) == 0
    slug = folder.replace(" ", "").lower()
    assert written(out) == {f"{folder}/{slug}_front.png"}
