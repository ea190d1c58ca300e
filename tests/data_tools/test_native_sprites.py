"""64x64 sprites with palettes of their own, and turning their hues."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_tools import shiny_donors
from data_tools.fetch_sprites import main
from data_tools.native_sprites import read_native, read_palette
from data_tools.recolor import turn_hues
from data_tools.sprite_sources import FetchError
from pokejax.images import shiny
from pokejax.images.colors import oklab

NORMAL = [(0, 255, 0), (200, 30, 30), (255, 255, 255)] + [(9, 9, 9)] * 13
SHINY = [(0, 255, 0), (30, 30, 200), (255, 255, 255)] + [(9, 9, 9)] * 13


def palette(colors: list[tuple[int, int, int]]) -> str:
    rows = [f"{r} {g} {b}" for r, g, b in colors]
    return "\r\n".join(["JASC-PAL", "0100", "16", *rows, ""])


def draw(path: Path, *frames: int) -> None:
    """Frames below each other; each a square of index 1 at its own place."""
    index = np.zeros((64 * len(frames), 64), np.uint8)
    for i, corner in enumerate(frames):
        index[64 * i + corner : 64 * i + corner + 20, 10:30] = 1
    image = Image.fromarray(index, "P")
    image.putpalette([255, 0, 255] * 16)  # what mustn't be used
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    top = root / "graphics/pokemon"
    draw(top / "squirtle/anim_front.png", 5, 8)
    draw(top / "squirtle/back.png", 20)
    draw(top / "squirtle/mega/front.png", 30)
    draw(top / "egg/front.png", 1)
    (top / "squirtle/normal.pal").write_text(palette(NORMAL))
    (top / "squirtle/shiny.pal").write_text(palette(SHINY))
    return root


def test_views_frames_and_palettes(checkout: Path, tmp_path: Path):
    out = tmp_path / "images"
    command = ["--source", "native", "--from", str(checkout), "--out", str(out)]
    assert main([*command, "--workers", "1"]) == 0
    names = sorted(p.stem for p in (out / "Squirtle").iterdir())
    assert names == [
        "squirtle_mega_native_front",
        "squirtle_mega_native_shiny",
        "squirtle_native_back",
        "squirtle_native_front",
        "squirtle_native_front_frame2",
        "squirtle_native_shiny",
        "squirtle_native_shiny_back",
        "squirtle_native_shiny_frame2",
    ]
    assert [p.name for p in out.iterdir()] == ["Squirtle"]
    front = np.asarray(Image.open(out / "Squirtle/squirtle_native_front.png"))
    shiny = np.asarray(Image.open(out / "Squirtle/squirtle_mega_native_shiny.png"))
    assert front.shape == (64, 64, 4)
    assert front[5, 10].tolist() == [200, 30, 30, 255]
    assert front[0, 0].tolist() == [0, 0, 0, 0]
    # A form without palettes of its own has its species'.
    assert shiny[30, 10].tolist() == [30, 30, 200, 255]


def test_a_damaged_file_is_reported_and_left_out(checkout: Path):
    (checkout / "graphics/pokemon/squirtle/back.png").write_bytes(b"no picture")
    found, problems = read_native(checkout)
    assert len(problems) == 2 and "squirtle/back.png" in problems[0]
    assert not any(p.view.endswith("back") for p in found[0].pictures)


def test_what_is_no_palette_is_refused(tmp_path: Path):
    path = tmp_path / "x.pal"
    path.write_text("RIFF\n1\n")
    with pytest.raises(ValueError, match="not a JASC palette"):
        read_palette(path)


def test_a_folder_without_sprites_is_refused(tmp_path: Path):
    with pytest.raises(FetchError, match="holds no"):
        read_native(tmp_path)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--source", "native", "--from", "nowhere"], "'nowhere' is not a folder"),
        (["--source", "native", "--from", "file:///nowhere"], "git failed on"),
        (["--source", "tuxemon", "--from", "."], "no checkout of Tuxemon"),
        (["--source", "native", "--archive", "a.tgz"], "goes with --source npm"),
    ],
)
def test_sources_that_cannot_be_had(argv, message, tmp_path, capsys):
    cache = ["--cache", str(tmp_path / "cache")]
    assert main([*argv, *cache, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("error:") == 1


def test_from_goes_behind_its_source(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--from", "here", "--source", "native"])
    assert stopped.value.code == 2
    assert "must follow --source" in capsys.readouterr().err


def test_turned_hues():
    pixels = np.array([[[200, 30, 30, 255], [128, 128, 128, 255], [7, 8, 9, 0]]])
    pixels = pixels.astype(np.uint8)
    same = turn_hues(pixels, 360).astype(int)
    assert np.abs(same - pixels).max() <= 1
    turned = turn_hues(pixels, 120)
    assert turned[0, 0, 1] > turned[0, 0, 0]  # red became green
    assert np.ptp(turned[0, 1, :3].astype(int)) <= 1  # gray stayed gray
    assert turned[0, 2].tolist() == [7, 8, 9, 0]


def test_donors_of_shiny_palettes(checkout: Path, tmp_path: Path):
    pairs = list(shiny_donors.read_pairs(checkout))
    # The species' own front and its mega form's.
    assert [p.species for p in pairs] == ["squirtle", "squirtle"]
    assert pairs[0].normal.tolist() == [[200, 30, 30]]
    assert pairs[0].shiny.tolist() == [[30, 30, 200]] and pairs[0].share == [1]
    out = tmp_path / "donors.npy"
    command = ["--from", str(checkout), "--out", str(out)]
    assert shiny_donors.main(command) == 0
    donors = shiny.unpacked(np.load(out))
    assert donors.shape == (2, shiny.MOST_GROUPS, 7)
    lab = oklab(np.array([[200, 30, 30], [30, 30, 200]]) / 255)
    np.testing.assert_allclose(donors[0, 0], [1, *lab[0], *lab[1]], atol=0.002)
    assert not donors[:, 1:].any()
    command[1] = str(tmp_path / "nothing")
    assert shiny_donors.main(command) == 2
