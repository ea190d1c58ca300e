"""The command that writes what is known of each picture beside it, as JSON.

Owns the layout of that file (the original's, with `species`, `view`, `image` and
`sources` added) and who is asked for what: colors are measured from the pixels, the
rest comes from the Pokédex and `data_tools.heuristics`. A key that is left out is
unknown; `null` says there is none.
"""

import argparse
import functools
import json
import multiprocessing
import os
import signal
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from data_tools import heuristics
from data_tools.pictures import base_view, find_pictures, metadata_path
from data_tools.pokedex import Facts, load_facts, slug
from data_tools.prompt_writer import write_prompts
from pokejax.attributes import NONE, VOCABULARIES, attributes_from_metadata
from pokejax.colors import SECONDARY_SHARE, name_colors, primary_and_secondary

_PROVIDERS = ("pokedex",)
_LARGEST_PICTURE = 32 << 20  # pixels; a sprite has ten thousand


class MetadataError(Exception):
    """The command can't go on; the message is the one line for the user."""


@dataclass(frozen=True)
class Outcome:
    """What became of one picture.

    Attributes:
      known: its attributes by name; empty where there's a problem.
      has_facts: whether its species is in the Pokédex.
      problem: why nothing could be written, or empty.
    """

    known: dict[str, str]
    has_facts: bool = False
    is_new: bool = False
    problem: str = ""


def describe(path: Path) -> dict[str, Any]:
    """The metadata of the picture at `path`, as it is written to its JSON.

    Args:
      path: `<Species>/<species>_[<form>_]<view>[_frameN].png`.

    Returns:
      A mapping that `pokejax.attributes.attributes_from_metadata` reads.

    Raises:
      ValueError: unreadable, blank or too big.
    """
    species = path.parent.name
    prefix = f"{slug(species)}_"
    view = path.stem.removeprefix(prefix) if path.stem.startswith(prefix) else path.stem
    form = view[: view.rindex(base_view(view))] if base_view(view) in view else ""
    facts = _facts_of(species, form)
    metadata: dict[str, Any] = {
        "species": species,
        "view": view,
        "image": path.name,
        "prompts": [],
        "visual_attributes": {},
        "categorical_attributes": {},
        "semantic_attributes": {},
        "sources": {},
    }
    _add_colors(metadata, path)
    if facts:
        _add_facts(metadata, facts)
    # Frames and own pictures differ by their stem where they don't by their view.
    metadata["prompts"] = write_prompts(
        attributes_from_metadata(metadata), f"{slug(species)}/{path.stem}"
    )
    return metadata


def _facts_of(species: str, form: str) -> Facts | None:
    facts = load_facts()
    return facts.get(slug(species + form)) or facts.get(slug(species))


def _add_colors(metadata: dict[str, Any], path: Path) -> None:
    with warnings.catch_warnings():
        # Pillow warns of odd chunks, and of sizes that are checked here.
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                width, height = image.size
                if width * height > _LARGEST_PICTURE:
                    raise ValueError(f"{width}x{height} pixels is too big")
                # Reads the first frame of an animation, and a broken file no further.
                ranked = name_colors(image)
                primary, secondary = primary_and_secondary(image)
        except Image.DecompressionBombError as error:
            raise ValueError("too many pixels") from error
        except (OSError, SyntaxError) as error:
            raise ValueError("not a readable picture") from error
    others = [name for name, share in ranked if share >= SECONDARY_SHARE]
    metadata["visual_attributes"] |= {
        "primary_colors": list(dict.fromkeys([primary, *others])),
        "color_distribution": {
            "primary": primary,
            "secondary": None if secondary == NONE else secondary,
        },
    }
    metadata["sources"] |= {"primary_color": "pixels", "secondary_color": "pixels"}


