"""Drawn thumbnails made clean."""

import numpy as np
from test_parts import ball

from pokejax.inference.surfaces import even_out


def clean(z: np.ndarray) -> np.ndarray:
    return np.asarray(even_out(z.reshape(1, -1), np.ones(1, bool))).reshape(z.shape)


def test_surfaces_are_even_and_edges_between_colours_stay():
    z = ball()
    inside = z[..., 3] > 0
    right = inside & (np.arange(16) > 7)[None]
    z[right, :3] = (0.9, 0.1, -0.8)
    left = inside & ~right
    noise = 0.1 * np.random.default_rng(0).normal(size=(16, 16, 3))
    evened = clean(np.dstack([z[..., :3] + noise, z[..., 3:]]).astype(np.float32))
    for part in (left, right):
        error = evened[part][:, :3] - z[part][:, :3]
        assert np.abs(error).mean() < 0.5 * np.abs(noise[part]).mean()


def test_squares_that_stand_alone_fade_to_white_and_limbs_stay():
    z = ball()
    body = z[..., 3] > 0
    middle = np.argwhere(body).mean(axis=0).astype(int)
    corner, limb = (0, 0), (slice(0, middle[0]), slice(middle[1] - 1, middle[1] + 1))
    z[corner] = (-1, -1, -1, 1)
    z[limb] = z[tuple(middle)]
    cleaned = clean(z)
    assert cleaned[corner][3] < -0.5 and cleaned[corner][:3].min() > 0.5
    assert (cleaned[limb][1:, :, 3] > 0.5).all()
    assert (cleaned[1:][body[1:]][:, 3] > 0).all()
    assert (cleaned[..., 3] <= z[..., 3] + 1e-6).all()


def test_rows_that_keep_something_of_a_picture_keep_their_bits():
    z = np.random.default_rng(0).normal(size=(2, 1024)).astype(np.float32)
    cleaned = np.asarray(even_out(z, np.array([False, True])))
    assert list((cleaned == z).all(axis=1)) == [True, False]
