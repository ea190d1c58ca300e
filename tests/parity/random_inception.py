"""Weights and pictures on which the two Inception networks are compared."""

from collections.abc import Mapping, Sequence

import numpy as np

SIDE = 107


def random_weights(shapes: Mapping[str, Sequence[int]]) -> dict[str, np.ndarray]:
    """Weights of these names and shapes that let a picture through all layers."""
    random = np.random.RandomState(0)
    weights: dict[str, np.ndarray] = {}
    for name in sorted(shapes):
        values = random.standard_normal(shapes[name]).astype(np.float32)
        if name.endswith("conv.weight"):
            values *= np.sqrt(2 / np.prod(shapes[name][1:]))
        elif name.endswith("running_var"):
            values = 0.5 + 0.1 * values**2
        elif name.endswith("bn.weight"):
            values = 1 + 0.1 * values
        else:
            values *= 0.1
        weights[name] = values
    return weights


def random_pictures() -> np.ndarray:
    """Noise, and noise that is smooth in one direction: `2 107 107 3` in [-1, 1]."""
    pictures = np.random.RandomState(1).uniform(-1, 1, (2, SIDE, SIDE, 3))
    pictures[1] = np.sort(pictures[1], axis=0)
    return pictures.astype(np.float32)
