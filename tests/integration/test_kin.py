"""Pictures beside a relative's: what decides them, their files, and the command."""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from pokejax import Sampler, generate
from pokejax.attributes import Attributes
from pokejax.images.given import read_picture
from pokejax.inference.recipe import Kin, PromptError, Recipe, Sample
from tests.unit.test_given import art, png

PROMPT = "a red fish"
PICTURE = read_picture(png(art()), 32)


@pytest.fixture(scope="module")
def sampler(kin_model: Path) -> Sampler:
    return Sampler.load(kin_model)


def redrawn(sampler: Sampler, texts: dict[str, str]) -> Sample:
    """The picture that a file's texts say how to draw."""
    kin = None
    if "relative" in texts:
        given = read_picture(base64.b64decode(texts["relative"]), 32)
        kin = Kin(given.tobytes(), texts["relation"])
    recipe = Recipe(
        texts["prompt"],
        Attributes(**json.loads(texts["attributes"])),
        int(texts["seed"]),
        colors=int(texts["colors"]),
        kin=kin,
    )
    return sampler.sample([recipe])[0]


def test_a_relative_is_drawn_beside_and_its_file_redraws_it(sampler: Sampler):
    assert sampler.relations == {"front", "back", "evolution", "frame"}
    (plain,) = sampler.generate(PROMPT, seed=1)
    (back,) = sampler.generate(PROMPT, seed=1, kin=Kin(PICTURE.tobytes(), "back"))
    assert back.attributes.view == "back" and plain.attributes.view is None
    assert back.art is not None
    own = {tuple(color) for color in PICTURE[PICTURE[..., 3] > 0][:, :3].tolist()}
    palette = set(map(tuple, back.art.palette.tolist()))
    assert own < palette  # the same creature's colours
    told = Image.open(io.BytesIO(back.png())).text  # type: ignore[attr-defined]
    assert redrawn(sampler, told).png() == back.png()


def test_picture_and_relation_count_and_others_beside_them_do_not(sampler: Sampler):
    def recipe(relation: str = "", picture: np.ndarray = PICTURE) -> Recipe:
        kin = Kin(picture.tobytes(), relation) if relation else None
        return Recipe(PROMPT, Attributes(), 1, kin=kin)

    recipes = [
        recipe(),
        recipe("evolution"),
        recipe("frame"),
        recipe("frame", np.ascontiguousarray(PICTURE[:, ::-1])),
        recipe(),
    ]
    images = [sample.image for sample in sampler.sample(recipes)]
    for i, one in enumerate(recipes):
        np.testing.assert_array_equal(sampler.sample([one])[0].image, images[i])
    np.testing.assert_array_equal(images[0], images[-1])
    different = {image.tobytes() for image in images}
    assert len(different) == 4


def test_what_a_model_has_not_learned_is_refused(sampler: Sampler, flow_model: Path):
    with pytest.raises(PromptError, match="did you mean 'back'"):
        Kin(PICTURE.tobytes(), "bakc")
    without = Sampler.load(flow_model)
    assert without.relations == frozenset()
    with pytest.raises(PromptError, match="wasn't trained to draw"):
        without.generate(PROMPT, kin=Kin(PICTURE.tobytes(), "back"))
    normal = Sampler(sampler.bundle, sampler.encoder, prior="normal")
    assert normal.relations == frozenset()


def test_the_command_draws_what_the_library_does(
    sampler: Sampler, kin_model: Path, tmp_path: Path
):
    source = tmp_path / "in.png"
    source.write_bytes(png(art()))
    argv = ["--prompt", PROMPT, "--seed=1", "--num=1", "--model", str(kin_model)]
    argv += ["--out", str(tmp_path / "out"), "--relative", str(source), "--as=back"]
    assert generate.main(argv) == 0
    (drawn,) = (tmp_path / "out").glob("a-red*")
    (sample,) = sampler.generate(PROMPT, seed=1, kin=Kin(PICTURE.tobytes(), "back"))
    assert drawn.read_bytes() == sample.png()


def test_a_second_frame_comes_with_the_animation(
    sampler: Sampler, kin_model: Path, tmp_path: Path
):
    source = tmp_path / "in.png"
    source.write_bytes(png(art()))
    argv = ["--prompt", PROMPT, "--seed=1", "--num=1", "--model", str(kin_model)]
    argv += ["--relative", str(source), "--as=frame", "--scale=2", "--shiny"]
    assert generate.main([*argv, "--out", str(tmp_path)]) == 0
    with Image.open(tmp_path / "a-red-fish_1.png") as file:
        still = file.convert("RGBA")
    own = np.asarray(still)[..., 3] > 0
    for kind in ("gif", "png"):
        with Image.open(tmp_path / f"a-red-fish_1_idle.{kind}") as moving:
            frames = [x.convert("RGBA") for x in ImageSequence.Iterator(moving)]
        assert len(frames) == 2 and frames[0].size == (64, 64)
        first = np.asarray(frames[0])[::2, ::2, 3] > 0
        np.testing.assert_array_equal(first, PICTURE[..., 3] > 127)
        second = np.asarray(frames[1])
        np.testing.assert_array_equal(second[own], np.asarray(still)[own])


def test_a_line_is_one_sheet_that_says_how_to_draw_it(
    sampler: Sampler, kin_model: Path, tmp_path: Path
):
    argv = ["--prompt", "a small red fish", "--seed=1", "--num=1", "--stages=3"]
    assert (
        generate.main([*argv, "--model", str(kin_model), "--out", str(tmp_path)]) == 0
    )
    names = [f"a-small-red-fish_1{end}.png" for end in ("", "_stage2", "_stage3")]
    (plain,) = sampler.generate("a small red fish", seed=1)
    assert (tmp_path / names[0]).read_bytes() == plain.png()
    sheet = Image.open(tmp_path / "a-small-red-fish_1_line.png")
    assert sheet.size == (3 * 32, 32)
    told = json.loads(sheet.info["stages"])
    for i, (texts, name) in enumerate(zip(told, names, strict=True)):
        sample = redrawn(sampler, texts)
        assert sample.png() == (tmp_path / name).read_bytes()
        cut = np.asarray(sheet)[:, 32 * i : 32 * (i + 1)]
        np.testing.assert_array_equal(cut, sample.rgba)
    sizes = [json.loads(texts["attributes"])["size"] for texts in told]
    assert sizes == ["Small", "Medium", "Large"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (lambda kin, flow: ["--model", kin, "--stages=4"], "expected 1 to 3"),
        (
            lambda kin, flow: ["--model", flow, "--stages=2"],
            "wasn't trained to draw a picture's relatives",
        ),
        (lambda kin, flow: ["--model", kin, "--relative", "x.png"], "need each other"),
        (lambda kin, flow: ["--model", kin, "--as", "back"], "need each other"),
        (
            lambda kin, flow: ["--model", kin, "--relative", kin, "--as", "back"],
            "--relative",
        ),
        (
            lambda kin, flow: ["--model", flow, "--relative", "{ok}", "--as", "back"],
            "wasn't trained to draw a picture's relatives",
        ),
    ],
)
def test_bad_requests_are_one_line(
    options: Callable[[str, str], list[str]],
    message: str,
    kin_model: Path,
    flow_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    source = tmp_path / "in.png"
    source.write_bytes(png(art()))
    words = options(str(kin_model), str(flow_model))
    argv = [word.format(ok=source) for word in words]
    out = tmp_path / "out"
    assert generate.main(["--prompt", PROMPT, "--out", str(out), *argv]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line
    assert not out.exists()
