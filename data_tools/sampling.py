"""How often training should draw each picture.

Every picture stands in a dataset once. To repeat rare ones and drop common ones, as
balancing does, evens out the groups that it looks at, and makes their parts, the
types and shapes, less even. A weight needs neither.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from .cifar import Picture

# A species counts as this many times the usual number of pictures at most: Unown has 28
# letters, and Alcremie 63 forms.
_MOST_OF_A_SPECIES = 2
_BALANCED = ("type1", "primary_color", "shape")
# 0 would leave the shares as they are, 1 make them even, and noisy.
_EVENNESS = 0.6
_LARGEST_FACTOR = 3.0


def weights(pictures: Sequence[Picture]) -> Float[np.ndarray, " n"]:
    """`n` float32, 1 on average.

    Pictures of a species that has many share what a usual one's would weigh. Beyond
    that, each value of a picture's main type, primary colour and shape lifts or lowers
    it by a power of how rare that value then is.
    """
    counts = Counter(p.species for p in pictures)
    most = _MOST_OF_A_SPECIES * np.median(list(counts.values()))
    weight = np.array([min(1.0, most / counts[p.species]) for p in pictures])
    factor = np.ones(len(pictures))
    for name in _BALANCED:
        values = [getattr(p.attributes, name) or "" for p in pictures]
        masses: dict[str, float] = defaultdict(float)
        for value, mass in zip(values, weight, strict=True):
            masses[value] += mass
        even = weight.sum() / len(masses)
        factor *= [(even / masses[value]) ** _EVENNESS for value in values]
    weight *= factor.clip(1 / _LARGEST_FACTOR, _LARGEST_FACTOR)
    return (weight / weight.mean()).astype(np.float32)


def effective_classes(
    pictures: Sequence[Picture],
    name: str,
    weight: Float[np.ndarray, " n"] | None = None,
) -> float:
    """How many equally common values of an attribute would be as varied as these.

    The exponential of the entropy of its shares, with every picture counting once or
    by its weight.
    """
    masses: dict[str, float] = defaultdict(float)
    weight = np.ones(len(pictures)) if weight is None else weight
    for picture, mass in zip(pictures, weight, strict=True):
        masses[getattr(picture.attributes, name) or ""] += float(mass)
    shares = np.array(list(masses.values())) / sum(masses.values())
    return float(np.exp(-(shares * np.log(shares)).sum()))
