"""How often pictures are drawn, and how varied that makes them."""

import numpy as np
import pytest

from data_tools.cifar import Picture
from data_tools.sampling import effective_classes, weights
from pokejax.attributes import Attributes


def pictures(counts: dict[tuple[str, str], int]) -> list[Picture]:
    """As many pictures of each (species, type) as wanted."""
    return [
        Picture(f"{s}/{i}.png", s, "front", Attributes(type1=t), ("x",), np.zeros(0))
        for (s, t), count in counts.items()
        for i in range(count)
    ]


def test_rare_types_are_lifted_and_crowded_species_held_down():
    usual = {(f"fish{i}", "Water"): 4 for i in range(9)}
    made = pictures(usual | {("ghost", "Ghost"): 4, ("unown", "Psychic"): 28})
    weight = weights(made)
    assert weight.dtype == np.float32 and weight.mean() == pytest.approx(1, abs=1e-5)
    by_species = {p.species: w for p, w in zip(made, weight, strict=True)}
    assert by_species["ghost"] > by_species["fish0"]
    # Seven times as many pictures don't count seven times as much as a rare species.
    assert 28 * by_species["unown"] < 3 * 4 * by_species["ghost"]
    even = effective_classes(made, "type1")
    assert effective_classes(made, "type1", weight) > even


def test_effective_classes():
    made = pictures({("a", "Fire"): 5, ("b", "Water"): 5})
    assert effective_classes(made, "type1") == pytest.approx(2)
    assert effective_classes(made[:5], "type1") == pytest.approx(1)
