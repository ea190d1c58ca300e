from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from pokejax.attributes import CONDITIONS, UNKNOWN_ID
from pokejax.config import Config, ModelConfig, PriorConfig, TrainConfig
from pokejax.models.prior import Prior, advance, sample
from pokejax.training.step import optimizer

SPATIAL = ModelConfig(latent="spatial", channels=(8, 8, 16), latent_dim=48)
VECTOR = ModelConfig(channels=(8, 8, 16), latent_dim=6)
SMALL = PriorConfig(width=32, depth=2, heads=2)


def make(model: ModelConfig) -> Prior:
    return Prior(SMALL, model, image_size=32, text_dim=4, rngs=nnx.Rngs(0))


@pytest.mark.parametrize(("model", "tokens"), [(SPATIAL, 4), (VECTOR, 1)])
def test_tokens_are_squares_of_the_latent(model: ModelConfig, tokens: int):
    prior = make(model)
    x = jnp.arange(2.0 * model.latent_dim).reshape(2, -1)
    cut = prior._to_tokens(x)
    assert cut.shape == (2, tokens, model.latent_dim // tokens)
    np.testing.assert_array_equal(prior._from_tokens(cut), x)
    if tokens == 4:  # 4x4x3 in squares of 2x2: the first holds the top left corner
        grid = x[0].reshape(4, 4, 3)
        np.testing.assert_array_equal(cut[0, 0], grid[:2, :2].reshape(-1))


def test_normalising_is_undone(key: jax.Array):
    prior = make(SPATIAL)
    prior.shift[...] = jnp.array([1.0, -2.0, 0.5])
    prior.scale[...] = jnp.array([0.5, 2.0, 3.0])
    z = jax.random.normal(key, (2, 48))
    x = prior.normalise(z)
    np.testing.assert_allclose(prior.denormalise(x), z, atol=1e-6)
    np.testing.assert_allclose(
        x.reshape(2, 16, 3)[0, 5, 1], (z.reshape(2, 16, 3)[0, 5, 1] + 2) / 2, atol=1e-6
    )


def test_an_untrained_flow_stands_still(key: jax.Array):
    prior = make(SPATIAL)
    noise = jax.random.normal(key, (2, 48))
    latents = sample(
        prior,
        noise,
        jnp.ones((2, 4)),
        jnp.zeros((2, 12), jnp.int32),
        steps=3,
        guidance=2.0,
    )
    np.testing.assert_allclose(latents, noise, atol=1e-6)


def test_color_guidance_pulls_towards_the_color_alone(key: jax.Array):
    """One step of a field that is linear in its condition, which can be checked."""
    prior = make(VECTOR)
    color, other = list(CONDITIONS).index("primary_color"), 0
    none = jnp.full((1, 12), UNKNOWN_ID)
    red = none.at[:, color].set(0)
    both, text = red.at[:, other].set(3), jnp.ones((1, 4))

    def field(self, x, time, cond, beside):
        return cond[:, :6]

    def end(attributes, **guidance):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Prior, "__call__", field)
            return sample(
                prior, jnp.zeros((1, 6)), text, attributes, steps=1, **guidance
            )

    opened, whole = prior.embed(0 * text, none), prior.embed(text, both)
    alone = prior.embed_color(text, both)
    np.testing.assert_array_equal(alone, prior.embed(0 * text, red))
    np.testing.assert_allclose(
        end(both, guidance=2.0, color_guidance=3.0),
        (opened + 2 * (whole - opened) + 3 * (alone - opened))[:, :6],
        atol=1e-5,
    )
    plain = end(none, guidance=2.0)
    pulled = end(none, guidance=2.0, color_guidance=3.0)
    np.testing.assert_array_equal(pulled, plain)  # of an unknown color there is no pull


@pytest.mark.parametrize("power", [1.0, 1.5])
def test_half_the_step_is_a_quarter_of_the_error(power: float):
    """Along dx/dt = x, which leads from 1 to e."""
    prior = make(VECTOR)
    condition = jnp.zeros((1, 4)), jnp.full((1, 12), UNKNOWN_ID)

    def error(steps: int) -> float:
        options = {"steps": steps, "guidance": 1.0, "time_power": power}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Prior, "__call__", lambda self, x, time, cond, beside: x)
            end = sample(prior, jnp.ones((1, 6)), *condition, **options)
        return abs(float(end[0, 0]) - np.e)

    assert 3.5 < error(16) / error(32) < 4.5


