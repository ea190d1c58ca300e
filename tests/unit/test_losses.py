import jax.numpy as jnp
import numpy as np
import pytest

from pokejax.config import LossConfig
from pokejax.training import losses


def test_kl_closed_forms():
    zeros = jnp.zeros((2, 4))
    np.testing.assert_array_equal(losses.kl(zeros, zeros), zeros)
    # KL(N(m, s^2) || N(0, 1)) = (s^2 + m^2 - 1) / 2 - ln s, here m = 1, s = 2.
    mean, logvar = jnp.ones((1, 3)), jnp.full((1, 3), np.log(4.0))
    expected = np.full((1, 3), (4 + 1 - 1) / 2 - np.log(2))
    np.testing.assert_allclose(losses.kl(mean, logvar), expected, rtol=1e-6)


def test_l1_is_a_mean_per_example():
    image = jnp.zeros((2, 4, 4, 3))
    recon = image.at[1].set(-0.5)
    np.testing.assert_allclose(losses.l1(recon, image), [0, 0.5])


def test_cyclical_beta_is_the_originals():
    config = LossConfig(annealing="cyclical", kl_cycle_epochs=50)
    values = [losses.beta(epoch, config) for epoch in (1, 2, 14, 26, 50, 51, 76)]
    np.testing.assert_allclose(values, [0, 1 / 25, 13 / 25, 1, 1, 0, 1])


def test_monotonic_and_constant_beta():
    monotonic = LossConfig(annealing="monotonic", kl_warmup_epochs=4)
    assert [losses.beta(e, monotonic) for e in (1, 2, 4, 9)] == [0.25, 0.5, 1, 1]
    assert losses.beta(1, LossConfig(annealing="constant")) == 1


@pytest.mark.parametrize(("per_dimension", "kl_factor"), [(False, 1), (True, 1 / 100)])
def test_total_weighs_its_parts(per_dimension: bool, kl_factor: float):
    config = LossConfig(
        perceptual_weight=0.15, kl_weight=8.0, kl_per_dimension=per_dimension
    )
    total = losses.total(
        jnp.array([0.5]),
        jnp.array([2.0]),
        jnp.array([3.0]),
        beta=0.25,
        pixel_values=100,
        config=config,
    )
    expected = 0.5 + 0.15 * 2 + 0.25 * 8 * 3 * kl_factor
    np.testing.assert_allclose(total, [expected], rtol=1e-6)
