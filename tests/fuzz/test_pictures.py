"""Pictures that people upload, and what is written into PNGs."""

import base64
import io
import struct
import zlib

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from pokejax.images.given import FORMATS, PictureError, read_mask, read_picture
from pokejax.images.png import add_text, encode_png
from server.errors import ApiError
from server.routes_a1111 import read_png_info
from server.uploads import Upload, _decode
from tests.helpers.fuzzing import attempt, damaged, fuzz

SIZE = 16


def files() -> list[bytes]:
    """A small picture in each format and mode that can hold it."""
    pixels = np.arange(20 * 24 * 4, dtype=np.uint8).reshape(20, 24, 4)
    made = []
    for format in FORMATS:
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"):
            file = io.BytesIO()
            try:
                Image.fromarray(pixels).convert(mode).save(file, format)
            except (OSError, ValueError):
                continue  # the format has no such mode
            made.append(file.getvalue())
    return made


FILES = files()
KINDS = [b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"iCCP"]
KINDS += [b"eXIf", b"pHYs", b"acTL", b"fcTL", b"fdAT", b"tEXt", b"zTXt", b"iTXt"]


def chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def header(sides: tuple[int, int], depth: int, color: int, interlace: int) -> bytes:
    return chunk(
        b"IHDR", struct.pack(">IIBBBBB", *sides, depth, color, 0, 0, interlace)
    )


SIDES = st.sampled_from([0, 1, 3, 4096, 4097, 2**31 - 1, 2**32 - 1])
HEADERS = st.builds(
    header,
    st.tuples(SIDES, SIDES),
    st.sampled_from([0, 1, 4, 8, 16]),
    st.integers(0, 7),
    st.integers(0, 1),
)
BYTES = st.binary(max_size=40) | st.binary(max_size=40).map(zlib.compress)
# What compresses well: 4 MiB of zeros, and of a letter that begins a setting's name.
BYTES |= st.sampled_from([zlib.compress(word * 2**22) for word in (b"\0", b"A")])
TEXTS = st.builds(
    lambda name, between, text: name + between + text,
    st.sampled_from([b"parameters", b"prompt", b"", b"\xff" * 90]),
    st.sampled_from([b"\0", b"\0\0", b"\0\1\0\0\0", b""]),
    BYTES | st.sampled_from([b"A" * 2**19, b"Seed: 1, A: " * 2**12, b"\xff\xfe"]),
)
PNGS = st.builds(
    lambda head, chunks: b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks),
    HEADERS,
    st.lists(st.builds(chunk, st.sampled_from(KINDS), BYTES | TEXTS), max_size=5),
)
PICTURES = st.sampled_from(FILES).flatmap(damaged) | PNGS | st.binary(max_size=60)


@fuzz
@given(PICTURES)
def test_pictures(file: bytes):
    attempt(lambda: read_picture(file, SIZE), PictureError)


@fuzz
@given(PICTURES, st.booleans(), st.booleans())
def test_masks(file: bytes, opaque: bool, invert: bool):
    attempt(lambda: read_mask(file, SIZE, opaque=opaque, invert=invert), PictureError)


@fuzz
@given(
    picture=PICTURES
    | st.text(max_size=40)
    | PICTURES.map(lambda file: base64.b64encode(file).decode()),
    mask=st.none() | st.binary(max_size=40) | st.text(max_size=40),
)
def test_uploads(picture: bytes | str, mask: bytes | str | None):
    upload = Upload("image", picture)
    other = None if mask is None else Upload("mask", mask)
    attempt(lambda: _decode(SIZE, upload, other, None), ApiError)


# Settings are read in linear time, and compressed text isn't unpacked without end.
LONG = header((1, 1), 8, 2, 0) + chunk(b"tEXt", b"parameters\0" + b"A" * 2**19)
BOMB = chunk(b"zTXt", b"parameters\0\0" + zlib.compress(b"A" * 2**26))


@fuzz
@given(PNGS | st.sampled_from(FILES).flatmap(damaged))
@example(b"\x89PNG\r\n\x1a\n" + LONG + chunk(b"IDAT", b""))
@example(b"\x89PNG\r\n\x1a\n" + header((1, 1), 8, 2, 0) + BOMB)
def test_what_is_read_from_a_png(file: bytes):
    attempt(lambda: read_png_info(base64.b64encode(file).decode()), ApiError)


@fuzz
@given(st.text(max_size=60))
def test_any_text_is_no_png(text: str):
    attempt(lambda: read_png_info(text), ApiError)


@fuzz
@given(
    st.text(st.characters(max_codepoint=255, categories=["L", "N"]), min_size=1),
    st.text(),
)
def test_text_that_is_written_is_read_again(name: str, text: str):
    file = encode_png(np.zeros((2, 2, 3), np.uint8), {})
    info = read_png_info(base64.b64encode(add_text(file, name[:79], text)).decode())
    assert info.items == {name[:79]: text.encode("utf-8", "replace").decode()}
