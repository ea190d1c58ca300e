"""Parts in colours of their own, painted onto thumbnails."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

from pokejax.attributes import COLORS, Attributes
from pokejax.images.colors import name_of, primary_and_secondary
from pokejax.inference.eyes import EYES
from pokejax.inference.parts import PLACES, Painted, paint_parts, parts_of
from pokejax.inference.recipe import Kin, Recipe, Start
from pokejax.inference.sampler import Sampler
from pokejax.prompts.lexicon import PLACES as NAMED
from pokejax.prompts.rules import parse_by_rules

TURTLE = "a small blue water turtle with a red shell"


def ball(radius: float = 5.5, side: int = 16) -> np.ndarray:
    """A blue disc's thumbnail, with a rim half of which is white."""
    at = np.arange(side) - (side - 1) / 2
    away = np.hypot(at[:, None], at[None])
    opaque = np.clip(radius + 0.5 - away, 0, 1)[..., None]
    rgb = opaque * np.array([-0.5, -0.3, 0.6]) + (1 - opaque)
    return np.concatenate([rgb, 2 * opaque - 1], axis=-1).astype(np.float32)


def paint(z: np.ndarray, **colors: str) -> tuple[np.ndarray, np.ndarray]:
    painted, share = paint_parts(z.reshape(1, -1), *Painted.of(1, {0: colors}))
    return np.asarray(painted).reshape(z.shape), np.asarray(share[0])


def test_every_place_that_can_be_read_can_be_painted():
    assert [*PLACES, EYES] == list(NAMED)


@pytest.mark.parametrize("color", COLORS)
def test_paints_are_what_they_are_called(color: str):
    paint = Painted.of(1, {0: {"back": color}}).paint[0, 0]
    rgb = np.round((paint + 1) * 127.5).astype(np.uint8)[None]
    assert COLORS[name_of(rgb)[0]] == color


@pytest.mark.parametrize(
    ("place", "row"), [("head", 3), ("back", 6), ("belly", 9), ("feet", 12)]
)
def test_a_place_is_where_it_should_be(place: str, row: int):
    z = ball()
    painted, share = paint(z, **{place: "Red"})
    assert painted[row, 7, 0] > 0.3 > painted[row, 7, 2]  # red, and hardly blue
    rows = np.arange(16)[:, None]
    assert abs((share * rows).sum() / share.sum() - row) < 1.6
    np.testing.assert_array_equal(painted[..., 3], z[..., 3])
    outside = z[..., 3] == -1
    np.testing.assert_array_equal(painted[outside], z[outside])
    assert (share[outside] == 0).all() and np.abs(painted).max() <= 1


def test_light_and_shadow_stay():
    z = ball()
    z[5:8, 7, :3] -= 0.3
    painted, _ = paint(z, back="Green")
    assert (painted[5:8, 7, :3].mean() < painted[5:8, 9, :3].mean() - 0.1).all()


def test_rows_without_a_part_keep_their_bits_whatever_is_beside_them():
    z = np.asarray(jax.random.normal(jax.random.key(0), (4, 1024)))
    painted, share = paint_parts(z, *Painted.of(4, {2: {"belly": "White"}}))
    same = (np.asarray(painted) == z).all(axis=1)
    assert list(same) == [True, True, False, True]
    assert list(np.asarray(share).max(axis=(1, 2)) > 0) == [False, False, True, False]
    blank = np.tile(np.array([1, 1, 1, -1], np.float32), 256)[None]
    nothing, _ = paint_parts(blank, *Painted.of(1, {0: {"back": "Red"}}))
    np.testing.assert_array_equal(nothing, blank)


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    return Sampler.load()


def test_a_blue_turtle_has_a_red_back(sampler: Sampler):
    samples = sampler.generate(TURTLE, num=16, seed=0)
    seen = [primary_and_secondary(Image.fromarray(sample.rgba)) for sample in samples]
    assert seen.count(("Blue", "Red")) >= 9
    # Once more alone: what is drawn beside a picture changes nothing of it.
    alone = sampler.generate(TURTLE, seed=5)[0]
    np.testing.assert_array_equal(alone.rgba, samples[5].rgba)


def test_what_is_given_keeps_its_colours(sampler: Sampler):
    """Neither a start nor a relative is painted, nor a belly on a back."""
    read = Attributes(primary_color="Blue")
    given = np.full((64, 64, 4), 255, np.uint8)
    given[16:48, 16:48, :3] = (60, 90, 220)
    for start, kin in (
        (Start.of(given), None),
        (None, Kin(given.tobytes(), "back")),
    ):
        pictures = [
            sampler.sample([Recipe(prompt, read, 3, start=start, kin=kin)])[0]
            for prompt in ("a blue turtle", TURTLE)
        ]
        reds = [(name_of(p.image.reshape(-1, 3)) == 0).mean() for p in pictures]
        assert max(reds) < 0.05
    behind = Attributes(primary_color="Blue", view="back")
    recipe = Recipe("a blue bear with a yellow belly, from behind", behind, 3)
    assert parts_of(recipe) == {}


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({}, {"back": "Red"}),
        ({"attributes": Attributes(secondary_color="Green")}, {"back": "Red"}),
        ({"slides": (("secondary_color", 0.0),)}, {}),
        ({"slides": (("secondary_color", 2.0),)}, {"back": "Red"}),
        ({"negative": "a red shell"}, {}),
        ({"negative": "a green dragon"}, {"back": "Red"}),
        ({"towards": Recipe("a fox", Attributes(), 1), "mix": 0.6}, {}),
        ({"towards": Recipe("a fox", Attributes(), 1), "mix": 0.4}, {"back": "Red"}),
    ],
    ids=str,
)
def test_what_is_asked_for_beside_the_prompt_counts(
    change: dict[str, Any], parts: dict[str, str]
):
    read = parse_by_rules(TURTLE).attributes
    given = change.get("attributes", Attributes())
    recipe = Recipe(TURTLE, read.override(given), 1)
    others = {name: value for name, value in change.items() if name != "attributes"}
    assert parts_of(replace(recipe, **others)) == parts


def test_painted_pictures_have_few_colours(sampler: Sampler):
    for sample in sampler.generate(TURTLE, num=16, seed=0, colors=0):
        seen = np.unique(sample.rgba[sample.rgba[..., 3] > 0], axis=0)
        assert len(seen) <= 16 + 2  # two that only eyes have


def test_of_two_places_the_later_one_lies_above():
    both, share = paint(ball(), back="Red", belly="Yellow")
    only, own = paint(ball(), belly="Yellow")
    sure = own > 0.97
    assert sure.sum() >= 6
    np.testing.assert_allclose(both[sure], only[sure], atol=0.1)
    assert (share >= own).all()


def test_far_from_a_place_nothing_changes():
    z = ball()
    painted, _ = paint(z, head="Red")
    np.testing.assert_allclose(painted[9:], z[9:], atol=1e-4)
