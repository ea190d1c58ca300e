"""Prompts to pictures, through the command and as a library."""

import io
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from safetensors.numpy import load_file, save_file

from pokejax import Sampler, export, generate, train
from pokejax.attributes import VOCABULARIES, Attributes
from pokejax.inference import bundle
from pokejax.inference.bundle import BundleError
from pokejax.prompts.parse import parse_prompt
from server.metrics import compilations
from tests.conftest import TINY
from tests.helpers.bundles import content, write, write_wild
from tests.helpers.llm_server import LlmServer

PROMPT = "a small blue water turtle with a red shell"


@pytest.fixture(scope="module")
def sampler(tiny_run: Path) -> Sampler:
    return Sampler.load(tiny_run / "model.safetensors")


def run(tiny_run: Path, out: Path, *more: str) -> int:
    places = ["--model", str(tiny_run / "model.safetensors"), "--out", str(out)]
    return generate.main([*places, *more])


def test_same_request_same_bytes(sampler: Sampler, tiny_run: Path):
    four = sampler.generate(PROMPT, num=4, seed=42)
    again = Sampler.load(tiny_run / "model.safetensors").generate(
        PROMPT, num=4, seed=42
    )
    assert [s.png() for s in four] == [s.png() for s in again]
    (third,) = sampler.generate(PROMPT, seed=44)
    assert third.png() == four[2].png()
    assert four[0].png() != four[1].png()
    assert sampler.generate("a red dragon", seed=42)[0].png() != four[0].png()


def test_models_of_the_same_sizes_share_what_is_compiled(
    flow_model: Path, tmp_path: Path
):
    given, other = bundle.read(flow_model), tmp_path / "other.safetensors"
    assert given.prior
    model, prior = (
        jax.tree.map(lambda x: x / 2, nnx.state(part))
        for part in (given.model, given.prior)
    )
    bundle.write(other, given.header, model, prior)
    first = Sampler.load(flow_model).generate(PROMPT, seed=1)[0]
    compiled = compilations()
    second = Sampler.load(other).generate(PROMPT, seed=1)[0]
    assert compilations() == compiled
    assert (first.image != second.image).any()  # whose weights are its own


def test_png_carries_what_made_it(sampler: Sampler):
    (sample,) = sampler.generate("a fiery café lizard 🔥", seed=3)
    with PngImageFile(io.BytesIO(sample.png())) as image:
        assert image.size == (32, 32)
        text = image.text
    assert text["prompt"] == "a fiery café lizard 🔥"
    assert text["seed"] == "3"
    assert text["model"] == sampler.bundle.model_id
    assert json.loads(text["attributes"])["type1"] == "Fire"


def test_a_finished_picture_is_stored_in_its_palette(
    tiny_run: Path, tmp_path: Path, sampler: Sampler
):
    asked = ["--prompt", PROMPT, "--num=1", "--seed=3", "--finish=pixel", "--colors=6"]
    assert run(tiny_run, tmp_path, *asked) == 0
    (path,) = tmp_path.glob("*_3.png")
    sample = sampler.generate(PROMPT, seed=3)[0].finished(6)
    assert path.read_bytes() == sample.png()
    with PngImageFile(path) as image:
        assert image.mode == "P" and image.info["transparency"] == 0
        assert image.text["finish"] == "pixel" and image.text["colors"] == "6"
        opaque = np.asarray(image.convert("RGBA"))
        assert len(image.getcolors() or ()) <= 7
    np.testing.assert_array_equal(opaque[..., :3], sample.image)
    assert sample.art is not None
    np.testing.assert_array_equal(opaque[..., 3] == 0, sample.art.indices == 0)
    large = Image.open(io.BytesIO(sample.png(scale=3)))
    assert large.size == (96, 96)


def test_attributes_override_the_prompt(sampler: Sampler):
    (sample,) = sampler.generate(
        PROMPT, seed=1, attributes=Attributes(primary_color="Green")
    )
    assert sample.attributes.primary_color == "Green"
    assert sample.attributes.size == "Small"


def test_temperature_zero_forgets_the_seed(sampler: Sampler):
    one, two = sampler.generate(PROMPT, num=2, seed=0, temperature=0.0)
    np.testing.assert_array_equal(one.image, two.image)


def test_command_writes_pictures_sheet_and_json(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    prompts = ["--prompt", PROMPT, "--prompt", "../../etc/passwd"]
    options = ["--num=2", "--seed=5", "--set", "size=huge", "--json"]
    assert run(tiny_run, tmp_path, *prompts, *options) == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["samples"]) == 4
    assert {entry["seed"] for entry in report["samples"]} == {5, 6}
    assert all(e["attributes"]["size"] == "Huge" for e in report["samples"])
    assert report["prompts"][0]["sources"] == {
        **dict.fromkeys(report["samples"][0]["attributes"], "rules"),
        "size": "request",
    }
    assert report["prompts"][1]["unrecognised"] == ["etc", "passwd"]
    written = {path.name for path in tmp_path.rglob("*")}
    assert written == {Path(e["path"]).name for e in report["samples"]} | {
        "contact_sheet.png"
    }


