"""Keeps the attributes of training pictures, from which open ones are imagined.

    python -m data_tools.known_creatures --data DIR

Each combination of known ones once, of the training split alone; no picture, no prompt
and no name.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pokejax.arguments import Parser
from pokejax.attributes import UNKNOWN_ID, VOCABULARIES
from pokejax.config import DataConfig, TextConfig
from pokejax.data import dataset as datasets
from pokejax.data.dataset import DataError
from pokejax.files import whole_file
from pokejax.prompts.imagine import CREATURES


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 if the file was written, 2 if there is no dataset."""
    parser = Parser(
        prog="python -m data_tools.known_creatures",
        description="Make the table from which open attributes are imagined.",
    )
    parser.add_argument("--data", required=True, help="the dataset's directory")
    parser.add_argument("--image-size", type=int, default=64, help="of the dataset")
    parser.add_argument(
        "--out",
        type=Path,
        default=CREATURES,
        help="the file (default: the one that comes with pokejax)",
    )
    args: argparse.Namespace = parser.parse_args(argv)
    try:
        config = DataConfig(dir=args.data, image_size=args.image_size, views=())
        train = datasets.load(config, TextConfig()).splits["train"]
        table = np.unique(train.attributes[:, : len(VOCABULARIES)], axis=0)
        table = table[(table != UNKNOWN_ID).all(axis=1)]
        if not len(table):
            raise DataError(f"{args.data}: no picture has all of its attributes known")
        with whole_file(args.out) as unfinished:
            np.save(unfinished, table.astype(np.int8), allow_pickle=False)
    except (DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{args.out}: {len(table)} creatures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
