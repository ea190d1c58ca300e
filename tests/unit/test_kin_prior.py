"""Learning beside relatives: which, changed how, and from what weights."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pokejax.attributes import UNKNOWN_ID
from pokejax.config import (
    Config,
    ConfigError,
    DataConfig,
    ModelConfig,
    PriorConfig,
    TextConfig,
)
from pokejax.data.split import Dataset, Split
from pokejax.models.prior import Prior, advance
from pokejax.training.feed import Feed
from pokejax.training.mesh import make_mesh
from pokejax.training.step import augmented, beside_relatives, gather, split_arrays

MODEL = ModelConfig(latent="thumbnail", channels=(8, 16), latent_dim=256, blocks=1)
PLAIN = PriorConfig(width=32, depth=1, heads=2, patch=4)
LEARNS = dataclasses.replace(PLAIN, relative_prob=0.5)


def make(config: PriorConfig) -> Prior:
    return Prior(config, MODEL, image_size=32, text_dim=4, rngs=nnx.Rngs(0))


@pytest.fixture
def split() -> Split:
    """Eight pictures; the first six are the second row's front, and so on."""
    rng = np.random.default_rng(0)
    relatives = np.full((8, 4), -1, np.int32)
    relatives[:6, 0], relatives[:3, 3] = [1, 0, 3, 2, 5, 4], [7, 7, 7]
    return Split(
        rng.integers(0, 256, (8, 16, 16, 3), np.uint8),
        np.full((8, 16, 16), 255, np.uint8),
        np.zeros((8, 12), np.int32),
        np.zeros((8, 1), np.int32),
        np.ones(8, np.int32),
        np.ones(8, np.float32),
        relatives,
    )


def test_it_begins_as_the_prior_without_relatives(key: jax.Array):
    plain, learns = make(PLAIN), make(LEARNS)
    x = jax.random.normal(key, (3, 256))
    cond = plain.embed(jnp.ones((3, 4)), jnp.zeros((3, 12), jnp.int32))
    time, one = jnp.full(3, 0.3), jnp.ones(3)
    # A flow that moves, which its last layer's zeros would keep from it.
    kernel = 0.1 * jax.random.normal(key, plain.token_out.kernel.shape)
    plain.token_out.kernel[...] = learns.token_out.kernel[...] = kernel
    beside, change = learns.relate(x[::-1], jnp.array([0, 3, UNKNOWN_ID]))
    assert beside.shape == (3, 4, 32)
    before = advance(plain, x, time, one, cond, 0 * cond, 2 * one)
    after = advance(
        learns, x, time, one, cond + change, 0 * cond, 2 * one, beside=beside
    )
    np.testing.assert_array_equal(before, after)
    # Once it has learned, only rows with a relative change.
    learns.relative_in.kernel[...] = 0.1 * jax.random.normal(key, (64, 32))
    learns.relations.embedding[...] = jnp.arange(4.0)[:, None] * jnp.ones((4, 32))
    beside, change = learns.relate(x[::-1], jnp.array([0, 3, UNKNOWN_ID]))
    assert not beside[2].any() and not change[2].any()
    assert beside[:2].any() and (change[1] == 3).all()
    after = advance(
        learns, x, time, one, cond + change, 0 * cond, 2 * one, beside=beside
    )
    np.testing.assert_array_equal(before[0][2], after[0][2])
    assert (np.abs(before[0] - after[0])[:2].max(axis=1) > 1e-3).all()


def test_taken_rows_keep_the_relatives_among_them(split: Split):
    taken = split.take(np.array([0, 1, 2, 7, 0]))
    assert taken.relatives is not None
    front, frame = taken.relatives[:, 0], taken.relatives[:, 3]
    assert front[[0, 2, 3, 4]].tolist() == [1, -1, -1, 1] and front[1] in (0, 4)
    assert frame.tolist() == [3, 3, 3, -1, 3]


def test_each_picture_is_beside_one_of_its_relatives(split: Split, key: jax.Array):
    arrays = split_arrays(split, np.zeros((1, 4), np.float16))
    rows = np.arange(800) % 8
    drawn = beside_relatives(arrays, jnp.asarray(rows), key, 0.5)
    beside, relation = map(np.asarray, drawn)
    shown = relation != UNKNOWN_ID
    np.testing.assert_array_equal(beside[~shown], rows[~shown])
    assert split.relatives is not None
    np.testing.assert_array_equal(
        beside[shown], split.relatives[rows[shown], relation[shown]]
    )
    assert not shown[rows > 5].any()  # they have none
    assert 0.4 < shown[rows < 6].mean() < 0.6
    both = relation[shown & (rows < 3)]
    assert set(both.tolist()) == {0, 3} and 0.3 < (both == 0).mean() < 0.7


def test_data_that_show_no_relatives_are_refused(split: Split):
    text_emb = np.zeros((1, 4), np.float16)
    config = Config(data=DataConfig(resident_mb=0), prior=LEARNS)
    for train, told in (
        (dataclasses.replace(split, relatives=None), "holds no relatives"),
        (split, "resident_mb is 0; expected at least 1"),
    ):
        splits = {"train": train, "val": train, "test": train}
        dataset = Dataset(splits, text_emb, "some", TextConfig())
        with pytest.raises(ConfigError, match=told):
            Feed(config, dataset, make_mesh(config))


@pytest.mark.parametrize(
    "data",
    [
        DataConfig(flip=True, color_jitter=0.2),
        DataConfig(flip=True, max_shift=0.2, max_scale=0.2),
    ],
)
def test_a_relative_changes_as_the_picture_beside_it(
    split: Split, data: DataConfig, key: jax.Array
):
    # Each picture is its own relative, so both must stay the same.
    own = np.arange(8, dtype=np.int32)[:, None].repeat(4, axis=1)
    arrays = split_arrays(
        dataclasses.replace(split, relatives=own), np.zeros((1, 4), np.float16)
    )
    prior = dataclasses.replace(LEARNS, relative_prob=0.9)
    batch = augmented(arrays, jnp.arange(8), key, Config(data=data, prior=prior))
    assert batch.relative is not None and batch.relation is not None
    assert (batch.relation >= 0).any()
    np.testing.assert_allclose(batch.relative, batch.image, atol=1e-6)
    plain = gather(arrays, jnp.arange(8), jnp.zeros(8, jnp.int32))
    assert np.abs(batch.image - plain.image).max() > 0.01
    # What the pictures become doesn't depend on whether relatives are wanted.
    without = augmented(arrays, jnp.arange(8), key, Config(data=data))
    assert without.relative is None and without.relation is None
    np.testing.assert_allclose(without.image, batch.image, atol=1e-5)