def test_command_says_what_it_understood(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    options = ["--prompt", "a red wobbly fish", "--prompt", "xyzzy", "--num=1"]
    assert run(tiny_run, tmp_path, *options) == 0
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("'a red wobbly fish': type1 Water, primary_color Red")
    assert first.endswith("; not understood: wobbly")
    assert second == "'xyzzy': nothing understood; not understood: xyzzy"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--prompt", " "], "the prompt is empty"),
        (["--prompt", "a" * 100_000], "the prompt has 100,000 characters"),
        (["--prompt", "x", "--num", "0"], "num is 0; expected 1 to"),
        (["--prompt", "x", "--seed", "-1"], "seed is -1; expected 0 to"),
        (["--prompt", "x", "--temperature", "nan"], "temperature is nan"),
        (["--prompt", "x", "--set", "size=Tinny"], "did you mean 'Tiny'"),
        (["--prompt", "x", "--set", "Tiny"], "expected NAME=VALUE"),
        (["--prompt", "x", "--out", "README.md"], "README.md is not a directory"),
        (["--prompt", "x", "--model", "nowhere.safetensors"], "no model at nowhere"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    options: list[str],
    message: str,
    tiny_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    assert run(tiny_run, tmp_path, *options) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert message in error
    assert not any(tmp_path.iterdir())


def test_checkpoint_directory_and_export_draw_the_same(
    tiny_run: Path, tmp_path: Path, sampler: Sampler
):
    exported = tmp_path / "model.safetensors"
    argv = ["--checkpoint", str(tiny_run), "--out", str(exported)]
    assert export.main(argv) == 0
    expected = sampler.generate(PROMPT, seed=9)[0].png()
    for source in (tiny_run, exported):
        assert Sampler.load(source).generate(PROMPT, seed=9)[0].png() == expected


def test_export_without_a_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    argv = ["--checkpoint", str(tmp_path), "--out", str(tmp_path / "out.safetensors")]
    assert export.main(argv) == 2
    assert "no checkpoint in" in capsys.readouterr().err


def test_broken_bundles_are_refused_by_name(tiny_run: Path, tmp_path: Path):
    good = (tiny_run / "model.safetensors").read_bytes()
    path = tmp_path / "bad.safetensors"
    path.write_bytes(good[:1000])
    with pytest.raises(BundleError, match="not a readable bundle"):
        Sampler.load(path)
    save_file(load_file(tiny_run / "model.safetensors"), path)
    with pytest.raises(BundleError, match="not a pokejax bundle"):
        Sampler.load(path)
    header, arrays = content(tiny_run / "model.safetensors")
    arrays["decoder.up3.bios"] = arrays.pop("decoder.up3.bias")
    write(path, header, arrays)
    with pytest.raises(BundleError, match=r"decoder\.up3\.bias is missing"):
        Sampler.load(path)
    header, arrays = content(tiny_run / "model.safetensors")
    arrays["decoder.up3.bias"][0] = np.nan
    write(path, header, arrays)
    with pytest.raises(BundleError, match=r"decoder\.up3\.bias holds numbers that"):
        Sampler.load(path)
    header, arrays = content(tiny_run / "model.safetensors")
    write(path, header | {"encoder": "static-rms-000"}, arrays)
    with pytest.raises(BundleError, match="was trained with text encoder static-rms-0"):
        Sampler.load(path)


@pytest.mark.parametrize("part", [b'"val_loss": ', b"decoder.up3.kernel", None])
def test_a_flipped_bit_is_noticed_wherever_it_is(
    part: bytes | None, tiny_run: Path, tmp_path: Path
):
    changed = bytearray((tiny_run / "model.safetensors").read_bytes())
    # In JSON inside JSON, quotation marks have a backslash before them.
    place = (
        -1 if part is None else changed.index(part.replace(b'"', b'\\"')) + len(part)
    )
    changed[place + (0 if part is None else 3)] ^= 1
    path = tmp_path / "changed.safetensors"
    path.write_bytes(changed)
    with pytest.raises(BundleError, match=r"damaged|not a readable bundle"):
        Sampler.load(path)


def test_pixels_that_are_not_numbers_are_never_shown_as_black(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    write_wild(tiny_run / "model.safetensors", tmp_path / "wild.safetensors")
    argv = ["--model", str(tmp_path / "wild.safetensors"), "--prompt", "a fish"]
    assert generate.main([*argv, "--out", str(tmp_path / "out")]) == 2
    understood, error = capsys.readouterr().err.splitlines()
    assert understood.startswith("'a fish': ")
    assert "drew pixels that aren't finite numbers" in error
    assert not list(tmp_path.glob("out/*"))


def test_an_unconditional_model_says_that_the_prompt_changes_nothing(
    drawn_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    places = ["--data.dir", str(drawn_dataset), "--train.workdir", str(tmp_path)]
    recipe = ["--config", "configs/sprite_vae.py", *TINY, "--train.epochs=1"]
    assert train.main([*recipe, *places]) == 0
    assert "Conditioning: none" in capsys.readouterr().out
    pictures = []
    for i, prompt in enumerate(("a red fish", "a green bird")):
        argv = ["--model", str(tmp_path / "model.safetensors"), "--seed=3"]
        argv += ["--out", str(tmp_path / str(i)), "--prompt", prompt]
        assert generate.main(argv) == 0
        assert "the prompt changes nothing" in capsys.readouterr().err
        (drawn,) = (tmp_path / str(i)).glob("a-*_3.png")
        pictures.append(np.asarray(Image.open(drawn)))
    np.testing.assert_array_equal(*pictures)


def test_what_a_language_model_leaves_open_stays_open(
    tiny_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    pytest.importorskip("baml_client", reason="make setup generates it")
    prompt = "a fire-breathing blue turtle from the sea"
    said = {"type1": "Water", "primary_color": "Blue", "describes_creature": True}
    with LlmServer(labels=dict.fromkeys(VOCABULARIES) | said) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        options = ["--prompt", prompt, "--use-llm-parsing", "--num=1", "--json"]
        assert run(tiny_run, tmp_path, *options, "--seed=3") == 0
        parsed = parse_prompt(prompt, use_llm=True)
    (drawn,) = json.loads(capsys.readouterr().out)["samples"]
    assert drawn["attributes"] == parsed.attributes.known()
    assert drawn["attributes"] == {"type1": "Water", "primary_color": "Blue"}
