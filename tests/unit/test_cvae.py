import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from pokejax.config import ModelConfig
from pokejax.models.convs import up_conv
from pokejax.models.cvae import (
    CVAE,
    EMBEDDING_DIMS,
    CategoryEmbedder,
    ConditionGate,
    parameter_count,
)

TINY = ModelConfig(channels=(4, 8, 16), hidden_dim=32, latent_dim=8)


@pytest.fixture
def model() -> CVAE:
    return CVAE(TINY, image_size=32, text_dim=6, rngs=nnx.Rngs(0))


def test_parameter_counts_are_the_originals():
    """At 768 + 64 condition numbers, its layer lists give exactly these."""
    model = nnx.eval_shape(
        lambda: CVAE(ModelConfig(), image_size=64, text_dim=768, rngs=nnx.Rngs(0))
    )
    assert parameter_count(model.encoder) == 4_977_728
    assert parameter_count(model.decoder) == 4_925_539
    assert parameter_count(model.category_embedder) == 736
    assert parameter_count(model.condition_gate) == 693_056
    assert parameter_count(model) == 10_597_059


def test_shapes_ranges_and_dropout(model: CVAE, key: jax.Array):
    image = jax.random.uniform(key, (3, 32, 32, 3), minval=-1)
    inputs = (image, jnp.ones((3, 6)), jnp.zeros((3, 12), jnp.int32))
    noise = jax.random.normal(key, (3, 8))
    recon, mean, logvar = model(*inputs, noise=noise)
    assert recon.shape == image.shape
    assert mean.shape == logvar.shape == (3, 8)
    assert float(jnp.abs(recon).max()) <= 1
    again, *_ = model(*inputs, noise=noise)
    np.testing.assert_array_equal(recon, again)
    dropped, *_ = model(*inputs, noise=noise, dropout_key=key)
    assert not np.allclose(recon, dropped)


def test_unknown_attributes_embed_as_zeros():
    embedder = CategoryEmbedder(EMBEDDING_DIMS, rngs=nnx.Rngs(0))
    ids = jnp.zeros((1, 12), jnp.int32)
    known = embedder(ids)
    assert known.shape == (1, 64)
    hidden = embedder(ids.at[0, 2].set(-1))  # primary_color: numbers 20 to 27
    np.testing.assert_array_equal(hidden[0, 20:28], np.zeros(8))
    np.testing.assert_array_equal(hidden[0, :20], known[0, :20])
    np.testing.assert_array_equal(hidden[0, 28:], known[0, 28:])


@pytest.mark.parametrize(("bias", "expected"), [(-1e4, 0.0), (1e4, 1.0), (0.0, 0.5)])
def test_gate_closed_open_and_between(bias: float, expected: float):
    gate = ConditionGate(5, rngs=nnx.Rngs(0))
    gate.linear.kernel[...] = jnp.zeros((5, 5))
    gate.linear.bias = nnx.Param(jnp.full(5, bias))
    cond = jnp.arange(10.0).reshape(2, 5)
    np.testing.assert_allclose(gate(cond), expected * cond, rtol=1e-6)


def test_decode_is_forward_from_the_posterior(model: CVAE, key: jax.Array):
    image = jax.random.uniform(key, (2, 32, 32, 3), minval=-1)
    text_emb, attributes = jnp.ones((2, 6)), jnp.zeros((2, 12), jnp.int32)
    recon, mean, _ = model(image, text_emb, attributes, noise=jnp.zeros((2, 8)))
    decoded = model.decode(mean, text_emb, attributes)
    np.testing.assert_allclose(decoded, recon, atol=1e-6)


def test_up_conv_equals_xlas_transposed_convolution(key: jax.Array):
    """Value and both gradients, against the derivative that XLA would take."""
    x = jax.random.normal(key, (2, 4, 6, 3))
    kernel = jax.random.normal(key, (4, 4, 5, 3))

    def reference(x, kernel):
        return lax.conv_general_dilated(
            x,
            jnp.flip(jnp.swapaxes(kernel, 2, 3), (0, 1)),
            (1, 1),
            ((2, 2), (2, 2)),
            lhs_dilation=(2, 2),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )

    cotangent = jax.random.normal(jax.random.fold_in(key, 1), (2, 8, 12, 5))
    y, pull = jax.vjp(up_conv, x, kernel)
    y_reference, pull_reference = jax.vjp(reference, x, kernel)
    np.testing.assert_allclose(y, y_reference, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(pull(cotangent), pull_reference(cotangent), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_unconditional_ignores_text_and_attributes(key: jax.Array):
    config = dataclasses.replace(TINY, conditional=False)
    model = CVAE(config, image_size=32, text_dim=6, rngs=nnx.Rngs(0))
    assert parameter_count(model) == (
        parameter_count(model.encoder) + parameter_count(model.decoder)
    )
    z = jax.random.normal(key, (1, 8))
    attributes = jnp.zeros((1, 12), jnp.int32)
    drawn = model.decode(z, jnp.ones((1, 6)), attributes)
    np.testing.assert_array_equal(
        drawn, model.decode(z, jnp.zeros((1, 6)), attributes + 1)
    )
    assert not np.allclose(drawn, model.decode(-z, jnp.ones((1, 6)), attributes))
