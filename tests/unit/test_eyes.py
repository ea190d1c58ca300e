"""Eyes, drawn on fronts."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_parts import ball

from pokejax.attributes import COLORS, Attributes
from pokejax.images.colors import name_of
from pokejax.images.pixels import to_uint8
from pokejax.inference.eyes import (
    Eyes,
    Face,
    draw_eyes,
    eyes_of,
    face_of,
    smooth_face,
)
from pokejax.inference.recipe import Kin, Recipe, Start
from pokejax.inference.sampler import Sampler
from pokejax.prompts.rules import parse_by_rules


def smooth(z: np.ndarray) -> tuple[np.ndarray, Face]:
    nothing = jnp.zeros((1, 16, 16))
    changed, found = smooth_face(z.reshape(1, -1), jnp.ones(1, bool), nothing)
    return np.asarray(changed).reshape(z.shape), found


def draw(z: np.ndarray, color: str = "", seed: int = 0) -> tuple[np.ndarray, ...]:
    """RGB of a thumbnail in squares with eyes on them, and these eyes' pixels."""
    large = to_uint8(z).repeat(4, axis=0).repeat(4, axis=1)
    large[..., 3] = np.where(large[..., 3] < 128, 0, 255)
    _, found = smooth(z)
    images, where = draw_eyes(large[None], Eyes.of(1, [color], [seed]), found, side=16)
    return np.asarray(images[0]), np.asarray(where[0])


def recipe(prompt: str, **changes: Any) -> Recipe:
    return replace(Recipe(prompt, parse_by_rules(prompt).attributes, 3), **changes)


def face(z: np.ndarray) -> tuple[int, int]:
    opaque = (z[None, ..., 3] + 1) / 2
    row, column = face_of(jnp.asarray(opaque), jnp.zeros_like(opaque))
    return int(row[0]), int(column[0])


def test_a_face_is_where_a_creature_is_broad_and_high_up():
    at = np.arange(16)
    body = (abs(at[:, None] - 11) < 4) & (abs(at[None] - 7) < 3)
    head = (abs(at[:, None] - 5) < 3) & (abs(at[None] - 9) < 4)
    horn = (at[:, None] < 3) & (at[None] == 9)
    opaque = (body | head | horn).astype(np.float32)
    row, column = face(np.stack([0 * opaque] * 3 + [2 * opaque - 1], axis=-1))
    assert 4 <= row <= 6 and 8 <= column <= 10
    taken = (head & (at[None] > 7)).astype(np.float32)
    _, beside = face_of(jnp.asarray(opaque[None]), jnp.asarray(taken[None]))
    assert beside[0] < column


def test_a_face_is_smooth():
    z = ball()
    z[..., :3] += 0.1 * np.random.default_rng(0).normal(size=(16, 16, 3))
    changed, found = smooth(z)
    row, column = face(z)
    assert (int(found.row[0]), int(found.column[0])) == (row, column)
    there = slice(row, row + 3), slice(column - 1, column + 2)
    noise = [x[there][..., :3].std(axis=(0, 1)).max() for x in (z, changed)]
    assert noise[1] < 0.3 * noise[0]
    np.testing.assert_array_equal(changed[row + 4 :], z[row + 4 :])
    np.testing.assert_array_equal(changed[..., 3], z[..., 3])


def test_there_are_two_eyes_beside_the_middle_of_the_face():
    z = ball()
    row, column = face(z)
    image, where = draw(z)
    y, x = np.nonzero(where)
    assert 4 * row <= y.min() and y.max() < 4 * row + 5
    assert x.min() < 4 * column <= x.max() - 4
    assert not where[:, 4 * column : 4 * column + 4].any()
    left, right = where[:, : 4 * column].sum(), where[:, 4 * column + 4 :].sum()
    assert left == right > 9
    # Dark, with some shine.
    brightness = image[where][:, :3].mean(axis=1)
    assert (brightness < 40).sum() > 2 * (brightness > 240).sum() > 0
    plain = to_uint8(z).repeat(4, axis=0).repeat(4, axis=1)
    np.testing.assert_array_equal(image[~where][:, :3], plain[~where][:, :3])


