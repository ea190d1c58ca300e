"""What prompts leave open, as it is in some creature that fits the rest."""

from pathlib import Path

import numpy as np
import pytest

from data_tools import known_creatures
from pokejax import Sampler
from pokejax.attributes import CONDITIONS, UNKNOWN_ID, VOCABULARIES, Attributes
from pokejax.inference.recipe import Kin, Recipe, Start
from pokejax.prompts.imagine import CREATURES, imagined
from pokejax.prompts.rules import parse_by_rules

COUNT = len(VOCABULARIES)
NAMES = list(CONDITIONS)


def ids_of(prompt: str) -> np.ndarray:
    return Attributes(view="front").override(parse_by_rules(prompt).attributes).ids()


def test_what_is_known_stays_and_the_rest_is_some_creatures():
    ids = ids_of("a small blue water turtle")
    known = ids != UNKNOWN_ID
    table = np.load(CREATURES, allow_pickle=False)
    for seed in range(20):
        found = imagined(ids, seed, None)
        np.testing.assert_array_equal(found[known], ids[known])
        assert (found[:COUNT] != UNKNOWN_ID).all()
        assert (table == found[None, :COUNT]).all(axis=1).any()
        np.testing.assert_array_equal(found, imagined(ids, seed, None))
    assert len({imagined(ids, seed, None).tobytes() for seed in range(20)}) > 5


def test_what_no_creature_is_comes_from_those_that_are_most_of_it():
    ids = ids_of("a legendary mythical tiny gray poison and fairy fish in the sky")
    found = imagined(ids, 0, None)
    known = ids != UNKNOWN_ID
    np.testing.assert_array_equal(found[known], ids[known])


def test_what_is_to_be_avoided_is_not_imagined():
    avoided = ids_of("a red fire dragon")
    for seed in range(50):
        found = imagined(ids_of("a big creature"), seed, avoided)
        same = found[:COUNT] == avoided[:COUNT]
        assert not same[avoided[:COUNT] != UNKNOWN_ID].any()


def test_all_that_is_known_stays_as_it_is():
    row = np.load(CREATURES, allow_pickle=False)[7].astype(np.int32)
    ids = np.concatenate([row, [0, 0]]).astype(np.int32)
    assert imagined(ids, 3, None) is ids


def test_relatives_and_what_is_settled_leave_it_open(flow_model: Path):
    sampler = Sampler.load(flow_model)
    side = sampler.image_size
    given = np.full((side, side, 4), 255, np.uint8)
    open_ones = Recipe("a fish", parse_by_rules("a fish").attributes, 3)
    assert (sampler._ids(open_ones, open_ones)[:COUNT] != UNKNOWN_ID).all()
    for recipe in (
        Recipe("a fish", open_ones.attributes, 3, kin=Kin(given.tobytes(), "back")),
        Recipe("a fish", open_ones.attributes, 3, temperature=0),
        Recipe("a fish", open_ones.attributes, 3, start=Start.of(given, strength=0)),
    ):
        usual = sampler._usual.override(recipe.attributes).ids()
        np.testing.assert_array_equal(sampler._ids(recipe, recipe), usual)


def test_the_table_is_made_from_a_dataset(
    drawn_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "creatures.npy"
    argv = ["--image-size=32", "--out", str(out)]
    assert known_creatures.main(["--data", str(drawn_dataset), *argv]) == 0
    table = np.load(out, allow_pickle=False)
    assert f"{len(table)} creatures" in capsys.readouterr().out
    assert table.dtype == np.int8 and table.shape[1] == COUNT
    assert known_creatures.main(["--data", str(tmp_path / "none"), *argv]) == 2
    assert len(np.load(out, allow_pickle=False)) == len(table)
