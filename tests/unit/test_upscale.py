"""Enlarging pixel art, against the published rules followed pixel by pixel."""

import numpy as np

from pokejax.images.upscale import enlarge, swell


def by_the_book(image: np.ndarray, times: int) -> np.ndarray:
    """Scale2x or Scale3x of `h w` values, as its author writes them down."""
    h, w = image.shape
    p = np.pad(image, 1, mode="edge")
    out = np.zeros((h * times, w * times), image.dtype)
    for y in range(h):
        for x in range(w):
            a, b, c, d, e, f, g, hh, i = p[y : y + 3, x : x + 3].reshape(-1)
            parts = [e] * times**2
            if b != hh and d != f:
                corners = (
                    d if d == b else e,
                    f if b == f else e,
                    d if d == hh else e,
                    f if hh == f else e,
                )
                if times == 2:
                    parts = list(corners)
                else:
                    parts[0], parts[2], parts[6], parts[8] = corners
                    if (d == b and e != c) or (b == f and e != a):
                        parts[1] = b
                    if (d == b and e != g) or (d == hh and e != a):
                        parts[3] = d
                    if (b == f and e != i) or (hh == f and e != c):
                        parts[5] = f
                    if (d == hh and e != i) or (hh == f and e != g):
                        parts[7] = hh
            block = np.array(parts).reshape(times, times)
            out[times * y : times * (y + 1), times * x : times * (x + 1)] = block
    return out


def test_it_is_scale2x_and_scale3x_on_indices_and_on_colours():
    indices = np.random.default_rng(0).integers(0, 3, (17, 12)).astype(np.uint8)
    two, three = by_the_book(indices, 2), by_the_book(indices, 3)
    expected = {2: two, 3: three, 4: by_the_book(two, 2), 6: by_the_book(three, 2)}
    palette = np.random.default_rng(1).integers(0, 256, (3, 4)).astype(np.uint8)
    for scale, large in expected.items():
        np.testing.assert_array_equal(
            enlarge(indices[..., None], scale, "scale2x")[..., 0], large
        )
        for channels in (3, 4):
            colors = palette[:, :channels]
            np.testing.assert_array_equal(
                enlarge(colors[indices], scale, "scale2x"), colors[large]
            )
    assert (two != indices.repeat(2, 0).repeat(2, 1)).any()


def test_a_staircase_becomes_finer_and_squares_stay_squares():
    stairs = np.tri(8, dtype=np.uint8)[..., None]
    fine = enlarge(stairs, 2, "scale2x")
    np.testing.assert_array_equal(enlarge(stairs, 1, "scale2x"), stairs)
    assert (fine != enlarge(stairs, 2)).any() and set(np.unique(fine)) == {0, 1}
    square = np.zeros((8, 8, 1), np.uint8)
    square[:, 4:] = 1
    np.testing.assert_array_equal(enlarge(square, 3, "scale2x"), enlarge(square, 3))


def test_what_is_left_of_a_factor_becomes_squares():
    image = np.random.default_rng(2).integers(0, 3, (9, 9, 1)).astype(np.uint8)
    np.testing.assert_array_equal(enlarge(image, 5, "scale2x"), enlarge(image, 5))
    ten = enlarge(enlarge(image, 2, "scale2x"), 5)
    np.testing.assert_array_equal(enlarge(image, 10, "scale2x"), ten)


def test_a_creature_swells_as_far_as_its_picture_has_room():
    def box(top: int, bottom: int, left: int, right: int) -> np.ndarray:
        picture = np.full((32, 32, 4), 255, np.uint8)
        picture[..., 3] = 0
        picture[top:bottom, left:right] = 9, 9, 9, 255
        return picture

    np.testing.assert_array_equal(swell(box(8, 18, 12, 16), 2.0), box(3, 23, 10, 18))
    np.testing.assert_array_equal(swell(box(27, 32, 0, 4), 2.0), box(22, 32, 0, 8))
    full = box(0, 32, 3, 9)
    np.testing.assert_array_equal(swell(full, 1.3), full)
    blank = box(0, 0, 0, 0)
    np.testing.assert_array_equal(swell(blank, 1.3), blank)
