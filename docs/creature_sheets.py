"""Draw the contact sheets of docs/RESULTS.md and other pages with the shipped model.

    python docs/creature_sheets.py

Nothing is picked: it's the first two creatures of each of README's eight prompts, and
doodles of our own, since sprites may not be shown.
"""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from pokejax import Sampler
from pokejax.attributes import COLORS
from pokejax.creatures import creature as creatures
from pokejax.creatures.card import card_of, card_png
from pokejax.creatures.creature import Creature
from pokejax.creatures.evolution import draw_lines
from pokejax.creatures.sheet import icon_of, sheet_of
from pokejax.evaluation.adherence import seen_colors
from pokejax.evaluation.protocol import SHEET_PROMPTS
from pokejax.images import moving
from pokejax.images.finish import PixelArt
from pokejax.images.given import read_picture
from pokejax.images.upscale import Upscale, enlarge
from pokejax.inference.recipe import Recipe, Sample, Start, between, slides_of
from pokejax.inference.slides import without_words
from pokejax.prompts.rules import parse_by_rules

HERE = Path("docs/images")
CREATURES, COLUMNS = 2, 8
SEED = 7  # of README's first column; each further one counts up
STAGES = 3
HEAD = 0.4  # of the creature's height
SLID = "primary_color", (-1.0, 1.0, 3.0)
PARTS = {
    "shells": "a small blue water turtle with a red shell",
    "bellies": "a big green dragon with a yellow belly",
    "eyes": "a black wolf with yellow eyes",
}
STOPS = (0.0, 0.25, 0.5, 0.75, 1.0)


def main() -> None:
    """Write all pictures."""
    sampler = Sampler.load()
    fronts = [
        sample
        for prompt in SHEET_PROMPTS
        for sample in sampler.generate(prompt, num=CREATURES, seed=SEED)
    ]
    recipes = [sample.recipe for sample in fronts]
    drawn = [creatures.draw(sampler, recipe) for recipe in recipes]
    save_edits(sampler, fronts)
    save_parts(sampler)
    save_slid(sampler, recipes)
    save_avoided(sampler, recipes)
    save_walks(sampler, recipes)
    save_packs(drawn)
    normal = [of.views["front"] for of in drawn]
    shinies = [PixelArt(of.views["front"].indices, of.shiny) for of in drawn]
    save_rows("shiny.png", [a.rgb() for a in normal], [a.rgb() for a in shinies])
    backs = [of.views["back"].rgb() for of in drawn]
    save_rows("relatives.png", [a.rgb() for a in normal], backs)
    save_idle([[of.views[view].rgb() for of in drawn] for view in ("front", "front_2")])
    lines = draw_lines(sampler, sampler.sample(recipes), STAGES)
    stages = zip(*lines, strict=True)
    save_rows("evolution.png", *([s.image for s in stage] for stage in stages))
    save_enlarged([a.rgb() for a in normal])


def save_edits(sampler: Sampler, fronts: Sequence[Sample]) -> None:
    """From doodles, and with other heads."""
    doodles = [doodle(sample, sampler.image_size) for sample in fronts]
    starts = [Start.of(picture) for picture in doodles]
    made = sampler.sample(
        [
            replace(s.recipe, start=start)
            for s, start in zip(fronts, starts, strict=True)
        ]
    )
    save_rows(
        "init.png", [d[..., :3] for d in doodles], [sample.image for sample in made]
    )
    rows = np.arange(sampler.image_size)[:, None].repeat(sampler.image_size, axis=1)
    recipes: list[Recipe] = []
    for sample in fronts:
        there = np.flatnonzero((sample.rgba[..., 3] > 0).any(axis=1))
        neck = int(there[0] + HEAD * (there[-1] + 1 - there[0]))
        start = Start.of(sample.rgba, rows < neck)
        recipes.append(
            replace(sample.recipe, start=start, seed=sample.seed + len(fronts))
        )
    made = sampler.sample(recipes)
    save_rows("heads.png", [s.image for s in fronts], [s.image for s in made])


def save_parts(sampler: Sampler) -> None:
    """Sixteen each of two prompts that give a part a colour."""
    for name, prompt in PARTS.items():
        samples = sampler.generate(prompt, num=16, seed=0)
        save_rows(f"{name}.png", [sample.image for sample in samples])


def doodle(sample: Sample, size: int) -> np.ndarray:
    """Ellipses in the prompt's main colour, on legs or not, as the seed has it."""
    color = sample.attributes.primary_color or "Gray"
    body, legs = color.lower(), sample.seed % 2
    image = Image.new("RGBA", (64, 64))
    draw = ImageDraw.Draw(image)
    if legs:
        for left in (18, 38):
            draw.rectangle((left, 44, left + 8, 58), body)
    draw.polygon([(44, 40), (60, 22), (52, 46)], body)  # a tail
    draw.ellipse((14, 26, 52, 52), body)
    draw.ellipse((4, 8, 32, 36), body)
    draw.ellipse((22, 38, 44, 50), "beige")
    draw.rectangle((12, 18, 14, 21), "black")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return read_picture(buffer.getvalue(), size)


