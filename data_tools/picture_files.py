"""Which picture files and folders the data commands take, and how a file is decoded.

Owns formats, limits and the way to RGBA, so that no command refuses what another has
taken.
"""

import contextlib
import os
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "GIF", "JPEG", "WEBP", "BMP")
SUFFIXES = (".png", ".gif", ".jpg", ".jpeg", ".webp", ".bmp")
# What a PNG's text says if it was made of somebody's own picture.
OWN = ("Source", "own")
MAX_SIDE = 4096  # pixels
# File systems take 255 bytes; a file that is being written has a longer name at first.
LONGEST_NAME = 235


def open_picture(file: Path | IO[bytes]) -> Image.Image:
    """Open a picture of one of `FORMATS`; only its header is read yet.

    Raises:
      ValueError: no such picture, or more than `MAX_SIDE` pixels a side.
      OSError: it can't be read.
    """
    try:
        image = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise ValueError(f"not a picture in {', '.join(FORMATS)}") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"more than {MAX_SIDE} pixels a side") from error
    if max(image.size) > MAX_SIDE:
        image.close()
        raise ValueError(
            f"{image.width}x{image.height} pixels; at most {MAX_SIDE} a side"
        )
    return image


def to_rgba(image: Image.Image) -> Image.Image:
    """The current frame of an opened picture, upright, as RGBA of 8 bits.

    Raises:
      OSError, SyntaxError, ValueError: Pillow's, for a damaged file.
    """
    image.load()
    # A damaged note of which side is up may raise anything, and be left alone.
    with contextlib.suppress(Exception):
        image = ImageOps.exif_transpose(image)
    if image.mode[0] != "I":
        return image.convert("RGBA")
    # Gray of 16 bits, which Pillow would clip to 255.
    deep = np.asarray(image)
    gray = np.round(deep / 257).astype(np.uint8)
    alpha = np.where(deep == image.info.get("transparency", -1), 0, 255)
    return Image.fromarray(np.dstack([gray, gray, gray, alpha.astype(np.uint8)]))


def leads_back(folder: Path, root: Path) -> bool:
    """Whether a folder in `root` is a link to `root` itself or to one above it."""
    return folder.is_symlink() and root.resolve().is_relative_to(folder.resolve())


def is_too_long(name: str) -> bool:
    """Whether a file of this name can't be written everywhere."""
    return len(os.fsencode(name)) > LONGEST_NAME
