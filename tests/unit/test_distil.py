"""A quick prior: that it learns where guidance leads, and who gets it."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pokejax.attributes import Attributes
from pokejax.config import ConfigError, PriorConfig
from pokejax.inference import bundle
from pokejax.inference.recipe import Recipe
from pokejax.inference.sampler import Sampler
from pokejax.training.tasks.distil import distil_task
from pokejax.training.tasks.task import Batch
from tests.helpers.flow import CONFIG, write_flow_model


def batch_of(key: jax.Array, text_dim: int, size: int = 16) -> Batch:
    keys = jax.random.split(key, 2)
    return Batch(
        jnp.zeros((size, 32, 32, 4)),
        jax.random.normal(keys[0], (size, text_dim)),
        jax.random.randint(keys[1], (size, 12), 0, 2),
    )


def test_it_learns_where_guided_steps_lead(flow_model: Path, key: jax.Array):
    given = bundle.read(flow_model).header
    own = replace(given.config.prior, base=str(flow_model), distil=True, steps=2)
    header = replace(given, config=replace(given.config, prior=own))
    task = distil_task(header)
    params, tx = task.init(), optax.adam(3e-3)

    @jax.jit
    def loss_of(params, key):
        batch = batch_of(key, header.text_dim)
        random = task.random(key, 16)
        terms, _ = task.terms(params, task.frozen, batch, random, 1.0, None)
        return terms["Loss"].mean()

    @jax.jit
    def step(params, state, key):
        updates, state = tx.update(jax.grad(loss_of)(params, key), state)
        return optax.apply_updates(params, updates), state

    state, before = tx.init(params), loss_of(params, key)
    assert before > 0  # unguided, and in fewer steps, the teacher itself is off
    for i in range(150):
        params, state = step(params, state, jax.random.key(i))
    assert loss_of(params, key) < 0.5 * before
    model, kept = task.kept(params, task.frozen)
    assert kept is params
    for one, other in zip(
        jax.tree.leaves(model), jax.tree.leaves(task.frozen["model"]), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_config_that_can_not_start_as_a_copy_is_refused(
    flow_model: Path, tmp_path: Path
):
    given = bundle.read(flow_model).header
    wider = replace(given.config.prior, base=str(flow_model), distil=True, width=32)
    header = replace(given, config=replace(given.config, prior=wider))
    with pytest.raises(ConfigError, match=r"whose prior has .* and a quick prior"):
        distil_task(header)
    with pytest.raises(ConfigError, match=r"prior\.distil is True; expected off"):
        PriorConfig(distil=True)
    with pytest.raises(ConfigError, match=r"prior\.relative_prob is 0\.5; expected 0"):
        PriorConfig(base="x", distil=True, relative_prob=0.5)


def test_plain_requests_get_it_and_others_do_not(flow_model: Path, tmp_path: Path):
    path = tmp_path / "quick.safetensors"
    write_flow_model(path, CONFIG, quick=2)
    full, both = (Sampler.load(p, tile_rows=4) for p in (flow_model, path))
    unused = Sampler.load(path, prior="full", tile_rows=4)
    assert len({each.model_id for each in (full, both, unused)}) == 3
    plain = [Recipe("a fish", Attributes(), seed) for seed in range(5)]
    guided = [replace(recipe, guidance=1.5) for recipe in plain]
    avoiding = [replace(recipe, negative="a cat") for recipe in plain]
    mixed = [
        recipe
        for three in zip(plain, guided, avoiding, strict=True)
        for recipe in three
    ]

    def images(sampler: Sampler, recipes: list[Recipe]) -> np.ndarray:
        return np.stack([sample.image for sample in sampler.sample(recipes)])

    drawn = images(both, mixed)
    np.testing.assert_array_equal(drawn[0::3], images(both, plain))
    np.testing.assert_array_equal(drawn[1::3], images(full, guided))
    np.testing.assert_array_equal(drawn[2::3], images(full, avoiding))
    assert (drawn[0::3] != images(full, plain)).any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(images(unused, plain), images(full, plain))
    idle = [replace(recipe, slides=(("size", 0.5),)) for recipe in plain]
    np.testing.assert_array_equal(images(both, idle), images(both, plain))
    for recipe, rounds in ((plain[0], 2), (guided[0], 3)):
        shown = list(both.rounds([recipe], previews=True))
        assert len(shown) == rounds == both.previews(recipe) + 1
        assert [round.final for round in shown] == [False] * (rounds - 1) + [True]
