import numpy as np
import pytest

from pokejax.evaluation import features, quality
from pokejax.evaluation.nearest import nearest_pictures
from pokejax.evaluation.reference import Reference
from pokejax.evaluation.subject import Rebuilt


def test_likeness_of_the_real_pictures_themselves_and_of_noise(reference: Reference):
    found = quality.likeness(reference.heldout_pooled, reference, 0)
    drawn, floor = found["drawn"], found["real_floor"]
    assert drawn["fid"] == pytest.approx(0, abs=1e-3)
    assert drawn["precision"] == drawn["coverage"] == 1
    # Creatures of the same kind, but others.
    assert floor["fid"] > 0 and abs(floor["kid"]) < 0.05
    assert floor["coverage"] > 0.7
    rng = np.random.default_rng(0)
    noise = rng.random(reference.heldout_pooled.shape, np.float32)
    found = quality.likeness(noise, reference, 0)
    assert found["fid_over_floor"] > 5
    assert found["drawn"]["kid_interval_95"][0] > 10 * abs(floor["kid"])
    assert found["drawn"]["precision"] == found["drawn"]["coverage"] == 0


def test_copies_are_seen(reference: Reference):
    train = reference.train.images[:]
    copies = nearest_pictures(train[:20], train)
    found = quality.copying(copies, reference.heldout_nearest)
    assert found["ratio_of_medians"] == pytest.approx(0, abs=1e-3)
    assert found["drawn_nearer_than_heldout_1_percent"] == 1
    others = nearest_pictures(reference.heldout.images[:], train)
    found = quality.copying(others, reference.heldout_nearest)
    assert found["ratio_of_medians"] == pytest.approx(1, abs=1e-4)
    assert found["drawn_nearer_than_heldout_1_percent"] < 0.05


def test_reconstruction_of_equal_pictures_and_of_white(reference: Reference):
    real = reference.heldout.images[:]
    latent = np.zeros((len(real), 2), np.float32)
    pixels = (real / 127.5 - 1).astype(np.float32)
    found = quality.reconstruction(Rebuilt(pixels, latent, latent), real)
    assert found["l1"] == pytest.approx(0, abs=1e-6)
    assert found["lpips"] == pytest.approx(0, abs=1e-6)
    assert found["ssim"] == pytest.approx(1)
    white = quality.reconstruction(Rebuilt(np.ones_like(pixels), latent, latent), real)
    assert white["l1"] == pytest.approx((1 - pixels).mean(), rel=1e-4)
    assert white["lpips"] > 0.1 and white["ssim"] < 0.9


def test_latent_health_against_hand_values():
    rng = np.random.default_rng(0)
    # One number that carries something, and one that is the prior's.
    mean = np.stack([rng.choice([-1.0, 1.0], 1000), np.zeros(1000)], axis=1)
    logvar = np.stack([np.full(1000, np.log(0.25)), np.zeros(1000)], axis=1)
    found = quality.latent_health(Rebuilt(np.empty(0), mean, logvar))
    assert (found["active_units"], found["units"]) == (1, 2)
    expected = 0.5 * (0.25 + 1 - 1 - np.log(0.25))
    assert found["kl_nats"] == pytest.approx(expected)
    assert found["kl_per_dimension"] == [round(expected, 4), 0]


def test_diversity_tells_a_frozen_prompt_from_a_free_one(reference: Reference):
    real = reference.heldout.images[:]
    frozen = [real[[i] * 3] for i in range(8)]
    found = quality.diversity(frozen, real, 0)
    assert found["within_prompt"] == pytest.approx(0, abs=1e-6)
    assert found["across_prompts"] > 0.1
    free = [real[3 * i : 3 * i + 3] for i in range(8)]
    assert quality.diversity(free, real, 0)["within_prompt"] > 0.1


def test_statistics_are_cached_and_belong_to_their_pictures(
    reference: Reference, monkeypatch: pytest.MonkeyPatch
):
    first = reference.heldout_pooled
    folder = reference._cache
    written = {path.name for path in folder.iterdir()}
    again = Reference(reference.dataset, "test", folder)
    assert again.hash == reference.hash
    with monkeypatch.context() as patch:
        patch.setattr(features, "extract", None)  # must not be asked
        np.testing.assert_array_equal(again.heldout_pooled, first)
    part = Reference(reference.dataset, "test", folder, num=12)
    assert part.hash != reference.hash and len(part.heldout_pooled) == 12
    np.testing.assert_allclose(part.heldout_pooled, first[::4], rtol=1e-4, atol=1e-5)
    assert len({path.name for path in folder.iterdir()} - written) == 1
