"""How often training should draw each picture.

Every picture stands in a dataset once. To repeat rare ones and drop common ones, as
balancing does, evens out the groups that it looks at, and makes their parts, the
types and shapes, less even. A weight needs neither.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

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


class Kind(NamedTuple):
    """All that a picture's weight depends on, beside the other pictures.

    Attributes:
      mates: how many pictures there are of its species.
      values: its main type, primary colour and shape; empty for unknown.
    """

    mates: int
    values: tuple[str, ...]


def kind_of(picture: Picture, mates: int) -> Kind:
    """The kind of a picture whose species has so many."""
    values = (getattr(picture.attributes, name) or "" for name in _BALANCED)
    return Kind(mates, tuple(values))


def weights(pictures: Sequence[Picture]) -> Float[np.ndarray, " n"]:
    """`n` float32, 1 on average.

    Pictures of a species that has many share what a usual one's would weigh. Beyond
    that, each value of a picture's main type, primary colour and shape lifts or lowers
    it by a power of how rare that value then is.
    """
    counts = Counter(p.species for p in pictures)
    kinds = [kind_of(p, counts[p.species]) for p in pictures]
    weight = weights_of(Counter(kinds))
    return np.array([weight[kind] for kind in kinds], np.float32)


def weights_of(kinds: Mapping[Kind, int]) -> dict[Kind, float]:
    """The weight of a picture of each kind, by how many pictures there are of it."""
    order = sorted(kinds)  # so that sums don't depend on who counted first
    number = np.array([kinds[kind] for kind in order])
    mates = np.array([kind.mates for kind in order])
    of_size = Counter[int]()  # species' sizes -> how many pictures those have
    for kind in order:
        of_size[kind.mates] += kinds[kind]
    sizes = np.repeat([*of_size], [n // size for size, n in of_size.items()])
    most = _MOST_OF_A_SPECIES * np.median(sizes)
    weight = np.minimum(1.0, most / mates)
    factor = np.ones(len(order))
    for place in range(len(_BALANCED)):
        values = [kind.values[place] for kind in order]
        masses: dict[str, float] = defaultdict(float)
        for value, mass in zip(values, weight * number, strict=True):
            masses[value] += mass
        even = (weight * number).sum() / len(masses)
        factor *= [(even / masses[value]) ** _EVENNESS for value in values]
    weight *= factor.clip(1 / _LARGEST_FACTOR, _LARGEST_FACTOR)
    mean = (weight * number).sum() / number.sum()
    return dict(zip(order, (weight / mean).tolist(), strict=True))


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
