import numpy as np
import pytest

from pokejax.evaluation import metrics


def test_fid_of_two_gaussians_against_the_closed_form():
    """For diagonal ones: |difference of means|^2 + |difference of deviations|^2."""
    rng = np.random.default_rng(0)
    n, deviations_x, deviations_y = 200_000, np.array([1, 2, 0.5]), np.array([2, 1, 1])
    x = rng.standard_normal((n, 3)) * deviations_x + np.array([1, 0, 0])
    y = rng.standard_normal((n, 3)) * deviations_y
    expected = 1 + (1 + 1 + 0.25)
    assert metrics.fid(x, y) == pytest.approx(expected, rel=0.02)
    # A rotation of both changes nothing, but makes the covariances full matrices.
    rotation, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    assert metrics.fid(x @ rotation, y @ rotation) == pytest.approx(metrics.fid(x, y))
    assert metrics.fid(x, x) == pytest.approx(0, abs=1e-9)


def test_kid_against_the_sums_written_out():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((5, 3)), rng.standard_normal((4, 3)) + 1

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / 3 + 1) ** 3

    within_x = np.mean([k(a, b) for i, a in enumerate(x) for b in np.delete(x, i, 0)])
    within_y = np.mean([k(a, b) for i, a in enumerate(y) for b in np.delete(y, i, 0)])
    across = np.mean([k(a, b) for a in x for b in y])
    assert metrics.kid(x, y) == pytest.approx(within_x + within_y - 2 * across)


def test_kid_is_unbiased():
    rng = np.random.default_rng(2)
    found = np.array(
        [
            metrics.kid(rng.standard_normal((12, 4)), rng.standard_normal((12, 4)))
            for _ in range(2000)
        ]
    )
    # The biased estimate would be off by more than 1 here: it counts k(x, x), too.
    assert abs(found.mean()) < 4 * found.std() / np.sqrt(len(found)) < 0.1
    assert (found < 0).any()


def test_block_interval_covers_the_truth_nineteen_times_in_twenty():
    rng = np.random.default_rng(3)

    hits = 0
    for _ in range(400):
        # Five rows in a row share a species: single rows would be far too sure.
        species = rng.standard_normal(120).repeat(5)[:, None]
        x, y = species + rng.standard_normal((2, 600, 1)) / 4
        sums = x + y + 1
        low, high = metrics.block_interval(lambda keep, s=sums: s[keep].mean(), 600)
        hits += low < 1 < high
    assert 0.91 < hits / 400 < 0.98
    with pytest.raises(ValueError, match="40 rows or more; got 39"):
        metrics.block_interval(lambda keep: 0.0, 39)


def test_intervals_hold_the_values_they_belong_to():
    rng = np.random.default_rng(7)
    x, y = rng.standard_normal((2, 83, 3)) + np.array([0, 0.5])[:, None, None]
    for value, interval in (
        (metrics.fid(x, y), metrics.fid_interval(x, y)),
        (metrics.kid(x, y), metrics.kid_interval(x, y)),
    ):
        low, high = interval
        assert (low + high) / 2 == pytest.approx(value)
    rows = np.arange(83)
    block = rows * 20 // 83
    without = [metrics.kid(x[block != b], y[block != b]) for b in range(20)]
    error = np.sqrt(19) * np.std(without)
    assert high - low == pytest.approx(2 * 2.093 * error)


def test_prdc_on_points_made_by_hand():
    real = np.array([[0.0], [1.0], [2.0], [10.0]])
    # Real balls reach 1, 1, 1 and 8, to the nearest neighbour; fakes' 0.5, 0.5, 49.5.
    fake = np.array([[0.5], [1.0], [50.5]])
    found = metrics.prdc(real, fake, k=1)
    assert found["precision"] == pytest.approx(2 / 3)  # not the last fake
    # 0.5 lies in the balls of 0 and 1; 1.0 in its own only (others touch it); 50.5 in
    # none.
    assert found["density"] == pytest.approx(3 / 3)
    assert found["coverage"] == pytest.approx(2 / 4)  # balls of 0 and 1
    # 1 lies in the ball of 1.0, 2 and 10 in that of 50.5; 0 touches that of 0.5 only.
    assert found["recall"] == pytest.approx(3 / 4)


def test_prdc_of_the_same_set_and_of_a_collapsed_one():
    rng = np.random.default_rng(4)
    real, other = rng.standard_normal((2, 200, 4))
    same = metrics.prdc(real, other)
    assert min(same.values()) > 0.8
    collapsed = metrics.prdc(real, other[:5].repeat(40, 0) + 1e-6 * other)
    assert collapsed["recall"] < 0.05 and collapsed["coverage"] < 0.3
    with pytest.raises(ValueError, match="k is 5"):
        metrics.prdc(real[:5], other)


def test_psnr_and_ssim_by_definition():
    rng = np.random.default_rng(5)
    x = rng.integers(0, 200, (2, 16, 16, 3)).astype(np.uint8)
    # 25 grey levels off everywhere.
    np.testing.assert_allclose(metrics.psnr(x, x + 25), 20 * np.log10(255 / 25))
    assert np.isinf(metrics.psnr(x, x)).all()
    np.testing.assert_allclose(metrics.ssim(x, x), 1)
    # Two flat pictures: only the luminance term is left.
    a, b = (np.full((1, 12, 12, 3), value, np.uint8) for value in (100, 150))
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)
    np.testing.assert_allclose(metrics.ssim(a, b), expected)


def test_ssim_of_one_window_against_the_formula():
    rng = np.random.default_rng(6)
    x, y = rng.integers(0, 256, (2, 1, 11, 11, 3)).astype(np.uint8)
    axis = np.arange(-5, 6)
    window = np.exp(-(axis[:, None] ** 2 + axis[None] ** 2) / (2 * 1.5**2))
    window = (window / window.sum())[..., None]
    a, b = x[0].astype(float), y[0].astype(float)
    mean_a, mean_b = (window * a).sum((0, 1)), (window * b).sum((0, 1))
    var_a = (window * (a - mean_a[None, None]) ** 2).sum((0, 1))
    var_b = (window * (b - mean_b[None, None]) ** 2).sum((0, 1))
    cov = (window * (a - mean_a[None, None]) * (b - mean_b[None, None])).sum((0, 1))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    value = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
    value /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    np.testing.assert_allclose(metrics.ssim(x, y), value.mean(), rtol=1e-9)


def test_wilson_interval_against_a_hand_value():
    # 8 of 10: (0.8 + z^2/20 -+ z sqrt(0.16/10 + z^2/400)) / (1 + z^2/10), z = 1.96.
    np.testing.assert_allclose(
        metrics.wilson_interval(8, 10), (0.4902, 0.9433), atol=1e-4
    )
    low, high = metrics.wilson_interval(0, 10)
    assert abs(low) < 1e-12 and high < 0.3


def test_chance_keeps_how_often_each_value_is_named():
    asked = np.array([0, 0, 0, 1])
    assert metrics.chance(asked, np.zeros(4, int)) == pytest.approx(0.75)
    assert metrics.chance(asked, np.array([1, 1, 0, 2])) == pytest.approx(
        0.75 * 0.25 + 0.25 * 0.5
    )
    # A blank picture shows nothing, so it never agrees.
    assert metrics.chance(asked, np.full(4, -1)) == 0
