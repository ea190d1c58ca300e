import numpy as np
import pytest

from pokejax.attributes import (
    UNKNOWN_ID,
    VOCABULARIES,
    Attributes,
    attributes_from_metadata,
)

PIKACHU = {
    "visual_attributes": {
        "primary_colors": ["Yellow", "Brown"],
        "color_distribution": {"primary": "Yellow", "secondary": "Brown"},
        "body_shape": "Quadruped",
        "size": "Small",
    },
    "categorical_attributes": {"type1": "Electric", "type2": None, "generation": 1},
    "semantic_attributes": {"habitat": "Forest", "legendary": False, "mythical": False},
}


def test_vocabularies_have_the_originals_sizes():
    sizes = [len(words) for words in VOCABULARIES.values()]
    assert sizes == [18, 19, 11, 12, 8, 5, 6, 10, 2, 2]
    assert all(len(set(words)) == len(words) for words in VOCABULARIES.values())


def test_ids_round_trip_with_unknowns():
    attributes = Attributes(type1="Fire", type2="None", size="Huge", mythical="No")
    ids = attributes.ids()
    assert ids.dtype == np.int32
    assert list(ids) == [1, 18, -1, -1, -1, 4, -1, -1, -1, 0, -1, -1]
    assert Attributes.from_ids(ids) == attributes
    assert list(Attributes().ids()) == [UNKNOWN_ID] * 12
    drawn = Attributes(view="back", style="tuxemon")
    assert (
        list(drawn.ids()[10:]) == [1, 3] and Attributes.from_ids(drawn.ids()) == drawn
    )
    assert Attributes.from_ids(ids[:10]) == attributes


def test_metadata_null_is_none_and_absence_is_unknown():
    attributes = attributes_from_metadata(PIKACHU)
    assert attributes.type2 == "None"
    assert attributes.evolution_stage is None
    assert attributes.legendary == "No"
    assert attributes.secondary_color == "Brown"


def test_a_bad_value_names_the_nearest():
    with pytest.raises(ValueError, match=r"primary_color: 'Bleu'.*did you mean 'Blue'"):
        Attributes(primary_color="Bleu")
    with pytest.raises(ValueError, match="unknown attribute 'colour'"):
        Attributes.from_names({"colour": "Red"})


def test_names_in_any_case_and_overrides():
    told = Attributes.from_names({"type1": "FIRE", "evolution_stage": "stage 2"})
    assert told == Attributes(type1="Fire", evolution_stage="Stage 2")
    read = Attributes(type1="Water", size="Tiny")
    assert read.override(told).known() == {
        "type1": "Fire",
        "size": "Tiny",
        "evolution_stage": "Stage 2",
    }
