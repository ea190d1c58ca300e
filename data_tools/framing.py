"""From a sprite file to the square of pixels that a model sees.

Owns how a picture is framed: cropped to what is drawn, centred on white, resized. The
choices are the same for every picture, so a creature fills its square whatever canvas
it came on.
"""

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

FORMATS = ("PNG", "GIF", "JPEG", "WEBP", "BMP")
MAX_SIDE = 4096
# White left on each side of the longer axis, as a fraction of the square: 2 pixels of
# 64. A convolution then sees the outline from outside on all sides.
MARGIN = 1 / 32
# Where a picture has no transparency, this or lighter in all channels is background.
NEAR_WHITE = 245


def load_framed(path: Path, size: int) -> np.ndarray:
    """The picture in `path`, framed; the first frame if it is animated.

    Args:
      path: PNG, GIF, JPEG, WebP or BMP, at most `MAX_SIDE` pixels a side.
      size: side of the square, pixels.

    Returns:
      `size size 3` uint8, on white.

    Raises:
      ValueError: names the file and what is wrong with it: empty, not a picture, cut
        short, too large, or with nothing to see.
    """
    try:
        if path.stat().st_size == 0:
            raise ValueError("an empty file")
        with Image.open(path, formats=FORMATS) as image:  # reads the header only
            if max(image.size) > MAX_SIDE:
                raise ValueError(
                    f"{image.width}x{image.height} pixels; at most {MAX_SIDE} a side"
                )
            if image.mode[0] in "IF":  # Pillow would clip these, not scale them
                raise ValueError("gray of 16 or 32 bits; 8 are expected")
            return frame(image.convert("RGBA"), size)
    except UnidentifiedImageError as error:
        raise ValueError(f"{path}: not a picture in a format known here") from error
    except (
        OSError,
        SyntaxError,  # how Pillow reports some broken PNG chunks
        ValueError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,  # where warnings are errors
    ) as error:
        raise ValueError(f"{path}: {error}") from error


def frame(image: Image.Image, size: int) -> np.ndarray:
    """Crop to what is drawn, centre on a white square, resize.

    White goes behind the picture before it is resized, so that the colour hidden under
    transparent pixels can't bleed into the edges. The filter is Hamming's: as sharp as
    an averaging box where a picture of 40 pixels is enlarged, without the box's doubled
    and dropped pixels; smooth where one of 250 shrinks; and without the pale rim that
    Lanczos leaves along a dark outline.

    Args:
      image: RGBA.
      size: side of the square, pixels.

    Returns:
      `size size 3` uint8.

    Raises:
      ValueError: nothing but background.
    """
    box = _drawn_box(image)
    if box is None:
        raise ValueError("nothing to see: all of it is transparent or white")
    image = image.crop(box)
    content = size - 2 * max(1, round(size * MARGIN))
    scale = content / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    on_white = Image.alpha_composite(
        Image.new("RGBA", image.size, "white"), image
    ).convert("RGB")
    square = Image.new("RGB", (size, size), "white")
    square.paste(
        on_white.resize((width, height), Image.Resampling.HAMMING),
        ((size - width) // 2, (size - height) // 2),
    )
    return np.asarray(square)


def _drawn_box(image: Image.Image) -> tuple[int, int, int, int] | None:
    pixels = np.asarray(image)
    if pixels[..., 3].min() == 255:
        drawn = (pixels[..., :3] < NEAR_WHITE).any(-1)
    else:
        drawn = pixels[..., 3] >= 128
    return Image.fromarray(drawn).getbbox()
