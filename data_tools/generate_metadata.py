"""The command that writes what is known about each picture into a JSON beside it.

Owns the options, the report, and the offline provider's loop over all pictures;
`data_tools.metadata` decides what is written. The provider that asks a vision model is
`data_tools.vision.labels`, loaded only when it's wanted.
"""

import argparse
import functools
import math
import multiprocessing
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from tqdm import tqdm

from pokejax import startup
from pokejax.arguments import Parser
from pokejax.attributes import VOCABULARIES
from pokejax.commands import call_of

from .metadata import (
    MetadataError,
    Outcome,
    describe,
    is_outdated,
    read_outcome,
    write_metadata,
)
from .pictures import find_metadata, find_pictures
from .pokedex import load_facts

_PROVIDERS = ("pokedex", "baml")


def process(path: Path, skip_existing: bool = True) -> Outcome:
    """Write the metadata of the picture at `path`, unless it's there already.

    Returns:
      What is known of it now; a picture that can't be read is reported, not raised.

    Raises:
      OSError: the file can't be written.
    """
    try:
        if skip_existing and find_metadata(path) and not is_outdated(path):
            return read_outcome(path)
        return write_metadata(path, describe(path))
    except ValueError as error:
        return Outcome({}, problem=f"{path}: {error}")


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C


def _bar(args: argparse.Namespace, count: int) -> tqdm:
    return tqdm(desc="metadata", total=count, unit=" pictures", disable=args.quiet)


def _process_all(args: argparse.Namespace, paths: list[Path]) -> list[Outcome]:
    results = _process_each(args, paths)
    with _bar(args, len(paths)) as bar:
        outcomes = []
        for path, outcome in zip(paths, results, strict=True):
            outcomes.append(outcome)
            _report(args, path, outcome)
            bar.update()
    return outcomes


