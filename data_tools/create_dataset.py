"""The command that makes a dataset in the CIFAR-10 layout of pictures and metadata.

Owns the options, the report and the all-or-nothing writing. `pictures` reads the images
directory, `framing` frames a picture, `splits` decides where it goes, `cifar` lays
out the files.
"""

import argparse
import contextlib
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pokejax import startup
from pokejax.arguments import Parser
from pokejax.attributes import RELATIONS, nearest_hint
from pokejax.commands import call_of
from pokejax.data.cifar import view_seen

from . import tuxemon
from .cifar import Picture, dataset_statistics, is_dataset, write_dataset
from .pictures import (
    NOT_WANTED,
    Skipped,
    base_view,
    find_pictures,
    load_picture,
    skipped_lines,
)
from .relatives import relatives
from .sampling import effective_classes, weights
from .splits import (
    RATIOS,
    SPLITS,
    Balance,
    balance,
    drop_duplicates,
    known_splits,
    leaks,
    pinned,
    related,
    split_pictures,
)
from .turned import with_turned


def _load_all(
    args: argparse.Namespace, paths: Sequence[Path]
) -> tuple[list[Picture], list[Skipped]]:
    def load(path: Path) -> Picture | Skipped:
        return load_picture(path, args.image_size, args.views, fit=args.fit)

    # Threads are enough: Pillow decodes and resizes without the interpreter's lock.
    pool = ThreadPoolExecutor(args.workers)
    try:
        results = list(
            tqdm(
                pool.map(load, paths),
                total=len(paths),
                desc="pictures",
                unit=" pictures",
                disable=args.quiet,
            )
        )
    finally:
        pool.shutdown(cancel_futures=True)  # so Ctrl-C waits for running ones only
    pictures = [r for r in results if isinstance(r, Picture)]
    skipped = [r for r in results if isinstance(r, Skipped)]
    seen = {base_view(p.view) for p in pictures} | {p.view for p in pictures}
    there = seen | {s.reason for s in skipped if s.kind == NOT_WANTED}
    for view in args.views:
        if view not in seen:
            raise ValueError(
                f"--views {view}: no usable picture of that view; there are "
                f"{', '.join(sorted(there)) or 'none'}{nearest_hint(view, there)}"
            )
    if not pictures:
        raise ValueError(
            f"no usable picture in {args.images_dir}: "
            + "; ".join(skipped_lines(skipped))
            + f"; {call_of('data_tools.generate_metadata')} writes the metadata"
        )
    return pictures, skipped


def report(
    splits: Mapping[str, Sequence[Picture]],
    as_split: Sequence[Picture],
    counts: Balance | None,
    dropped: int,
    args: argparse.Namespace,
) -> list[str]:
    """The statistics as lines of text, for both the terminal and README.txt."""
    after = dataset_statistics(splits)
    before = dataset_statistics({"train": as_split})["train"]
    table = ["split          rows  pictures  species  groups  median group  largest"]
    for name, s in (
        ("train as split", before),
        ("train written", after["train"]),
        ("val", after["val"]),
        ("test", after["test"]),
    ):
        table.append(
            f"{name:<14}{s['rows']:>5}{s['pictures']:>10}{s['species']:>9}"
            f"{s['groups']:>8}{s['median_group']:>14g}{s['largest_group']:>9}"
        )
    types = ["type      " + "".join(f"{name:>9}" for name in SPLITS)]
    shares = {"train": before, "val": after["val"], "test": after["test"]}
    for type1 in before["types"]:
        cells = [s["types"][type1] / max(1, s["rows"]) for s in shares.values()]
        if any(cells):
            types.append(f"{type1:<10}" + "".join(f"{cell:>9.1%}" for cell in cells))
    species, pictures = leaks(splits)
    relatives, tested = related(splits)
    return [
        _how_split(splits, args),
        "A group is one type, colour and shape.",
        "",
        *table,
        "",
        *_how_often(splits["train"], as_split, counts, args),
        "",
        *_kinds(splits),
        "",
        f"Leak check: {species} species in more than one split; {pictures} pictures in "
        "more than one split",
        f"({dropped} exact duplicates were dropped from val and test). "
        f"{relatives} of {tested} species of test have a relative in train.",
        "",
        "Share of each type, as split:",
        *types,
    ]


