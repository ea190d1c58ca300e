"""The command: a dataset and its prompt embeddings -> one file to train from.

For machines that have no text encoder, and for carrying a set from one to another. Also
an index of its training pictures, by which the studio tells how near a picture is.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from pokejax import startup
from pokejax.arguments import Parser
from pokejax.commands import call_of
from pokejax.config import ConfigError, DataConfig, TextConfig
from pokejax.data import dataset as data_lib
from pokejax.data import packed
from pokejax.data.split import Dataset
from pokejax.files import check_writable
from pokejax.images.training_index import TrainingIndex


def main(argv: Sequence[str] | None = None) -> int:
    """Pack a dataset directory and its prompt embeddings into one file."""
    parser = Parser(
        prog=call_of("pokejax.pack"),
        description=(
            "Pack a dataset directory and the embeddings of its prompts into one .npz,"
            " for training on a machine that has no text encoder."
        ),
        epilog="example: %(prog)s --dir pokemon-cifar-64 --out set.npz",
    )
    parser.add_argument("--dir", default="pokemon-cifar-64", help="dataset directory")
    parser.add_argument("--out", type=Path, help="the .npz to write")
    parser.add_argument(
        "--index",
        type=Path,
        help="the index of the training pictures to write, a small .npz that"
        " POKEJAX_TRAINING_INDEX tells the server of",
    )
    parser.add_argument("--image-size", type=int, default=64, help="pixels a side")
    parser.add_argument(
        "--text.encoder",
        dest="encoder",
        choices=("static", "clip"),
        default="static",
        help="as in training (default: static)",
    )
    parser.add_argument(
        "--text.weights",
        dest="weights",
        default=TextConfig.weights,
        help="for clip: hub id, directory or safetensors file",
    )
    args = parser.parse_args(argv)
    if not (args.out or args.index):
        parser.error("nothing to write; expected --out, --index or both")
    try:
        for path in filter(None, (args.out, args.index)):
            check_writable(path)
        dataset = data_lib.load(
            DataConfig(dir=args.dir, image_size=args.image_size),
            TextConfig(args.encoder, args.weights),
        )
        if args.index:
            _write_index(dataset, args.index)
        authors = sorted(Path(args.dir).glob("ATTRIBUTIONS-*.md"))
        if args.out:
            packed.write(dataset, args.out, authors)
    except (ConfigError, data_lib.DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not args.out:
        return 0
    counts = ", ".join(f"{k} {len(v)}" for k, v in dataset.splits.items())
    size = args.out.stat().st_size / 2**20
    print(f"{args.out}: {counts}, text {dataset.text_dim} numbers, {size:.1f} MiB")
    for file in authors:
        print(f"{file.name} is included, and must accompany whatever is built from it")
    return 0


def _write_index(dataset: Dataset, path: Path) -> None:
    train, heldout = (dataset.splits[name].images[:] for name in ("train", "val"))
    if not len(heldout):
        raise data_lib.DataError("the dataset's val split is empty; an index needs one")
    TrainingIndex.of(train, heldout).write(path)
    print(f"{path}: {len(train)} pictures, {path.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    startup.ready()
    sys.exit(main())
