"""A drawn picture as a file: its format, size and frame."""

import dataclasses
import io
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from pokejax.images.png import enlarge
from pokejax.inference.recipe import Sample

FileFormat = Literal["png", "webp", "jpeg"]
_WHITE = 255


class Look(NamedTuple):
    """How a picture is wanted.

    Attributes:
      format: of the file; PNG and WebP lose nothing.
      scale: pixels a side that each pixel becomes.
      frame: width and height of white around the picture; None is just the picture.
      quality: of JPEG, 0 to 100.
    """

    format: FileFormat = "png"
    scale: int = 1
    frame: tuple[int, int] | None = None
    quality: int = 95


def encode(sample: Sample, look: Look) -> bytes:
    """The file of a sample; a PNG's text chunks hold its recipe."""
    image = enlarge(sample.image, look.scale)
    if look.frame:
        image = _framed(image, *look.frame)
    sample = dataclasses.replace(sample, image=image)
    if look.format == "png":
        return sample.png()
    if look.format == "webp":
        return sample.webp()
    buffer = io.BytesIO()
    # Halving colours, as JPEG does by default, would blur the edges of large pixels.
    Image.fromarray(image).save(buffer, "JPEG", quality=look.quality, subsampling=0)
    return buffer.getvalue()


def _framed(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """`image` in the middle of a white picture, which must be no smaller."""
    framed = np.full((height, width, image.shape[2]), _WHITE, np.uint8)
    top, left = (height - image.shape[0]) // 2, (width - image.shape[1]) // 2
    framed[top : top + image.shape[0], left : left + image.shape[1]] = image
    return framed