def _how_split(
    splits: Mapping[str, Sequence[Picture]], args: argparse.Namespace
) -> str:
    """What decided the split, and what didn't."""
    kept = pinned(splits) if args.split_by == "species" else 0
    if not kept:
        return f"Split by {args.split_by}, seed {args.seed}."
    others = len({p.species for ps in splits.values() for p in ps}) - kept
    return (
        f"Split by species: {kept} as in data_tools/known_splits.txt, {others} drawn "
        f"with seed {args.seed}."
    )


def _how_often(
    train: Sequence[Picture],
    as_split: Sequence[Picture],
    counts: Balance | None,
    args: argparse.Namespace,
) -> list[str]:
    """How training's pictures are weighed or balanced, and what that makes of them."""
    if counts:
        mean = len(train) / max(1, len({p.filename for p in train}))
        target, minimum = args.target_per_group, args.min_per_group
        lines = [
            f"Balance of train: {counts.raised} groups of {minimum} or more repeated "
            f"up to {target} rows,",
            f"{counts.cut} larger ones thinned to {target}, {counts.kept} of fewer "
            f"than {minimum} kept as they are",
            f"({counts.kept_rows} pictures). A picture is in train {mean:.2f} "
            f"times on average, {counts.most_copies} at most.",
        ]
    else:
        drawn = [p.weight for p in train]
        lines = [
            "Each picture is in train once; its weight says how often an epoch "
            f"draws it, {min(drawn):.2f} to {max(drawn):.2f} times."
        ]
    weight = np.array([p.weight for p in train])
    for name, words in (
        ("type1", "types"),
        ("primary_color", "colours"),
        ("shape", "shapes"),
    ):
        before = effective_classes(as_split, name)
        after = effective_classes(train, name, weight)
        lines.append(f"Effective {words}: {before:.2f} as split, {after:.2f} as drawn.")
    return lines


def _kinds(splits: Mapping[str, Sequence[Picture]]) -> list[str]:
    """Rows by style and view."""
    counts = {
        name: Counter((p.style or "unknown", view_seen(p.view)) for p in pictures)
        for name, pictures in splits.items()
    }
    table = ["style    view    " + "".join(f"{name:>9}" for name in SPLITS)]
    for style, view in sorted(set().union(*counts.values())):
        cells = "".join(f"{counts[name][style, view]:>9}" for name in SPLITS)
        table.append(f"{style:<9}{view:<8}{cells}")
    return table


def _related(kin: Mapping[str, np.ndarray]) -> list[str]:
    """How many pictures have a relative of each kind in their split."""
    head = "".join(f"{relation:>11}" for relation in RELATIONS)
    counts = {name: (rows >= 0).sum(axis=0) for name, rows in kin.items()}
    return [
        "Pictures with that whose front, back, ... they are in their split:",
        f"{'':<6}{head}",
        *(f"{k:<6}" + "".join(f"{n:>11}" for n in v) for k, v in counts.items()),
    ]


_README = """A pokejax dataset: {size}x{size} RGB pictures in CIFAR-10's layout.

data_batch_1 to 5   training pictures, shuffled
val_batch           validation pictures (CIFAR-10 itself has none)
test_batch          test pictures
batches.meta        label names, sizes, vocabularies, split, seed

    from pokejax import safe_pickle
    batch = safe_pickle.load("data_batch_1")
    images = batch["data"].reshape(-1, 3, {size}, {size}).transpose(0, 2, 3, 1)

Other CIFAR-10 readers take 32 pixels a side for granted: they open a set made with
--image-size 32, and no other. But unpickle a set of somebody else's only with a reader
that, like this one, runs nothing in it.

Further keys: labels (main type, -1 unknown), attributes (int32, 10 ids a picture, -1
unknown, in the order of batches.meta's vocabularies), alpha (uint8, 0 is background),
prompts, species, views, styles, weights (how often to draw a picture in training),
filenames, relatives (int32, rows of the split of those whose front, back, evolution or
other frame a picture is, -1 for none).
{authors}
"""


