"""A creature's pictures on one sheet, and where each lies, as game engines read it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pokejax.images.colors import oklab
from pokejax.images.finish import PixelArt
from pokejax.images.moving import FRAME_MS

_OPAQUE = 128  # of 255


def icon_of(art: PixelArt, side: int) -> PixelArt:
    """The creature without what is around it, at `side` pixels, in the same palette.

    One that is small enough keeps its pixels. A larger one is averaged, and each pixel
    takes the nearest colour.

    Args:
      art: the creature; if it is blank, so is the icon.
      side: pixels.
    """
    y, x = np.nonzero(art.indices)
    icon = np.zeros((side, side), np.uint8)
    if not len(y):
        return PixelArt(icon, art.palette)
    cut = art.indices[y.min() : y.max() + 1, x.min() : x.max() + 1]
    if max(cut.shape) > side:
        cut = _averaged(PixelArt(cut, art.palette), side)
    h, w = cut.shape
    top, left = side - h, (side - w) // 2  # on the ground, as sprites stand
    icon[top : top + h, left : left + w] = cut
    return PixelArt(icon, art.palette)


def _averaged(art: PixelArt, side: int) -> UInt8[np.ndarray, "h w"]:
    h, w = art.indices.shape
    share = side / max(h, w)
    size = max(1, round(w * share)), max(1, round(h * share))
    alpha = (art.indices > 0).astype(np.uint8)[..., None] * 255
    rgba = Image.fromarray(np.concatenate([art.rgb(), alpha], axis=-1))
    # With alpha multiplied in, the white behind doesn't bleed into the edges.
    small = rgba.convert("RGBa").resize(size, Image.Resampling.BOX).convert("RGBA")
    pixels = np.asarray(small)
    lab, own = (oklab(x / 255.0) for x in (pixels[..., :3], art.palette[1:]))
    away = np.linalg.norm(lab[:, :, None] - own[None, None], axis=-1)
    nearest = away.argmin(axis=-1).astype(np.uint8) + 1
    return np.where(pixels[..., 3] >= _OPAQUE, nearest, 0).astype(np.uint8)


def sheet_of(
    pictures: Mapping[str, UInt8[np.ndarray, "h w 4"]], columns: int
) -> tuple[UInt8[np.ndarray, "h2 w2 4"], dict[str, tuple[int, int, int, int]]]:
    """Pictures side by side in equal cells; and left, top, width and height of each."""
    height = max(p.shape[0] for p in pictures.values())
    width = max(p.shape[1] for p in pictures.values())
    rows = -(-len(pictures) // columns)
    sheet = np.zeros((rows * height, columns * width, 4), np.uint8)
    places: dict[str, tuple[int, int, int, int]] = {}
    for i, (name, picture) in enumerate(pictures.items()):
        top, left = i // columns * height, i % columns * width
        h, w = picture.shape[:2]
        sheet[top : top + h, left : left + w] = picture
        places[name] = left, top, w, h
    return sheet, places


def texture_packer(
    places: Mapping[str, tuple[int, int, int, int]],
    size: tuple[int, int],
    image: str,
    animations: Mapping[str, list[str]],
) -> dict[str, Any]:
    """Where each picture lies, in the hash form of TexturePacker's JSON.

    It has what Aseprite adds to that form, durations and tags of frames, and the
    animations that Pixi looks for.

    Args:
      places: left, top, width and height of each picture, in pixels.
      size: of the sheet, width and height.
      image: the sheet's file name.
      animations: by name, the pictures that follow each other; as they do in `places`.
    """
    frames: dict[str, Any] = {}
    for name, (x, y, w, h) in places.items():
        frames[name] = {
            "frame": {"x": x, "y": y, "w": w, "h": h},
            "rotated": False,
            "trimmed": False,
            "spriteSourceSize": {"x": 0, "y": 0, "w": w, "h": h},
            "sourceSize": {"w": w, "h": h},
            "duration": FRAME_MS,
        }
    order = list(places)
    tags = [
        {
            "name": name,
            "from": order.index(members[0]),
            "to": order.index(members[-1]),
            "direction": "forward",
        }
        for name, members in animations.items()
    ]
    meta = {
        "app": "https://github.com/pokejax/pokejax",
        "version": "1.0",
        "image": image,
        "format": "RGBA8888",
        "size": {"w": size[0], "h": size[1]},
        "scale": "1",
        "frameTags": tags,
    }
    return {"frames": frames, "animations": dict(animations), "meta": meta}
