"""All files of a creature, read by others' parsers where there are any."""

import io
import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence
from PIL.GimpPaletteFile import GimpPaletteFile

from data_tools import species
from data_tools.native_sprites import read_palette
from pokejax import Sampler, creature
from pokejax.attributes import Attributes
from pokejax.creatures.card import describe
from pokejax.creatures.creature import draw, in_one_palette
from pokejax.creatures.evolution import grown
from pokejax.creatures.kin import lowered, related
from pokejax.creatures.names import known_names, suggest_name
from pokejax.creatures.pack import files_of
from pokejax.creatures.sheet import icon_of
from pokejax.images import moving
from pokejax.images.finish import PixelArt
from pokejax.inference.recipe import recipes_for
from pokejax.prompts.rules import parse_by_rules
from tests.helpers.flow import KIN, write_flow_model
from tests.unit.test_shiny import PALETTE, art

PROMPT = "a small blue water turtle with a red shell"
VIEWS = ("front", "front_2", "back")
NODE = shutil.which("node")
MODULES = Path(".venv-js/node_modules").resolve()
READ_SHEET = Path(__file__).with_name("read_sheet.cjs")


def rgba(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGBA"))


@pytest.fixture(scope="module")
def folder(flow_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A creature as the command packs it."""
    folder = tmp_path_factory.mktemp("packs") / "turtle"
    base = ["--prompt", PROMPT, "--seed=42", "--model", str(flow_model)]
    assert creature.main([*base, "--out", str(folder)]) == 0
    return folder


def test_the_command_packs_a_creature(
    flow_model: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    base = ["--prompt", PROMPT, "--seed=42", "--model", str(flow_model)]
    target = tmp_path / "new" / "turtle.zip"
    assert creature.main([*base, "--out", str(target)]) == 0
    assert "not the same creature" in capsys.readouterr().err
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        files = {name: archive.read(name) for name in archive.namelist()}
        assert {i.date_time[0] for i in archive.infolist()} == {1980}
    assert files == {p.name: p.read_bytes() for p in folder.iterdir()}

    sampler = Sampler.load(flow_model)
    (front,) = sampler.generate(PROMPT, seed=42, attributes=Attributes(view="front"))
    np.testing.assert_array_equal(rgba(files["front.png"])[..., 3], front.rgba[..., 3])
    np.testing.assert_array_equal(rgba(files["front.png"])[..., :3], front.image)
    assert Image.open(io.BytesIO(files["front.png"])).text["seed"] == "42"  # type: ignore[attr-defined]

    # Shinies have the same indices, in a palette of as many rows.
    for view in VIEWS:
        normal, other = (
            Image.open(io.BytesIO(files[f"{view}{end}.png"])) for end in ("", "_shiny")
        )
        assert normal.mode == other.mode == "P"
        np.testing.assert_array_equal(np.asarray(normal), np.asarray(other))
    assert rgba(files["icon.png"]).shape == (32, 32, 4)

    check_sheet(files)
    check_idle(files)
    check_palettes(files, tmp_path)
    card, recipe = (json.loads(files[f"{n}.json"]) for n in ("card", "recipe"))
    assert card["types"] == ["Water"] and card["size"] == "Small"
    assert card["name"].lower() not in known_names()
    assert Image.open(io.BytesIO(files["card.png"])).size == (400, 180)
    assert recipe["drawn"]["front"]["seed"] == "42" and len(recipe["notes"]) == 2


def check_sheet(files: dict[str, bytes]) -> None:
    """Cut up as the JSON says, the sheet gives every picture."""
    told = json.loads(files["sheet.json"])
    sheet = rgba(files[told["meta"]["image"]])
    assert told["meta"]["size"] == {"w": sheet.shape[1], "h": sheet.shape[0]}
    names = {n for v in VIEWS for n in (v, f"{v}_shiny")} | {"icon"}
    assert told["frames"].keys() == names
    for name, frame in told["frames"].items():
        at = frame["frame"]
        cut = sheet[at["y"] : at["y"] + at["h"], at["x"] : at["x"] + at["w"]]
        own = rgba(files[f"{name}.png"])
        assert frame["sourceSize"] == {"w": own.shape[1], "h": own.shape[0]}
        np.testing.assert_array_equal(cut[..., 3], own[..., 3])
        there = own[..., 3] > 0
        np.testing.assert_array_equal(cut[there], own[there])
    order = list(told["frames"])
    for tag in told["meta"]["frameTags"]:
        members = told["animations"][tag["name"]]
        assert [order[tag["from"]], order[tag["to"]]] == members


@pytest.mark.skipif(NODE is None, reason="node is not installed")
@pytest.mark.skipif(
    not (MODULES / "@pixi" / "spritesheet").is_dir(),
    reason="npm's package @pixi/spritesheet is not installed: make js-client",
)
def test_pixi_reads_the_sheet(folder: Path):
    assert NODE
    ran = subprocess.run(
        [NODE, str(READ_SHEET), str(folder / "sheet.json")],
        env={**os.environ, "NODE_PATH": str(MODULES)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["animations"] == {
        "idle": ["front", "front_2"],
        "idle_shiny": ["front_shiny", "front_2_shiny"],
    }
    sheet = Image.open(folder / "sheet.png").convert("RGBA")
    assert told["frames"].keys() >= {*VIEWS, "icon"}
    for name, frame in told["frames"].items():
        left, top = frame["x"], frame["y"]
        box = left, top, left + frame["width"], top + frame["height"]
        own = Image.open(folder / f"{name}.png").convert("RGBA")
        assert (*frame["whole"],) == own.size and frame["trim"] is None
        # Nothing's own colour counts no more than it is seen.
        shown, expected = (x.convert("RGBa") for x in (sheet.crop(box), own))
        np.testing.assert_array_equal(np.asarray(shown), np.asarray(expected))


def check_idle(files: dict[str, bytes]) -> None:
    for end in ("", "_shiny"):
        still = [rgba(files[f"front{frame}{end}.png"]) for frame in ("", "_2")]
        for kind in ("gif", "png"):
            check_moves(files[f"idle{end}.{kind}"], still)


def check_moves(file: bytes, frames: Sequence[np.ndarray]) -> None:
    """It plays these frames forever, half a second each, to the exact colour."""
    image = Image.open(io.BytesIO(file))
    assert image.n_frames == len(frames) and image.info["loop"] == 0  # type: ignore[attr-defined]
    for shown, frame in zip(ImageSequence.Iterator(image), frames, strict=True):
        assert shown.info["duration"] == 500
        own = np.asarray(shown.convert("RGBA"))
        np.testing.assert_array_equal(own[..., 3], frame[..., 3])
        there = frame[..., 3] > 0
        np.testing.assert_array_equal(own[there], frame[there])


def check_palettes(files: dict[str, bytes], tmp_path: Path) -> None:
    for end in ("", "_shiny"):
        picture = Image.open(io.BytesIO(files[f"front{end}.png"]))
        flat = picture.getpalette("RGB")
        assert flat
        rows = np.array(flat, np.uint8).reshape(-1, 3)
        gimp, _ = GimpPaletteFile(io.BytesIO(files[f"palette{end}.gpl"])).getpalette()
        assert gimp == rows[1:].tobytes()
        assert bytes.fromhex(files[f"palette{end}.hex"].decode()) == gimp
        jasc = tmp_path / "own.pal"
        jasc.write_bytes(files[f"palette{end}.pal"])
        np.testing.assert_array_equal(read_palette(jasc), rows[:16])


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--colors=86"], "--colors is 86; expected 2 to 85"),
        (["--set", "siz=Tiny"], "did you mean 'size'?"),
        (["--seed=-1"], "seed is -1; expected 0 to"),
        (["--model=no.safetensors"], "no.safetensors"),
    ],
)
def test_bad_input_leaves_nothing(
    argv: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out.zip"
    assert creature.main(["--prompt", PROMPT, "--out", str(out), *argv]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_no_name_is_taken():
    table = {name.removeprefix("tuxemon") for name in species.load()}
    forms = {entry for entry in table if entry not in known_names()}
    # Forms of known ones only, whose ids begin as these do.
    assert all(any(f.startswith(n) for n in known_names()) for f in forms)
    assert {"pikachu", "mrmime", "aardart"} <= known_names()
    names = [suggest_name(PROMPT, Attributes(type1="Water"), s) for s in range(200)]
    assert names == [
        suggest_name(PROMPT, Attributes(type1="Water"), s) for s in range(200)
    ]
    assert len({*names}) > 100 and not known_names() & {n.lower() for n in names}
    for name in names:
        assert name.isascii() and name.isalpha() and 4 <= len(name) <= 11
    assert suggest_name("竜", Attributes(), 0).isalpha()


def test_a_breath_lowers_the_body_and_leaves_the_feet():
    before = art()
    after = lowered(before)
    assert not after.indices[4].any() and after.indices[5].any()
    np.testing.assert_array_equal(after.indices[24:], before.indices[24:])
    np.testing.assert_array_equal(after.indices[5:13], before.indices[4:12])
    blank = PixelArt(np.zeros((8, 8), np.uint8), PALETTE)
    assert lowered(blank) is blank


def test_white_that_comes_later_is_not_taken_for_nothing():
    palette = np.concatenate([PALETTE[:8], [[255, 255, 255]]]).astype(np.uint8)
    later = np.roll(art().indices, 1, axis=0)
    later[0, 0] = later[15, 15] = 8
    frames = [PixelArt(indices, palette) for indices in (art().indices, later)]
    still = [
        np.dstack([a.rgb(), (a.indices > 0).astype(np.uint8) * 255]) for a in frames
    ]
    check_moves(moving.gif(frames), still)
    check_moves(moving.apng(frames, {"prompt": "half a pair: \ud800"}), still)
    assert moving.gif(frames) == moving.gif(frames)


def test_icons_stand_on_the_ground():
    icon = icon_of(art(), 32).indices
    np.testing.assert_array_equal(icon[8:, 4:28], art().indices[4:28, 4:28])
    small = icon_of(art(), 12).indices
    assert small.shape == (12, 12) and (small > 0).all()
    assert small.max() < 8  # the colour that isn't used stays so
    assert not icon_of(PixelArt(art().indices * 0, PALETTE), 32).indices.any()


def test_views_share_a_palette_and_keep_their_colours():
    other = PixelArt(art().indices, PALETTE[::-1].copy())
    shared = in_one_palette({"a": art(), "b": other})
    np.testing.assert_array_equal(shared["a"].palette, shared["b"].palette)
    for name, own in (("a", art()), ("b", other)):
        there = own.indices > 0
        np.testing.assert_array_equal(shared[name].indices > 0, there)
        np.testing.assert_array_equal(shared[name].rgb()[there], own.rgb()[there])


def test_a_card_says_what_is_known():
    known = Attributes(size="Small", type1="Water", primary_color="Blue", habitat="Sea")
    assert describe(known) == "A small blue water-type creature of the sea."
    legend = Attributes(size="Huge", legendary="Yes", type1="Ice", type2="Dragon")
    assert describe(legend) == "A huge legendary ice-and-dragon-type creature."
    assert describe(Attributes()) == "A creature."


def test_what_evolves_grows_to_the_end_of_its_line():
    young = Attributes(size="Tiny", evolution_stage="Baby", type1="Fire")
    assert grown(young) == Attributes(
        size="Small", evolution_stage="Basic", type1="Fire"
    )
    assert grown(Attributes()) == Attributes(size="Medium", evolution_stage="Stage 1")
    last = Attributes(size="Huge", evolution_stage="Stage 2")
    assert grown(last) == last
    alone = Attributes(size="Small", evolution_stage="Single")
    assert grown(alone) == Attributes(size="Medium", evolution_stage="Single")


def test_a_model_without_relations_draws_no_kin(flow_model: Path):
    sampler = Sampler.load(flow_model)
    (front,) = sampler.generate(PROMPT, seed=1)
    assert related(sampler, front, "back") is None


def test_a_model_that_knows_relatives_draws_the_same_creature(tmp_path: Path):
    path = tmp_path / "kin.safetensors"
    write_flow_model(path, KIN)
    sampler = Sampler.load(path)
    (recipe,) = recipes_for(parse_by_rules(PROMPT), [1], colors=15)
    drawn = draw(sampler, recipe)
    assert drawn.drawn.keys() == {"front", "back", "front_2"} and not drawn.notes
    for view, relation in (("back", "back"), ("front_2", "frame")):
        own = drawn.drawn[view].recipe
        assert own.kin and own.kin.relation == relation
        assert own.kin.rgba == drawn.front.rgba.tobytes()
    assert drawn.drawn["back"].attributes.view == "back"
    # What is drawn beside a picture takes its colours, and others while there is room.
    front = drawn.front.art
    assert front is not None
    room = 15 - len(np.unique(front.indices[front.indices > 0]))
    assert len(drawn.palette) <= len(front.palette) + 2 * room
    assert "relation" in files_of(drawn)["recipe.json"].decode()
