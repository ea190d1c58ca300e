"""Pictures that people give: read with care, and brought to the size that is drawn.

Nothing is decoded before its size is known to be small. Imports no JAX.
"""

import io
import warnings

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from pokejax.images.colors import foreground_mask

FORMATS = ("PNG", "GIF", "JPEG", "WEBP", "BMP")
MAX_BYTES = 8 * 2**20
MAX_SIDE = 4096  # pixels
_HALF = 128  # of 255


class PictureError(ValueError):
    """A picture that can't be used; the message says why."""


def read_picture(data: bytes, size: int) -> UInt8[np.ndarray, "size size 4"]:
    """A picture as the model's own: RGB on white, and alpha.

    One of the right size stays as it is, and one that is made of larger pixels, as
    enlarged pixel art is, gets its own back. Any other is padded to a square and
    resized by area. Where nothing is transparent, the near-white around the creature is
    taken to be.

    Args:
      data: a PNG, GIF, JPEG, WebP or BMP of any mode; of an animation, the first frame.
      size: pixels a side.

    Raises:
      PictureError: no such picture, damaged, or too large.
    """
    rgba = _square(_decoded(data))
    pixels = np.asarray(_resized(rgba, size))
    if pixels[..., 3].min() == 255:
        alpha = foreground_mask(Image.fromarray(pixels)).astype(np.uint8) * 255
        pixels = np.dstack([pixels[..., :3], alpha])
    share = pixels[..., 3:] / 255
    rgb = (share * pixels[..., :3] + 255 * (1 - share)).round().astype(np.uint8)
    return np.dstack([rgb, pixels[..., 3]])


def read_mask(
    data: bytes, size: int, *, opaque: bool = False, invert: bool = False
) -> Bool[np.ndarray, "size size"]:
    """Where a picture is to be drawn anew.

    Args:
      data: a picture. If parts of it are transparent, these are meant; otherwise its
        light parts.
      size: pixels a side.
      opaque: if parts are transparent, all others are meant, as AUTOMATIC1111 has it.
      invert: what would be left out is meant instead.

    Raises:
      PictureError: as of `read_picture`, or nothing at all is meant.
    """
    pixels = np.asarray(_resized(_square(_decoded(data)), size))
    clear = pixels[..., 3] < _HALF
    light = pixels[..., :3].mean(axis=-1) >= _HALF
    mask = (clear != opaque if clear.any() else light) != invert
    if not mask.any():
        if invert or opaque:
            raise PictureError("the mask leaves nothing that is drawn anew")
        raise PictureError(
            "the mask is dark all over; expected light or transparent parts, which are"
            " drawn anew"
        )
    return mask


def _decoded(data: bytes) -> Image.Image:
    if len(data) > MAX_BYTES:
        raise PictureError(
            f"the picture has {len(data):,} bytes; expected at most {MAX_BYTES:,}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd files, which nobody would read
            return _rgba(data)
    except PictureError:
        raise
    except Image.DecompressionBombError:  # which Pillow raises before its size is known
        raise PictureError(
            f"the picture is far too large; expected at most {MAX_SIDE} pixels a side"
        ) from None
    except UnidentifiedImageError:  # whose message says where in memory it is
        raise PictureError(f"not a picture in {', '.join(FORMATS)}") from None
    except Exception as error:  # a damaged file may raise anything
        raise PictureError(
            f"not a picture in {', '.join(FORMATS)}, or damaged: {str(error)[:120]}"
        ) from None


def _rgba(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    if not 0 < min(image.size) <= max(image.size) <= MAX_SIDE:
        raise PictureError(
            f"the picture is {image.width}x{image.height}; expected at most"
            f" {MAX_SIDE} pixels a side, and one at least"
        )
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode[0] == "I":  # 16 bits, which Pillow would clip to 255
        gray = np.round(np.asarray(image) / 257).clip(0, 255).astype(np.uint8)
        image = Image.fromarray(gray)
    return image.convert("RGBA")


def _square(image: Image.Image) -> Image.Image:
    """Padded to a square: transparent, or white if nothing is transparent."""
    side = max(image.size)
    if image.size == (side, side):
        return image
    opaque = image.getextrema()[3][0] == 255  # type: ignore[index]
    around = (255, 255, 255, 255 if opaque else 0)
    padded = Image.new("RGBA", (side, side), around)
    padded.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return padded


def _resized(image: Image.Image, size: int) -> Image.Image:
    if image.width % size == 0:
        own = image.resize((size, size), Image.Resampling.NEAREST)
        if own.resize(image.size, Image.Resampling.NEAREST).tobytes() == (
            image.tobytes()
        ):
            return own
    small = image.width < size
    # With alpha multiplied in, hidden colours don't bleed into the edges.
    smooth = image.convert("RGBa").resize(
        (size, size), Image.Resampling.NEAREST if small else Image.Resampling.BOX
    )
    return smooth.convert("RGBA")
