"""Makes the file that `pokejax.images.shiny` borrows palettes from.

    python -m data_tools.shiny_donors --from CHECKOUT

CHECKOUT is one of the decompilation that `fetch_sprites` reads, see
`data_tools.native_sprites`. What is stored of a sprite is how the mean colours of its
groups become its shiny's; neither a name nor a pixel.
"""

import argparse
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from pokejax.arguments import Parser
from pokejax.files import whole_file
from pokejax.images import shiny
from pokejax.images.colors import oklab

from .native_sprites import read_native
from .sprite_sources import FetchError


class Pair(NamedTuple):
    """The colours of a sprite and of its shiny.

    Attributes:
      species: slug of its name.
      normal: `k 3` uint8; two may be equal.
      shiny: what each becomes.
      share: `k`, of the sprite's pixels; their sum is 1.
    """

    species: str
    normal: np.ndarray
    shiny: np.ndarray
    share: np.ndarray


def read_pairs(root: Path) -> Iterator[Pair]:
    """The fronts of every form below `root`, in alphabetical order of their species.

    Raises:
      FetchError: there are none.
    """
    species, _ = read_native(root)
    for one in species:
        files = {sprite.view: sprite.data for sprite in one.pictures}
        for view, data in files.items():
            stem = view.removesuffix("front")
            other = files.get(f"{stem}shiny") if stem != view else None
            if other is not None:
                both = np.concatenate([_rgba(data), _rgba(other)], axis=-1)
                colors, counts = np.unique(
                    both[both[..., 3] > 0], axis=0, return_counts=True
                )
                share = counts / counts.sum()
                yield Pair(one.slug, colors[:, :3], colors[:, 4:7], share)


def _rgba(data: bytes | Path) -> np.ndarray:
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    return np.asarray(Image.open(file).convert("RGBA"))


def donors_of(pairs: Sequence[Pair]) -> np.ndarray:
    """`n g 7` uint8, as the file has them; shinies that hardly differ are left out."""
    found = [
        shiny.changes(oklab(p.normal / 255.0), oklab(p.shiny / 255.0), p.share)
        for p in pairs
    ]
    return shiny.packed(np.stack([changes for changes in found if changes is not None]))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 if the file was written, 2 if there are no sprites."""
    parser = Parser(
        prog="python -m data_tools.shiny_donors",
        description="Make the table that shiny palettes are borrowed from.",
    )
    parser.add_argument(
        "--from", dest="root", type=Path, required=True, help="the checkout"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(shiny.__file__).with_name("shiny_donors.npy"),
        help="the file (default: the one that comes with pokejax)",
    )
    args: argparse.Namespace = parser.parse_args(argv)
    try:
        donors = donors_of(list(read_pairs(args.root)))
        with whole_file(args.out) as unfinished:
            np.save(unfinished, donors, allow_pickle=False)
    except (FetchError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{args.out}: {len(donors)} sprites")
    return 0


if __name__ == "__main__":
    sys.exit(main())
