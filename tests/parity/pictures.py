"""Picture pairs for LPIPS: drawn here, or sprites from a folder."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIZE = 64


def drawn_pairs(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of drawn creatures on white, near and far apart.

    Args:
        count: number of pairs.
        seed: same seed, same pictures.

    Returns:
        Two `count 64 64 3` uint8 arrays.
    """
    rng = np.random.default_rng(seed)
    first = [_draw(rng) for _ in range(count)]
    second = [_draw(rng) if i % 2 else _shift(a, i + 1) for i, a in enumerate(first)]
    return np.stack(first), np.stack(second)


def sprite_pairs(folder: Path, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of sprites from a folder's PNGs, on white, at 64 x 64.

    Args:
        folder: searched with its subfolders.
        count: number of pairs.
        seed: chooses them.

    Returns:
        Two `count 64 64 3` uint8 arrays.

    Raises:
        ValueError: fewer than two PNGs in the folder.
    """
    paths = sorted(folder.rglob("*.png"))
    if len(paths) < 2:
        raise ValueError(f"{folder}: fewer than two PNGs")
    rng = np.random.default_rng(seed)
    pick = rng.choice(len(paths), (2, count))
    first, second = ([_sprite(paths[i]) for i in row] for row in pick)
    return np.stack(first), np.stack(second)


def to_signed(images: np.ndarray) -> np.ndarray:
    """Return uint8 pictures as float32 in [-1, 1]."""
    return (images.astype(np.float32) / 127.5 - 1.0).astype(np.float32)


def dither(images: np.ndarray, seed: int) -> np.ndarray:
    """Return the pictures with a little noise, so that no two neighbours are equal.

    In flat areas the maxima of a pooling window tie, the last digit of the arithmetic
    chooses among them, and with it where the gradient goes.
    """
    noise = np.random.default_rng(seed).integers(-3, 4, images.shape)
    return (np.clip(images, 3, 252) + noise).astype(np.uint8)


def _sprite(path: Path) -> np.ndarray:
    sprite = Image.open(path).convert("RGBA").resize((SIZE, SIZE), Image.Resampling.BOX)
    ground = Image.new("RGBA", sprite.size, "white")
    return np.asarray(Image.alpha_composite(ground, sprite).convert("RGB"))


def _draw(rng: np.random.Generator) -> np.ndarray:
    image = Image.new("RGB", (SIZE, SIZE), "white")
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(3, 7))):
        x, y, w, h = (int(v) for v in rng.integers((4, 4, 8, 8), (36, 36, 28, 28)))
        red, green, blue = (int(v) for v in rng.integers(0, 256, 3))
        draw.ellipse((x, y, x + w, y + h), fill=(red, green, blue), outline="black")
    return np.asarray(image)


def _shift(picture: np.ndarray, by: int) -> np.ndarray:
    return np.roll(picture, by, axis=1)
