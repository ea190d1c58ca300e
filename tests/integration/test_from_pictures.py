"""Drawing from a picture, and parts of it anew, with a small untrained flow."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pokejax import Sampler, generate
from pokejax.attributes import Attributes
from pokejax.inference.recipe import PromptError, Recipe, Sample, Start
from tests.helpers.flow import CONFIG, write_flow_model
from tests.unit.test_given import art, png


@pytest.fixture(scope="module")
def sampler(flow_model: Path) -> Sampler:
    return Sampler.load(flow_model)


def given() -> np.ndarray:
    pixels = np.asarray(art())
    white = np.full((32, 32, 3), 255, np.uint8)
    rgb = np.where(pixels[..., 3:] > 0, pixels[..., :3], white)
    return np.dstack([rgb, pixels[..., 3]])


def anew() -> np.ndarray:
    mask = np.zeros((32, 32), bool)
    mask[:14] = True
    return mask


def draw(sampler: Sampler, start: Start | None, seed: int = 1) -> Sample:
    recipe = Recipe("a red fish", Attributes(), seed, start=start)
    return sampler.sample([recipe])[0]


def test_strength_is_the_way_from_the_picture_to_noise(sampler: Sampler):
    def distance(a: Sample, b: Sample) -> float:
        return float(np.abs(a.image.astype(int) - b.image).mean())

    rgba = given().tobytes()
    alone = draw(sampler, None)
    at = {s: draw(sampler, Start(rgba, s)) for s in (0.0, 0.3, 0.9, 1.0)}
    assert 0 < distance(at[0.3], at[0.0]) < distance(at[0.9], at[0.0])
    np.testing.assert_array_equal(at[1.0].image, alone.image)
    other = draw(sampler, Start(rgba, 0.0), seed=2)
    np.testing.assert_array_equal(other.image, at[0.0].image)


def test_what_the_mask_leaves_out_stays_to_the_byte(sampler: Sampler):
    start = Start(given().tobytes(), 1.0, anew().tobytes())
    drawn = [draw(sampler, start, seed) for seed in (1, 2)]
    for sample in (*drawn, *(s.finished(6) for s in drawn)):
        np.testing.assert_array_equal(sample.image[~anew()], given()[~anew()][:, :3])
        np.testing.assert_array_equal(
            sample.rgba[~anew()][:, 3], given()[~anew()][:, 3]
        )
    assert (drawn[0].image[anew()] != drawn[1].image[anew()]).any()


def test_it_draws_the_same_alone_and_beside_others(sampler: Sampler):
    start = Start(given().tobytes(), 0.5, anew().tobytes())
    recipe = Recipe("a red fish", Attributes(), 1, start=start, colors=6)
    plain = dataclasses.replace(recipe, start=None)
    alone = sampler.sample([recipe])[0].png(), sampler.sample([plain])[0].png()
    together = sampler.sample([plain, recipe, plain])
    assert [s.png() for s in together] == [alone[1], alone[0], alone[1]]


def test_details_are_kept_whatever_stands_beside(tmp_path: Path):
    config = dataclasses.replace(
        CONFIG,
        model=dataclasses.replace(CONFIG.model, details=2),
        train=dataclasses.replace(CONFIG.train, start_from="an upsampler"),
    )
    write_flow_model(tmp_path / "details.safetensors", config)
    sampler = Sampler.load(tmp_path / "details.safetensors", tile_rows=2)
    plain = Recipe("a red fish", Attributes(), 1, guidance=2.0)
    mask = anew().tobytes()
    starts = [Start(given().tobytes(), 0.2), Start(given().tobytes(), 1.0, mask)]
    first, second = (dataclasses.replace(plain, start=start) for start in starts)
    alone = [sampler.sample([r])[0].image for r in (first, second, plain)]
    for order in ((0, 1), (0, 2), (2, 1)):
        drawn = sampler.sample([(first, second, plain)[i] for i in order])
        for i, sample in zip(order, drawn, strict=True):
            np.testing.assert_array_equal(sample.image, alone[i])
    sampler._programs._retain = None
    bare = [sampler.sample([r])[0].image for r in (first, second, plain)]
    changed = [(a != b).any() for a, b in zip(alone, bare, strict=True)]
    assert changed[0] and not changed[2]


def test_the_command_takes_pictures_and_says_what_is_wrong(
    flow_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    doodle, mask = tmp_path / "doodle.png", tmp_path / "mask.png"
    doodle.write_bytes(png(art().resize((320, 320), Image.Resampling.NEAREST)))
    Image.fromarray(anew().astype(np.uint8) * 255).save(mask)
    base = ["--prompt", "a red fish", "--model", str(flow_model), "--num=1", "--seed=1"]
    base += ["--out", str(tmp_path / "out"), "--init", str(doodle), "--negative=x"]
    assert generate.main([*base, "--mask", str(mask)]) == 0
    (name,) = (tmp_path / "out").glob("a-red*")
    with Image.open(name) as image:
        drawn = np.asarray(image.convert("RGBA"))
        assert image.mode == "P" and image.text["strength"] == "1.0"  # type: ignore[attr-defined]
        assert {"init", "mask", "negative"} < image.text.keys()  # type: ignore[attr-defined]
    kept = ~anew()
    np.testing.assert_array_equal(drawn[kept][:, 3], given()[kept][:, 3])
    capsys.readouterr()
    for argv, told in (
        (["--strength=2"], "strength is 2.0; expected 0 to 1"),
        (["--mask", str(flow_model)], "model.safetensors: not a picture in PNG"),
        (["--mask", str(tmp_path / "no.png")], "no.png: No such file"),
    ):
        assert generate.main([*base, *argv]) == 2
        error = capsys.readouterr().err
        assert told in error and "Traceback" not in error, error


def test_guidance_leads_away_from_a_negative_prompt(flow_model: Path):
    sampler = Sampler.load(flow_model)
    # What is avoided isn't imagined, either, which would be another picture.
    sampler.imagine = lambda ids, seed, avoided: ids
    recipe = Recipe("a red fish", Attributes(), 1, guidance=2.0)
    avoiding = dataclasses.replace(recipe, negative="a huge blue dragon")
    plain = sampler.sample([recipe])[0].png()
    away, beside = sampler.sample([avoiding, recipe])
    assert beside.png() == plain  # its bytes are those that it has alone
    assert sampler.sample([avoiding])[0].png() == away.png() != plain
    assert away.texts["negative"] == "a huge blue dragon"
    other = dataclasses.replace(recipe, negative="a tiny yellow mouse")
    assert (sampler.sample([other])[0].image != away.image).any()
    # Where the condition is followed as it is, there is nothing to lead away from.
    followed = dataclasses.replace(avoiding, guidance=1 / CONFIG.prior.guidance)
    plain, away = sampler.sample([dataclasses.replace(followed, negative=""), followed])
    assert np.abs(plain.image.astype(int) - away.image).max() <= 1


def test_a_model_without_a_learned_prior_says_so(flow_model: Path):
    sampler = Sampler.load(flow_model, prior="normal")
    with pytest.raises(PromptError, match="no learned prior"):
        draw(sampler, Start(given().tobytes(), 0.5))
    avoiding = Recipe("a fish", Attributes(), 1, negative="red", guidance=2.0)
    plain = dataclasses.replace(avoiding, negative="")
    away, same = sampler.sample([avoiding, plain])
    np.testing.assert_array_equal(away.image, same.image)
