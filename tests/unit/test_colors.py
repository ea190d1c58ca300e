"""Named colors of drawn pictures."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pokejax.attributes import COLORS
from pokejax.images.colors import foreground_mask, name_colors, primary_and_secondary

CLEAR = (0, 0, 0, 0)
PLAIN = {
    "Red": ["#d02020", "#b22222", "#e63946"],
    "Orange": ["#f08030", "#ff8c00", "#f4a030"],
    "Yellow": ["#f8d030", "#ffe040", "#f0c000"],
    "Green": ["#78c850", "#208040", "#9acd32"],
    "Blue": ["#3060d0", "#87ceeb", "#20a0c0"],
    "Purple": ["#8040a0", "#a060d0", "#b090d8"],
    "Pink": ["#ffb6c1", "#f080b0", "#ff69b4"],
    "Brown": ["#8b4513", "#a0703c", "#5c4033"],
    "Black": ["#000000", "#202020", "#303038"],
    "White": ["#ffffff", "#f4f4f8", "#e8e8f0"],
    "Gray": ["#808080", "#a8a8b0", "#707878"],
}


def disc(fill: str, outline: str = "#101010", size: int = 64) -> Image.Image:
    image = Image.new("RGBA", (size, size), CLEAR)
    box = (size // 8, size // 8, size - size // 8, size - size // 8)
    ImageDraw.Draw(image).ellipse(box, fill, outline, width=max(size // 32, 1))
    return image


@pytest.mark.parametrize(
    ("name", "value"), [(name, v) for name in PLAIN for v in PLAIN[name]]
)
def test_plain_colors(name: str, value: str):
    assert primary_and_secondary(disc(value)) == (name, "None")


def test_every_color_can_be_measured():
    assert set(PLAIN) == set(COLORS)


def test_shares_add_up_and_lead_with_the_biggest():
    image = disc("#3060d0")
    ImageDraw.Draw(image).rectangle((0, 0, 63, 25), "#d02020")
    ranked = name_colors(image)
    assert sum(share for _, share in ranked) == pytest.approx(1)
    shares = [share for _, share in ranked]
    assert shares == sorted(shares, reverse=True)
    assert {name for name, _ in ranked[:2]} == {"Red", "Blue"}


def test_a_small_patch_is_no_second_color():
    image = disc("#3060d0")
    draw = ImageDraw.Draw(image)
    draw.rectangle((28, 28, 34, 34), "#d02020")
    assert primary_and_secondary(image) == ("Blue", "None")
    draw.rectangle((20, 20, 44, 36), "#d02020")
    assert primary_and_secondary(image) == ("Blue", "Red")


def test_outlines_are_not_black_but_a_black_body_is():
    image = disc("#f8d030")
    draw = ImageDraw.Draw(image)
    for x in range(12, 52, 4):  # a third of the body is dark lines
        draw.line((x, 14, x, 50), "#101010", width=1)
    assert name_colors(image)[0] == ("Yellow", pytest.approx(1, abs=0.03))
    assert primary_and_secondary(disc("#181818"))[0] == "Black"


def test_a_third_of_black_does_not_lead():
    image = Image.new("RGBA", (60, 60), CLEAR)
    draw = ImageDraw.Draw(image)
    for i, fill in enumerate(("#101010", "#101010", "#d02020", "#3060d0", "#208040")):
        draw.rectangle((0, i * 12, 59 - (i > 1), i * 12 + 11), fill)
    draw.rectangle((0, 20, 59, 23), "#d02020")
    assert name_colors(image)[0][0] == "Black"
    assert primary_and_secondary(image) == ("Red", "Black")


def test_mask_of_transparency():
    image = Image.new("RGBA", (4, 4), (255, 255, 255, 127))
    image.putpixel((1, 2), (255, 255, 255, 128))
    mask = foreground_mask(image)
    assert mask.sum() == 1 and mask[2, 1]


def test_white_inside_stays_and_white_around_goes():
    image = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(image).ellipse((8, 8, 56, 56), "white", "#101010", width=2)
    mask = foreground_mask(image)
    assert not mask[0, 0] and mask[32, 32]
    assert primary_and_secondary(image)[0] == "White"


def test_background_is_followed_round_corners():
    image = Image.new("L", (64, 64), 255)
    draw = ImageDraw.Draw(image)
    for x in range(4, 60, 8):  # a winding corridor of white between dark walls
        draw.line((x, 0 if x % 16 else 6, x, 63 if x % 16 == 0 else 57), 0, width=3)
    mask = foreground_mask(image)
    assert mask.sum() == (np.asarray(image) < 240).sum()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "LA", "1", "CMYK", "I;16"])
def test_any_mode(mode: str):
    image = disc("#808080").convert("L").convert(mode)
    assert foreground_mask(image).shape == (64, 64)
    assert primary_and_secondary(image)[0] in COLORS


def test_big_pictures_give_the_same_names():
    small, big = disc("#78c850"), disc("#78c850", size=1500)
    assert primary_and_secondary(big) == primary_and_secondary(small)
    assert foreground_mask(big).shape == (1500, 1500)
    on_white = Image.new("RGB", big.size, "white")
    on_white.paste(big, mask=big)
    mask = foreground_mask(on_white)
    assert (mask == foreground_mask(big)).mean() > 0.99


@pytest.mark.parametrize(
    "image", [Image.new("RGB", (8, 8), "white"), Image.new("RGBA", (8, 8), CLEAR)]
)
def test_blank_pictures(image: Image.Image):
    assert name_colors(image) == []
    with pytest.raises(ValueError, match="blank"):
        primary_and_secondary(image)


def test_one_pixel():
    assert primary_and_secondary(Image.new("RGB", (1, 1), "#d02020")) == ("Red", "None")
