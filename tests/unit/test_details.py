"""What a given picture has beyond its thumbnail: kept, left out, and learned alone."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pokejax.config import Config, ConfigError, ModelConfig, TrainConfig
from pokejax.models.cvae import CVAE
from pokejax.models.details import present, some_of

MODEL = ModelConfig(
    latent="thumbnail", channels=(8, 16), latent_dim=256, blocks=1, details=4
)
SIDE = 8


@pytest.fixture(scope="module")
def model() -> CVAE:
    return CVAE(MODEL, image_size=4 * SIDE, text_dim=4, rngs=nnx.Rngs(0))


def details_of(image: jax.Array, model: CVAE) -> jax.Array:
    return model.encoder.details(image)  # type: ignore[union-attr]


def decoded(model: CVAE, z: jax.Array, details: jax.Array | None) -> np.ndarray:
    cond = model.condition(jnp.zeros((2, 4)), jnp.zeros((2, 12), jnp.int32))
    return np.asarray(model.decoder(z, cond, dropout_key=None, details=details))  # type: ignore[call-arg]


def test_only_places_with_details_change(model: CVAE, key: jax.Array):
    image = jax.random.uniform(key, (2, 4 * SIDE, 4 * SIDE, 4), minval=-1)
    z = model.encoder(image, jnp.zeros((2, 0)), dropout_key=None)[0]
    details = details_of(image, model)
    assert details.shape == (2, SIDE, SIDE, 4) and bool(present(details).all())
    bare = decoded(model, z, None)
    np.testing.assert_array_equal(decoded(model, z, jnp.zeros_like(details)), bare)
    some = decoded(model, z, details.at[:, :, SIDE // 2 :].set(0))
    half = 2 * SIDE
    np.testing.assert_array_equal(some[:, :, half:], bare[:, :, half:])
    assert (some[:, :, :half] != bare[:, :, :half]).any()


def test_a_rebuilt_picture_has_its_details(model: CVAE, key: jax.Array):
    image = jax.random.uniform(key, (2, 4 * SIDE, 4 * SIDE, 4), minval=-1)
    known = jnp.zeros((2, 4)), jnp.zeros((2, 12), jnp.int32)
    recon, mean, _ = model(image, *known, noise=jnp.zeros((2, 256)))
    kept = decoded(model, mean, details_of(image, model))
    np.testing.assert_allclose(recon, kept, atol=1e-5)


def test_parts_are_left_out_of_half_of_the_pictures(key: jax.Array):
    there = present(some_of(jnp.ones((400, SIDE, SIDE, 3)), key))
    parts = np.asarray(there).reshape(400, 4, 2, 4, 2)
    assert (parts == parts[:, :, :1, :, :1]).all()
    share = parts.mean(axis=(1, 2, 3, 4))
    assert 0.4 < (share == 1).mean() < 0.6
    assert share[share < 1].min() < 0.1 and share[share < 1].max() > 0.9


def test_details_belong_to_a_thumbnail_whose_upsampler_is_trained():
    with pytest.raises(ConfigError, match=r"model\.details is 4; expected .* unless"):
        replace(MODEL, latent="vector", channels=(8, 16, 32))
    with pytest.raises(ConfigError, match=r"details is 4; .* unless train\.start_from"):
        Config(model=replace(MODEL, latent_dim=1024))
    Config(
        model=replace(MODEL, latent_dim=1024),
        train=TrainConfig(start_from="runs/sharp.safetensors"),
    )
