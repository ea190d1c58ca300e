"""Enlarging pixel art: each pixel a square, or by Scale2x, which rounds off staircases.

None of it invents a colour: every pixel of the result has that of one nearby.
"""

from typing import Literal

import numpy as np
from jaxtyping import Int, UInt8

Upscale = Literal["nearest", "scale2x"]
MAX_SCALE = 8


def enlarge(
    image: UInt8[np.ndarray, "h w c"], scale: int, upscale: Upscale = "nearest"
) -> UInt8[np.ndarray, "h2 w2 c"]:
    """A picture, or the indices of one, `scale` times as large a side.

    Args:
      image: of up to four channels.
      scale: 1 or more.
      upscale: `nearest` makes squares of pixels; `scale2x` is Scale2x and Scale3x, one
        after another for the factors 2 and 3 of `scale`, and squares for what is left.
    """
    if upscale == "scale2x":
        shifts = np.arange(image.shape[2], dtype=np.int64).reshape(1, 1, -1) * 8
        # Colours are only compared, so each is one number.
        codes = (image.astype(np.int64) << shifts).sum(axis=-1)
        for times, rule in ((3, _scale3x), (2, _scale2x)):
            while scale % times == 0:
                codes, scale = rule(codes), scale // times
        image = (codes[..., None] >> shifts & 255).astype(np.uint8)
    if scale == 1:
        return image
    return image.repeat(scale, axis=0).repeat(scale, axis=1)


def swell(
    picture: UInt8[np.ndarray, "s s 4"], times: float
) -> UInt8[np.ndarray, "s s 4"]:
    """A creature enlarged about its middle, in squares, as far as its picture has room.

    Args:
      picture: RGB on white, and alpha.
      times: as high and wide, 1 or more.
    """
    side, opaque = len(picture), picture[..., 3] > 0
    if not opaque.any():
        return picture
    spans = [np.flatnonzero(opaque.any(axis=axis))[[0, -1]] for axis in (1, 0)]
    times = min(times, *(side / (last + 1 - first) for first, last in spans))
    sources: list[np.ndarray] = []  # of the result's rows, and of its columns
    for first, last in spans:
        size = round((last + 1 - first) * times)
        start = np.clip((first + last + 1 - size) // 2, 0, side - size)
        place = (np.arange(side) - start + 0.5) / times + first
        sources.append(np.floor(place).astype(int))
    swollen = picture[np.ix_(*(s.clip(0, side - 1) for s in sources))]
    inside = [(s >= 0) & (s < side) for s in sources]
    swollen[~np.logical_and.outer(*inside)] = 255, 255, 255, 0
    return swollen


def _scale2x(codes: Int[np.ndarray, "h w"]) -> Int[np.ndarray, "h2 w2"]:
    """Source: Andrea Mazzoleni, "Scale2x" (2001), whose names of pixels these are."""
    _, b, _, d, e, f, _, h, _ = _around(codes)
    corner = (b != h) & (d != f)
    return _woven(
        [
            [np.where(corner & (d == b), d, e), np.where(corner & (b == f), f, e)],
            [np.where(corner & (d == h), d, e), np.where(corner & (h == f), f, e)],
        ]
    )


def _scale3x(codes: Int[np.ndarray, "h w"]) -> Int[np.ndarray, "h3 w3"]:
    """Source: as of `_scale2x`."""
    a, b, c, d, e, f, g, h, i = _around(codes)
    corner = (b != h) & (d != f)
    upper_left, upper_right = corner & (d == b), corner & (b == f)
    lower_left, lower_right = corner & (d == h), corner & (h == f)
    top = (upper_left & (e != c)) | (upper_right & (e != a))
    left = (upper_left & (e != g)) | (lower_left & (e != a))
    right = (upper_right & (e != i)) | (lower_right & (e != c))
    bottom = (lower_left & (e != i)) | (lower_right & (e != g))
    return _woven(
        [
            [
                np.where(upper_left, d, e),
                np.where(top, b, e),
                np.where(upper_right, f, e),
            ],
            [np.where(left, d, e), e, np.where(right, f, e)],
            [
                np.where(lower_left, d, e),
                np.where(bottom, h, e),
                np.where(lower_right, f, e),
            ],
        ]
    )


def _around(codes: Int[np.ndarray, "h w"]) -> list[Int[np.ndarray, "h w"]]:
    """The nine pixels around each, row by row; the border goes on outside."""
    h, w = codes.shape
    padded = np.pad(codes, 1, mode="edge")
    return [padded[y : y + h, x : x + w] for y in range(3) for x in range(3)]


def _woven(parts: list[list[Int[np.ndarray, "h w"]]]) -> Int[np.ndarray, "h2 w2"]:
    """What each pixel becomes, row by row, as one picture."""
    h, w = parts[0][0].shape
    times = len(parts)
    return np.array(parts).transpose(2, 0, 3, 1).reshape(times * h, times * w)
