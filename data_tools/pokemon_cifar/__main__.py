"""The command that prepares `pokemon_cifar` for TFDS, and checks what is there.

It does what `tfds build` does, and runs where that can't: TFDS's own command line
imports TensorFlow and Apache Beam before it looks at its arguments.
"""

import argparse
import contextlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import tensorflow_datasets as tfds
from tensorflow_datasets.core.constants import DATA_DIR

from pokejax import startup
from pokejax.arguments import Parser
from pokejax.commands import call_of
from pokejax.data.cifar import Rows
from pokejax.data.tfds import TFDS_SPLITS, read_prepared

from .pokemon_cifar_dataset_builder import (
    Builder,
    config_of,
    read_source,
)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog=call_of("data_tools.pokemon_cifar.__main__"),
        description=(
            "Copy a CIFAR directory (see data_tools.create_dataset) into TFDS's"
            " ArrayRecord files, and compare every row of the copy with it. Where the"
            " copy exists already, only compare. Needs no TensorFlow."
        ),
        epilog="example: %(prog)s --manual-dir . --data-dir tfds",
    )
    parser.add_argument(
        "--manual-dir",
        type=Path,
        default=Path("."),
        help="folder that holds pokemon-cifar-64, or -32, or with --balanced"
        " pokemon-cifar-64-balanced (default: here)",
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path(DATA_DIR),
        help="where TFDS keeps its datasets (default: %(default)s)",
    )
    parser.add_argument(
        "--image-size",
        type=int,
        default=64,
        choices=sorted({config.image_size for config in Builder.BUILDER_CONFIGS}),
        help="pixels a side (default: %(default)s)",
    )
    parser.add_argument(
        "--balanced",
        action="store_true",
        help="the config whose train has repeated and thinned-out rows, as made by"
        " create_dataset --target-per-group",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a copy of another dataset"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    return parser.parse_args(argv)


def _prepare(args: argparse.Namespace) -> tuple[Path, dict[str, Rows]]:
    config = config_of(args.image_size, args.balanced)
    expected = read_source(args.manual_dir, config)
    directory = args.data_dir / Builder.name / config.name / str(Builder.VERSION)
    if args.overwrite and directory.exists():
        shutil.rmtree(directory)
    if not directory.exists():
        _build(args, config.name)
    rows = read_prepared(directory)
    for split in TFDS_SPLITS:
        if rows[split].sha256() != expected[split].sha256():
            source = args.manual_dir / config.directory_name
            raise ValueError(
                f"{directory} is a copy of a dataset other than {source} (they differ"
                f" in {split}): pass --overwrite to replace it"
            )
    return directory, rows


def _build(args: argparse.Namespace, config_name: str) -> None:
    (tfds.disable_progress_bar if args.quiet else tfds.enable_progress_bar)()
    download = tfds.download.DownloadConfig(manual_dir=args.manual_dir)
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere if args.quiet else sys.stderr),
    ):
        builder = Builder(config=config_name, data_dir=args.data_dir)
        try:
            builder.download_and_prepare(download_config=download)
        except RuntimeError as error:  # how ArrayRecord says that the disk is full
            raise OSError(str(error).partition("\n")[0]) from None


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare, compare, and say where it is."""
    args = _arguments(argv)
    try:
        directory, rows = _prepare(args)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    counts = ", ".join(f"{TFDS_SPLITS[name]} {len(r)}" for name, r in rows.items())
    print(f"{directory}: {counts}; every row equal to its source")
    return 0


if __name__ == "__main__":
    startup.ready()
    sys.exit(main())