def save_slid(sampler: Sampler, recipes: Sequence[Recipe]) -> None:
    """With little and with much of the colour that was asked for."""
    name, values = SLID
    rows = [
        sampler.sample([replace(r, slides=slides_of({name: v})) for r in recipes])
        for v in values
    ]
    save_rows("slides.png", *([sample.image for sample in row] for row in rows))


def save_avoided(sampler: Sampler, recipes: Sequence[Recipe]) -> None:
    """Of prompts that don't say their colour any more, and kept from what they show."""
    prompts = [without_words(r.prompt, "primary_color")[1].split() for r in recipes]
    plain = [
        replace(r, prompt=prompt, attributes=parse_by_rules(prompt).attributes)
        for r, prompt in zip(recipes, map(" ".join, prompts), strict=True)
    ]
    before = [sample.image for sample in sampler.sample(plain)]
    seen = [COLORS[i].lower() for i in seen_colors(np.stack(before))]
    after = sampler.sample(
        [replace(r, negative=color) for r, color in zip(plain, seen, strict=True)]
    )
    save_rows("negative.png", before, [sample.image for sample in after])


def save_walks(sampler: Sampler, recipes: Sequence[Recipe]) -> None:
    """From each prompt to the next, the last to the first, with one seed."""
    ends = [*recipes[CREATURES:], *recipes[:CREATURES]]
    rows = [
        sampler.sample(
            [between(r, end, mix) for r, end in zip(recipes, ends, strict=True)]
        )
        for mix in STOPS
    ]
    save_rows("walks.png", *([sample.image for sample in row] for row in rows))


def save_packs(drawn: Sequence[Creature]) -> None:
    """The first pack's pictures, and the cards of all."""
    front = drawn[0].views["front"]
    views = {**drawn[0].views, "icon": icon_of(front, 32)}
    views |= {
        f"{name}_shiny": PixelArt(a.indices, drawn[0].shiny)
        for name, a in views.items()
    }
    pictures = {}
    for name, art in views.items():
        opaque = np.full((*art.indices.shape, 1), 255, np.uint8)
        pictures[name] = np.concatenate([art.rgb(), opaque], axis=-1)
    strip = sheet_of(pictures, columns=4)[0]
    strip[strip[..., 3] == 0] = 255
    save(enlarge(strip[..., :3], 2), "creature.png")
    cards = [Image.open(io.BytesIO(card_png(of, card_of(of)))) for of in drawn]
    save_rows("cards.png", [np.asarray(card) for card in cards], columns=4, colors=160)


def save_enlarged(images: Sequence[np.ndarray]) -> None:
    """The first creature much larger, and all of them twice as large, both ways."""
    ways: tuple[Upscale, ...] = ("nearest", "scale2x")
    large = [enlarge(images[0], 4, way) for way in ways]
    save(np.concatenate(large, axis=1), "scale2x.png")
    rows = [[enlarge(image, 2, way) for image in images] for way in ways]
    save_rows("upscaled.png", *rows)


def save_idle(frames: Sequence[Sequence[np.ndarray]]) -> None:
    """All creatures in both frames, as an animation."""
    both = np.concatenate([in_lines(row) for row in frames])
    flat = Image.fromarray(both).quantize(255)
    palette = np.array(flat.getpalette("RGB"), np.uint8).reshape(-1, 3)
    palette = np.concatenate([np.full((1, 3), 255, np.uint8), palette])
    frames_ = np.split(np.asarray(flat) + np.uint8(1), len(frames))
    path = HERE / "idle.png"
    path.write_bytes(moving.apng([PixelArt(f, palette) for f in frames_], {}))


def in_lines(row: Sequence[np.ndarray], columns: int = COLUMNS) -> np.ndarray:
    """Equally large pictures, some a line."""
    starts = range(0, len(row), columns)
    lines = [np.concatenate(row[i : i + columns], axis=1) for i in starts]
    return np.concatenate(lines)


def save_rows(
    name: str, *rows: Sequence[np.ndarray], columns: int = COLUMNS, colors: int = 256
) -> None:
    """Some creatures a line; each with all of its pictures below one another."""
    own = [np.concatenate(pictures) for pictures in zip(*rows, strict=True)]
    save(in_lines(own, columns), name, colors)


def save(image: np.ndarray, name: str, colors: int = 256) -> None:
    """Small: in a palette, which pixel art has anyway."""
    Image.fromarray(image).quantize(colors).save(HERE / name, optimize=True)


if __name__ == "__main__":
    main()
