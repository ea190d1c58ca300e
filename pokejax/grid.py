"""Contact sheets: pictures in rows under captions, as one picture."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

_GAP = 4
_CAPTION_SIZE = 14
_CAPTION_HEIGHT = _CAPTION_SIZE + 8


def contact_sheet(
    rows: Sequence[Sequence[UInt8[np.ndarray, "h w 3"]]],
    captions: Sequence[str],
    *,
    scale: int = 2,
) -> Image.Image:
    """Draw rows of equally large pictures, each row under its caption.

    Args:
      rows: pictures, as many a row as you like.
      captions: one a row; cut where it is wider than the row.
      scale: whole-number enlargement, without smoothing.
    """
    height, width = (scale * side for side in rows[0][0].shape[:2])
    columns = max(len(row) for row in rows)
    row_height = _CAPTION_HEIGHT + height + _GAP
    sheet = Image.new(
        "RGB",
        (_GAP + columns * (width + _GAP), _GAP + len(rows) * row_height),
        "white",
    )
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_CAPTION_SIZE)
    for i, (row, caption) in enumerate(zip(rows, captions, strict=True)):
        top = _GAP + i * row_height
        draw.text((_GAP, top), _cut(caption, font, sheet.width), "black", font)
        for j, image in enumerate(row):
            tile = Image.fromarray(image).resize(
                (width, height), Image.Resampling.NEAREST
            )
            sheet.paste(tile, (_GAP + j * (width + _GAP), top + _CAPTION_HEIGHT))
    return sheet


def to_uint8(image: Float[np.ndarray, "*shape 3"]) -> np.ndarray:
    """Pixels in [-1, 1] as uint8."""
    return np.clip(np.round((np.asarray(image) + 1) * 127.5), 0, 255).astype(np.uint8)


def _cut(caption: str, font, width: int) -> str:
    # The built-in font has Latin letters only.
    caption = caption.encode("latin-1", "replace").decode("latin-1")
    caption = "".join(c if c.isprintable() else " " for c in caption)
    if font.getlength(caption) <= width - 2 * _GAP:
        return caption
    while caption and font.getlength(caption + "...") > width - 2 * _GAP:
        caption = caption[:-1]
    return caption + "..."