def test_a_third_condition_is_led_away_from(key: jax.Array):
    prior = make(VECTOR)
    prior.token_out.kernel[...] = jax.random.normal(key, (32, 6))
    text_emb, attributes = jnp.ones((2, 4)), jnp.zeros((2, 12), jnp.int32)
    none, all_of = jnp.zeros((2, 12)), jnp.ones((2, 12))
    cond = prior.embed(text_emb, attributes)
    opened = prior.embed(0 * text_emb, jnp.full_like(attributes, UNKNOWN_ID))
    far = prior.embed(text_emb, attributes, none.at[:, 1:].set(1))
    unknown = attributes.at[:, 0].set(UNKNOWN_ID)
    np.testing.assert_allclose(far, prior.embed(text_emb, unknown), atol=1e-6)
    whole = prior.embed(text_emb, attributes, all_of)
    np.testing.assert_allclose(whole, cond, atol=1e-6)
    x, time, until = jax.random.normal(key, (2, 6)), jnp.zeros(2), jnp.full(2, 0.5)
    guidance, lean = jnp.array([2.0, 1.0]), jnp.array([3.0, 0.0])
    flow = cond, opened, guidance
    step, velocity = jax.jit(partial(advance, prior)), jax.jit(prior.__call__)
    led, end, _ = step(x, time, until, *flow, (far, lean))
    plain, *_ = step(x, time, until, *flow)
    away = velocity(x, time, cond) - velocity(x, time, far)
    np.testing.assert_allclose(led[1], plain[1], atol=1e-5)
    np.testing.assert_allclose(led[0] - plain[0], 0.5 * 2 * 3 * away[0], atol=1e-4)
    np.testing.assert_allclose(end, x + 2 * (led - x), atol=1e-4)


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_it_learns_a_conditional_distribution(
    key: jax.Array, name: Literal["adam", "muon"]
):
    """Two types, two far apart clusters: samples land where their type's lie."""
    prior = make(VECTOR)
    graphdef, params = nnx.split(prior)
    tx = optimizer(Config(train=TrainConfig(learning_rate=3e-3, optimizer=name)), 300)
    centres = jnp.array([[-1.5] * 6, [1.5] * 6])

    def loss(params, key):
        keys = jax.random.split(key, 4)
        kind = jax.random.bernoulli(keys[0], 0.5, (128,)).astype(jnp.int32)
        z = centres[kind] + 0.1 * jax.random.normal(keys[1], (128, 6))
        noise = jax.random.normal(keys[2], (128, 6))
        time = jax.random.uniform(keys[3], (128, 1))
        attributes = jnp.full((128, 12), UNKNOWN_ID).at[:, 0].set(kind)
        x = (1 - time) * noise + time * z
        prior = nnx.merge(graphdef, params)
        cond = prior.embed(jnp.zeros((128, 4)), attributes)
        velocity = prior(x, time[:, 0], cond)
        return jnp.mean((velocity - (z - noise)) ** 2)

    @jax.jit
    def step(params, state, key):
        updates, state = tx.update(jax.grad(loss)(params, key), state, params)
        return optax.apply_updates(params, updates), state

    state = tx.init(params)
    for i in range(300):
        params, state = step(params, state, jax.random.fold_in(key, i))
    trained = nnx.merge(graphdef, params)
    np.testing.assert_array_equal(trained.scale[...], prior.scale[...])
    kind = jnp.arange(64) % 2
    drawn = sample(
        trained,
        jax.random.normal(key, (64, 6)),
        jnp.zeros((64, 4)),
        jnp.full((64, 12), UNKNOWN_ID).at[:, 0].set(kind),
        steps=8,
        guidance=1.0,
    )
    errors = jnp.abs(drawn - centres[kind])
    assert float(jnp.median(errors)) < 0.3
    assert float(errors.mean()) < 0.5