def _add_facts(metadata: dict[str, Any], facts: Facts) -> None:
    shape, shape_source = heuristics.body_shape(facts)
    metadata["visual_attributes"] |= {
        "body_shape": shape,
        "size": heuristics.size(facts.height_m),
    }
    metadata["categorical_attributes"] |= {
        "type1": facts.types[0],
        "type2": facts.types[1] if len(facts.types) > 1 else None,
        "evolution_stage": facts.evolution_stage,
        "generation": facts.generation,
    }
    metadata["semantic_attributes"] |= {
        "habitat": heuristics.habitat(facts),
        "legendary": facts.legendary,
        "mythical": facts.mythical,
    }
    stated = ("type1", "type2", "size", "evolution_stage", "generation")
    metadata["sources"] |= dict.fromkeys((*stated, "legendary", "mythical"), "pokedex")
    metadata["sources"] |= {"shape": shape_source, "habitat": "heuristic"}


def process(path: Path, skip_existing: bool = True) -> Outcome:
    """Write the metadata of the picture at `path`, unless it's there already.

    Returns:
      What is known of it now; a picture that can't be read is a problem, no error.

    Raises:
      OSError: the file can't be written.
    """
    target = metadata_path(path)
    is_new = not (skip_existing and target.exists())
    try:
        if is_new:
            metadata = describe(path)
            _write_whole(target, json.dumps(metadata, indent=2) + "\n")
        else:
            metadata = json.loads(target.read_text("utf-8"))
        known = attributes_from_metadata(metadata).known()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        culprit = path if is_new else target
        hint = "" if is_new else "; --no-skip-existing writes it anew"
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        return Outcome({}, problem=f"{culprit}: {reason}{hint}")
    return Outcome(known, "type1" in known, is_new)


def _write_whole(target: Path, text: str) -> None:
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.write_text(text, "utf-8")
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer


def _process_all(args: argparse.Namespace, paths: list[Path]) -> list[Outcome]:
    work = functools.partial(process, skip_existing=args.skip_existing)
    bar = functools.partial(
        tqdm, desc="metadata", total=len(paths), unit=" pictures", disable=args.quiet
    )
    if args.workers == 1 or len(paths) < 2 * args.workers:
        return [_report(outcome) for outcome in bar(map(work, paths))]
    pool = ProcessPoolExecutor(
        args.workers,
        # A fork beside the progress bar's thread may hang.
        multiprocessing.get_context("spawn"),
        initializer=_ignore_interrupts,
    )
    try:
        results = pool.map(work, paths, chunksize=8)
        return [_report(outcome) for outcome in bar(results)]
    except BrokenProcessPool as error:
        raise MetadataError(
            "a worker process died (out of memory?); what is written is kept: run "
            "again with --workers 1"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _report(outcome: Outcome) -> Outcome:
    if outcome.problem:
        tqdm.write(f"skipped {outcome.problem}", file=sys.stderr)
    return outcome


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
            f"{strangers} pictures are of species that the Pokédex doesn't have: only "
            "their colors are known, so add type1 to their JSON to train on them"
        )
    return "\n".join(lines)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m data_tools.generate_metadata",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=(
            "Write <species>_<picture>.json beside each picture: 5 to 7 prompts,\n"
            "colors measured from the pixels, and what the Pokédex knows of the\n"
            "species. Run it again after an interruption: finished files are kept."
        ),
        epilog=(
            "examples:\n"
            "  python -m data_tools.generate_metadata --images-dir images\n"
            "  python -m data_tools.generate_metadata --no-skip-existing --quiet"
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
        help="where facts come from; pokedex works offline (pokedex)",
    )
    add(
        "--skip-existing",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep metadata that is there (on)",
    )
    add(
        "--workers",
        type=_positive,
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes (one for each CPU)",
    )
    add("--quiet", action="store_true", help="no progress bar and no summary")
    return parser


def _run(args: argparse.Namespace) -> int:
    try:
        paths = find_pictures(args.images_dir)
    except ValueError as error:
        raise MetadataError(str(error)) from error
    load_facts()  # a missing package is better said before the work starts
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
    except (MetadataError, ModuleNotFoundError) as error:
        print(f"generate_metadata: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("generate_metadata: stopped; run again to go on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
