"""How much of an attribute: recipes, rows of a tile and the command, untrained."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pokejax import Sampler, generate
from pokejax.attributes import CONDITIONS, Attributes
from pokejax.inference.recipe import PromptError, Recipe, slides_of
from pokejax.inference.slides import slid_rows

FISH = Recipe("a red fish", Attributes(primary_color="Red", shape="Aquatic"), 1)
COLOR, SHAPE = (list(CONDITIONS).index(n) for n in ("primary_color", "shape"))


@pytest.fixture(scope="module")
def sampler(flow_model: Path) -> Sampler:
    return Sampler.load(flow_model)


def slid(recipe: Recipe, **slides: float) -> Recipe:
    return dataclasses.replace(recipe, slides=slides_of(slides))


def test_a_slid_picture_is_the_same_beside_others_which_keep_their_bytes(
    sampler: Sampler,
):
    all_of = [
        FISH,
        slid(FISH, primary_color=0.5),  # drawn by the usual program
        slid(FISH, primary_color=2),
        slid(FISH, primary_color=-1, shape=3),
        dataclasses.replace(slid(FISH, shape=2), negative="a bird", guidance=2.0),
    ]
    alone = [sampler.sample([recipe])[0].png() for recipe in all_of]
    assert len(set(alone)) == len(alone)
    assert [s.png() for s in sampler.sample(all_of[::-1])] == alone[::-1]
    (sample,) = sampler.sample(all_of[3:4])
    assert json.loads(sample.texts["slides"]) == {"primary_color": -1, "shape": 3}
    assert "slides" not in sampler.sample([FISH])[0].texts


def test_what_changes_nothing_changes_no_byte(sampler: Sampler, flow_model: Path):
    (plain,) = sampler.sample([FISH])
    assert slid(FISH, shape=1.0) == FISH
    (idle,) = sampler.sample([slid(FISH, size=3, habitat=-1)])
    np.testing.assert_array_equal(idle.image, plain.image)
    normal = Sampler.load(flow_model, prior="normal")
    one, other = normal.sample([FISH, slid(FISH, shape=3)])
    np.testing.assert_array_equal(one.image, other.image)


def test_more_goes_on_where_none_and_all_have_led(sampler: Sampler):
    """The way of a picture from 0 to 1, which is a straight one at first order."""
    at = {
        value: sampler.sample([slid(FISH, primary_color=value)])[0].image.astype(int)
        for value in (-1, 0, 0.5, 2)
    }
    at[1] = sampler.sample([FISH])[0].image.astype(int)
    way = (at[1] - at[0]).ravel()
    far = {value: float((image - at[0]).ravel() @ way) for value, image in at.items()}
    assert far[-1] < far[0] < far[0.5] < far[1] < far[2]


def test_variations_are_slid_at_both_ends(sampler: Sampler):
    recipe = slid(FISH, primary_color=2)
    towards = Recipe(FISH.prompt, FISH.attributes, 2)
    (mixed,) = sampler.sample([dataclasses.replace(recipe, towards=towards, mix=1.0)])
    (end,) = sampler.sample([dataclasses.replace(recipe, seed=2)])
    assert np.abs(mixed.image.astype(int) - end.image).max() <= 1


def test_rows_keep_attributes_and_their_words(sampler: Sampler):
    def rows(recipe: Recipe):
        text_emb = np.zeros((3, 2, sampler.encoder.dim), np.float32)
        return slid_rows([recipe, FISH], text_emb, sampler.embed)

    whole, rest = sampler.embed("a red fish"), sampler.embed("a  fish")
    found = rows(slid(FISH, primary_color=-1, shape=1.5))
    assert found
    assert found.lean.tolist() == [1, 0, 1] and found.given.tolist() == [1, 0, 0]
    assert found.kept[:, 0, COLOR].tolist() == [0, 1]
    assert found.kept[:, 0, SHAPE].tolist() == [1, 0.5]
    assert (found.kept[:, 1:] == 1).all()
    np.testing.assert_allclose(found.text_emb[0, 0, 0], rest, atol=1e-6)
    half = whole - (whole - sampler.embed("a red ")) / 2
    np.testing.assert_allclose(found.text_emb[1, 0, 0], half, atol=1e-6)
    # By hand it is another colour: "red" isn't the words of that.
    blue = dataclasses.replace(FISH, attributes=Attributes(primary_color="Blue"))
    found = rows(slid(blue, primary_color=0))
    assert found and not found.lean.any()
    np.testing.assert_array_equal(found.text_emb[0, 0, 0], whole)
    # One word for a type and a shape stays while one of the two does.
    said = Attributes(type1="Dragon", shape="Bipedal")
    dragon = Recipe("a blue dragon", said, 1)
    found = rows(slid(dragon, type1=0, shape=0.5))
    assert found
    both = (sampler.embed("a blue dragon") + sampler.embed("a blue ")) / 2
    np.testing.assert_allclose(found.text_emb[0, 0, 0], both, atol=1e-6)
    assert rows(FISH) is None and rows(slid(FISH, size=2)) is None


def test_the_command_slides_and_says_what_is_wrong(
    flow_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    base = ["--prompt", "a red fish", "--model", str(flow_model), "--num=1", "--seed=1"]
    base += ["--out", str(tmp_path / "out")]
    slides = ["--slide", "shape=2", "--slide", "primary_color=0", "--slide", "size=3"]
    assert generate.main([*base, *slides]) == 0
    assert "--slide size changes nothing" in capsys.readouterr().err
    (name,) = (tmp_path / "out").glob("a-red*")
    with Image.open(name) as image:
        told = json.loads(image.text["slides"])  # type: ignore[attr-defined]
    assert told == {"primary_color": 0, "shape": 2, "size": 3}
    assert list(told) == ["primary_color", "shape", "size"]
    before = name.read_bytes()
    assert generate.main([*base, "--sweep", "shape"]) == 0
    drawn = {path.name for path in (tmp_path / "out").glob("a-red*")}
    steps = ("_shape=-1", "_shape=0", "_shape=0.5", "", "_shape=1.5", "_shape=3")
    assert drawn > {f"a-red-fish_1{step}.png" for step in steps}
    with Image.open(tmp_path / "out" / "contact_sheet.png") as sheet:
        assert sheet.width == 4 + 7 * (64 + 4)
    capsys.readouterr()
    for word, told in (
        ("shap=2", "no slide 'shap'; expected one of"),
        ("shap=2", "did you mean 'shape'?"),
        ("view=2", "no slide 'view'"),
        ("shape", "expected NAME=NUMBER, e.g. shape=1.5"),
        ("shape=much", "expected NAME=NUMBER"),
        ("shape=nan", "slide shape is nan; expected -1 to 3"),
        ("shape=3.1", "slide shape is 3.1; expected -1 to 3"),
    ):
        assert generate.main([*base, "--slide", word]) == 2
        error = capsys.readouterr().err
        assert told in error and error.count("\n") == 1, error
    assert name.read_bytes() == before
    normal = [*base, "--prior=normal", "--slide=shape=2"]
    assert generate.main(normal) == 0
    assert "no learned prior: --slide changes nothing" in capsys.readouterr().err


def test_slides_of_refuses_what_is_no_slide():
    with pytest.raises(PromptError, match="did you mean 'habitat'"):
        slides_of({"habitt": 1})
