"""Writes palettes.json: the colours of labels.txt's sprites, and their pixel counts.

    PYTHONPATH=. python tests/data_tools/eye_colors/make_palettes.py CHECKOUT

CHECKOUT holds graphics/pokemon, at the commit that `data_tools.native_sprites` pins.
Of a picture only counts are kept: each palette entry's colour as drawn, its colour as
shiny, and how many of its pixels count as coloured, not as outline.
"""

import io
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from data_tools.native_sprites import read_native
from pokejax.images.colors import counted_pixels

HERE = Path(__file__).parent


def main() -> None:
    sprites = {
        f"{species.slug}/{picture.view}": bytes(picture.data)
        for species in read_native(Path(sys.argv[1]))[0]
        for picture in species.pictures
    }
    palettes = {}
    for line in (HERE / "labels.txt").read_text("utf-8").splitlines():
        if line.startswith("#"):
            continue
        name = line.split()[0]
        species, _, form = name.partition("/")
        stem = f"{species}/{form}_native_".replace("/_", "/")
        normal, shiny = (
            np.asarray(Image.open(io.BytesIO(sprites[stem + kind]))).reshape(-1, 4)
            for kind in ("front", "shiny")
        )
        seen = counted_pixels(Image.open(io.BytesIO(sprites[stem + "front"]))).ravel()
        pairs = Counter(
            (normal[i, :3].tobytes().hex(), shiny[i, :3].tobytes().hex())
            for i in np.flatnonzero(seen)
        )
        palettes[name] = [[a, b, n] for (a, b), n in sorted(pairs.items())]
    text = json.dumps(palettes, indent=0).replace("\n", "").replace('"], ', '"],')
    (HERE / "palettes.json").write_text(text.replace("]],", "]],\n") + "\n", "utf-8")


if __name__ == "__main__":
    main()
