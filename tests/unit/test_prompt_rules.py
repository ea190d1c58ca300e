"""What is read out of prompts, and that no prompt can stop the reader."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pokejax import lexicon
from pokejax.attributes import VOCABULARIES, Attributes
from pokejax.prompt_rules import read_prompt

KINDS = {"type": "type1", "color": "primary_color"}


def known(prompt: str) -> dict[str, str]:
    return read_prompt(prompt).attributes.known()


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (
            "a small blue water turtle with a red shell",
            Attributes(
                type1="Water",
                primary_color="Blue",
                secondary_color="Red",
                shape="Quadruped",
                size="Small",
            ),
        ),
        (
            "Create a dragon-like Pokemon with fiery orange scales and majestic blue "
            "wings",
            Attributes(
                type1="Dragon",
                type2="Fire",
                primary_color="Orange",
                secondary_color="Blue",
            ),
        ),
        (
            "Create a fire-type dragon with glowing red eyes",
            Attributes(
                type1="Fire", type2="Dragon", secondary_color="Red", shape="Bipedal"
            ),
        ),
        (
            "Electric mouse with lightning tail",
            Attributes(type1="Electric", shape="Quadruped"),
        ),
        (
            "A fully evolved legendary ice bird from the tundra, huge and white",
            Attributes(
                type1="Ice",
                primary_color="White",
                shape="Avian",
                size="Huge",
                evolution_stage="Stage 2",
                habitat="Tundra",
                legendary="Yes",
            ),
        ),
        ("", Attributes()),
        ("something nice", Attributes()),
    ],
)
def test_whole_prompts(prompt: str, expected: Attributes):
    assert read_prompt(prompt).attributes == expected


@pytest.mark.parametrize("kind", list(lexicon.WORDS))
def test_every_word_of_the_lexicon_is_read_back(kind: str):
    for table in lexicon.WORDS[kind]:
        vocabulary = VOCABULARIES[KINDS.get(kind, kind)]
        assert set(table) <= set(vocabulary)
        for value, phrases in table.items():
            for phrase in phrases:
                assert known(phrase).get(KINDS.get(kind, kind)) == value, phrase


def test_every_value_has_words():
    for kind, tables in lexicon.WORDS.items():
        values = {value for table in tables for value in table}
        vocabulary = set(VOCABULARIES[KINDS.get(kind, kind)])
        assert vocabulary - values <= {"No", "None"}


@pytest.mark.parametrize(
    ("prompt", "types"),
    [
        ("a Fire/Flying type", ("Fire", "Flying")),
        ("types: water and ground", ("Water", "Ground")),
        ("flying fire lizard", ("Fire", "Flying")),  # Flying yields
        ("flying/fire type", ("Flying", "Fire")),  # unless it's said with "type"
        ("a blazing rock-type beast", ("Rock", "Fire")),
        ("a frosty fish", ("Ice", "Water")),  # what it does before what animal it is
        ("dark blue", (None, None)),
        ("dark fire fox", ("Fire", "Dark")),
        ("ice cream", ("Ice", None)),
        ("a pure fire lizard", ("Fire", "None")),
        ("fire-type only", ("Fire", "None")),
        ("a grass-type, pure white", ("Grass", None)),
        ("water water water", ("Water", None)),
    ],
)
def test_types(prompt: str, types: tuple):
    attributes = read_prompt(prompt).attributes
    assert (attributes.type1, attributes.type2) == types


@pytest.mark.parametrize(
    ("prompt", "colors"),
    [
        ("glowing red eyes", (None, "Red")),
        ("red and white wings on a yellow bird", ("Yellow", "Red")),
        ("a turtle whose shell is green", (None, "Green")),
        ("a tail tipped with red", (None, "Red")),
        ("a yellow-bellied blue bird", ("Blue", "Yellow")),
        ("a crimson flame lizard", ("Red", None)),  # a flame is only a part at the end
        ("a lizard with blue flames", (None, "Blue")),
        ("It is blue and its wings are red", ("Blue", "Red")),
        ("green fur, brown paws", ("Green", "Brown")),
        ("a red and black cat", ("Red", "Black")),
        ("an entirely black cat", ("Black", "None")),
        ("midnight-blue", ("Blue", None)),
        ("a GREY wolf", ("Gray", None)),
        ("an orange-coloured fox", ("Orange", None)),
    ],
)
def test_colors(prompt: str, colors: tuple):
    attributes = read_prompt(prompt).attributes
    assert (attributes.primary_color, attributes.secondary_color) == colors


@pytest.mark.parametrize(
    ("prompt", "shape"),
    [
        ("dragon turtle", "Quadruped"),
        ("fox-like bird", "Avian"),
        ("a fox-like thing", "Quadruped"),
        ("a two-legged fox", "Bipedal"),
        ("mouse ears on a snake", "Serpentine"),
        ("a ghost-type creature", None),
        ("a little ghost", "Amorphous"),
        ("wolves", "Quadruped"),
        ("butterflies", "Insectoid"),
        ("walks on all fours", "Quadruped"),
    ],
)
def test_shapes(prompt: str, shape: str | None):
    assert read_prompt(prompt).attributes.shape == shape


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("not red", {}),
        (
            "not a red turtle but a blue bird",
            {"primary_color": "Blue", "shape": "Avian"},
        ),
        ("a fox without wings and no fire", {"shape": "Quadruped"}),
        ("no red or blue, only green", {"primary_color": "Green"}),
        ("it isn't big", {}),
        ("it isn’t big", {}),
        ("don't make it red, make it green", {"primary_color": "Green"}),
        ("non-fire", {}),
        ("not only red", {"primary_color": "Red"}),
        ("with no legs", {"shape": "Serpentine"}),  # a phrase of the lexicon itself
        ("never evolves", {"evolution_stage": "Single"}),
    ],
)
def test_negation(prompt: str, expected: dict):
    assert known(prompt) == expected


def test_sizes_of_parts_are_not_the_creatures():
    assert "size" not in known("a bird with huge wings and tiny eyes")
    assert known("a tiny bird with huge wings")["size"] == "Tiny"


def test_legendary_and_mythical_are_never_read_as_no():
    assert "legendary" not in known("an ordinary red fox")
    assert known("a mythical fox")["mythical"] == "Yes"


def test_matches_are_spans_of_the_prompt():
    prompt = "Ein 🔥 Légendary, SNOW–white Fóxes of\tthe  deep sea"
    reading = read_prompt(prompt)
    assert reading.attributes.known().keys() == reading.matches.keys()
    for match in reading.matches.values():
        assert prompt[match.start : match.end] == match.text
    assert reading.matches["legendary"].text == "Légendary"
    assert reading.matches["shape"].text == "Fóxes"
    assert reading.matches["habitat"].text == "deep sea"


def test_what_is_left_over():
    reading = read_prompt(
        "Draw me a red fox wearing Sunglasses, no hat, and sunglasses"
    )
    assert reading.unrecognised == ("wearing", "Sunglasses", "sunglasses")


@given(
    st.text(st.characters()) | st.text(st.sampled_from("red fire-type no, with☃\0 "))
)
def test_no_text_stops_it(prompt: str):
    reading = read_prompt(prompt)
    for match in reading.matches.values():
        assert prompt[match.start : match.end] == match.text


@pytest.mark.parametrize(
    "prompt", ["\udc80", "\0red\0", "🔥", "e\u0301", "\ud83d fire"]
)
def test_odd_characters(prompt: str):
    read_prompt(prompt)


@pytest.mark.parametrize(
    "unit",
    ["red ", "a", "a\u0301\u0316", "no fire or ", "fire type and ", "red and ", " -"],
)
def test_work_grows_in_line_with_length(unit: str):
    def calls(length: int) -> int:
        count = 0

        def tick(*_: object) -> None:
            nonlocal count
            count += 1

        sys.setprofile(tick)
        try:
            read_prompt((unit * length)[:length])
        finally:
            sys.setprofile(None)
        return count

    assert calls(8000) < 2.2 * calls(4000) + 100
    read_prompt((unit * 100_000)[:100_000])  # a slow regex or sort would hang here
