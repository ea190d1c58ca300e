"""A drawn picture as a file: its format, size and frame."""

import dataclasses
import io
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from pokejax.images.png import enlarge
from pokejax.inference.recipe import Sample

from .errors import ApiError

FileFormat = Literal["png", "webp", "jpeg"]
_WHITE = 255
_QUICK_PIXELS = 512 * 512  # encoded in 3 ms, a third of a picture's time on the device


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

    def is_slow(self, own: int) -> bool:
        """Whether encoding takes long, for pictures of `own` pixels a side."""
        width, height = self.frame or (own * self.scale, own * self.scale)
        return width * height > _QUICK_PIXELS


def framed_look(
    format: FileFormat,
    own: int,
    width: int,
    height: int,
    *,
    quality: int = 95,
    param: str,
) -> Look:
    """As many whole pixels as fit into a size, and white around them.

    Args:
      format: of the file.
      own: pixels a side of what the model draws.
      width: of the file, as `height`.
      height: of the file.
      quality: of JPEG.
      param: the field that an error is about.

    Raises:
      ApiError: 400, the size is less than the model's own.
    """
    if min(width, height) < own:
        raise ApiError(
            400,
            "invalid_request",
            f"{param} asks for {width}x{height}; expected {own}x{own}, which is the"
            " model's own size, or more",
            param=param,
        )
    return Look(format, min(width, height) // own, (width, height), quality)


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
