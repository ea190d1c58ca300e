"""Draw the pictures of docs/creatures.md from creatures of docs/shipped.png.

Nothing is picked: it's the first two creatures of each of its eight prompts.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from pokejax.creatures.kin import lowered
from pokejax.creatures.sheet import icon_of, sheet_of
from pokejax.images.colors import foreground_mask
from pokejax.images.finish import PixelArt, pixel_art
from pokejax.images.shiny import shiny
from pokejax.images.upscale import Upscale, enlarge

HERE = Path("docs/images")
PROMPTS, CREATURES, SIDE, SCALE = 8, 2, 64, 2
GAP, CAPTION = 4, 22  # pixels of the sheet, see `pokejax.images.sheets`
COLUMNS = 8
SEED = 7  # of that sheet's first column; each further one counts up


def drawn() -> list[PixelArt]:
    """The creatures, as they were drawn."""
    sheet = np.asarray(Image.open("docs/shipped.png").convert("RGB"))
    found: list[PixelArt] = []
    for row in range(PROMPTS):
        top = GAP + CAPTION + row * (CAPTION + SCALE * SIDE + GAP)
        for column in range(CREATURES):
            left = GAP + column * (SCALE * SIDE + GAP)
            large = sheet[top : top + SCALE * SIDE, left : left + SCALE * SIDE]
            image = np.ascontiguousarray(large[::SCALE, ::SCALE])
            alpha = foreground_mask(Image.fromarray(image)).astype(np.uint8) * 255
            found.append(pixel_art(image, alpha))
    return found


def main() -> None:
    """Write three pictures."""
    creatures = drawn()
    shinies = [shiny(art, SEED + i % CREATURES) for i, art in enumerate(creatures)]
    rows = [
        np.concatenate([art.rgb() for art in arts[start : start + COLUMNS]], axis=1)
        for start in range(0, len(creatures), COLUMNS)
        for arts in (creatures, shinies)
    ]
    save(np.concatenate(rows), "shiny.png")

    front = creatures[0]
    views = {"front": front, "front_2": lowered(front), "icon": icon_of(front, 32)}
    views |= {"front_shiny": shinies[0], "front_2_shiny": lowered(shinies[0])}
    pictures = {}
    for name, art in views.items():
        opaque = np.full((*art.indices.shape, 1), 255, np.uint8)
        pictures[name] = np.concatenate([art.rgb(), opaque], axis=-1)
    strip = sheet_of(pictures, columns=3)[0]
    strip[strip[..., 3] == 0] = 255
    save(enlarge(strip[..., :3], 2), "creature.png")

    ways: tuple[Upscale, ...] = ("nearest", "scale2x")
    large = [enlarge(front.rgb(), 4, way) for way in ways]
    save(np.concatenate(large, axis=1), "scale2x.png")


def save(image: np.ndarray, name: str) -> None:
    """Small: in a palette, which pixel art has anyway."""
    Image.fromarray(image).quantize(256).save(HERE / name, optimize=True)


if __name__ == "__main__":
    main()