def _process_each(args: argparse.Namespace, paths: list[Path]) -> Iterator[Outcome]:
    work = functools.partial(process, skip_existing=args.skip_existing)
    if args.workers == 1 or len(paths) < 2 * args.workers:
        yield from map(work, paths)
        return
    pool = ProcessPoolExecutor(
        args.workers,
        # A fork beside the progress bar's thread may hang.
        multiprocessing.get_context("spawn"),
        initializer=_ignore_interrupts,
    )
    try:
        yield from pool.map(work, paths, chunksize=8)
    except BrokenProcessPool as error:
        raise MetadataError(
            "a worker process died (out of memory?); what is written is kept: run "
            "again with --workers 1"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _report(args: argparse.Namespace, path: Path, outcome: Outcome) -> None:
    if outcome.problem:
        tqdm.write(f"skipped {outcome.problem}", file=sys.stderr)
    elif args.verbose:
        state = "written" if outcome.is_new else "there"
        known = ", ".join(v for v in outcome.known.values() if v != "No")
        tqdm.write(f"{path}: {state}: {known}", file=sys.stderr)


def _label(args: argparse.Namespace, paths: list[Path]) -> int:
    """`_run`, for the provider `baml`."""
    from .vision import labels as vision_labels

    if args.dry_run:
        print(vision_labels.estimate(args, paths))
        return 0
    with _bar(args, len(paths)) as bar:

        def report(path: Path, outcome: Outcome) -> None:
            _report(args, path, outcome)
            bar.update()

        done = vision_labels.label_pictures(args, paths, report)
    if not args.quiet:
        print(_summary(list(done.outcomes.values())))
        print(done.summary())
    if done.is_fatal:
        raise MetadataError(f"{done.stop_reason}; {done.not_asked} pictures not asked")
    if done.stop_reason:
        print(
            f"generate_metadata: stopped: {done.stop_reason}; {done.not_asked} "
            "pictures not asked: run again to continue",
            file=sys.stderr,
        )
    if done.is_interrupted:
        return 130
    return 0 if done.is_complete else 1


def _audit(args: argparse.Namespace, paths: list[Path]) -> None:
    from .audit import write_audit

    with_bar = tqdm(paths, desc="audit", unit=" pictures", disable=args.quiet)
    try:
        counts = write_audit(args.audit, with_bar)
    except OSError as error:
        raise MetadataError(
            f"cannot write --audit {str(args.audit)!r}: {error.strerror}"
        ) from error
    if args.quiet:
        return
    shares = ", ".join(f"{name} {s}/{n}" for name, (s, n) in counts.items() if n)
    print(f"{args.audit}: agreement with pixels and Pokédex: {shares or 'none known'}")


def _summary(outcomes: Sequence[Outcome]) -> str:
    usable = [o for o in outcomes if not o.problem]
    written = sum(o.is_new for o in usable)
    lines = [
        f"{len(usable)} pictures have metadata: {written} written now, "
        f"{len(usable) - written} there before; {len(outcomes) - len(usable)} skipped"
    ]
    for name, vocabulary in VOCABULARIES.items():
        counts = Counter(o.known[name] for o in usable if name in o.known)
        values = ", ".join(f"{v} {counts[v]}" for v in vocabulary if counts[v])
        lines.append(f"  {name}: {values or 'unknown'}")
    if strangers := sum(not o.has_facts for o in usable):
        lines.append(
            f"{strangers} pictures are of species that the Pokédex doesn't have:"
            " only their colors are known; add type1 to their JSON, or captions, to"
            " say more"
        )
    return "\n".join(lines)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _above_zero(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _parser() -> Parser:
    parser = Parser(
        prog=call_of("data_tools.generate_metadata"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=(
            "Write <species>_<picture>.json beside each picture: 5 to 7 prompts and\n"
            "the attributes. Run it again after an interruption: finished files are\n"
            "kept, and no answer of a model is paid for twice."
        ),
        epilog=(
            "examples:\n"
            "  %(prog)s --images-dir images\n"
            "  %(prog)s --no-skip-existing --quiet\n"
            "  %(prog)s --provider baml --dry-run\n"
            "  %(prog)s --provider baml \\\n"
            "    --max-cost-usd 2 --audit audit.html\n\n"
            "exit codes: 0 done, 1 pictures are left (baml), 2 can't be done as asked"
        ),
    )
    add = parser.add_argument
    add(
        "--images-dir",
        type=Path,
        default=Path("images"),
        help="folder of <Species>/<picture>.png (images)",
    )
    add(
        "--provider",
        choices=_PROVIDERS,
        default=_PROVIDERS[0],
        help="pokedex measures colors and looks the rest up, offline; baml asks the "
        "vision model of OPENAI_MODEL, OPENAI_API_KEY and OPENAI_BASE_URL (pokedex)",
    )
    add(
        "--skip-existing",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep existing metadata, whichever provider wrote it, unless an older "
        "version of this command did (on)",
    )
    add("--audit", type=Path, metavar="FILE", help="write an HTML page to check labels")
    output = parser.add_mutually_exclusive_group()
    output.add_argument(
        "--verbose", action="store_true", help="a line for each picture"
    )
    output.add_argument(
        "--quiet", action="store_true", help="no progress bar and no summary"
    )
    add(
        "--workers",
        type=_positive,
        default=os.cpu_count() or 1,
        metavar="N",
        help="pokedex: processes (one per CPU)",
    )
    group = parser.add_argument_group("with --provider baml")
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="print what would be asked and what it would cost; needs no key",
    )
    add_model_options(group)
    return parser


def add_model_options(group: argparse._ArgumentGroup) -> None:
    """Add what `vision.labels.label_pictures` is told."""
    add = group.add_argument
    add(
        "--max-cost-usd",
        type=_above_zero,
        metavar="X",
        help="never spend more than this, counting all runs on this folder",
    )
    add(
        "--price",
        type=_above_zero,
        nargs=2,
        metavar=("IN", "OUT"),
        help="US dollars per million tokens (data_tools/vision/llm_prices.json)",
    )
    add(
        "--retry-refused",
        action="store_true",
        help="ask again about pictures whose answers were unusable; that costs"
        " again, and is kept in the ledger",
    )
    add(
        "--concurrency",
        type=_positive,
        default=8,
        metavar="N",
        help="questions in flight at a time (8)",
    )
    add(
        "--requests-per-minute",
        type=_above_zero,
        metavar="N",
        help="send no more than this; Retry-After is respected anyway (no limit)",
    )
    add(
        "--timeout-s",
        type=_above_zero,
        default=60.0,
        metavar="S",
        help="seconds to wait for one answer (60)",
    )


def _run(args: argparse.Namespace) -> int:
    try:
        paths = find_pictures(args.images_dir)
    except ValueError as error:
        raise MetadataError(str(error)) from error
    if args.dry_run and args.provider != "baml":
        raise MetadataError("--dry-run needs --provider baml; pokedex costs nothing")
    load_facts()  # a missing package is better reported before the work starts
    code = _label(args, paths) if args.provider == "baml" else _look_up(args, paths)
    if args.audit and not args.dry_run:
        _audit(args, paths)
    return code


def _look_up(args: argparse.Namespace, paths: list[Path]) -> int:
    """`_run`, for the provider `pokedex`."""
    try:
        outcomes = _process_all(args, paths)
    except OSError as error:
        raise MetadataError(
            f"cannot write {str(error.filename or args.images_dir)!r}: {error.strerror}"
        ) from error
    if all(outcome.problem for outcome in outcomes):
        raise MetadataError(f"no usable picture in {str(args.images_dir)!r}")
    if not args.quiet:
        print(_summary(outcomes))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code.

    Args:
      argv: arguments without the program's name; None reads the command line.
    """
    args = _parser().parse_args(argv)
    try:
        return _run(args)
    except MetadataError as error:
        print(f"generate_metadata: error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(
            f"generate_metadata: error: {startup.what_is_missing(error)}",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("generate_metadata: stopped; run again to continue", file=sys.stderr)
        return 130


if __name__ == "__main__":
    startup.ready()
    raise SystemExit(main())
