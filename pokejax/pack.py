"""A dataset and its prompt embeddings -> one compressed file, and the command for it.

For machines that have no text encoder, and for carrying a set from one to another.
`pokejax.data.dataset` reads the file.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pokejax.attributes import VOCABULARIES
from pokejax.config import DataConfig, TextConfig
from pokejax.data import dataset as data_lib
from pokejax.data.dataset import Dataset
from pokejax.files import whole_file


def pack(dataset: Dataset, path: Path) -> None:
    """Write a dataset and its embeddings into one compressed `.npz`, no pickles."""
    arrays: dict[str, np.ndarray] = {"text_emb": dataset.text_emb}
    for name, split in dataset.splits.items():
        for key, value in vars(split).items():
            arrays[f"{name}.{key}"] = value[:]
    header = {
        "encoder": dataset.encoder,
        "text": {"encoder": dataset.text.encoder, "weights": dataset.text.weights},
        "vocabularies": {k: list(v) for k, v in VOCABULARIES.items()},
        "prompts": dataset.prompts,
    }
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def main(argv: Sequence[str] | None = None) -> int:
    """Pack a dataset directory and its prompt embeddings into one file."""
    parser = argparse.ArgumentParser(
        prog="python -m pokejax.pack",
        description=(
            "Pack a dataset directory and the embeddings of its prompts into one .npz,"
            " for training on a machine that has no text encoder."
        ),
        epilog="example: python -m pokejax.pack --dir pokemon-cifar-64 --out set.npz",
    )
    parser.add_argument("--dir", default="pokemon-cifar-64", help="dataset directory")
    parser.add_argument("--out", required=True, type=Path, help="the .npz to write")
    parser.add_argument("--image-size", type=int, default=64, help="pixels a side")
    parser.add_argument("--text.encoder", dest="encoder", default="static")
    parser.add_argument("--text.weights", dest="weights", default=TextConfig.weights)
    args = parser.parse_args(argv)
    try:
        dataset = data_lib.load(
            DataConfig(dir=args.dir, image_size=args.image_size),
            TextConfig(args.encoder, args.weights),
        )
        pack(dataset, args.out)
    except (data_lib.DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    counts = ", ".join(f"{k} {len(v)}" for k, v in dataset.splits.items())
    size = args.out.stat().st_size / 2**20
    print(f"{args.out}: {counts}, text {dataset.text_dim} numbers, {size:.1f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
