"""Judges of fronts, of what is real, and of what was asked."""

import numpy as np

from pokejax.evaluation import faces


def normal(seed: int, n: int, d: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


def test_only_different_sets_are_told_apart():
    same = faces.told_apart(normal(0, 400), normal(1, 400), seed=0)
    assert 0.43 < same < 0.57
    moved = normal(1, 400) + np.eye(8)[0]
    assert 0.65 < faces.told_apart(normal(0, 400), moved, seed=0) < 0.73  # 0.69
    far = normal(1, 400) + 9 * np.eye(8)[0]
    assert faces.told_apart(normal(0, 400), far, seed=0) == 1.0


def test_fronts_and_backs_weigh_the_same():
    """One front in ten pictures: a judge of unequal weights would see backs only."""
    is_front = np.arange(600) % 10 == 0
    x = normal(0, 600)
    x[:, 0] += np.where(is_front, 1.5, -1.5)
    fronts, backs = normal(1, 300), normal(2, 300)
    fronts[:, 0] += 1.5
    backs[:, 0] -= 1.5
    front, back = faces.front_share(x, is_front, [fronts, backs])
    assert front > 0.88 and back < 0.12


def test_a_picture_that_shows_its_prompt_is_retrieved():
    turn = normal(9, 8, 6)
    text, train_text = normal(0, 200, 6), normal(1, 500, 6)
    train = train_text @ turn.T + 0.3 * normal(2, 500)
    shown = text @ turn.T + 0.3 * normal(3, 200)
    right, wrong = faces.retrieval(
        train, train_text, [shown, normal(4, 200)], text, seed=0
    )
    assert right > 0.9 and wrong < 0.15
