"""Thumbnails as latents, the upsampler, and the critic."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pokejax.config import Config, ConfigError, LossConfig, ModelConfig
from pokejax.models.critic import Critic, fools, tells_apart
from pokejax.models.cvae import CVAE
from pokejax.models.thumbnail import COLORS, NOISE, agreed

SMALL = ModelConfig(latent="thumbnail", channels=(8, 16), latent_dim=4 * 8**2, blocks=1)


@pytest.fixture(scope="module")
def model() -> CVAE:
    return CVAE(SMALL, image_size=32, text_dim=6, rngs=nnx.Rngs(0))


def test_z_is_the_picture_made_small(model: CVAE):
    image = jax.random.uniform(jax.random.key(0), (2, 32, 32, 4), minval=-1)
    mean, logvar = model.encode(image, jnp.ones((2, 6)), jnp.zeros((2, 12), jnp.int32))
    small = mean.reshape(2, 8, 8, 4)
    np.testing.assert_allclose(
        small[1, 2, 5], image[1, 8:12, 20:24].mean((0, 1)), atol=1e-6
    )
    np.testing.assert_allclose(jnp.exp(logvar / 2), NOISE, rtol=1e-5)


def test_what_is_transparent_is_white(model: CVAE):
    z = jax.random.normal(jax.random.key(1), (2, SMALL.latent_dim))
    drawn = model.decode(z, jnp.ones((2, 6)), jnp.zeros((2, 12), jnp.int32))
    assert drawn.shape == (2, 32, 32, 4) and float(jnp.abs(drawn).max()) <= 1
    opaque = (drawn[..., 3:] + 1) / 2
    # RGB can't be darker than a black of that opacity on white.
    assert (drawn[..., :3] >= 1 - 2 * opaque - 1e-6).all()


def test_a_drawn_picture_has_few_colors_and_is_cut_out(model: CVAE):
    z = jax.random.normal(jax.random.key(2), (2, SMALL.latent_dim))
    for image in model.decode(z, jnp.ones((2, 6)), jnp.zeros((2, 12), jnp.int32)):
        pixels = np.asarray(image).reshape(-1, 4)
        assert set(pixels[:, 3]) == {-1, 1}
        seen = np.unique(pixels[pixels[:, 3] > 0], axis=0)
        assert 2 < len(seen) <= COLORS


def test_neighbours_outvote_who_isnt_sure_and_specks_in_black():
    palette = jnp.array([[[0.8, 0, 0], [0, 0, 0.8], [-0.9] * 3]])
    red, blue, black, opaque = range(4)
    logits = np.zeros((1, 12, 12, 4), np.float32)
    logits[..., opaque] = 8
    logits[..., red] = 3
    logits[0, 5, 3, blue] = 4  # not sure
    logits[0, 5, 8, blue] = 9  # sure
    logits[0, 2, 5, black] = 6
    logits[0, 8:11, 2:5, black] = 6  # no speck
    logits[0, 7, 9, opaque] = -1
    changed = np.asarray(agreed(jnp.asarray(logits), palette))[0]
    chosen = changed[..., :3].argmax(axis=-1)
    assert [chosen[5, 3], chosen[5, 8], chosen[2, 5]] == [red, blue, red]
    assert (chosen[8:11, 2:5] == black).sum() >= 5
    assert (changed[..., opaque] > 0).all()


def test_training_may_mix_colors_and_has_a_slope(model: CVAE):
    z = jax.random.normal(jax.random.key(3), (8, SMALL.latent_dim))
    cond = model.condition(jnp.ones((8, 6)), jnp.zeros((8, 12), jnp.int32))
    key = jax.random.key(0)

    @jax.jit
    def drawn_and_slope(z):
        def drawn(z):
            image = model.decoder(z, cond, dropout_key=key)
            return image.sum(), image

        (_, image), slope = jax.value_and_grad(drawn, has_aux=True)(z)
        return image, slope

    mixed, slope = drawn_and_slope(z)
    chosen = jax.jit(lambda z: model.decoder(z, cond, dropout_key=None))(z)
    same = np.isclose(mixed, chosen, atol=1e-5).all(axis=(1, 2, 3))
    assert same.any() and not same.all()
    assert (jnp.abs(slope).max(axis=1) > 0).all()


def test_a_thumbnail_has_four_channels():
    with pytest.raises(ConfigError, match="4 times 16 x 16 for a thumbnail"):
        Config(model=ModelConfig(latent="thumbnail", channels=(8, 16), latent_dim=256))
    with pytest.raises(ConfigError, match=r"0 unless model\.latent is thumbnail"):
        Config(loss=LossConfig(adversarial_weight=0.1))


def test_a_critic_learns_to_tell_and_its_opponent_to_fool():
    critic = Critic([5], rngs=nnx.Rngs(0))
    graphdef, params = nnx.split(critic)
    real = jnp.ones((4, 32, 32, 4)), [jnp.ones((4, 8, 8, 5))]
    drawn = -real[0], [jnp.zeros((4, 8, 8, 5))]

    def loss(params):
        critic = nnx.merge(graphdef, params)
        return tells_apart(critic(*real), critic(*drawn)).mean()

    first, slope = loss(params), jax.jit(jax.grad(loss))
    for _ in range(20):
        grads = slope(params)
        params = jax.tree.map(lambda p, g: p - 0.05 * g, params, grads)
    assert loss(params) < 0.5 * first
    critic = nnx.merge(graphdef, params)
    assert (fools(critic(*real)) < fools(critic(*drawn))).all()
