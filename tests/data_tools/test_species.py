"""The table of creatures, and the captions composed from it."""

import random

import pytest

from data_tools import species
from data_tools.captions import write_captions
from data_tools.pokedex import species_names
from data_tools.species import Entry, parse_line
from pokejax.attributes import COLORS, Attributes
from pokejax.prompts import lexicon
from pokejax.prompts.phrases import tokenize
from pokejax.prompts.rules import parse_by_rules

ANIMALS = set(
    [
        "turtle",
        "fox",
        "mouse",
        "dog",
        "cat",
        "bird",
        "snake",
        "fish",
        "crab",
        "moth",
        "rabbit",
        "lizard",
        "dragon",
        "wolf",
        "bear",
        "frog",
        "horse",
        "monkey",
        "spider",
        "bat",
        "penguin",
        "owl",
        "deer",
        "lion",
        "sheep",
        "pig",
        "elephant",
        "koala",
    ]
)
SQUIRTLE = Attributes(
    "Water", "None", "Blue", "Brown", "Bipedal", "Small", "Basic", "Freshwater", "No"
)


def test_the_table_is_whole_and_well_formed():
    table = species.load()
    assert len(table) > 1600
    assert sum(name.startswith("tuxemon") for name in table) > 370
    assert sum(len(entry.parts) for entry in table.values()) > 3 * len(table) * 0.95
    names = species_names().values()
    assert len(names) == 1025 and not [n for n in names if not species.find(n)]


@pytest.mark.parametrize(
    ("name", "noun"),
    [
        ("squirtle", "turtle"),
        ("vulpix", "fox"),
        ("krabby", "crab"),
        ("rattata", "rat"),
        ("golem", "rock turtle"),
        ("ninetales", "nine-tailed fox"),
        ("venomoth", "moth"),
    ],
)
def test_animals_are_what_a_person_says(name: str, noun: str):
    entry = species.find(name)
    assert entry is not None and entry.nouns[0] == noun


def test_a_form_has_an_entry_of_its_own_or_its_species():
    mega = species.find("Charizard", "mega_x")
    assert mega is not None and mega.primary == "Black"
    assert species.find("Pikachu", "unheard-of") == species.find("pikachu")
    assert species.find("Glimmerfox") is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a|fox|red tail R;big ears R|R,-|Fo", "unpack"),
        ("a|fox|red tail R;big ears R|R,-|Fo|Round", "'Round' is not one of"),
        ("a|fox|red tail R|R,-|Fo|Bipedal", "two to five parts"),
        ("a||red tail R;ears R|R,-|Fo|Bipedal", "one to three nouns"),
    ],
)
def test_a_bad_line_is_refused(line: str, message: str):
    with pytest.raises(ValueError, match=message):
        parse_line(line)


def captions(seed: str, **kwargs: bool) -> list[str]:
    entry = species.find("squirtle")
    assert entry is not None
    return write_captions(entry, SQUIRTLE, seed, **kwargs)


def test_captions_are_the_same_every_time():
    assert captions("a") == captions("a")
    assert captions("a") != captions("b")


def test_a_picture_from_behind_says_so():
    words = ("behind", "back")
    assert all(any(w in c for w in words) for c in captions("a", behind=True))


def test_turned_hues_leave_the_colours_of_parts_unsaid():
    entry = species.find("charmander")
    assert entry is not None
    truth = Attributes(type1="Fire", primary_color="Blue")
    said = " ".join(
        text
        for i in range(50)
        for text in write_captions(entry, truth, f"{i}", turned=True)
    )
    for color in ("orange", "cream", "yellow"):
        assert color not in said


def test_300_prompts_claim_nothing_that_the_table_contradicts():
    rng = random.Random(0)
    contradicted: list[str] = []
    for name in rng.sample(sorted(species.load()), 300):
        entry = species.load()[name]
        truth = Attributes(
            "Ice",
            "None",
            entry.primary,
            entry.secondary,
            entry.shape,
            "Small",
            "Basic",
            entry.habitat,
        )
        text = rng.choice(write_captions(entry, truth, name))
        if problem := _contradiction(text, entry, truth):
            contradicted.append(f"{name}: {problem} in {text!r}")
    assert not contradicted


def _contradiction(text: str, entry: Entry, truth: Attributes) -> str:
    """What `text` says that isn't so."""
    parts = [part.name for part in entry.parts]
    # "Shaped like a bird" and "no bigger than a cat" compare, and truly.
    compared = lexicon.SHAPE_PHRASES[entry.shape] + lexicon.SIZE_PHRASES["Small"]
    told = _stems(" ".join([*entry.nouns, *parts, *compared]))
    said = _stems(text)
    if invented := (said & ANIMALS) - told:
        return f"a {invented}"
    # Words of the table may also name a type or a place: a leaf tail isn't Grass.
    parsed = parse_by_rules(text)
    colors = {entry.primary, entry.secondary, *(part.color for part in entry.parts)}
    allowed = {
        "type1": {"Ice"},
        "type2": {"Ice", "None"},  # behind a type that the noun names
        "primary_color": colors,
        "secondary_color": colors | {"None"},
        "size": {"Small"},
        "habitat": {entry.habitat},
        "legendary": {"No"},
        "mythical": {"No"},
    }
    for field, values in allowed.items():
        value = parsed.attributes.known().get(field)
        if value is None or value in values:
            continue
        if not _stems(parsed.matches[field].text) <= told:
            return f"{field} {value}"
    return ""


def _stems(text: str) -> set[str]:
    return {token.stem for token in tokenize(text)}


def test_colour_letters_are_the_vocabulary_in_order():
    assert tuple(species.COLOR_LETTERS.values()) == COLORS
    assert set(lexicon.COLOR_WORDS) == set(COLORS)
