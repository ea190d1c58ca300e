"""Draw the pictures of docs/creatures.md and docs/relatives.md with the shipped model.

Nothing is picked: it's the first two creatures of each of README's eight prompts.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from pokejax import Sampler
from pokejax.creatures import creature as creatures
from pokejax.creatures.creature import Creature
from pokejax.creatures.kin import related
from pokejax.creatures.sheet import icon_of, sheet_of
from pokejax.evaluation.protocol import SHEET_PROMPTS
from pokejax.images.finish import PixelArt
from pokejax.images.upscale import Upscale, enlarge

HERE = Path("docs/images")
CREATURES, COLUMNS = 2, 8
SEED = 7  # of README's first column; each further one counts up


def main() -> None:
    """Write four pictures."""
    sampler = Sampler.load()
    fronts = [
        sample
        for prompt in SHEET_PROMPTS
        for sample in sampler.generate(prompt, num=CREATURES, seed=SEED)
    ]
    drawn = [creatures.draw(sampler, sample.recipe) for sample in fronts]
    stages = sampler.sample(
        [
            recipe
            for sample in fronts
            if (recipe := related(sampler, sample, "evolution")) is not None
        ]
    )
    normal = [of.views["front"] for of in drawn]
    shinies = [PixelArt(of.views["front"].indices, of.shiny) for of in drawn]
    save_rows("shiny.png", [a.rgb() for a in normal], [a.rgb() for a in shinies])
    save_rows(
        "relatives.png",
        [a.rgb() for a in normal],
        *([of.views[view].rgb() for of in drawn] for view in ("back", "front_2")),
        [sample.image for sample in stages],
    )
    save_pack(drawn[0])
    ways: tuple[Upscale, ...] = ("nearest", "scale2x")
    large = [enlarge(normal[0].rgb(), 4, way) for way in ways]
    save(np.concatenate(large, axis=1), "scale2x.png")


def save_pack(of: Creature) -> None:
    """What a pack's sheet looks like."""
    front = of.views["front"]
    views = {**of.views, "icon": icon_of(front, 32)}
    views |= {
        f"{name}_shiny": PixelArt(a.indices, of.shiny) for name, a in views.items()
    }
    pictures = {}
    for name, art in views.items():
        opaque = np.full((*art.indices.shape, 1), 255, np.uint8)
        pictures[name] = np.concatenate([art.rgb(), opaque], axis=-1)
    strip = sheet_of(pictures, columns=4)[0]
    strip[strip[..., 3] == 0] = 255
    save(enlarge(strip[..., :3], 2), "creature.png")


def save_rows(name: str, *rows: list[np.ndarray]) -> None:
    """Eight creatures a line; each with all of its pictures below one another."""
    lines = [
        np.concatenate(row[start : start + COLUMNS], axis=1)
        for start in range(0, len(rows[0]), COLUMNS)
        for row in rows
    ]
    save(np.concatenate(lines), name)


def save(image: np.ndarray, name: str) -> None:
    """Small: in a palette, which pixel art has anyway."""
    Image.fromarray(image).quantize(256).save(HERE / name, optimize=True)


if __name__ == "__main__":
    main()
