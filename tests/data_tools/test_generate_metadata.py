"""The metadata command on drawn pictures, and the prompts it writes."""

import json
import re
from itertools import pairwise, product
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from data_tools import heuristics
from data_tools.generate_metadata import describe, main
from data_tools.picture_files import OWN
from data_tools.pokedex import load_facts, species_names
from data_tools.prompt_writer import write_prompts
from pokejax.attributes import (
    COLORS,
    HABITATS,
    SHAPES,
    TYPES,
    VOCABULARIES,
    Attributes,
    attributes_from_metadata,
)
from pokejax.prompts.rules import parse_by_rules


def draw(path: Path, fill: str = "#3060d0") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGBA", (48, 48), (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((4, 4, 44, 44), fill, "#101010")
    image.save(path)
    return path


def run(folder: Path, *flags: str) -> int:
    return main(["--images-dir", str(folder), "--workers", "1", *flags])


def test_layout_and_facts(tmp_path: Path, capsys: pytest.CaptureFixture):
    draw(tmp_path / "Squirtle/squirtle_shiny_back.png")
    assert run(tmp_path) == 0
    metadata = json.loads(
        (tmp_path / "Squirtle/squirtle_squirtle_shiny_back.json").read_text()
    )
    assert metadata["species"] == "Squirtle"
    assert metadata["view"] == "shiny_back"
    assert metadata["image"] == "squirtle_shiny_back.png"
    assert metadata["visual_attributes"] == {
        "primary_colors": ["Blue"],
        "color_distribution": {"primary": "Blue", "secondary": None},
        "body_shape": "Bipedal",
        "size": "Small",
    }
    assert metadata["categorical_attributes"] == {
        "type1": "Water",
        "type2": None,
        "evolution_stage": "Basic",
        "generation": 1,
    }
    assert metadata["sources"]["primary_color"] == "pixels"
    assert metadata["sources"]["shape"] == "curated"
    assert attributes_from_metadata(metadata).known().keys() == set(VOCABULARIES)
    out = capsys.readouterr()
    assert "1 written now" in out.out and "primary_color: Blue 1" in out.out


@pytest.mark.parametrize(
    ("name", "type1", "type2", "view"),
    [
        ("Arceus/arceus_fire_shiny.png", "Fire", "None", "fire_shiny"),
        ("Rotom/rotom_wash_back.png", "Electric", "Water", "wash_back"),
        ("Unown/unown_q_front.png", "Psychic", "None", "q_front"),
        ("Mr. Mime/mrmime_front_frame2.png", "Psychic", "Fairy", "front_frame2"),
    ],
)
def test_forms(tmp_path: Path, name: str, type1: str, type2: str, view: str):
    metadata = describe(draw(tmp_path / name))
    attributes = attributes_from_metadata(metadata)
    assert (attributes.type1, attributes.type2) == (type1, type2)
    assert metadata["view"] == view


def test_own_pictures_get_colors_only(tmp_path: Path, capsys: pytest.CaptureFixture):
    draw(tmp_path / "Blorbo/whatever.png", "#d02020")
    assert run(tmp_path) == 0
    metadata = json.loads((tmp_path / "Blorbo/blorbo_whatever.json").read_text())
    known = attributes_from_metadata(metadata).known()
    assert known == {"primary_color": "Red", "secondary_color": "None"}
    assert metadata["prompts"]
    assert (
        "1 pictures are of species that the Pokédex doesn't" in capsys.readouterr().out
    )


def test_existing_metadata_is_kept_unless_told(tmp_path: Path):
    draw(tmp_path / "Mew/mew_front.png")
    assert run(tmp_path, "--quiet") == 0
    written = tmp_path / "Mew/mew_mew_front.json"
    edited = json.loads(written.read_text()) | {"prompts": ["mine"]}
    written.write_text(json.dumps(edited))
    assert run(tmp_path, "--quiet") == 0
    assert json.loads(written.read_text())["prompts"] == ["mine"]
    assert run(tmp_path, "--quiet", "--no-skip-existing") == 0
    assert json.loads(written.read_text())["prompts"] != ["mine"]


def test_metadata_of_an_older_version_is_written_anew(tmp_path: Path):
    draw(tmp_path / "Mew/mew_front.png")
    assert run(tmp_path, "--quiet") == 0
    written = tmp_path / "Mew/mew_mew_front.json"
    old = json.loads(written.read_text()) | {"prompts": ["an old one"]}
    del old["format"]
    written.write_text(json.dumps(old))
    assert run(tmp_path, "--quiet") == 0
    assert json.loads(written.read_text())["prompts"] != ["an old one"]
    # What a model was paid for stays.
    old["sources"] = {"type1": "vision"}
    written.write_text(json.dumps(old))
    assert run(tmp_path, "--quiet") == 0
    assert json.loads(written.read_text()) == old


