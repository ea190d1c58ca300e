"""Pictures finished as pixel art."""

import numpy as np
import pytest

from pokejax.images.finish import cut_out, pixel_art


def noisy_square() -> np.ndarray:
    """A red square on white with a dark eye, mottled as a decoder would draw it."""
    image = np.full((64, 64, 3), 255, np.uint8)
    noise = np.random.default_rng(0).integers(-12, 13, (32, 32, 3))
    square = np.clip(np.array([200, 40, 40]).reshape(1, 1, 3) + noise, 0, 255)
    image[16:48, 16:48] = square
    image[30, 30] = 10
    return image


def test_few_flat_colours_and_the_eye_stays():
    art = pixel_art(noisy_square(), colors=4)
    assert len(art.palette) == 5
    assert art.indices.max() <= 4
    rgb = art.rgb()
    assert (rgb[:16] == 255).all() and (art.indices[:16] == 0).all()
    assert (art.indices[16:48, 16:48] > 0).all()
    assert rgb[30, 30].max() < 60
    assert np.abs(rgb[20, 20].astype(int) - [200, 40, 40]).max() < 30


def test_colours_of_pixel_art_are_kept_exactly():
    image = np.full((64, 64, 3), 255, np.uint8)
    image[10:50, 10:50] = 60, 120, 200
    image[20:30, 20:30] = 250, 240, 40
    art = pixel_art(image)
    np.testing.assert_array_equal(art.rgb(), image)
    assert len(art.palette) == 3


def test_alpha_decides_what_is_cut_out():
    image = np.full((64, 64, 3), 90, np.uint8)
    alpha = np.zeros((64, 64), np.uint8)
    alpha[20:40, 20:40] = 200
    alpha[25, 25] = 100  # a lone hole is filled
    alpha[5, 5] = 255  # and a lone pixel goes
    expected = np.zeros((64, 64), bool)
    expected[20:40, 20:40] = True
    np.testing.assert_array_equal(pixel_art(image, alpha).indices > 0, expected)


def test_a_blank_picture_is_transparent():
    art = pixel_art(np.full((64, 64, 3), 255, np.uint8))
    assert not art.indices.any() and art.palette.tolist() == [[255, 255, 255]]


def test_the_same_picture_gives_the_same_pixels():
    image = noisy_square()
    first, second = pixel_art(image), pixel_art(image.copy())
    np.testing.assert_array_equal(first.indices, second.indices)
    np.testing.assert_array_equal(first.palette, second.palette)


@pytest.mark.parametrize("colors", [1, 0, 256])
def test_an_impossible_palette_is_refused(colors: int):
    with pytest.raises(ValueError, match=f"colors is {colors}; expected 2 to 255"):
        pixel_art(noisy_square(), colors=colors)


def test_what_is_cut_out_gives_the_picture_on_white():
    rng = np.random.default_rng(0)
    alpha = rng.integers(0, 256, (8, 8), np.uint8)
    color = rng.integers(0, 256, (8, 8, 3), np.uint8)
    share = alpha[..., None] / 255
    image = (share * color + (1 - share) * 255).round().astype(np.uint8)
    cut = cut_out(image, alpha)
    np.testing.assert_array_equal(cut[..., 3], alpha)
    again = share * cut[..., :3] + (1 - share) * 255
    assert np.abs(again - image).max() <= 1
    alone = cut_out(np.full((8, 8, 3), 255, np.uint8), None)
    assert not alone[..., 3].any()
