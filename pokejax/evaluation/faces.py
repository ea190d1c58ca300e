"""Measures that see faces: judges of fronts, of what is real, and of what was asked.

Each judge is a ridge regression on features of real pictures. It is no oracle: its
score on real pictures it never saw stands beside that on drawn ones. Pure NumPy.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

_PENALTY = 0.1  # in units of the mean square of a feature
_FOLDS = 4
RETRIEVED_AMONG = 20


class Ridge(NamedTuple):
    """A linear map of standardised features.

    Attributes:
      shift: mean of the features.
      scale: one over their standard deviations.
      kernel: of the map.
      middle: mean of the targets.
    """

    shift: Float[np.ndarray, " d"]
    scale: Float[np.ndarray, " d"]
    kernel: Float[np.ndarray, "d k"]
    middle: Float[np.ndarray, " k"]

    def __call__(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        """The targets that rows of features speak for."""
        z = (x - self.shift[None]) * self.scale[None]
        return z @ self.kernel + self.middle[None]


def fit(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "n k"]) -> Ridge:
    """The ridge regression of targets on features."""
    shift, scale = x.mean(0), 1 / np.maximum(x.std(0), 1e-6)
    z, middle = (x - shift[None]) * scale[None], y.mean(0)
    penalty = _PENALTY * len(z) * np.eye(z.shape[1])
    kernel = np.linalg.solve(z.T @ z + penalty, z.T @ (y - middle[None]))
    return Ridge(shift, scale, kernel, middle)


def told_apart(
    a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "n d"], seed: int
) -> float:
    """How often a judge is right about which of two sets a picture is from.

    It is fitted to three quarters of both and asked about the rest, four times; 0.5
    where nothing tells them apart. Rows stay in blocks, since neighbours may be
    pictures of one creature.

    Args:
      a: features of one set.
      b: of another, as many.
      seed: turns the blocks.
    """
    n = min(len(a), len(b))
    turn = np.random.default_rng(seed).integers(n)
    block = (np.arange(n) + turn) % n * _FOLDS // n
    right: list[Bool[np.ndarray, " m"]] = []
    for fold in range(_FOLDS):
        out = block == fold
        x = np.concatenate([a[:n][~out], b[:n][~out]])
        side = np.repeat([1.0, -1.0], (~out).sum())[:, None]
        judge = fit(x, side)
        right += [judge(a[:n][out])[:, 0] > 0, judge(b[:n][out])[:, 0] <= 0]
    return float(np.concatenate(right).mean())


def front_share(
    train: Float[np.ndarray, "n d"],
    is_front: Bool[np.ndarray, " n"],
    sets: Sequence[Float[np.ndarray, "_ d"]],
) -> list[float]:
    """The share of each set that a judge of fronts and backs takes for fronts.

    Args:
      train: features of real pictures, fronts and backs.
      is_front: which are fronts.
      sets: features of the pictures that are asked about.
    """
    # Both views weigh the same, whichever the data has more of.
    fronts, backs = np.flatnonzero(is_front), np.flatnonzero(~is_front)
    n = min(len(fronts), len(backs))
    rows = np.concatenate([_spread(fronts, n), _spread(backs, n)])
    judge = fit(train[rows], np.where(is_front[rows], 1.0, -1.0)[:, None])
    return [float((judge(x)[:, 0] > 0).mean()) for x in sets]


def retrieval(
    train: Float[np.ndarray, "n d"],
    train_text: Float[np.ndarray, "n t"],
    pictures: Sequence[Float[np.ndarray, "m d"]],
    text: Float[np.ndarray, "m t"],
    seed: int,
) -> list[float]:
    """How often a picture's own prompt is the nearest among twenty.

    A map from features to text embeddings is fitted to real pictures; a drawn picture
    is compared with its prompt and nineteen others by cosine. Chance is 5 %.

    Args:
      train: features of real pictures.
      train_text: embeddings of a prompt of each.
      pictures: features of sets of pictures, each drawn from `text`, row by row.
      text: embeddings of the prompts.
      seed: of the other prompts.
    """
    judge = fit(train, train_text)
    middle = train_text.mean(0)
    rng = np.random.default_rng(seed)
    others = _others(rng, len(text))
    shown = _unit(text - middle[None])
    scores: list[float] = []
    for x in pictures:
        said = _unit(judge(x) - middle[None])
        cosine = np.einsum("md,mkd->mk", said, shown[others])
        scores.append(float((cosine.argmax(1) == 0).mean()))
    return scores


def _others(rng: np.random.Generator, n: int) -> Int[np.ndarray, "n k"]:
    """Each row's own number, and nineteen others."""
    picks = [
        np.append(i, (i + 1 + rng.permutation(n - 1)[: RETRIEVED_AMONG - 1]) % n)
        for i in range(n)
    ]
    return np.stack(picks)


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)


def _spread(rows: Int[np.ndarray, " m"], n: int) -> Int[np.ndarray, " n"]:
    return rows[np.arange(n) * len(rows) // n]
