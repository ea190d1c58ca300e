"""What is read out of prompts, and that no prompt can stop the reader."""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_tools import species
from pokejax.attributes import CONDITIONS, Attributes
from pokejax.prompts import lexicon
from pokejax.prompts.phrases import correct, tokenize
from pokejax.prompts.rules import parse_by_rules

# Each is near the name of a color, a type, a size or an animal, or is one.
COMMON_WORDS = """
    great greet greed greek queen preen gleam brawn blown brow brows browse broken
    crown drown block blank bleak blink slack while write whine waiter wafer wager
    later wetter steep steer steed stele still grasp gross glass gloss guess group
    grand groan grind round fairly fair dairy fatty ferry frying fling flaying
    fleeing prison person poise formal nominal norman solver sliver slaver shiver
    violent violate people purpose golfer gulden wagon dragoon dragging fellow
    mellow yelled host goose ghastly starlet crimes arrange orang sight
    lighting fitting physic psycho election elective marion marron mansion emerge
    indicate house money story watch short sharp starting dance danger angle shake
    teen chip slide sink pleasant tier surgeon hero heron roster slim badge insert sweep
    terrain bury automation crank hose wrath rabbi muse pawn paddle inject trot whit
    archery slider sledge horde tally condo
"""
KINDS = {"type": "type1", "color": "primary_color"}


def known(prompt: str) -> dict[str, str]:
    return parse_by_rules(prompt).attributes.known()


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
    assert parse_by_rules(prompt).attributes == expected


@pytest.mark.parametrize("kind", list(lexicon.WORDS))
def test_every_word_of_the_lexicon_is_read_back(kind: str):
    for table in lexicon.WORDS[kind]:
        vocabulary = CONDITIONS[KINDS.get(kind, kind)]
        assert set(table) <= set(vocabulary)
        for value, phrases in table.items():
            for phrase in phrases:
                assert known(phrase).get(KINDS.get(kind, kind)) == value, phrase


def test_every_value_has_words():
    for kind, tables in lexicon.WORDS.items():
        values = {value for table in tables for value in table}
        vocabulary = set(CONDITIONS[KINDS.get(kind, kind)])
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
        # Listed types keep their order, the everyday words among them too.
        ("a ground/rock armadillo", ("Ground", "Rock")),
        ("dark & ice fox", ("Dark", "Ice")),
        ("a normal/fairy bunny", ("Normal", "Fairy")),
        ("flying and bug moth", ("Flying", "Bug")),
        ("a dragon / psychic serpent", ("Dragon", "Psychic")),
        ("a sly dragon-type, ghost powers", ("Dragon", "Ghost")),
        ("an electric-type beetle", ("Electric", None)),
        ("an electric beetle", ("Electric", "Bug")),
        # A place is no type, least of all against a creature.
        ("a bat from an ice cave", (None, None)),
        ("an owl under a waterfall", (None, None)),
        ("a beetle of the dunes", ("Bug", None)),
        ("a shark, sky, clouds", ("Water", None)),
        ("a mole by the icy sea", ("Ground", None)),
        ("a fire-type that lives in a lake", ("Fire", None)),
        ("an ocean fox", ("Water", None)),
    ],
)
def test_types(prompt: str, types: tuple):
    attributes = parse_by_rules(prompt).attributes
    assert (attributes.type1, attributes.type2) == types