@pytest.mark.parametrize("name", ["aa_aa_front.json", "aa_front.json"])
def test_a_caption_in_json_trains_and_is_never_lost(tmp_path: Path, name: str):
    draw(tmp_path / "Aa/aa_front.png")
    own = {"caption": "my own red ball", "categorical_attributes": {"type1": "Fire"}}
    (tmp_path / "Aa" / name).write_text(json.dumps(own))
    written = tmp_path / "Aa/aa_aa_front.json"
    for flags in ((), (), ("--no-skip-existing",)):
        assert run(tmp_path, "--quiet", *flags) == 0
        metadata = json.loads(written.read_text())
        assert metadata["prompts"] == ["my own red ball"]
        assert metadata["visual_attributes"]["color_distribution"]
        beside = json.loads((tmp_path / "Aa" / name).read_text())
        assert beside["caption"] == "my own red ball"
        if written.name == name:  # what was put there by hand
            assert metadata["categorical_attributes"]["type1"] == "Fire"


def test_a_caption_that_is_no_text_is_named(tmp_path: Path, capsys):
    draw(tmp_path / "Aa/aa_front.png")
    (tmp_path / "Aa/aa_front.json").write_text('{"caption": 5}')
    assert run(tmp_path) == 2
    assert "aa_front.json: caption: 5 is not text" in capsys.readouterr().err


def test_nothing_is_invented_of_a_drawing_of_ones_own(tmp_path: Path):
    named = draw(tmp_path / "Mr. Mime/front.png")
    marked = draw(tmp_path / "Mr. Mime/mrmime_front.png")
    said = PngInfo()
    said.add_text(*OWN)
    Image.open(marked).save(marked, pnginfo=said)
    for path in (named, marked):
        metadata = describe(path)
        assert metadata["style"] == "" and metadata["entry"] is None
        assert not re.search(r"clown|mime|glove", " ".join(metadata["prompts"]))
    draw(marked)
    assert describe(marked)["style"] == "gen5" and describe(marked)["entry"]


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("Burmy/burmy_sandy_front.png", "burmysandycloak"),
        ("Burmy/burmy_trash_back.png", "burmytrashcloak"),
        ("Gastrodon/gastrodon_east_front.png", "gastrodoneastsea"),
        ("Darmanitan/darmanitan_zen_front.png", "darmanitanzenmode"),
        ("Jellicent/jellicent_female_back.png", "jellicentfemale"),
        ("Unfezant/unfezant_female.png", "unfezantfemale"),
        ("Deerling/deerling_autumn_front.png", "deerlingautumn"),
        ("Pikachu/pikachu_female.png", "pikachu"),
    ],
)
def test_forms_find_their_own_line(tmp_path: Path, name: str, entry: str):
    assert describe(draw(tmp_path / name))["entry"] == entry


def test_a_form_without_a_line_borrows_no_colours(tmp_path: Path):
    metadata = describe(draw(tmp_path / "Arceus/arceus_fire_front.png", "#f0f0f0"))
    assert metadata["entry"] == "arceus" and not metadata["as_entry"]
    assert "golden body ring" not in " ".join(metadata["prompts"])


@pytest.mark.parametrize(
    ("name", "primary", "source"),
    [
        # The table was judged from 64x64 fronts, whatever a rule measures there.
        ("flareon_native_front", "Orange", "curated"),
        ("flareon_native_back", "Green", "pixels"),
        ("flareon_front", "Green", "pixels"),
        ("flareon_native_shiny", "Green", "pixels"),
    ],
)
def test_the_eye_is_right_about_what_it_saw(
    tmp_path: Path, name: str, primary: str, source: str
):
    metadata = describe(draw(tmp_path / f"Flareon/{name}.png", "#30a030"))
    assert attributes_from_metadata(metadata).primary_color == primary
    assert metadata["sources"]["primary_color"] == source
    told = " ".join(metadata["prompts"])
    assert source == "curated" or "orange fur" not in told


def test_a_little_of_the_tables_colour_is_enough(tmp_path: Path):
    path = draw(tmp_path / "Meowth/meowth_artwork.png", "#f4f0e0")
    with Image.open(path) as image:
        drawn = image.copy()
    ImageDraw.Draw(drawn).rectangle((18, 18, 26, 26), "#f0d040")
    drawn.save(path)
    assert attributes_from_metadata(describe(path)).primary_color == "Yellow"


