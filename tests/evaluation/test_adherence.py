from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pokejax.attributes import COLORS, CONDITIONS, UNKNOWN_ID, Attributes
from pokejax.evaluation import adherence, features, judge
from pokejax.evaluation.reference import Reference
from pokejax.inference.recipe import Recipe
from pokejax.inference.sampler import Sampler
from tests.evaluation.conftest import paint

SHAPE = list(CONDITIONS).index("shape")


class Painter(Sampler):
    """A sampler of known obedience: it paints what it is told, or always the same."""

    def __init__(self, *, obeys: bool):
        self.obeys, self.tile_rows = obeys, 4

    def sample(self, recipes: Sequence[Recipe]) -> list[Any]:
        stubborn = Attributes(primary_color="Blue", shape="Avian")
        default = Attributes(shape="Bipedal")
        return [
            SimpleNamespace(
                image=paint(
                    default.override(recipe.attributes) if self.obeys else stubborn,
                    recipe.seed,
                )
            )
            for recipe in recipes
        ]


def test_judge_reads_shapes_and_fails_on_shuffled_labels(reference: Reference):
    train, test = reference.train, reference.heldout
    layout = features.extract(train.images[:], perceptual=False).layout
    shown = features.extract(test.images[:], perceptual=False).layout
    asked = test.attributes[:, SHAPE]
    assert (
        judge.fit(layout, train.attributes).read(shown)["shape"] == asked
    ).mean() > 0.9
    shuffled = np.random.default_rng(0).permutation(train.attributes)
    control = judge.fit(layout, shuffled).read(shown)["shape"]
    assert (control == asked).mean() < 0.35  # chance: 1/8


def test_judge_leaves_unknown_labels_out_and_weighs_classes_equally():
    rng = np.random.default_rng(1)
    # Two classes that overlap; one is nine times as frequent. The unlabelled pictures
    # look like the rare class.
    ids = np.array([0] * 180 + [1] * 20 + [UNKNOWN_ID] * 200)
    layout = (rng.standard_normal((400, 3)) + (ids != 0)[:, None]).astype(np.float32)
    attributes = np.full((400, len(CONDITIONS)), UNKNOWN_ID, np.int32)
    attributes[:, SHAPE] = ids
    found = judge.fit(layout, attributes)
    assert np.isfinite(found.kernel).all()
    fresh = rng.standard_normal((1000, 3)).astype(np.float32)
    wrong_0 = (found.read(fresh)["shape"] != 0).mean()
    wrong_1 = (found.read(fresh + 1)["shape"] != 1).mean()
    # The best cut stands half-way: each class is on its wrong side one time in five.
    assert 0.1 < wrong_0 < 0.3 and 0.1 < wrong_1 < 0.3


def test_adherence_of_real_labels_and_of_shuffled_ones(reference: Reference):
    real = adherence.read_all(reference.judge, reference.heldout.images[:], "reading")
    asked = reference.heldout.attributes
    found = adherence.adherence(asked, real, real)
    assert found["shape"]["drawn_over_real"] == pytest.approx(1)
    assert found["primary_color"]["real"]["score"] > 0.9
    # The painter knows nothing of size, so nothing can be read.
    assert found["size"]["real"]["score"] < 0.45
    shuffled = np.random.default_rng(2).permutation(asked)
    control = adherence.adherence(shuffled, real, real)
    for name in ("shape", "primary_color"):
        scores = control[name]["drawn"]
        assert scores["interval_95"][0] < scores["chance"] < scores["interval_95"][1]


@pytest.mark.parametrize(("obeys", "expected"), [(True, 1.0), (False, 1 / 11)])
def test_known_painters_get_known_colour_scores(obeys: bool, expected: float):
    painter: Any = Painter(obeys=obeys)
    found = adherence.color_prompts(painter, num=55, seed=0)
    assert found["score"] == pytest.approx(expected, abs=0.04)
    assert set(found["by_color"]) == set(COLORS)


def test_swap_test_sees_what_a_painter_obeys(reference: Reference):
    painter: Any = Painter(obeys=True)
    found = adherence.swap_test(painter, reference, num=40, seed=0)
    for name in ("primary_color", "shape"):
        assert found[name]["becomes"]["score"] > 0.85
        assert found[name]["was_before"] < 0.1
    # Colour and shape are drawn apart, so changing one leaves the other.
    assert found["primary_color"]["others_stay"]["shape"] > 0.85
    assert found["shape"]["others_stay"]["primary_color"] > 0.85
    # Nothing that it draws depends on size and type: all stays, nothing becomes.
    for name in ("size", "type1"):
        assert found[name]["becomes"]["score"] == found[name]["was_before"]
        assert min(found[name]["others_stay"].values()) == 1
    stubborn: Any = Painter(obeys=False)
    found = adherence.swap_test(stubborn, reference, num=40, seed=0)
    assert found["primary_color"]["becomes"]["score"] < 0.3
    assert found["shape"]["becomes"]["score"] < 0.35
