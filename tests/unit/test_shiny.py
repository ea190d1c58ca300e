"""The same indices in another palette."""

import io

import numpy as np
import pytest
from PIL import Image

from pokejax.images import shiny
from pokejax.images.colors import oklab, srgb
from pokejax.images.finish import PixelArt

# Nothing, an outline, three shades of blue, two of cream, an eye, a colour never used.
PALETTE = np.array(
    [
        [255, 255, 255],
        [16, 16, 24],
        [40, 60, 130],
        [60, 100, 190],
        [110, 160, 230],
        [220, 200, 150],
        [245, 230, 190],
        [200, 40, 40],
        [1, 2, 3],
    ],
    np.uint8,
)


def art() -> PixelArt:
    indices = np.zeros((32, 32), np.uint8)
    indices[4:28, 4:28] = 1
    indices[5:27, 5:27] = 3
    indices[5:10, 5:27], indices[22:27, 5:27] = 4, 2
    indices[12:20, 10:20] = 5
    indices[12:14, 10:20] = 6
    indices[8, 9] = 7
    return PixelArt(indices, PALETTE)


def test_only_the_palette_changes_and_the_seed_decides_how():
    first, again, other = (shiny.shiny(art(), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.indices, art().indices)
    np.testing.assert_array_equal(first.palette, again.palette)
    assert (first.palette != other.palette).any()
    for made in (first, other):
        assert made.palette.shape == PALETTE.shape
        np.testing.assert_array_equal(made.palette[[0, 8]], PALETTE[[0, 8]])
        moved = np.linalg.norm(oklab(made.rgb().reshape(-1, 3) / 255.0) - before(), 1)
        assert moved > 0
        # Shades stay in order: what was lighter is no darker.
        lightness = oklab(made.palette[2:5] / 255.0)[:, 0]
        assert (np.diff(lightness) > 0).all()


def before() -> np.ndarray:
    return oklab(art().rgb().reshape(-1, 3) / 255.0)


def test_shades_are_one_group_and_grays_another():
    lab = oklab(PALETTE[1:8] / 255.0)
    groups = shiny.color_groups(lab, np.full(7, 1 / 7))
    assert len({*groups[1:4]}) == 1 and len({*groups[4:6]}) == 1
    assert len({groups[0], groups[1], groups[4], groups[6]}) == 4


def test_a_blank_picture_and_one_of_grays():
    blank = PixelArt(np.zeros((8, 8), np.uint8), PALETTE[:1])
    np.testing.assert_array_equal(shiny.shiny(blank, 0).palette, blank.palette)
    gray = PixelArt(np.ones((8, 8), np.uint8), np.array([[255] * 3, [128] * 3]))
    gray = PixelArt(gray.indices, gray.palette.astype(np.uint8))
    assert shiny.shiny(gray, 0).palette.shape == (2, 3)


@pytest.mark.parametrize("clear", [0, 7, bytes([0, 255, 128]), None])
def test_any_indexed_png_keeps_its_indices(clear: int | bytes | None):
    image = Image.fromarray(art().indices, "P")
    image.putpalette(PALETTE.tobytes())
    buffer = io.BytesIO()
    known = {} if clear is None else {"transparency": clear}
    image.save(buffer, "PNG", **known)
    made = Image.open(io.BytesIO(shiny.shiny_png(buffer.getvalue(), 3)))
    assert made.mode == "P"
    np.testing.assert_array_equal(np.asarray(made), art().indices)
    there = Image.open(buffer)
    assert made.info.get("transparency") == there.info.get("transparency")
    palettes = [(i.getpalette("RGB") or [])[: 3 * 9] for i in (made, there)]
    assert palettes[0] and palettes[0] != palettes[1]


def test_what_is_no_indexed_png_is_refused():
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    with pytest.raises(ValueError, match="mode RGB; expected one in a palette"):
        shiny.shiny_png(buffer.getvalue(), 0)
    with pytest.raises(ValueError, match="not a PNG"):
        shiny.shiny_png(b"GIF89a", 0)


def test_colours_go_to_oklab_and_back():
    grid = np.stack(np.meshgrid(*[np.arange(0, 256, 51)] * 3), -1).reshape(-1, 3)
    np.testing.assert_array_equal(srgb(oklab(grid / 255.0)), grid)
    garish = np.array([[0.6, 0.35, 0.0], [1.2, 0.0, 0.0]])
    back = oklab(srgb(garish) / 255.0)
    assert abs(back[0, 0] - 0.6) < 0.01 and back[0, 1] > 0.15  # as pink as it gets
    assert abs(back[0, 2]) < 0.01 and (srgb(garish)[1] == 255).all()


def test_donors_are_stored_in_a_byte_a_number():
    donors = shiny.donors()
    assert donors.shape[1:] == (shiny.MOST_GROUPS, 7) and len(donors) > 500
    np.testing.assert_array_equal(
        shiny.unpacked(shiny.packed(donors[:50])), donors[:50]
    )