def test_broken_pictures_are_named_and_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    folder = tmp_path / "Mew"
    draw(folder / "mew_front.png")
    (folder / "mew_back.png").touch()
    whole = (folder / "mew_front.png").read_bytes()
    (folder / "mew_shiny.png").write_bytes(whole[: len(whole) // 2])
    Image.new("RGBA", (8, 8)).save(folder / "mew_shiny_back.png")
    Image.new("1", (8192, 8192)).save(folder / "mew_artwork.png")
    (folder / "mew_mew_female.json").write_text("{")
    draw(folder / "mew_female.png")
    assert run(tmp_path) == 0
    out = capsys.readouterr()
    lines = [line for line in out.err.splitlines() if line.startswith("skipped ")]
    reasons = {
        Path(line.split()[1].rstrip(":")).name: line.split(": ", 1)[1] for line in lines
    }
    assert reasons.keys() == {
        "mew_back.png",
        "mew_shiny.png",
        "mew_shiny_back.png",
        "mew_artwork.png",
        "mew_mew_female.json",
    }
    assert "at most 4096" in reasons["mew_artwork.png"]
    assert "blank" in reasons["mew_shiny_back.png"]
    assert "5 skipped" in out.out
    assert (folder / "mew_mew_female.json").read_text() == "{"
    assert not list(folder.glob(".*")) and len(list(folder.glob("*.json"))) == 2


def test_bad_folders_exit_2_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad/Mew").mkdir(parents=True)
    (tmp_path / "bad/Mew/mew_front.png").write_text("no picture")
    for name in ("missing", "empty"):
        assert run(tmp_path / name) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and str(tmp_path / name) in error
    assert run(tmp_path / "bad", "--quiet") == 2
    assert "no usable picture" in capsys.readouterr().err


def test_processes_give_what_one_gives(tmp_path: Path):
    for name, fill in product(("Mew", "Abra"), ("#d02020", "#208040")):
        draw(tmp_path / name / f"{name.lower()}_{fill[1:]}.png", fill)
    assert main(["--images-dir", str(tmp_path), "--quiet", "--workers", "2"]) == 0
    first = {p: p.read_text() for p in tmp_path.glob("*/*.json")}
    assert run(tmp_path, "--quiet", "--no-skip-existing") == 0
    assert first == {p: p.read_text() for p in tmp_path.glob("*/*.json")}
    assert len(first) == 4


def test_every_shape_and_habitat_occurs():
    facts = load_facts()
    base = [f for f in facts.values() if f.name == f.species]
    habitats = [heuristics.habitat(f) for f in base]
    assert set(habitats) == set(HABITATS)
    assert max(habitats.count(h) for h in HABITATS) < len(base) / 4
    assert {heuristics.body_shape(f)[0] for f in base} == set(SHAPES)
    curated = [n for n in range(1, 650) if _source(species_names()[n]) == "curated"]
    assert len(curated) == 649
    assert _source("Rotom-Wash") == "curated"  # by its species
    assert _source("Sprigatito") == "heuristic"


def _source(name: str) -> str:
    facts = next(f for f in load_facts().values() if f.name == name)
    return heuristics.body_shape(facts)[1]


@pytest.mark.parametrize(
    ("height", "size"),
    [(0.39, "Tiny"), (0.4, "Small"), (0.8, "Medium"), (1.3, "Large"), (2.0, "Huge")],
)
def test_sizes(height: float, size: str):
    assert heuristics.size(height) == size


FULL = Attributes(
    "Fire", "Rock", "Red", "Gray", "Quadruped", "Huge", "Stage 2", "Cave", "Yes", "No"
)


def test_prompts_are_the_same_every_time_and_differ_between_pictures():
    assert write_prompts(FULL, "a/front") == write_prompts(FULL, "a/front")
    assert write_prompts(FULL, "a/front") != write_prompts(FULL, "a/back")
    # A literal, so that a change of the hash or of the platform shows.
    assert write_prompts(Attributes(primary_color="Red"), "x")[0] == (
        "I'd like a cherry creature"
    )


def test_prompts_mention_every_fact_and_no_untrue_one():
    for i in range(100):
        prompts = write_prompts(FULL, f"x{i}")
        assert 5 <= len(prompts) <= 7
        assert all(3 <= len(p.split()) <= 30 for p in prompts)
        readings = [parse_by_rules(p).attributes for p in prompts]
        for name, value in FULL.known().items():
            read = [getattr(r, name) for r in readings]
            often = name in ("type1", "primary_color", "shape", "size")
            assert read.count(value) >= (2 if often else name != "mythical"), prompts


def test_no_second_type_and_color_are_said():
    single = Attributes(type1="Ice", type2="None", primary_color="Blue")
    for i in range(20):
        prompts = write_prompts(single, f"x{i}")
        assert any(parse_by_rules(p).attributes.type2 == "None" for p in prompts)


def test_articles():
    for i in range(200):
        for prompt in write_prompts(FULL, f"x{i}"):
            words = prompt.lower().replace(",", " ").split()
            for article, word in pairwise(words):
                if article == "an":
                    assert word[0] in "aeiou", prompt
                if article == "a" and word[0] in "aeiou":
                    assert word.startswith(("uni", "one", "once")), prompt


def test_written_prompts_are_read_back():
    right = wrong = total = 0
    for type1, color in product(TYPES, COLORS):
        truth = Attributes(type1=type1, primary_color=color)
        for prompt in write_prompts(truth, f"{type1}{color}"):
            read = parse_by_rules(prompt).attributes
            for name in ("type1", "primary_color"):
                value = getattr(read, name)
                total += 1
                right += value == getattr(truth, name)
                wrong += value not in (None, getattr(truth, name))
    assert right >= 0.95 * total
    assert wrong <= 0.01 * total


def test_nothing_known_is_refused():
    with pytest.raises(ValueError, match="nothing is known"):
        write_prompts(Attributes(legendary="No"), "x")
