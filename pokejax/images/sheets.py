"""Contact sheets, captioned galleries and animations of pictures."""

import string
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

_GAP = 4
_CAPTION_SIZE = 14
_CAPTION_HEIGHT = _CAPTION_SIZE + 8
_SMALL_SIZE = 11
_SMALL_LINES = 5


def contact_sheet(
    rows: Sequence[Sequence[UInt8[np.ndarray, "h w 3"]]],
    captions: Sequence[str],
    *,
    title: str = "",
    scale: int = 2,
    columns: int = 12,
) -> Image.Image:
    """Draw rows of equally large pictures, each row under its caption.

    Args:
      rows: pictures, any number a row; a long row goes on in the next line.
      captions: one a row; cut where it is wider than the sheet.
      title: a line above all, if any.
      scale: whole-number enlargement, without smoothing.
      columns: pictures a line, at most.
    """
    height, width = (scale * side for side in rows[0][0].shape[:2])
    columns = min(columns, max(len(row) for row in rows))
    lines = sum(-(-len(row) // columns) for row in rows)
    sheet = Image.new(
        "RGB",
        (
            _GAP + columns * (width + _GAP),
            _GAP
            + (len(rows) + bool(title)) * _CAPTION_HEIGHT
            + lines * (height + _GAP),
        ),
        "white",
    )
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_CAPTION_SIZE)
    top = _GAP
    if title:
        draw.text((_GAP, top), _cut(title, font, sheet.width), "black", font)
        top += _CAPTION_HEIGHT
    for row, caption in zip(rows, captions, strict=True):
        draw.text((_GAP, top), _cut(caption, font, sheet.width), "black", font)
        top += _CAPTION_HEIGHT
        for start in range(0, len(row), columns):
            for j, image in enumerate(row[start : start + columns]):
                tile = Image.fromarray(image).resize(
                    (width, height), Image.Resampling.NEAREST
                )
                sheet.paste(tile, (_GAP + j * (width + _GAP), top))
            top += height + _GAP
    return sheet


def gallery(
    images: Sequence[UInt8[np.ndarray, "h w 3"]],
    captions: Sequence[str],
    *,
    title: str,
    columns: int = 4,
) -> Image.Image:
    """Draw equally large pictures in rows, each above its own caption.

    Args:
      images: enlarged, without smoothing, to 128 pixels or a little more.
      captions: one a picture; wrapped, and cut after five lines.
      title: one line above all.
      columns: pictures a row.
    """
    side = images[0].shape[0]
    side *= max(1, -(-128 // side))
    font = ImageFont.load_default(_SMALL_SIZE)
    line_height = _SMALL_SIZE + 3
    letters = int(side * 26 / font.getlength(string.ascii_lowercase))
    cell = side + _SMALL_LINES * line_height + 2 * _GAP
    rows = -(-len(images) // columns)
    size = (_GAP + columns * (side + _GAP), _CAPTION_HEIGHT + rows * cell)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _GAP), title, "black", ImageFont.load_default(_CAPTION_SIZE))
    for i, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left = _GAP + i % columns * (side + _GAP)
        top = _CAPTION_HEIGHT + i // columns * cell
        tile = Image.fromarray(image).resize((side, side), Image.Resampling.NEAREST)
        sheet.paste(tile, (left, top))
        lines = textwrap.wrap(
            _drawable(caption), letters, max_lines=_SMALL_LINES, placeholder="..."
        )
        for j, line in enumerate(lines):
            draw.text((left, top + side + 2 + j * line_height), line, "black", font)
    return sheet


def animate(frames: Sequence[Path], path: Path) -> None:
    """Write pictures, in their order, as one GIF that plays forever.

    Frames that differ in size from the last one are left out. The last is held longer.
    """
    pictures = [Image.open(frame).convert("RGB") for frame in frames]
    pictures = [p for p in pictures if p.size == pictures[-1].size]
    # A palette for each frame, since later ones may have colours the first lacks.
    first, *rest = [p.quantize(method=Image.Quantize.FASTOCTREE) for p in pictures]
    durations = [300] * len(rest) + [3000]  # milliseconds
    first.save(path, save_all=True, append_images=rest, duration=durations, loop=0)


def _cut(caption: str, font, width: int) -> str:
    caption = _drawable(caption)[:width]  # no letter is narrower than a pixel
    if font.getlength(caption) <= width - 2 * _GAP:
        return caption
    while caption and font.getlength(caption + "...") > width - 2 * _GAP:
        caption = caption[:-1]
    return caption + "..."


def _drawable(caption: str) -> str:
    # The built-in font has Latin letters only.
    caption = caption.encode("latin-1", "replace").decode("latin-1")
    return "".join(c if c.isprintable() else " " for c in caption)
