"""From a sprite file to the square of pixels that a model sees.

Owns how a picture is framed. One that was drawn at this size stays as it is, to the
pixel: how large its creature is, is information. Any other is cropped to what is drawn,
resized, and centred on white, so that a creature fills its square whatever canvas it
came on.
"""

from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from .picture_files import open_picture, to_rgba

# White left on each side of the longer axis, as a fraction of the square: 2 pixels of
# 64. A convolution then sees the outline from outside on all sides.
MARGIN = 1 / 32
# Where a picture has no transparency, this or lighter in all channels is background.
NEAR_WHITE = 245
# Pixel art has no more colours than this; its pixels are cut this fine to be averaged.
_PIXEL_ART_COLORS = 256
_FINER = 8

Fit = Literal["native", "box"]


def load_framed(path: Path, size: int, *, fit: Fit = "native") -> np.ndarray:
    """The picture in `path`, framed; the first frame if it is animated.

    Args:
      path: a picture that `picture_files.open_picture` takes.
      size: side of the square, pixels.
      fit: `"native"` leaves a picture of this very size as it is; `"box"` crops and
        resizes all.

    Returns:
      `size size 4` uint8: RGB on white and, beside it, alpha.

    Raises:
      ValueError: names the file and what is wrong with it: empty, not a picture, cut
        short, too large, or with nothing to see.
    """
    try:
        if path.stat().st_size == 0:
            raise ValueError("an empty file")
        with open_picture(path) as image:
            return frame(to_rgba(image), size, fit=fit)
    except (
        OSError,
        SyntaxError,  # how Pillow reports some broken PNG chunks
        ValueError,
        Image.DecompressionBombWarning,  # where warnings are errors
    ) as error:
        raise ValueError(f"{path}: {error}") from error


def frame(image: Image.Image, size: int, *, fit: Fit = "native") -> np.ndarray:
    """Leave it, or crop to what is drawn, resize, and centre on a white square.

    White goes behind the picture before it is resized, so that the colour hidden under
    transparent pixels can't bleed into the edges. Pixel art, which has few colours, is
    resized by the area that each old pixel has in a new one: flat areas stay flat and
    outlines dark, and no row of pixels is doubled or dropped. What was painted goes
    through Hamming's filter, smooth and without the pale rim that Lanczos leaves.

    Args:
      image: RGBA.
      size: side of the square, pixels.
      fit: as in `load_framed`.

    Returns:
      `size size 4` uint8: RGB on white and, beside it, alpha.

    Raises:
      ValueError: nothing but background.
    """
    box = _drawn_box(image)
    if box is None:
        raise ValueError("nothing to see: all of it is transparent or white")
    if fit == "native" and image.size == (size, size):
        return _beside_alpha(image)
    few_colors = image.getcolors(_PIXEL_ART_COLORS) is not None
    image = image.crop(box)
    content = size - 2 * max(1, round(size * MARGIN))
    scale = content / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    whole = Image.fromarray(_beside_alpha(image), "RGBA")
    resampling = Image.Resampling.HAMMING
    if few_colors:
        # Averaging areas by a box, which needs more old pixels than new ones.
        whole = whole.resize(
            (image.width * _FINER, image.height * _FINER), Image.Resampling.NEAREST
        )
        resampling = Image.Resampling.BOX
    # Each band by itself: Pillow would weigh colours by alpha, and they are on white.
    bands = [band.resize((width, height), resampling) for band in whole.split()]
    square = Image.new("RGBA", (size, size), (255, 255, 255, 0))
    place = ((size - width) // 2, (size - height) // 2)
    square.paste(Image.merge("RGBA", bands), place)
    return np.asarray(square)


def _beside_alpha(image: Image.Image) -> np.ndarray:
    """RGB on white and, beside it, alpha; `h w 4` uint8.

    Where a picture has no transparency, its near-white ground, all that can be reached
    from the border, counts as background.
    """
    pixels = np.asarray(image)
    alpha = pixels[..., 3]
    if alpha.min() == 255:
        alpha = np.where(_ground(pixels[..., :3]), 0, 255).astype(np.uint8)
    on_white = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.concatenate([np.asarray(on_white)[..., :3], alpha[..., None]], axis=-1)


def _ground(rgb: np.ndarray) -> np.ndarray:
    """Which pixels of an opaque picture are near-white and joined to its border."""
    pale = Image.fromarray((rgb >= NEAR_WHITE).all(-1).astype(np.uint8))
    # A frame of background joins all of the border.
    framed = Image.new("L", (pale.width + 2, pale.height + 2), 1)
    framed.paste(pale, (1, 1))
    ImageDraw.floodfill(framed, (0, 0), 2)
    return np.asarray(framed)[1:-1, 1:-1] == 2


def _drawn_box(image: Image.Image) -> tuple[int, int, int, int] | None:
    pixels = np.asarray(image)
    if pixels[..., 3].min() == 255:
        drawn = (pixels[..., :3] < NEAR_WHITE).any(-1)
    else:
        drawn = pixels[..., 3] >= 128
    return Image.fromarray(drawn).getbbox()
