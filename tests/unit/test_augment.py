import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokejax.config import DataConfig
from pokejax.training.augment import augment, resample

OFF = DataConfig(flip=False)


@pytest.fixture
def image(key: jax.Array) -> jax.Array:
    return jax.random.uniform(key, (64, 16, 16, 3), minval=-1)


def test_all_off_changes_nothing(image: jax.Array, key: jax.Array):
    np.testing.assert_array_equal(augment(image, key, OFF), image)


def test_flip_mirrors_about_half(image: jax.Array, key: jax.Array):
    out = np.asarray(augment(image, key, DataConfig(flip=True)))
    mirrored = (out == np.asarray(image)[:, :, ::-1]).all(axis=(1, 2, 3))
    kept = (out == np.asarray(image)).all(axis=(1, 2, 3))
    assert (mirrored | kept).all()
    assert 20 < mirrored.sum() < 44


def test_whole_pixel_shift_and_mirror_are_exact(image: jax.Array):
    one, two = jnp.ones(64), jnp.full((2, 64), 2.0)
    shifted = np.asarray(resample(image, one, one, two.at[1].set(-3)))
    np.testing.assert_allclose(shifted[:, 2:, :-3], image[:, :-2, 3:], atol=1e-5)
    np.testing.assert_allclose(shifted[:, :2], 1, atol=1e-6)  # white came in
    np.testing.assert_allclose(shifted[:, :, -3:], 1, atol=1e-6)
    mirrored = resample(image, one, -one, jnp.zeros((2, 64)))
    np.testing.assert_allclose(mirrored, image[:, :, ::-1], atol=1e-5)


def test_shrinking_keeps_the_centre_and_brings_white(image: jax.Array):
    half = jnp.full(64, 0.5)
    small = np.asarray(resample(image, half, half, jnp.zeros((2, 64))))
    np.testing.assert_allclose(small[:, :4], 1, atol=1e-6)
    # New pixel 7 lies half-way between old pixels 6 and 7 in both directions.
    expected = np.asarray(image[:, 6:8, 6:8]).mean(axis=(1, 2))
    np.testing.assert_allclose(small[:, 7, 7], expected, atol=1e-5)


def test_color_jitter_keeps_white_and_range(image: jax.Array, key: jax.Array):
    config = DataConfig(flip=False, color_jitter=0.3)
    image = image.at[:, 0, 0].set(1.0)
    out = np.asarray(augment(image, key, config))
    np.testing.assert_allclose(out[:, 0, 0], 1, atol=1e-6)
    assert out.min() >= -1 and out.max() <= 1
    assert np.abs(out - np.asarray(image)).max() > 0.05


def test_nothing_but_background_leaves_the_picture(key: jax.Array):
    # A creature's outermost pixels, two from the border; one picture has nothing on it.
    dots = jnp.ones((512, 64, 64, 4))
    for y, x in ((2, 20), (61, 40), (30, 2), (35, 61)):
        dots = dots.at[1:, y, x].set(-1.0)
    out = np.asarray(augment(dots, key, DataConfig(max_shift=0.05, max_scale=0.1)))
    ink = 1 - out[1:].min(axis=-1)
    for border in (ink[:, :15], ink[:, -15:], ink[:, :, :15], ink[:, :, -15:]):
        assert border.max(axis=(1, 2)).min() > 0.3
    moved = ink.argmax(axis=1).reshape(511, -1)
    assert len(np.unique(moved, axis=0)) > 100  # still augmented
    assert (out[0] == 1).all()


def test_shifts_stay_within_the_limit(key: jax.Array):
    dot = jnp.ones((64, 16, 16, 3)).at[:, 8, 8].set(-1.0)
    out = np.asarray(augment(dot, key, DataConfig(flip=False, max_shift=0.125)))
    rows = np.unique(np.argwhere(out[..., 0] < 0.9)[:, 1])
    assert rows.min() >= 5 and rows.max() <= 11 and len(rows) > 3
