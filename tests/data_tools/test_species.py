"""The table of creatures, and the captions composed from it."""

import json
import random
import re
from itertools import pairwise
from pathlib import Path

import pytest

from data_tools import claims, generate_metadata, species
from data_tools.captions import write_captions
from data_tools.claims import contradiction
from data_tools.part_words import ACHROMATIC, faces_front, takes_article, uncolored
from data_tools.pokedex import species_names
from data_tools.species import parse_line
from pokejax.attributes import COLORS, Attributes
from pokejax.prompts import lexicon
from tests.data_tools.test_generate_metadata import draw

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


def captions(seed: str, behind: bool = False) -> list[str]:
    entry = species.find("squirtle")
    assert entry is not None
    return write_captions(entry, SQUIRTLE, seed, behind=behind)


def test_captions_are_the_same_every_time():
    assert captions("a") == captions("a")
    assert captions("a") != captions("b")


def test_a_picture_from_behind_says_so():
    words = ("behind", "back")
    assert all(any(w in c for w in words) for c in captions("a", behind=True))


@pytest.mark.parametrize("kept", [(), ACHROMATIC])
def test_other_colours_leave_those_of_parts_unsaid(kept: frozenset[str]):
    entry = species.find("charmander")
    assert entry is not None
    truth = Attributes(type1="Fire", primary_color="Blue")
    said = " ".join(
        text
        for i in range(50)
        for text in write_captions(entry, truth, f"{i}", kept=kept)
    )
    for color in ("orange", "cream", "yellow"):
        assert color not in said


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("grey-green muscles", "muscles"),
        ("big dark-edged ears", "big edged ears"),
        ("long pale blue hair", "long hair"),
        ("big white and blue tail", "big tail"),
        ("yellow tail light", "tail light"),
        ("pink cat", "cat"),
        # Things, whatever colour they have.
        ("swirl of cream", "swirl of cream"),
        ("ice cream cone", "ice cream cone"),
        ("red rose hand", "rose hand"),
    ],
)
def test_colours_are_taken_from_parts_and_nouns(said: str, left: str):
    assert uncolored(said) == left


def test_grays_stay_through_a_turn_of_hues_only():
    entry = species.find("absol")  # a dark scythe horn, a white mane, a blade tail
    assert entry is not None
    truth = Attributes(type1="Dark", primary_color="Red")

    def told(kept: frozenset[str]) -> str:
        each = (write_captions(entry, truth, f"{i}", kept=kept) for i in range(20))
        return " ".join(text for texts in each for text in texts)

    assert "dark scythe horn" in told(ACHROMATIC) and "white mane" in told(ACHROMATIC)
    assert "scythe horn" in told(frozenset())
    assert "dark scythe" not in told(frozenset())
    assert "white mane" not in told(frozenset())


def test_a_back_has_no_face():
    entry = species.find("charmander")
    assert entry is not None and any("belly" in p.name for p in entry.parts)
    truth = Attributes(type1="Fire", primary_color="Orange", shape="Avian")
    for i in range(50):
        for text in write_captions(entry, truth, f"{i}", behind=True):
            assert not faces_front(text), text


@pytest.mark.parametrize(
    ("phrase", "one"),
    [
        ("blue fighting octopus", True),
        ("red cactus", True),
        ("crown of blade horns", True),
        ("huge shell with cannons", True),
        ("heap of trash", True),
        ("eyes on stalks", False),
        ("green wings", False),
        ("brown fur", False),
    ],
)
def test_articles_stand_before_one_thing(phrase: str, one: bool):
    assert takes_article(phrase) == one


def test_no_word_is_said_twice_in_a_row_and_no_part_is_bare():
    for name, kind in (("necrozma", "Psychic"), ("dragonite", "Dragon")):
        entry = species.find(name)
        assert entry is not None
        truth = Attributes(type1=kind, primary_color=entry.primary)
        for i in range(60):
            for text in write_captions(entry, truth, f"{i}")[:6]:
                words = re.findall(r"[a-z-]+,?", text.lower())
                assert all(a != b for a, b in pairwise(words)), text
    entry = parse_line("x|worm|tail G;body G|G,-|Fo|Serpentine")[1]
    for i in range(20):
        tags = write_captions(entry, Attributes(primary_color="Green"), f"{i}")[0]
        assert not {"tail", "body"} & set(tags.split(", "))


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("palette", ["normal", "turned", "shiny"])
def test_prompts_claim_nothing_untrue(palette: str, behind: bool):
    rng = random.Random(0)
    kept = {"normal": COLORS, "turned": ACHROMATIC, "shiny": ()}[palette]
    untrue: list[str] = []
    for name in rng.sample(sorted(species.load()), 150):
        entry = species.load()[name]
        first, second = entry.primary, entry.secondary
        if palette != "normal":
            first, second = rng.sample(COLORS, 2)
        truth = Attributes(
            "Ice", "None", first, second, entry.shape, "Small", "Basic", entry.habitat
        )
        text = rng.choice(write_captions(entry, truth, name, behind=behind, kept=kept))
        if problem := contradiction(text, entry, truth, behind=behind, kept=kept):
            untrue.append(f"{name}: {problem} in {text!r}")
    assert not untrue


@pytest.mark.parametrize(
    ("said", "options", "problem"),
    [
        ("a blue turtle with a curled tail", {}, ""),
        ("a blue turtle with a brown shell", {}, ""),
        ("a blue fox", {}, "fox"),
        ("a pink turtle", {}, "pink"),
        ("a blue turtle with a red curled tail", {}, "red curled tail"),
        ("a blue turtle with a brown shell rim", {"kept": ()}, "brown shell rim"),
        ("a blue turtle with a blue shell rim", {"kept": ()}, "blue shell rim"),
        ("a blue turtle", {"behind": True}, "a front"),
        ("a blue turtle with big eyes, from behind", {"behind": True}, "seen from"),
        ("a blue turtle, from behind", {"behind": True}, ""),
        ("a blue fire turtle", {}, "type1 Fire"),
    ],
)
def test_what_the_check_finds(said: str, options: dict, problem: str):
    entry = species.find("squirtle")
    assert entry is not None
    found = contradiction(said, entry, SQUIRTLE, **options)
    assert problem in found and bool(problem) == bool(found)


def test_the_check_is_a_command(tmp_path: Path, capsys: pytest.CaptureFixture):
    assert claims.main(["--images-dir", str(tmp_path)]) == 2
    draw(tmp_path / "Squirtle/squirtle_native_front.png", "#5a96e6")
    assert generate_metadata.main(["--images-dir", str(tmp_path), "--quiet"]) == 0
    capsys.readouterr()
    assert claims.main(["--images-dir", str(tmp_path)]) == 0
    assert "0 of 7 prompts" in capsys.readouterr().out
    beside = tmp_path / "Squirtle/squirtle_squirtle_native_front.json"
    metadata = json.loads(beside.read_text())
    beside.write_text(json.dumps(metadata | {"prompts": ["a blue fox"]}))
    assert claims.main(["--images-dir", str(tmp_path)]) == 1
    assert "fox" in capsys.readouterr().out


def test_colour_letters_are_the_vocabulary_in_order():
    assert tuple(species.COLOR_LETTERS.values()) == COLORS
    assert set(lexicon.COLOR_WORDS) == set(COLORS)
