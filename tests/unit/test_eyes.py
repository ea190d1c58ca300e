"""Eyes, painted onto thumbnails of fronts."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_parts import ball

from pokejax.attributes import COLORS, Attributes
from pokejax.images.colors import name_of
from pokejax.inference.eyes import Eyes, eyes_of, face_of, paint_eyes
from pokejax.inference.recipe import Kin, Recipe, Start
from pokejax.inference.sampler import Sampler
from pokejax.prompts.rules import parse_by_rules


def paint(z: np.ndarray, color: str = "") -> tuple[np.ndarray, np.ndarray]:
    nothing = jnp.zeros((1, 16, 16))
    painted, own = paint_eyes(z.reshape(1, -1), *Eyes.of(1, [color]), nothing)
    return np.asarray(painted).reshape(z.shape), np.asarray(own[0])


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


def test_two_dark_squares_and_a_smooth_face_around_them():
    z = ball()
    z[..., :3] += 0.1 * np.random.default_rng(0).normal(size=(16, 16, 3))
    painted, own = paint(z)
    row, column = face(z)
    for side in (-1, 1):
        assert painted[row, column + side, :3].max() < -0.7
    assert painted[row, column, 2] > 0.2
    below = painted[row + 1 : row + 3, column - 1 : column + 2, :3]
    assert below.std(axis=(0, 1)).max() < 0.06
    np.testing.assert_array_equal(painted[row + 4 :], z[row + 4 :])
    np.testing.assert_array_equal(painted[..., 3], z[..., 3])
    assert not own.any()


def test_eyes_are_light_in_dark_faces_and_have_the_colour_that_is_named():
    z = ball()
    z[..., :3] = np.where(z[..., 3:] > 0, -0.8, z[..., :3])
    row, column = face(z)
    assert paint(z)[0][row, column + 1, :3].min() > 0.5
    red, own = paint(z, "Red")
    assert red[row, column + 1, 0] > 0.3 > red[row, column + 1, 1]
    assert [tuple(x) for x in np.argwhere(own)] == [
        (row, column - 1),
        (row, column + 1),
    ]


def test_rows_without_eyes_keep_their_bits():
    z = np.asarray(jax.random.normal(jax.random.key(0), (3, 1024)))
    painted, _ = paint_eyes(z, *Eyes.of(3, [None, ""]), jnp.zeros((3, 16, 16)))
    assert list((np.asarray(painted) == z).all(axis=1)) == [True, False, True]


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
