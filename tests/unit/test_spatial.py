import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pokejax.config import ModelConfig
from pokejax.models.cvae import CVAE

TINY = ModelConfig(latent="spatial", channels=(8, 8, 16), latent_dim=48, blocks=1)


@pytest.mark.parametrize("image_size", [16, 32])
def test_a_flat_z_of_the_same_length(image_size: int, key: jax.Array):
    model = CVAE(TINY, image_size=image_size, text_dim=6, rngs=nnx.Rngs(0))
    image = jax.random.uniform(key, (2, image_size, image_size, 3), minval=-1)
    text_emb, attributes = jnp.ones((2, 6)), jnp.zeros((2, 12), jnp.int32)
    noise = jax.random.normal(key, (2, 48))
    recon, mean, logvar = model(image, text_emb, attributes, noise=noise)
    assert recon.shape == image.shape and mean.shape == logvar.shape == (2, 48)
    assert float(jnp.abs(recon).max()) <= 1
    encoded = model.encode(image, text_emb, attributes)
    np.testing.assert_array_equal(encoded, (mean, logvar))


def test_z_keeps_its_place(key: jax.Array):
    """A change of z's top left corner changes the picture there more than elsewhere."""
    model = CVAE(TINY, image_size=32, text_dim=6, rngs=nnx.Rngs(0))
    text_emb, attributes = jnp.ones((1, 6)), jnp.zeros((1, 12), jnp.int32)
    z = jax.random.normal(key, (1, 4, 4, 3))
    corner = z.at[:, 0, 0].add(2.0)
    change = jnp.abs(
        model.decode(z.reshape(1, -1), text_emb, attributes)
        - model.decode(corner.reshape(1, -1), text_emb, attributes)
    ).mean(axis=(0, 3))
    assert change[:8, :8].mean() > 5 * change[16:, 16:].mean()


def test_two_halvings_give_a_finer_map():
    config = ModelConfig(
        latent="spatial", channels=(8, 16), latent_dim=8 * 8 * 2, blocks=1
    )
    model = CVAE(config, image_size=32, text_dim=4, rngs=nnx.Rngs(0))
    image, text, ids = jnp.zeros((1, 32, 32, 3)), jnp.zeros((1, 4)), -jnp.ones((1, 12))
    mean, _ = model.encode(image, text, ids.astype(jnp.int32))
    assert config.latent_side(32) == 8 and mean.shape == (1, 128)
    assert model.decode(mean, text, ids.astype(jnp.int32)).shape == image.shape