@contextlib.contextmanager
def _replacing(output: Path) -> Iterator[Path]:
    """A new directory to fill, which finally replaces `output`, or is removed.

    The replaced directory goes with the working directory, so there is one thing to
    clean up however this ends.
    """
    work = output.parent / f".{output.name}.{os.getpid()}.tmp"
    new, old = work / "new", work / "old"
    try:
        new.mkdir(parents=True)
        yield new
        if output.exists():
            output.rename(old)
        try:
            new.rename(output)
        except BaseException:
            if old.exists():
                old.rename(output)
            raise
    except OSError as error:
        why = error.strerror or error
        raise ValueError(
            f"--output-dir {str(output)!r}: can't write there: {why}"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _check(args: argparse.Namespace, output: Path) -> None:
    ratios = args.train_ratio, args.val_ratio, args.test_ratio
    if not all(r > 0 for r in ratios) or not abs(sum(ratios) - 1) <= 1e-6:
        raise ValueError(
            "--train-ratio {:g}, --val-ratio {:g} and --test-ratio {:g} must be "
            "positive and sum to 1; they sum to {:g}".format(*ratios, sum(ratios))
        )
    if args.images_dir.resolve().is_relative_to(output):
        raise ValueError(f"--output-dir {str(output)!r} would replace the images in it")
    if output.exists() and not output.is_dir():
        raise ValueError(f"--output-dir {str(output)!r} is a file")
    if output.is_dir() and any(output.iterdir()) and not is_dataset(output):
        raise ValueError(
            f"--output-dir {str(output)!r} holds something that is not a pokejax "
            "dataset; nothing was touched: choose another directory"
        )


def _run(args: argparse.Namespace) -> None:
    start = time.monotonic()
    say: Callable[..., None] = (lambda *_: None) if args.quiet else print
    output = args.output_dir.resolve()  # a link stays; its target is replaced
    _check(args, output)
    paths = find_pictures(args.images_dir)
    with _replacing(output) as directory:  # first, to fail at once if it can't
        pictures, skipped = _load_all(args, paths)
        for line in skipped_lines(skipped):
            print(f"skipped: {line}", file=sys.stderr)
        splits = split_pictures(
            pictures,
            (args.train_ratio, args.val_ratio, args.test_ratio),
            split_by=args.split_by,
            seed=args.seed,
            known=known_splits(),
        )
        splits, dropped = drop_duplicates(splits)
        as_split = splits["train"]
        splits["train"], counts = _train_rows(as_split, args)
        kin = relatives(splits)
        lines = report(splits, as_split, counts, dropped, args)
        lines += ["", *_related(kin)]
        write_dataset(
            directory,
            splits,
            image_size=args.image_size,
            split_by=args.split_by,
            seed=args.seed,
            relatives=kin,
        )
        if _asks_for_split(args) and (kept := pinned(splits)):
            print(
                f"note: --seed and the ratios don't move {kept} species, which keep the"
                " split of data_tools/known_splits.txt; --split-by family or image"
                " places all of them afresh",
                file=sys.stderr,
            )
        authors = _copy_attributions(splits, args.images_dir, directory)
        text = _README.format(size=args.image_size, authors=authors)
        text += "\n".join(lines) + "\n"
        (directory / "README.txt").write_text(text, "utf-8")
    species = len({p.species for p in pictures})
    say("\n".join(lines))
    say(
        f"\n{len(pictures)} pictures of {species} species -> {args.output_dir} in "
        f"{time.monotonic() - start:.0f} s\nnext: {call_of('pokejax.train')} --config "
        f"quickstart --data.dir {args.output_dir}"
    )


def _asks_for_split(args: argparse.Namespace) -> bool:
    ratios = args.train_ratio, args.val_ratio, args.test_ratio
    return args.split_by == "species" and (args.seed != 0 or ratios != RATIOS)


def _train_rows(
    pictures: Sequence[Picture], args: argparse.Namespace
) -> tuple[list[Picture], Balance | None]:
    """Train as it is written: with turned hues, weighed or balanced, and shuffled."""
    turned = with_turned(pictures, args.hue_turns, args.seed)
    if args.target_per_group:
        return balance(
            turned,
            target=args.target_per_group,
            minimum=args.min_per_group,
            seed=args.seed,
        )
    weighed = [
        replace(picture, weight=float(weight))
        for picture, weight in zip(turned, weights(turned), strict=True)
    ]
    order = np.random.default_rng([args.seed, 1]).permutation(len(weighed))
    return [weighed[i] for i in order], None


def _copy_attributions(
    splits: Mapping[str, Sequence[Picture]], images_dir: Path, directory: Path
) -> str:
    """Put the authors of free pictures beside them, and say where; or nothing.

    Raises:
      ValueError: the list of authors isn't there.
    """
    source = images_dir / tuxemon.ATTRIBUTIONS
    styles = {p.style for pictures in splits.values() for p in pictures}
    if tuxemon.STYLE not in styles:
        return ""
    if not source.is_file():
        raise ValueError(
            f"{source} is missing: it names the authors of Tuxemon's pictures and"
            f" must accompany them; fetch it with {call_of('data_tools.fetch_sprites')}"
            " --source tuxemon"
        )
    shutil.copyfile(source, directory / source.name)
    return (
        "\nPictures of the style tuxemon are from the game Tuxemon, mostly CC BY-SA"
        f" 4.0:\ntheir authors are listed in {source.name}, which must accompany\n"
        "whatever is built from them.\n"
    )


def whole(low: int, high: int, multiple: int = 1) -> Callable[[str], int]:
    """The type of an option: a number in these limits, and a multiple."""

    def parse(text: str) -> int:
        number = int(text)
        if not low <= number <= high or number % multiple:
            of = f"a multiple of {multiple} " if multiple > 1 else ""
            raise argparse.ArgumentTypeError(
                f"{number} is not {of}from {low} to {high}"
            )
        return number

    parse.__name__ = "whole number"  # argparse names it where int() fails
    return parse


def _parser() -> Parser:
    parser = Parser(
        prog=call_of("data_tools.create_dataset"),
        description="Make a dataset in the CIFAR-10 layout from images/<Species>/*\n"
        "and the metadata beside them: frame, resize, split, weight train.",
        epilog="example:\n  %(prog)s --images-dir images --output-dir "
        "pokemon-cifar-64 --image-size 64\n\nthe same pictures, options "
        "and seed give the same files, byte for byte",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--images-dir", type=Path, default=Path("images"), help="input (images)")
    add(
        "--output-dir",
        type=Path,
        default=Path("pokemon-cifar-64"),
        help="replaced if it is a pokejax dataset (pokemon-cifar-64)",
    )
    add(
        "--image-size",
        type=whole(16, 256, 8),
        default=64,
        help="pixels per side, a multiple of 8 from 16 to 256 (64)",
    )
    for split, ratio in zip(SPLITS, RATIOS, strict=True):
        add(
            f"--{split}-ratio",
            type=float,
            default=ratio,
            help=f"share of species that aren't in known_splits.txt ({ratio})",
        )
    add(
        "--split-by",
        choices=("species", "family", "image"),
        default="species",
        help="species: all views of a species in one split; family: all that evolve "
        "into each other; image: each picture on its own, so views of a species leak "
        "from train to test (species)",
    )
    add(
        "--target-per-group",
        type=whole(1, 10**6),
        metavar="ROWS",
        help="repeat and thin out train's groups of one type, colour and shape to this "
        "many rows, as the original does with 50 (each picture once, with a weight)",
    )
    add(
        "--min-per-group",
        type=whole(1, 10**6),
        default=10,
        help="with --target-per-group: smaller groups aren't repeated (10)",
    )
    add(
        "--fit",
        choices=("native", "box"),
        default="native",
        help="native: pictures with sides of --image-size stay as drawn; box: all are "
        "cropped and fill their square, as in the original (native)",
    )
    add(
        "--hue-turns",
        type=whole(0, 15),
        default=0,
        metavar="N",
        help="copies of each pixel-art picture of train in other hues, their colours "
        "named anew (0)",
    )
    add(
        "--views",
        type=lambda text: [v for v in text.split(",") if v],
        default=[],
        metavar="A,B",
        help="only these views, of any form, e.g. front,shiny (all)",
    )
    add(
        "--seed",
        type=whole(0, 2**31 - 1),
        default=0,
        help="seed of hues, balance and order, and of the split of species that"
        " aren't in known_splits.txt (0)",
    )
    add(
        "--workers",
        type=whole(1, 256),
        default=os.cpu_count() or 1,
        help="threads; affects only the time it takes (one per CPU)",
    )
    add("--quiet", action="store_true", help="print only what went wrong")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code.

    Args:
      argv: arguments without the program's name; None reads the command line.
    """
    args = _parser().parse_args(argv)
    try:
        _run(args)
    except (ValueError, OSError) as error:
        print(f"create_dataset: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("create_dataset: stopped; nothing was written", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    startup.ready()
    raise SystemExit(main())
