"""A drawing's hues, turned to the colour that was asked for."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pokejax.attributes import COLORS, Attributes
from pokejax.images.colors import oklab, primary_and_secondary
from pokejax.images.tint import in_color
from pokejax.inference.recipe import Kin, Recipe, Start
from pokejax.inference.sampler import Round

RED, DARK_RED, BLUE = (220, 40, 40), (140, 20, 30), (60, 90, 220)
GRAY, WHITE = (128, 128, 128), (250, 250, 250)


def creature(*colors: tuple[int, int, int]) -> np.ndarray:
    """Stripes of so many colours, the first one wider, on transparency."""
    rgba = np.full((32, 32, 4), 255, np.uint8)
    rgba[..., 3] = 0
    ends = [4, *np.linspace(20, 28, len(colors)).astype(int)]
    for color, top, bottom in zip(colors, ends, ends[1:], strict=False):
        rgba[top:bottom, 4:28] = (*color, 255)
    return rgba


def colors_of(rgba: np.ndarray, rgb: np.ndarray) -> tuple[str, str]:
    return primary_and_secondary(Image.fromarray(np.dstack([rgb, rgba[..., 3]])))


@pytest.mark.parametrize("color", COLORS)
def test_any_color_can_be_had(color: str):
    rgba = creature(RED, WHITE)
    turned = in_color(rgba, color)
    assert colors_of(rgba, turned)[0] == color
    assert (turned[rgba[..., 3] == 0] == 255).all()
    np.testing.assert_array_equal(in_color(rgba, color), turned)
    if color in ("Orange", "Green", "Blue", "Purple"):  # shading stays
        before, after = (oklab(x[8, 8:9] / 255.0)[0] for x in (rgba[..., :3], turned))
        assert abs(before[0] - after[0]) < 0.03
        assert (turned[24, 8] == WHITE).all()


def test_what_is_so_already_or_cannot_be_stays_to_the_byte():
    for rgba in (creature(RED, DARK_RED, WHITE), creature(GRAY, WHITE)):
        np.testing.assert_array_equal(in_color(rgba, "Red"), rgba[..., :3])
    blank = np.full((32, 32, 4), 255, np.uint8)
    blank[..., 3] = 0
    np.testing.assert_array_equal(in_color(blank, "Red"), blank[..., :3])


def test_of_several_turns_it_is_one_that_fits_the_second_color_too():
    rgba = creature(RED, BLUE)
    for second in ("Red", "Purple"):
        assert colors_of(rgba, in_color(rgba, "Green", second)) == ("Green", second)


def test_only_what_asks_for_a_color_and_begins_with_none_is_turned():
    rgba = creature(RED, WHITE)
    images, alpha = rgba[None, ..., :3], rgba[None, ..., 3]
    blue = Recipe("a blue fish", Attributes(primary_color="Blue"), 0)

    def drawn(tinted: bool = True, **changes: Any) -> np.ndarray:
        recipe = replace(blue, **changes)
        return Round(images, alpha, True, tinted).sample(0, recipe, "m").image

    assert colors_of(rgba, drawn())[0] == "Blue"
    green = Recipe("a", Attributes(primary_color="Green"), 0)
    assert colors_of(rgba, drawn(towards=green, mix=0.4))[0] == "Blue"
    assert colors_of(rgba, drawn(towards=green, mix=0.6))[0] == "Green"
    assert colors_of(rgba, drawn(slides=(("primary_color", 2.0),)))[0] == "Blue"
    start = Start.of(np.full((32, 32, 4), 255, np.uint8))
    for stays in (
        drawn(attributes=Attributes()),
        drawn(slides=(("primary_color", 0.0),)),
        drawn(kin=Kin(rgba.tobytes(), "back")),
        drawn(tinted=False),
    ):
        np.testing.assert_array_equal(stays, images[0])
    assert colors_of(rgba, drawn(start=start))[0] != "Blue"


def test_painted_pixels_stay_and_are_the_second_color_already():
    rgba = creature(RED, BLUE)
    stays = (rgba[..., :3] == BLUE).all(axis=2)
    turned = in_color(rgba, "Green", None, stays)
    assert colors_of(rgba, turned)[0] == "Green" and (turned[stays] == BLUE).all()
    read = Attributes(primary_color="Green", secondary_color="Blue")
    recipe = Recipe("a green turtle with a blue shell", read, 0)
    images, alpha = rgba[None, ..., :3], rgba[None, ..., 3]
    drawn = Round(images, alpha, True, True, stays[None]).sample(0, recipe, "m").image
    np.testing.assert_array_equal(drawn, turned)
