import numpy as np
import pytest
from PIL import Image, ImageDraw

from pokejax.images.cleanup import clean_up, enhance_contrast, remove_background


def drawn(background: tuple[int, int, int]) -> np.ndarray:
    """A ring with a hole in the background's colour, so that flooding must stop."""
    image = Image.new("RGB", (32, 32), background)
    draw = ImageDraw.Draw(image)
    draw.ellipse((6, 6, 26, 26), (120, 80, 60))
    draw.ellipse((12, 12, 20, 20), background)
    return np.asarray(image)


@pytest.mark.parametrize("background", [(255, 255, 255), (20, 90, 200), (0, 0, 0)])
def test_background_goes_and_holes_stay(background: tuple[int, int, int]):
    noise = np.random.default_rng(0).integers(-6, 7, (32, 32, 3))
    noisy = np.clip(drawn(background).astype(int) + noise, 0, 255).astype(np.uint8)
    image, creature = remove_background(noisy)
    assert (image[0] == 255).all() and not creature[0].any()
    assert creature[16, 16] and creature[16, 8]
    np.testing.assert_array_equal(image[16, 16], noisy[16, 16])


def test_contrast_fills_the_range_and_keeps_hue():
    rng = np.random.default_rng(0)
    image = rng.integers(100, 150, (32, 32, 3)).astype(np.uint8)
    creature = np.zeros((32, 32), bool)
    creature[4:28, 4:28] = True
    out = enhance_contrast(image, creature)
    assert out[creature].min() == 0 and out[creature].max() == 255
    np.testing.assert_array_equal(out[~creature], image[~creature])
    order = image[creature].argmax(axis=-1)
    sure = np.ptp(np.sort(image[creature], axis=-1)[:, 1:], axis=-1) > 0
    sure &= out[creature].max(axis=-1) < 255
    assert (out[creature].argmax(axis=-1) == order)[sure].all()


def test_flat_and_blank_pictures_pass_through():
    flat = np.full((1, 16, 16, 3), 77, np.uint8)
    assert (clean_up(flat) == 255).all()  # nothing but background
    square = np.full((16, 16, 3), 255, np.uint8)
    square[4:12, 4:12] = 40
    np.testing.assert_array_equal(clean_up(square[None])[0], square)