@pytest.mark.parametrize(
    ("prompt", "colors"),
    [
        ("glowing red eyes", (None, "Red")),
        ("red and white wings on a yellow bird", ("Yellow", "Red")),
        ("a turtle whose tail is green", (None, "Green")),
        ("a blue red-shelled turtle", ("Blue", "Red")),
        ("a blue dark red-bellied bird", ("Blue", "Red")),
        ("a bird that is red and blue winged", (None, "Red")),
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
        ("deep violet with a cream collar", ("Purple", "White")),
        ("a kitten, teal, yellow ribbon", ("Blue", "Yellow")),
        ("mint-green cat w/ brown paws", ("Green", "Brown")),
        ("mint-green cat w/o brown paws", ("Green", None)),
        ("a bear with red, white and blue paws", (None, "Red")),
        # The body, or what covers all of it, comes first.
        ("gold lightning mark on a purple body", ("Purple", "Yellow")),
        ("a green triangle on black fur", ("Black", "Green")),
        ("a knight in gray armor", ("Gray", None)),
        ("a turtle whose shell is green", ("Green", None)),
        ("a pink snail with a green shell", ("Pink", "Green")),
        ("a beetle with blue plates and pink eyes", ("Blue", "Pink")),
        ("a red beetle with blue plates", ("Red", "Blue")),
        ("a white and gray striped cat", ("White", "Gray")),
        ("a gray-striped cat", (None, "Gray")),
        # Places and things have colors of their own.
        ("a fox from a deep blue lake", (None, None)),
        ("an owl in a green meadow", (None, None)),
        ("a pig under a red moon", (None, None)),
        ("a brown dog with a pink umbrella", ("Brown", "Pink")),
        ("an orange lizard by the blue sea", ("Orange", None)),
    ],
)
def test_colors(prompt: str, colors: tuple):
    attributes = parse_by_rules(prompt).attributes
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
        ("a serpent with four tiny legs", "Quadruped"),
        ("a seal that has two long legs", "Bipedal"),
        ("a six legged lizard", "Insectoid"),
        ("a wolf on two legs", "Bipedal"),
        ("a robin with two thin legs", "Avian"),
        ("a fox, two feet tall", "Quadruped"),
        ("a feathered snake", "Serpentine"),
        ("a ghost/grass deer", "Quadruped"),
    ],
)
def test_shapes(prompt: str, shape: str | None):
    assert parse_by_rules(prompt).attributes.shape == shape


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
        ("any colour, anything but purple", {}),
        ("pink instead of blue", {"primary_color": "Pink"}),
        ("brown rather than black", {"primary_color": "Brown"}),
        ("white, except not red", {"primary_color": "White"}),
        ("every type except fire", {}),
        # That isn't an exception from the facts.
        (
            "solid black except for green eyes",
            {"primary_color": "Black", "secondary_color": "Green"},
        ),
        (
            "not a water creature, just a yellow fish",
            {"primary_color": "Yellow", "shape": "Aquatic"},
        ),
        ("a viper, not poisonous", {"shape": "Serpentine"}),
        ("a mossy tree without flowers", {"type1": "Grass"}),
        ("not ghost type, an orb", {"shape": "Amorphous"}),
        ("it isn't red, cherry eyes", {}),
    ],
)
def test_negation(prompt: str, expected: dict):
    assert known(prompt) == expected


def test_sizes_of_parts_are_not_the_creatures():
    assert "size" not in known("a bird with huge wings and tiny eyes")
    assert known("a tiny bird with huge wings")["size"] == "Tiny"


@pytest.mark.parametrize(
    ("prompt", "size"),
    [
        ("a fox in a big city", None),
        ("a dog in a big fluffy coat", None),
        ("it looks like a little pebble", None),
        ("holding a giant sword", None),
        ("a duck with a large umbrella", None),
        ("a little bit grumpy", None),
        ("a huge rock golem", "Huge"),
        ("a cat, tiny and shy", "Tiny"),
        ("a cat with a big body", "Large"),
        ("a small forest fox", "Small"),
        ("a lil mole", "Small"),
    ],
)
def test_only_the_creatures_own_size_counts(prompt: str, size: str | None):
    assert parse_by_rules(prompt).attributes.size == size


@pytest.mark.parametrize(
    ("prompt", "legendary", "mythical"),
    [
        ("an ordinary red fox", None, None),
        ("a mythical fox", None, "Yes"),
        ("this one is not legendary", "No", None),
        ("a non-legendary horse that isn't mythical", "No", "No"),
        ("legendary, but not a mythical creature", "Yes", "No"),
        ("neither legendary nor mythical", "No", "No"),
        ("not just legendary", "Yes", None),
    ],
)
def test_legendary_and_mythical(
    prompt: str, legendary: str | None, mythical: str | None
):
    attributes = parse_by_rules(prompt).attributes
    assert (attributes.legendary, attributes.mythical) == (legendary, mythical)


