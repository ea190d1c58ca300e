"""Pictures that people give: sizes, modes, liars and bombs."""

import base64
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pokejax.images.finish import pixel_art, redrawn
from pokejax.images.given import MAX_BYTES, PictureError, read_mask, read_picture
from pokejax.inference.recipe import Start


def art() -> Image.Image:
    """A red block with a black eye on transparency, 32x32."""
    image = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    image.paste((200, 30, 30, 255), (8, 8, 24, 24))
    image.putpixel((12, 12), (0, 0, 0, 255))
    return image


def png(image: Image.Image, format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format)
    return buffer.getvalue()


def test_its_own_size_and_whole_multiples_keep_every_pixel():
    want = read_picture(png(art()), 32)
    np.testing.assert_array_equal(want[..., 3], np.asarray(art())[..., 3])
    assert (want[0, 0] == [255, 255, 255, 0]).all()
    assert (want[12, 12] == [0, 0, 0, 255]).all()
    large = art().resize((160, 160), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(read_picture(png(large), 32), want)
    indexed = art().quantize(8)
    np.testing.assert_array_equal(read_picture(png(indexed), 32), want)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("size", [(7, 5), (33, 64), (200, 90)])
def test_any_mode_and_size(mode: str, size: tuple[int, int]):
    image = art().resize(size)
    if mode == "I;16":
        deep = np.asarray(image.convert("L")).astype(np.uint16) * 257
        data = png(Image.fromarray(deep))
    else:
        data = png(image.convert(mode), "TIFF" if mode == "CMYK" else "PNG")
    if mode == "CMYK":
        with pytest.raises(PictureError, match="not a picture in PNG"):
            read_picture(data, 32)
        data = png(image.convert(mode), "JPEG")
    pixels = read_picture(data, 32)
    assert pixels.shape == (32, 32, 4)
    hidden = pixels[..., 3] == 0
    assert (pixels[hidden][:, :3] == 255).all()


def test_a_start_is_read_back_from_its_file_and_art_is_small():
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 4), np.uint8)
    solid = np.dstack([noise[..., :3], np.full((32, 32), 255, np.uint8)])
    opaque = Image.new("RGBA", (32, 32), (9, 9, 9, 255))
    given = {"P": [art(), opaque], "RGBA": [Image.fromarray(noise)]}
    given["RGBA"].append(Image.fromarray(solid))
    for mode, pictures in given.items():
        for picture in pictures:
            start = Start.of(read_picture(png(picture), 32))
            init = base64.b64decode(start.texts()["init"])
            assert Image.open(io.BytesIO(init)).mode == mode
            np.testing.assert_array_equal(read_picture(init, 32), start.image)


def test_the_white_around_a_creature_is_nothing():
    white = Image.new("RGB", (32, 32), "white")
    white.paste(art(), mask=art())
    pixels = read_picture(png(white), 32)
    np.testing.assert_array_equal(pixels[..., 3], np.asarray(art())[..., 3])


def bomb(side: int) -> bytes:
    """A PNG that says it has `side` pixels a side, and holds almost nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(data, zlib.crc32(kind))
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "not a picture in PNG"),
        (b"GIF89a", "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        (png(art())[:-40], "damaged"),
        (bomb(0), "not a picture|0x0|damaged"),
        (b"GIF89a" + bytes(20), "not a picture|0x0|damaged"),
        (bomb(5000), "5000x5000; expected at most 4096"),
        (bomb(60000), "far too large; expected at most 4096 pixels a side"),
        (bomb(10000), "10000x10000; expected at most 4096"),  # of which Pillow warns
        (bomb(4000), "damaged"),
        (bytes(MAX_BYTES + 1), "bytes; expected at most"),
    ],
)
def test_liars_and_bombs_get_one_line(data: bytes, told: str):
    for read in (read_picture, read_mask):
        with pytest.raises(PictureError, match=told) as caught:
            read(data, 32)
        assert "\n" not in str(caught.value)


def test_a_mask_is_its_light_or_its_transparent_parts():
    light = Image.new("L", (64, 64), 0)
    light.paste(255, (0, 0, 64, 16))
    want = np.zeros((32, 32), bool)
    want[:8] = True
    np.testing.assert_array_equal(read_mask(png(light), 32), want)
    clear = Image.new("RGBA", (32, 32), "white")
    clear.paste((0, 0, 0, 0), (0, 0, 32, 8))
    np.testing.assert_array_equal(read_mask(png(clear), 32), want)
    np.testing.assert_array_equal(read_mask(png(clear), 32, opaque=True), ~want)
    for image in (light, clear):
        np.testing.assert_array_equal(read_mask(png(image), 32, invert=True), ~want)
    dark = png(Image.new("L", (8, 8), 0))
    assert read_mask(dark, 32, invert=True).all()
    with pytest.raises(PictureError, match="dark all over"):
        read_mask(dark, 32)
    with pytest.raises(PictureError, match="leaves nothing"):
        read_mask(png(Image.new("L", (8, 8), 255)), 32, invert=True)


def test_what_is_not_drawn_anew_keeps_its_pixels_and_colors():
    given = read_picture(png(art()), 32)
    before = pixel_art(given[..., :3], given[..., 3], colors=4)
    np.testing.assert_array_equal(before.rgb(), given[..., :3])  # art already
    anew = np.zeros((32, 32), bool)
    anew[4:16] = True
    drawn = np.full((32, 32, 3), (20, 60, 220), np.uint8)
    opaque = np.full((32, 32), 255, np.uint8)
    for colors, new in ((4, (20, 60, 220)), (2, (0, 0, 0))):
        after = redrawn(before, drawn, opaque, anew, colors=colors)
        np.testing.assert_array_equal(after.rgb()[~anew], before.rgb()[~anew])
        np.testing.assert_array_equal(after.indices[~anew], before.indices[~anew])
        assert len(after.palette) <= 1 + colors
        assert (np.abs(after.rgb()[8, 8].astype(int) - new) < 12).all() == (colors == 4)
    nothing = redrawn(before, drawn, np.zeros((32, 32), np.uint8), anew)
    assert not nothing.indices[anew].any()
