import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from data_tools.framing import frame, load_framed
from data_tools.picture_files import MAX_SIDE
from tests.helpers.drawn import PALETTE, draw_creature

WHITE = [255, 255, 255, 0]


def drawn_box(pixels):
    rows, columns = np.nonzero((pixels[..., :3] < 250).any(-1))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("box", [(3, 5, 23, 45), (0, 0, 200, 100), (90, 90, 91, 91)])
def test_the_drawn_part_fills_the_square_but_for_the_margin(size, box):
    image = Image.new("RGBA", (200, 100))
    image.paste((200, 30, 30, 255), box)
    pixels = frame(image, size)
    assert pixels.shape == (size, size, 4) and pixels.dtype == np.uint8
    x0, y0, x1, y1 = drawn_box(pixels)
    margin = size // 32
    assert max(x1 - x0, y1 - y0) == size - 2 * margin
    assert abs(x0 - (size - x1)) <= 1 and abs(y0 - (size - y1)) <= 1
    assert pixels[size // 2, size // 2].tolist() == [200, 30, 30, 255]


def test_a_colour_under_transparent_pixels_does_not_bleed():
    # Black at alpha 0 around a yellow disc: a naive resize leaves a dark rim.
    rgba = np.zeros((90, 90, 4), np.uint8)
    y, x = np.mgrid[:90, :90]
    disc = (x - 45) ** 2 + (y - 45) ** 2 < 40**2
    rgba[disc] = (250, 220, 60, 255)
    pixels = frame(Image.fromarray(rgba), 64)
    assert (pixels[..., 0] >= 249).all() and (pixels[..., 1] >= 219).all()


def test_no_pale_rim_inside_a_dark_outline():
    image = Image.new("RGBA", (100, 100), (120, 120, 120, 255))
    image.paste((0, 0, 0, 255), (30, 30, 70, 70))
    image.paste((0, 0, 0, 0), (0, 0, 10, 10))
    pixels = frame(image, 64)
    assert pixels[4:60, 30, :3].max() <= 121  # Lanczos would overshoot the gray


def test_what_was_drawn_at_this_size_stays_as_it_is():
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[40:50, 3:9] = [10, 200, 30, 255]
    framed = frame(Image.fromarray(pixels), 64)
    drawn = pixels[..., 3] > 0
    np.testing.assert_array_equal(framed[drawn], pixels[drawn])
    assert (framed[~drawn] == WHITE).all()
    x0, _, x1, _ = drawn_box(frame(Image.fromarray(pixels), 64, fit="box"))
    assert x1 - x0 == 36  # six by ten: the longer side fills the square


def test_pixel_art_gets_no_new_colours_inside_its_areas():
    image = Image.new("RGBA", (96, 96))
    image.paste((200, 30, 30, 255), (10, 10, 86, 86))
    image.paste((20, 20, 20, 255), (10, 10, 12, 86))
    pixels = frame(image, 64)
    inside = {tuple(p) for p in pixels[10:54, 10:54].reshape(-1, 4).tolist()}
    assert inside == {(200, 30, 30, 255)}
    assert pixels[32, 2, :3].tolist() == [20, 20, 20]


def test_a_white_belly_is_no_background():
    image = Image.new("RGB", (64, 64), "white")
    image.paste((20, 60, 200), (10, 10, 54, 54))
    image.paste((255, 255, 255), (25, 25, 40, 40))
    alpha = frame(image.convert("RGBA"), 64)[..., 3]
    assert alpha[30, 30] == 255 and alpha[2, 2] == 0


def test_half_transparent_pixels_are_mixed_with_white():
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 128))
    assert abs(int(frame(image, 64)[32, 32, 0]) - 127) <= 1


def test_a_picture_without_transparency_is_cropped_to_what_is_not_white():
    image = Image.new("RGB", (120, 120), (252, 250, 255))
    image.paste((20, 60, 200), (70, 10, 100, 40))
    x0, y0, x1, y1 = drawn_box(frame(image.convert("RGBA"), 64))
    assert (x1 - x0, y1 - y0) == (60, 60)


def test_the_colours_of_a_drawn_creature_survive(tmp_path):
    path = tmp_path / "a.png"
    draw_creature(np.random.default_rng(0), "Blue", "Amorphous", 96).save(path)
    pixels = load_framed(path, 64)
    blue = np.abs(pixels[..., :3].astype(int) - PALETTE["Blue"]).sum(-1) < 12
    assert blue.mean() > 0.3
    assert pixels[0, 0].tolist() == WHITE


@pytest.mark.parametrize("mode", ["P", "L", "LA", "1", "RGB"])
def test_other_modes_are_read(tmp_path, mode):
    image = Image.new("L", (40, 40), 255)
    image.paste(0, (10, 10, 30, 30))
    image.convert(mode).save(tmp_path / "a.png")
    assert load_framed(tmp_path / "a.png", 32)[16, 16].tolist() == [0, 0, 0, 255]


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (20, 20), c) for c in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert load_framed(tmp_path / "a.gif", 32)[16, 16].tolist() == [255, 0, 0, 255]


def png_header(side):
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0), b"IDAT")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c))
        for c in chunks
    )


def whole_png(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.png")
    return (tmp_path / "whole.png").read_bytes()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda _: b"", "empty"),
        (lambda _: b"<html>", "not a picture"),
        (lambda _: png_header(MAX_SIDE + 1), f"at most {MAX_SIDE}"),
        (lambda _: png_header(60_000), "pixels"),
        (lambda p: whole_png(p)[:900], "truncated"),
        (lambda p: whole_png(p)[:60] + b"\0" * 50 + whole_png(p)[110:], "."),
    ],
    ids=["empty", "html", "large", "bomb", "truncated", "corrupt"],
)
def test_a_bad_file_is_a_value_error_that_names_it(tmp_path, content, reason):
    path = tmp_path / "bad.png"
    path.write_bytes(content(tmp_path))
    with pytest.raises(ValueError, match=rf"bad\.png: .*{reason}"):
        load_framed(path, 64)


def test_nothing_to_see_is_an_error(tmp_path):
    for image in (Image.new("RGBA", (9, 9)), Image.new("RGB", (9, 9), "white")):
        image.save(tmp_path / "blank.png")
        with pytest.raises(ValueError, match=r"blank\.png: nothing to see"):
            load_framed(tmp_path / "blank.png", 64)
