"""How much of an attribute, and of another picture: recipes, tiles and the command."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pokejax import Sampler, generate
from pokejax.attributes import CONDITIONS, Attributes
from pokejax.inference import programs
from pokejax.inference.recipe import PromptError, Recipe, slides_of
from pokejax.inference.slides import slid_rows
from pokejax.models import thumbnail

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


def test_more_goes_on_where_none_and_all_have_led(
    sampler: Sampler, monkeypatch: pytest.MonkeyPatch
):
    """The way of a picture from 0 to 1, which is a straight one in a single step."""
    # Nor is what is compiled for others shared, which holds the vote.
    own = programs._model_programs.__wrapped__
    monkeypatch.setattr(programs, "_model_programs", own)
    monkeypatch.setattr(thumbnail, "agreed", lambda logits, palette: logits)
    monkeypatch.setattr(programs, "even_out", lambda z, drawn: z)
    header = sampler.bundle.header
    prior = dataclasses.replace(header.config.prior, steps=1)
    config = dataclasses.replace(header.config, prior=prior)
    header = dataclasses.replace(header, config=config)
    bundle = dataclasses.replace(sampler.bundle, header=header)
    single = Sampler(bundle, sampler.encoder)
    single.imagine = lambda ids, seed, avoided: ids  # nothing else leads
    single.eyes = lambda recipe: None
    at = {
        value: single.sample([slid(FISH, primary_color=value)])[0].image.astype(int)
        for value in (-1, 0, 0.5, 2)
    }
    at[1] = single.sample([FISH])[0].image.astype(int)
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


def test_the_command_goes_from_one_picture_to_another(
    flow_model: Path,
    sampler: Sampler,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    base = ["--prompt", FISH.prompt, "--model", str(flow_model), "--num=2", "--seed=1"]
    base += ["--out", str(tmp_path / "out")]
    assert generate.main([*base, "--to-prompt", "a big blue bird"]) == 0
    files = {path.name: path for path in (tmp_path / "out").glob("a-red*")}
    steps = ("", "_mix=0.25", "_mix=0.5", "_mix=0.75", "_mix=1")
    assert files.keys() == {
        f"a-red-fish_{n}{step}.png" for n in (1, 2) for step in steps
    }
    (fish,) = sampler.generate(FISH.prompt, seed=2)
    bird = Attributes(primary_color="Blue", shape="Avian", size="Large")
    half = dataclasses.replace(
        fish.recipe, towards=Recipe("a big blue bird", bird, 2), mix=0.5
    )
    assert files["a-red-fish_2.png"].read_bytes() == fish.png()
    assert (
        files["a-red-fish_2_mix=0.5.png"].read_bytes()
        == sampler.sample([half])[0].png()
    )
    with Image.open(tmp_path / "out" / "contact_sheet.png") as sheet:
        assert sheet.width == 4 + 5 * (64 + 4)
    # In attributes alone, to another seed, with sliders of what either end knows.
    capsys.readouterr()
    blue = ["--to-set", "primary_color=Blue", "--to-set=size=Tiny", "--to-seed=7"]
    own = ["--set=shape=Aquatic", "--slide=size=2", "--mix=0.3", "--json"]
    assert generate.main([*base, *blue, *own]) == 0
    printed = capsys.readouterr()
    assert "warning" not in printed.err
    told = json.loads(printed.out)
    assert told["prompts"][0]["to"]["attributes"]["primary_color"] == "Blue"
    assert [sample["mix"] for sample in told["samples"]] == [0.3, 0.3]
    with Image.open(told["samples"][1]["path"]) as image:
        texts = image.text  # type: ignore[attr-defined]
    assert (texts["seed"], texts["towards_seed"], texts["mix"]) == ("2", "8", "0.3")
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    to = ("--to-prompt", "a bird")
    for words, wrong in (
        ((*to, "--mix", "0", "1.5"), "--mix is 1.5; expected 0 to 1"),
        ((*to, "--mix=nan"), "--mix is nan; expected 0 to 1"),
        ((*to, "--to-seed=-1"), "where --mix leads: seed is -1; expected 0 to"),
        (("--to-prompt", " "), "where --mix leads: the prompt is empty"),
        (("--to-set", "size=Tinny"), "did you mean 'Tiny'?"),
        (("--mix=0.5",), "--mix needs --to-prompt, --to-set or --to-seed"),
        ((*to, "--sweep=size"), "--sweep doesn't go with a way to another picture"),
    ):
        assert generate.main([*base, *words]) == 2
        error = capsys.readouterr().err
        assert wrong in error and error.count("\n") == 1, error
    assert {path: path.read_bytes() for path in before} == before
