"""Copies in other hues: exact palettes, colours named anew, captions composed anew."""

import dataclasses

import numpy as np
import pytest

from data_tools import species
from data_tools.captions import write_captions
from data_tools.cifar import Picture
from data_tools.recolor import turn_hues
from data_tools.turned import with_turned
from pokejax.attributes import Attributes
from pokejax.prompts import lexicon

# Squirtle's, with its own tones of blue, and what no turn may change.
BLUE, DEEP_BLUE, BROWN = (90, 150, 230), (50, 90, 180), (140, 90, 50)
WHITE, GRAY, OUTLINE, BACKGROUND = (255,) * 3, (128,) * 3, (16,) * 3, (255,) * 3
STAY = [WHITE, GRAY, OUTLINE]
# What is blue, and what is brown, after some turns; judged by eye.
BECOMES = {
    120: ({"Red", "Pink"}, {"Green", "Blue"}),
    240: ({"Green"}, {"Purple", "Blue"}),
}


def picture() -> Picture:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[..., :3] = BACKGROUND
    for color, box in (
        (OUTLINE, (8, 8, 56, 56)),
        (BLUE, (10, 10, 54, 54)),
        (DEEP_BLUE, (10, 40, 54, 54)),
        (BROWN, (30, 12, 50, 34)),
        (WHITE, (14, 14, 24, 20)),
        (GRAY, (14, 24, 24, 28)),
    ):
        left, top, right, bottom = box
        pixels[top:bottom, left:right] = (*color, 255)
    entry = species.find("squirtle")
    assert entry is not None
    attributes = Attributes(
        "Water", "None", "Blue", "Brown", "Bipedal", "Small", "Basic", "Freshwater"
    )
    return Picture(
        "Squirtle/squirtle_native_front.png",
        "Squirtle",
        "front",
        attributes,
        tuple(write_captions(entry, attributes, "x")),
        pixels,
        "native",
        entry=entry,
    )


def all_turns() -> dict[int, Picture]:
    """By degrees."""
    original = picture()
    first, *copies = with_turned([original], copies=99, seed=0)
    assert first is original
    turned = {}
    for copy in copies:
        stem, _, rest = copy.filename.partition("@")
        assert stem == "Squirtle/squirtle_native_front" and rest.endswith(".png")
        turned[int(rest.removesuffix(".png"))] = copy
    assert len(turned) == len(copies)
    return turned


def test_every_copy_has_another_angle_and_the_seed_decides_which():
    assert set(all_turns()) == set(range(40, 321, 20))
    two = [p.filename for p in with_turned([picture()], 2, seed=0)]
    assert two == [p.filename for p in with_turned([picture()], 2, seed=0)]
    assert len(set(two)) == 3
    others = [[p.filename for p in with_turned([picture()], 2, s)] for s in range(1, 9)]
    assert any(other != two for other in others)


def test_palettes_are_turned_exactly():
    original = picture().pixels
    for degrees, copy in all_turns().items():
        assert copy.pixels.shape == (64, 64, 4) and copy.pixels.dtype == np.uint8
        np.testing.assert_array_equal(copy.pixels[..., 3], original[..., 3])
        for color in np.unique(original.reshape(-1, 4), axis=0):
            where = (original == color).all(-1)
            became = np.unique(copy.pixels[where], axis=0)
            # One colour stays one colour, that which it gives by itself.
            expected = turn_hues(color.reshape(1, 1, 4), degrees)[0]
            np.testing.assert_array_equal(became, expected)
            if color[3] == 0 or tuple(color[:3].tolist()) in STAY:
                np.testing.assert_array_equal(became[0], color)
            else:
                assert np.abs(became[0].astype(int) - color).max() > 20


def test_labels_are_those_of_the_new_colours_and_nothing_else_changes():
    original, turned = picture(), all_turns()
    for degrees, (primary, secondary) in BECOMES.items():
        attributes = turned[degrees].attributes
        assert attributes.primary_color in primary
        assert attributes.secondary_color in secondary
    for copy in turned.values():
        a = dataclasses.replace(
            copy.attributes, primary_color="Blue", secondary_color="Brown"
        )
        assert a == original.attributes
        for name in ("species", "view", "style", "family", "entry", "weight"):
            assert getattr(copy, name) == getattr(original, name)


def test_captions_name_the_new_colours_and_none_of_the_old():
    original = picture()
    assert original.entry is not None
    old = {original.entry.primary, *(part.color for part in original.entry.parts)}
    assert old == {"Blue", "Brown", "Yellow"}
    for degrees, copy in all_turns().items():
        a = copy.attributes
        new = {str(a.primary_color), str(a.secondary_color)}
        # "Tawny" is brown, and "tawny orange" isn't.
        allowed = {
            w for name in new for phrase in words_of(name) for w in phrase.split()
        }
        unsaid = {w for name in old - new for w in words_of(name)} - allowed
        said = " ".join(copy.prompts).lower()
        assert copy.prompts and not set(copy.prompts) & set(original.prompts)
        said_words = set(said.replace(",", " ").replace(".", " ").split())
        assert not said_words & unsaid, (degrees, copy.prompts)
        assert any(word in said for name in new for word in words_of(name))


def test_a_turned_shiny_names_no_gray_part_of_its_entry():
    entry = species.find("absol")
    assert entry is not None
    for as_entry in (True, False):
        original = dataclasses.replace(picture(), entry=entry, as_entry=as_entry)
        copies = with_turned([original], copies=15, seed=0)[1:]
        told = " ".join(text for copy in copies for text in copy.prompts)
        assert ("dark scythe horn" in told) == as_entry


def words_of(color: str) -> set[str]:
    return {*lexicon.COLOR_WORDS[color], color.lower()}


@pytest.mark.parametrize(
    "changes",
    [
        # Whose captions may name a part's colour, and can't be composed anew.
        {"entry": None, "prompts": ("a turtle with a brown shell",)},
        # Which has been scaled, and has more than a palette's colours.
        {"style": "gen5"},
        {"style": ""},
    ],
)
def test_what_cannot_be_told_anew_is_not_turned(changes: dict):
    kept = dataclasses.replace(picture(), **changes)
    assert with_turned([kept], 3, seed=0) == [kept]
    assert with_turned([kept, picture()], 0, seed=0)[0] is kept
    assert len(with_turned([picture()], 0, seed=0)) == 1