def test_five_seeds_in_a_row_have_five_kinds_of_eyes():
    masks = {draw(ball(), seed=seed)[0].tobytes() for seed in range(10)}
    assert len(masks) == 5


def test_narrow_faces_have_small_eyes():
    at = np.arange(16)
    pole = (abs(at[None] - 7) < 2) & (at[:, None] > 3) & (at[:, None] < 13)
    color = np.where(pole[..., None], 0.3, 1.0) * np.ones(3)
    z = np.dstack([color, 2 * pole - 1]).astype(np.float32)
    assert 0 < draw(z)[1].sum() < draw(ball())[1].sum() / 2


def test_eyes_are_light_in_dark_faces_and_have_the_colour_that_is_named():
    z = ball()
    z[..., :3] = np.where(z[..., 3:] > 0, -0.8, z[..., :3])
    image, where = draw(z)
    assert (image[where][:, :3].min(axis=1) > 200).sum() > where.sum() / 2
    for dark in (z, ball()):
        image, where = draw(dark, "Red")
        assert (name_of(image[where][:, :3]) == COLORS.index("Red")).sum() >= 6


def test_rows_without_eyes_keep_their_bits():
    z = np.asarray(jax.random.normal(jax.random.key(0), (3, 1024)))
    eyes = Eyes.of(3, [None, ""], [0, 0])
    changed, found = smooth_face(z, eyes.given, jnp.zeros((3, 16, 16)))
    assert list((np.asarray(changed) == z).all(axis=1)) == [True, False, True]
    images = np.full((3, 64, 64, 4), 128, np.uint8)
    drawn, where = draw_eyes(images, eyes, found, side=16)
    same = [bool((drawn[i] == images[i]).all()) for i in range(3)]
    assert same == [True, False, True]
    assert [bool(where[i].any()) for i in range(3)] == [False, True, False]


@pytest.mark.parametrize(
    ("prompt", "color"),
    [
        ("a small blue cat", ""),
        ("a white cat with blue eyes", "Blue"),
        ("a black cat", "Yellow"),
        ("a red-eyed frog", "Red"),
        ("a ghost without eyes", None),
        ("an eyeless worm", None),
        ("a dog with no face", None),
        ("a cat without red eyes", ""),
        ("a blue cat from behind", None),
    ],
)
def test_who_has_which_eyes(prompt: str, color: str | None):
    assert eyes_of(recipe(prompt)) == color


def test_what_else_decides():
    given = np.full((64, 64, 4), 255, np.uint8)
    cat = "a black cat with yellow eyes"
    assert eyes_of(recipe(cat, start=Start.of(given, strength=0.9))) is None
    assert eyes_of(recipe(cat, start=Start.of(given, strength=1.0))) == "Yellow"
    assert eyes_of(recipe(cat, kin=Kin(given.tobytes(), "back"))) is None
    assert eyes_of(recipe(cat, kin=Kin(given.tobytes(), "evolution"))) == "Yellow"
    assert eyes_of(recipe(cat, negative="yellow eyes")) == ""
    assert eyes_of(recipe(cat, negative="eyes")) is None
    assert eyes_of(recipe(cat, negative="a dog")) == "Yellow"
    assert eyes_of(recipe("a red cat with blue eyes", negative="blue eyes")) == ""
    assert eyes_of(recipe(cat, attributes=Attributes(view="back"))) is None


def test_eyes_keep_their_colour_where_hues_are_turned():
    sampler = Sampler.load()
    wolf, yellow = "a black wolf with yellow eyes", COLORS.index("Yellow")

    def seen(**options: Any) -> list[int]:
        pictures = sampler.generate(wolf, num=8, seed=0, **options)
        inside = [x.rgba[x.rgba[..., 3] > 0][:, :3] for x in pictures]
        return [int((name_of(rgb) == yellow).sum()) for rgb in inside]

    assert np.median(seen(colors=15)) >= 6
    alone = sampler.generate(wolf, seed=5)[0]
    together = sampler.generate(wolf, num=8, seed=0)[5]
    np.testing.assert_array_equal(alone.rgba, together.rgba)
    sampler.eyes = lambda recipe: None
    assert np.median(seen(colors=15)) <= 2