@pytest.mark.parametrize(
    ("prompt", "name", "value"),
    [
        ("its mega evolution", "evolution_stage", "Alternate"),
        ("a halfway evolved frog", "evolution_stage", "Stage 1"),
        ("in the middle of its line", "evolution_stage", "Stage 1"),
        ("the end of its line", "evolution_stage", "Stage 2"),
        ("an owl on a skyscraper", "habitat", "Urban"),
        ("resting on the seafloor", "habitat", "Sea"),
        ("a goat at the summit", "habitat", "Mountain"),
        ("drifting on an iceberg", "habitat", "Tundra"),
        ("a stallion", "shape", "Quadruped"),
        ("bumblebees", "shape", "Insectoid"),
        ("a puffin", "shape", "Avian"),
        ("thumb-sized", "size", "Tiny"),
        ("a fox facing away", "view", "back"),
        ("blue turtle back sprite", "view", "back"),
    ],
)
def test_vocabulary(prompt: str, name: str, value: str):
    assert known(prompt)[name] == value


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a purpel newt", {"primary_color": "Purple", "shape": "Quadruped"}),
        ("an oragne newt", {"primary_color": "Orange", "shape": "Quadruped"}),
        ("yelow", {"primary_color": "Yellow"}),
        ("blackk", {"primary_color": "Black"}),
        ("psycic/eletric types", {"type1": "Psychic", "type2": "Electric"}),
        ("smal turtel", {"size": "Small", "shape": "Quadruped"}),
        ("a tinny snaek", {"size": "Tiny", "shape": "Serpentine"}),
        ("a gaint lizzard", {"size": "Huge", "shape": "Quadruped"}),
        ("a pengiun", {"shape": "Avian"}),
        ("urple", {}),  # nobody slips on the first letter
        ("a house", {}),  # and few on a letter of a short animal
        ("gst", {}),  # three letters could be anything
    ],
)
def test_slips_of_the_pen(prompt: str, expected: dict):
    assert known(prompt) == expected


def test_other_words_are_no_slips_of_the_pen():
    for word in COMMON_WORDS.split():
        assert not known(word).keys() & {"type1", "primary_color"}, word


def test_names_of_creatures_are_no_slips_of_the_pen():
    table = Path(species.__file__).with_name("species.txt").read_text()
    rows = [line for line in table.splitlines() if not line.startswith(("#", "tux"))]
    names = {row.split("|")[0].split("/")[0] for row in rows}
    folklore = "kelpie kitsune wendigo chupacabra kraken selkie tengu djinn roc kirin"
    for name in (*names, *folklore.split()):
        tokens = tokenize(name)
        assert correct(tokens) == tokens, name


def test_an_unknown_creature_is_said_to_be_unrecognised():
    for name in ("pikachu", "charmeleon", "kelpie", "wendigo"):
        assert name in parse_by_rules(f"a small blue {name} in the woods").unrecognised


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (
            "a green lizard under a gray sky",
            {"primary_color": "Green", "shape": "Quadruped"},
        ),
        (
            "a red fox against a blue sky",
            {"primary_color": "Red", "shape": "Quadruped"},
        ),
        (
            "gray sky, brown dog",
            {"primary_color": "Brown", "shape": "Quadruped", "habitat": "Sky"},
        ),
        ("a knight before a black castle", {"shape": "Humanoid"}),
        ("a fox in the snow", {"shape": "Quadruped", "habitat": "Tundra"}),
        ("a cat beside a brown tree", {"shape": "Quadruped"}),
        (
            "a yellow duck with a pink sunset in the background",
            {"shape": "Avian", "primary_color": "Yellow"},
        ),
        ("a turtle with a tree on its back", {"shape": "Quadruped", "type1": "Grass"}),
        ("a bird in the sky", {"shape": "Avian", "habitat": "Sky"}),
    ],
)
def test_scenery_is_not_the_creature(prompt: str, expected: dict):
    assert known(prompt) == expected


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a wolf fighting", {"shape": "Quadruped"}),
        ("a wolf that is fighting", {"shape": "Quadruped"}),
        ("wolf fighting a dragon", {"shape": "Quadruped"}),
        (
            "a blue knight riding a red horse",
            {"shape": "Humanoid", "primary_color": "Blue"},
        ),
        ("a fighting wolf", {"type1": "Fighting", "shape": "Quadruped"}),
        ("wolf, fighting", {"type1": "Fighting", "shape": "Quadruped"}),
        ("a wolf fighting type", {"type1": "Fighting", "shape": "Quadruped"}),
        ("a wolf with boxing gloves", {"type1": "Fighting", "shape": "Quadruped"}),
    ],
)
def test_what_it_does_to_another_is_no_type(prompt: str, expected: dict):
    assert known(prompt) == expected


