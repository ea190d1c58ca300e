"""Sprites out of git, Tuxemon's, several sources in one folder, and one's own."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_tools import create_dataset, fetch_sprites, generate_metadata, git_source
from data_tools.git_source import Repository
from data_tools.sprite_sources import FetchError
from data_tools.tuxemon import ATTRIBUTIONS, parse_facts, read_tuxemon
from pokejax import pack
from pokejax.data import cifar
from tests.data_tools.test_native_sprites import NORMAL, SHINY, draw, palette


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def origin(tmp_path: Path) -> tuple[str, str]:
    """A repository served from a folder: its address, and its first commit."""
    folder = tmp_path / "origin"
    sprites = folder / "graphics/pokemon/squirtle"
    draw(sprites / "front.png", 5)
    (sprites / "normal.pal").write_text(palette(NORMAL))
    (sprites / "shiny.pal").write_text(palette(SHINY))
    (folder / "unwanted").mkdir()
    (folder / "unwanted/large.bin").write_bytes(b"x" * 1000)
    git(folder, "init", "--quiet")
    git(folder, "config", "uploadpack.allowAnySHA1InWant", "true")
    git(folder, "config", "uploadpack.allowFilter", "true")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "Sprites")
    first = git(folder, "rev-parse", "HEAD").strip()
    (sprites / "front.png").write_bytes(b"changed later")
    git(folder, "commit", "--quiet", "-am", "Break them")
    return folder.as_uri(), first


def test_only_what_is_wanted_comes_from_the_pinned_commit(origin, tmp_path: Path):
    url, commit = origin
    pinned = Repository(url, commit, ("graphics/pokemon",))
    cache = tmp_path / "cache"
    checkout = git_source.obtain(None, pinned, cache)
    assert (checkout / "graphics/pokemon/squirtle/normal.pal").is_file()
    assert not (checkout / "unwanted").exists()
    # A second time nothing is fetched, unless the checkout was changed.
    assert git_source.obtain(None, pinned, cache) == checkout
    (checkout / "graphics/pokemon/squirtle/front.png").write_bytes(b"spoilt")
    git_source.obtain(None, pinned, cache)
    Image.open(checkout / "graphics/pokemon/squirtle/front.png").verify()
    assert [p.name for p in cache.iterdir()] == [f"origin-{commit[:12]}"]


def test_another_address_and_commit(origin, tmp_path: Path):
    url, commit = origin
    other = Repository("https://nowhere.invalid/x", "0" * 40, ("graphics/pokemon",))
    found = git_source.obtain(f"{url}@{commit}", other, tmp_path / "cache")
    assert (found / "graphics/pokemon/squirtle/front.png").is_file()


def test_a_wrong_commit_and_no_git_are_one_line(origin, tmp_path, monkeypatch):
    url, _ = origin
    cache = tmp_path / "cache"
    with pytest.raises(FetchError, match="has no commit 1111"):
        git_source.obtain(None, Repository(url, "1" * 40, ("x",)), cache)
    assert not list(cache.iterdir())
    nowhere = Repository("file:///nope", "1" * 40, ("x",))
    with pytest.raises(
        FetchError, match="git failed on file:///nope: '/nope' does not"
    ):
        git_source.obtain(None, nowhere, cache)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FetchError, match="git is not installed"):
        git_source.obtain(None, Repository(url, "1" * 40, ("x",)), cache)


@pytest.fixture
def tuxemon_checkout(tmp_path: Path) -> Path:
    root = tmp_path / "tuxemon"
    sprites = root / "mods/tuxemon/gfx/sprites/battle"
    monsters = root / "mods/tuxemon/db/monster"
    sprites.mkdir(parents=True)
    monsters.mkdir(parents=True)
    (root / "ATTRIBUTIONS.md").write_text("Rockitten by Sanglorian\n")
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[20:40, 10:40] = [120, 90, 60, 255]
    for view in ("front", "back"):
        Image.fromarray(pixels).save(sprites / f"rockitten-{view}.png")
        pixels = pixels[:, ::-1]
    for name in ("foxko", "xeon"):  # whose backs nobody has drawn
        Image.fromarray(pixels + len(name)).save(sprites / f"{name}-front.png")
        Image.fromarray(pixels[::-1]).save(sprites / f"{name}-back.png")
        (monsters / f"{name}.json").write_text(json.dumps({"slug": name}))
    described = {"slug": "rockitten", "types": ["earth"], "stage": "basic"}
    (monsters / "rockitten.json").write_text(json.dumps(described | {"height": 55}))
    return root


def test_a_back_that_several_creatures_have_is_left_out(tuxemon_checkout: Path):
    species, problems = read_tuxemon(tuxemon_checkout)
    views = {s.slug: [p.view for p in s.pictures] for s in species}
    assert views["rockitten"] == ["tuxemon_front", "tuxemon_back"]
    assert views["foxko"] == views["xeon"] == ["tuxemon_front"]
    assert problems == [
        f"'{name}-back.png': 2 creatures have this picture"
        for name in ("foxko", "xeon")
    ]


def test_sources_combine_with_views_styles_and_authors(
    tuxemon_checkout, origin, tmp_path, capsys
):
    images, out = tmp_path / "images", tmp_path / "set"
    url, commit = origin
    arguments = ["--source", "native", "--from", f"{url}@{commit}"]
    arguments += ["--source", "tuxemon", "--from", str(tuxemon_checkout)]
    arguments += ["--cache", str(tmp_path / "cache"), "--workers", "1"]
    assert fetch_sprites.main([*arguments, "--out", str(images)]) == 0
    own = tmp_path / "own"
    own.mkdir()
    # One that the first source has, too: its species counts once.
    Image.new("RGBA", (8, 8), "blue").save(own / "squirtle_front.png")
    for i in range(8):
        pixels = np.full((40, 40, 4), [20 * i, 90, 200, 255], np.uint8)
        Image.fromarray(pixels).save(own / f"beast{'abcdefgh'[i]}_front.png")
        (own / f"beast{'abcdefgh'[i]}_front.txt").write_text(f"my beast {i}\n\n")
    # What was fetched stays, and is counted.
    arguments += ["--source", str(own)]
    capsys.readouterr()
    assert fetch_sprites.main([*arguments, "--out", str(images)]) == 0
    assert "9 written, 6 already there" in (told := capsys.readouterr().out)
    assert "15 pictures of 12 species" in told
    assert (images / ATTRIBUTIONS).read_text() == "Rockitten by Sanglorian\n"
    assert generate_metadata.main(["--images-dir", str(images), "--quiet"]) == 0
    beside = images / "Rockitten/rockitten_rockitten_tuxemon_back.json"
    metadata = json.loads(beside.read_text())
    assert metadata["style"] == "tuxemon" and metadata["view"] == "tuxemon_back"
    assert metadata["categorical_attributes"]["type1"] == "Ground"
    behind = ("behind", "back view", "back turned")
    assert all(any(w in p for w in behind) for p in metadata["prompts"])
    arguments = [f"--images-dir={images}", f"--output-dir={out}", "--hue-turns=2"]
    assert create_dataset.main(arguments) == 0
    assert "tuxemon" in capsys.readouterr().out
    assert (out / ATTRIBUTIONS).is_file()
    # With the pictures go their authors, into whatever is made of them.
    packed = tmp_path / "set.npz"
    assert pack.main(["--dir", str(out), "--out", str(packed)]) == 0
    assert ATTRIBUTIONS in capsys.readouterr().out
    with np.load(packed) as arrays:
        assert arrays[ATTRIBUTIONS].tobytes() == (out / ATTRIBUTIONS).read_bytes()
    assert ATTRIBUTIONS in (out / "README.txt").read_text()
    splits = cifar.read(out, 64)
    rows = [
        (split, name, style, prompts, ids[-2])
        for split, part in splits.items()
        for name, style, prompts, ids in zip(
            part.filenames, part.styles, part.prompts, part.conditions(), strict=True
        )
    ]
    seen = {name: (style, prompts, view) for _, name, style, prompts, view in rows}
    assert seen["Rockitten/rockitten_tuxemon_back.png"][::2] == ("tuxemon", 1)
    assert seen["Squirtle/squirtle_native_shiny.png"][::2] == ("native", 0)
    # One's own: unknown type and style, and the captions as they were written.
    assert seen["beasta/beasta_front.png"] == ("", ["my beast 0"], 0)
    (images / ATTRIBUTIONS).unlink()
    before = (out / "batches.meta").read_bytes()
    assert create_dataset.main(arguments) == 2
    assert f"{ATTRIBUTIONS} is missing" in capsys.readouterr().err
    assert (out / "batches.meta").read_bytes() == before
    turned = [name for name in seen if "@" in name]
    assert all(split == "train" for split, name, *_ in rows if "@" in name)
    assert not any("beast" in name for name in turned)
    assert turned


def test_a_limit_counts_in_each_source(tuxemon_checkout, origin, tmp_path, capsys):
    url, commit = origin
    arguments = ["--source", "tuxemon", "--from", str(tuxemon_checkout)]
    arguments += ["--source", "native", "--from", f"{url}@{commit}", "--limit", "1"]
    arguments += ["--cache", str(tmp_path / "cache"), "--workers", "1"]
    assert fetch_sprites.main([*arguments, "--out", str(tmp_path / "images")]) == 0
    assert "of 2 species" in capsys.readouterr().out


def test_make_looks_for_new_sources_beside_an_old_dataset(tmp_path: Path):
    (tmp_path / "batches.meta").touch()
    command = ["make", "--dry-run", "data", f"DATASET={tmp_path}", "NATIVE=checkout"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "--source native --from checkout" in told


def test_a_caption_in_json_comes_along(tmp_path: Path):
    own, images = tmp_path / "own", tmp_path / "images"
    (own / "Mr. Mime").mkdir(parents=True)
    Image.new("RGBA", (40, 40), "blue").save(own / "Mr. Mime/front.png")
    said = json.dumps({"caption": "a blue wall"})
    (own / "Mr. Mime/front.json").write_text(said)
    arguments = ["--source", str(own), "--out", str(images), "--workers", "1"]
    assert fetch_sprites.main(arguments) == 0
    assert generate_metadata.main(["--images-dir", str(images), "--quiet"]) == 0
    beside = images / "Mr. Mime/mrmime_mrmime_front.json"
    metadata = json.loads(beside.read_text())
    assert metadata["prompts"] == ["a blue wall"]
    # Its name is a package's, but nobody knows how it is drawn.
    assert metadata["style"] == "" and metadata["entry"] is None


def test_odd_facts_are_unknown():
    facts = parse_facts('{"types": ["aether"], "height": 0}')
    assert (facts.type1, facts.size, facts.evolution_stage) == (None, None, None)
    with pytest.raises(ValueError, match="no JSON object"):
        parse_facts("[]")
