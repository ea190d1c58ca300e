"""The project's own tiny dataset: made-up creatures, drawn, with their metadata.

Nothing here comes from a game, so the repository may hold it. The metadata is in the
layout that `data_tools.generate_metadata` writes, and its colours are the drawn ones.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from data_tools.pokedex import slug
from pokejax.attributes import (
    COLORS,
    EVOLUTION_STAGES,
    HABITATS,
    NONE,
    SHAPES,
    SIZES,
    TYPES,
)

VIEWS = ("front", "shiny", "back")

PALETTE = {
    "Red": (214, 44, 44),
    "Orange": (240, 140, 30),
    "Yellow": (245, 215, 50),
    "Green": (60, 165, 70),
    "Blue": (50, 100, 215),
    "Purple": (135, 65, 170),
    "Pink": (245, 145, 185),
    "Brown": (130, 85, 45),
    "Black": (35, 35, 40),
    "White": (240, 240, 240),
    "Gray": (135, 135, 140),
}

# Body parts as ellipses: x0, y0, x1, y1 in fractions of the side; the head comes last.
_PARTS = {
    "Bipedal": [(0.32, 0.4, 0.68, 0.85), (0.3, 0.1, 0.7, 0.5)],
    "Quadruped": [
        *((x, 0.6, x + 0.12, 0.92) for x in (0.12, 0.28, 0.48, 0.62)),
        (0.1, 0.42, 0.76, 0.74),
        (0.55, 0.16, 0.92, 0.52),
    ],
    "Humanoid": [
        (0.34, 0.6, 0.46, 0.95),
        (0.54, 0.6, 0.66, 0.95),
        (0.36, 0.34, 0.64, 0.72),
        (0.37, 0.08, 0.63, 0.36),
    ],
    "Avian": [
        (0.02, 0.3, 0.4, 0.5),
        (0.6, 0.3, 0.98, 0.5),
        (0.32, 0.3, 0.68, 0.85),
        (0.36, 0.1, 0.64, 0.38),
    ],
    "Serpentine": [
        (0.05, 0.68, 0.3, 0.9),
        (0.19, 0.58, 0.44, 0.88),
        (0.33, 0.6, 0.58, 0.85),
        (0.43, 0.48, 0.68, 0.73),
        (0.53, 0.36, 0.78, 0.61),
        (0.5, 0.1, 0.88, 0.42),
    ],
    "Aquatic": [
        (0.72, 0.28, 0.96, 0.76),
        (0.08, 0.3, 0.82, 0.74),
        (0.08, 0.34, 0.5, 0.7),
    ],
    "Insectoid": [
        *((0.1, 0.3 + 0.17 * i, 0.9, 0.36 + 0.17 * i) for i in (0, 1, 2)),
        (0.34, 0.28, 0.66, 0.9),
        (0.36, 0.08, 0.64, 0.34),
    ],
    "Amorphous": [(0.1, 0.45, 0.9, 0.9), (0.2, 0.18, 0.75, 0.85)],
}

_SYLLABLES = ("blo", "rin", "tak", "mu", "fel", "dor", "wis", "pan", "gri", "zo")


def draw_creature(
    rng: np.random.Generator,
    color: str,
    shape: str,
    size: int,
    *,
    accent: str = NONE,
    eyes: bool = True,
) -> Image.Image:
    """An outlined creature of ellipses on a transparent ground.

    Args:
      rng: jitters the parts, so that no two pictures are the same.
      color: a word of `COLORS`; most of the opaque pixels have its `PALETTE` value.
      shape: a word of `SHAPES`.
      size: side of the picture, pixels.
      accent: a word of `COLORS` for a belly patch, or `"None"`.
      eyes: off for a view from behind.

    Returns:
      `size size` RGBA, alpha 0 or 255.
    """
    image = Image.new("RGBA", (size, size))
    draw = ImageDraw.Draw(image)
    parts = np.asarray(_PARTS[shape]) + rng.uniform(
        -0.02, 0.02, (len(_PARTS[shape]), 4)
    )
    boxes = [tuple((part * size).tolist()) for part in parts]
    for box in boxes:
        draw.ellipse(box, fill=PALETTE[color], outline=(20, 20, 25))
    if accent != NONE:
        x0, y0, x1, y1 = boxes[-2]
        w, h = (x1 - x0) / 4, (y1 - y0) / 4
        draw.ellipse((x0 + w, y1 - 2.2 * h, x1 - w, y1 - 0.2 * h), fill=PALETTE[accent])
    if eyes:
        x0, y0, x1, y1 = boxes[-1]
        radius = max(1.0, size / 32)
        for x in (0.35, 0.65):
            cx, cy = x0 + x * (x1 - x0), y0 + 0.45 * (y1 - y0)
            draw.ellipse(
                (cx - radius, cy - radius, cx + radius, cy + radius), fill=(20, 20, 25)
            )
    return image


def write_drawn_images(root: Path, species: int = 12, seed: int = 0) -> None:
    """Write `root/<Species>/<slug>_<view>.png`, and metadata beside, in three views.

    Four types, so that every type has several species; a shiny picture swaps its body
    and accent colours, and its metadata says so.

    Args:
      root: the images directory; created.
      species: how many, from 1 to 1000.
      seed: same seed, same files.
    """
    rng = np.random.default_rng(seed)
    for i in range(species):
        name = "".join(_SYLLABLES[int(d)] for d in reversed(f"{i:02d}")).capitalize()
        color, accent = (COLORS[j] for j in rng.choice(len(COLORS), 2, replace=False))
        shape = SHAPES[i % len(SHAPES)]
        words = {
            "type1": ("Fire", "Water", "Grass", "Electric")[i % 4],
            "type2": None if i % 3 else TYPES[int(rng.integers(4, len(TYPES)))],
            "evolution_stage": EVOLUTION_STAGES[i % len(EVOLUTION_STAGES)],
            "shape": shape,
            "size": SIZES[i % len(SIZES)],
            "habitat": HABITATS[i % len(HABITATS)],
        }
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        for view in VIEWS:
            body, patch = (accent, color) if view == "shiny" else (color, accent)
            image = draw_creature(
                rng, body, shape, 96, accent=patch, eyes=view != "back"
            )
            stem = f"{slug(name)}_{view}"
            image.save(folder / f"{stem}.png")
            (folder / f"{slug(name)}_{stem}.json").write_text(
                json.dumps(_metadata(name, view, body, patch, words), indent=2), "utf-8"
            )


def _metadata(
    name: str, view: str, color: str, accent: str, words: dict[str, str | None]
) -> dict[str, object]:
    shape, type1 = words["shape"], words["type1"]
    return {
        "species": name,
        "view": view,
        "image": f"{slug(name)}_{view}.png",
        "prompts": [
            f"A {color} {shape} {type1}-type creature".lower(),
            f"{words['size']} {color} creature with a {accent} belly".lower(),
            f"A {type1} creature of the {words['habitat']}".lower(),
            f"Create a {color} and {accent} {type1} monster".lower(),
            f"{name}, a {shape} {type1} Pokémon",
        ],
        "visual_attributes": {
            "primary_colors": [color, accent],
            "color_distribution": {"primary": color, "secondary": accent},
            "body_shape": shape,
            "size": words["size"],
        },
        "categorical_attributes": {
            "type1": type1,
            "type2": words["type2"],
            "evolution_stage": words["evolution_stage"],
            "generation": 1,
        },
        "semantic_attributes": {
            "habitat": words["habitat"],
            "legendary": False,
            "mythical": False,
        },
    }