def test_matches_are_spans_of_the_prompt():
    prompt = "Ein 🔥 Légendary, SNOW–white Fóxes of\tthe  deep sea"
    reading = parse_by_rules(prompt)
    assert reading.attributes.known().keys() == reading.matches.keys()
    for match in reading.matches.values():
        assert prompt[match.start : match.end] == match.text
    assert reading.matches["legendary"].text == "Légendary"
    assert reading.matches["shape"].text == "Fóxes"
    assert reading.matches["habitat"].text == "deep sea"


def test_what_is_left_over():
    reading = parse_by_rules(
        "Draw me a red fox wearing Sunglasses, no hat, and sunglasses"
    )
    assert reading.unrecognised == ("wearing", "Sunglasses", "sunglasses")


@given(
    st.text(st.characters()) | st.text(st.sampled_from("red fire-type no, with☃\0 "))
)
def test_no_text_stops_it(prompt: str):
    reading = parse_by_rules(prompt)
    for match in reading.matches.values():
        assert prompt[match.start : match.end] == match.text


@pytest.mark.parametrize(
    "prompt", ["\udc80", "\0red\0", "🔥", "e\u0301", "\ud83d fire"]
)
def test_odd_characters(prompt: str):
    parse_by_rules(prompt)


@pytest.mark.parametrize(
    "unit",
    [
        "red ",
        "a",
        "a\u0301\u0316",
        "no fire or ",
        "fire type and ",
        "red and ",
        " -",
        "red, ",
        "ghost/",
        "in the deep blue sea ",
        "yelow",
        "yelow ",
        "four big ",
        "with a red hat ",
        "not red instead of ",
        "w/",
        "ghost type ",
    ],
)
def test_work_grows_in_line_with_length(unit: str):
    def calls(length: int) -> int:
        count = 0

        def tick(*_: object) -> None:
            nonlocal count
            count += 1

        sys.setprofile(tick)
        try:
            parse_by_rules((unit * length)[:length])
        finally:
            sys.setprofile(None)
        return count

    assert calls(8000) < 2.2 * calls(4000) + 100
    parse_by_rules((unit * 100_000)[:100_000])  # a slow regex or sort would hang here


@pytest.mark.parametrize(
    ("prompt", "parts"),
    [
        ("a small blue water turtle with a red shell", {"back": "Red"}),
        (
            "a dragon with a yellow belly and red feet",
            {"belly": "Yellow", "feet": "Red"},
        ),
        ("a blue rabbit with a white spotted belly", {"belly": "White"}),
        ("a turtle whose shell is red", {"back": "Red"}),
        ("a red-bellied bird", {"belly": "Red"}),
        ("a blue fox, red paws", {"feet": "Red"}),
        ("a yellow-headed snake with orange hair", {"head": "Yellow"}),
        ("a cat with a red tail and a blue belly", {"belly": "Blue"}),
        ("a cat with a red tail, blue eyes", {"eyes": "Blue"}),
        ("a cat with no red eyes", {}),
        ("a faceless doll", {"eyes": "None"}),
        ("a dog without a red shell", {}),
        ("a brown fox, its back turned to us", {}),
        ("a blue creature in a red city of shells", {}),
        ("a fox whose ears are black and whose belly is white", {"belly": "White"}),
        (
            "a dragon with eyes that are red and a yellow belly",
            {"belly": "Yellow", "eyes": "Red"},
        ),
        ("a cat whose tail is red with a big belly", {}),
        ("a green turtle on a red shell", {}),
        ("a blue knight with a red plate armor", {}),
        ("a blue red-shelled turtle", {"back": "Red"}),
        ("a brown white-footed mouse", {"feet": "White"}),
    ],
)
def test_colors_of_parts_that_have_a_place(prompt: str, parts: dict[str, str]):
    assert parse_by_rules(prompt).parts == parts
