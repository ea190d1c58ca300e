"""A drawn picture as a file: its format, size and frame."""

import io
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pokejax.images.png import encode_indexed_png, encode_png
from pokejax.images.upscale import Upscale, enlarge
from pokejax.inference.recipe import Sample

from .errors import ApiError
from .schemas import BatchBody, PictureFields

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
      transparent: nothing instead of white around the creature, in PNG and WebP.
      upscale: how it is enlarged.
    """

    format: FileFormat = "png"
    scale: int = 1
    frame: tuple[int, int] | None = None
    quality: int = 95
    transparent: bool = False
    upscale: Upscale = "nearest"

    def is_slow(self, own: int) -> bool:
        """Whether encoding takes long, for pictures of `own` pixels a side."""
        width, height = self.frame or (own * self.scale, own * self.scale)
        return width * height > _QUICK_PIXELS


def look_of(body: PictureFields | BatchBody) -> Look:
    """The look that a request asks for."""
    transparent = body.background == "transparent"
    return Look(body.format, body.scale, transparent=transparent, upscale=body.upscale)


def framed_look(
    format: FileFormat,
    own: int,
    width: int,
    height: int,
    *,
    quality: int = 95,
    transparent: bool = False,
    param: str,
) -> Look:
    """As many whole pixels as fit into a size, and white around them.

    Args:
      format: of the file.
      own: pixels a side of what the model draws.
      width: of the file, as `height`.
      height: of the file.
      quality: of JPEG.
      transparent: nothing around the creature.
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
    scale = min(width, height) // own
    return Look(format, scale, (width, height), quality, transparent)


def encode(sample: Sample, look: Look) -> bytes:
    """The file of a sample; a PNG's text chunks hold its recipe.

    Finished pixel art is a PNG in its palette, transparent or on white.
    """
    if sample.art and look.format == "png":
        indices = _shown(sample.art.indices[..., None], look, 0)[..., 0]
        return encode_indexed_png(
            indices, sample.art.palette, sample.texts, transparent=look.transparent
        )
    if look.transparent and look.format != "jpeg":
        image = _shown(sample.rgba, look, 0)
    else:
        image = _shown(sample.image, look, _WHITE)
    if look.format == "png":
        return encode_png(image, sample.texts)
    buffer = io.BytesIO()
    if look.format == "webp":
        # The quickest of all lossless settings, by a factor of ten.
        settings: dict[str, Any] = {"lossless": True, "quality": 0, "method": 0}
    else:
        # Halving colours, as JPEG does by default, would blur the edges of pixels.
        settings = {"quality": look.quality, "subsampling": 0}
    Image.fromarray(image).save(buffer, look.format, **settings)
    return buffer.getvalue()


def _shown(
    image: UInt8[np.ndarray, "h w c"], look: Look, around: int
) -> UInt8[np.ndarray, "h2 w2 c"]:
    """Enlarged, in the middle of a frame that is no smaller, filled with `around`."""
    image = enlarge(image, look.scale, look.upscale)
    if look.frame is None:
        return image
    width, height = look.frame
    framed = np.full((height, width, image.shape[2]), around, np.uint8)
    top, left = (height - image.shape[0]) // 2, (width - image.shape[1]) // 2
    framed[top : top + image.shape[0], left : left + image.shape[1]] = image
    return framed
