import numpy as np

from pokejax.images.pixels import to_uint8
from pokejax.images.sheets import contact_sheet, gallery


def test_pictures_stand_in_their_places_unsmoothed():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, 3, 8, 8, 3), np.uint8)
    sheet = np.asarray(contact_sheet([list(row) for row in pictures], ["one", "two"]))
    for row in range(2):
        for column in range(3):
            top = 4 + row * (22 + 16 + 4) + 22
            left = 4 + column * (16 + 4)
            tile = sheet[top : top + 16, left : left + 16]
            np.testing.assert_array_equal(tile[::2, ::2], pictures[row, column])
            np.testing.assert_array_equal(tile[1::2, 1::2], pictures[row, column])


def test_a_long_row_goes_on_in_the_next_line():
    pictures = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)
    rows = [list(pictures[:13]), list(pictures[13:])]
    sheet = np.asarray(contact_sheet(rows, ["one", "two"], columns=5))
    assert sheet.shape == (4 + 2 * 22 + (3 + 2) * 20, 4 + 5 * 20, 3)
    for number, line, column in ((12, 2, 2), (13, 3, 0)):
        top = 4 + 22 * (1 + (number > 12)) + 20 * line
        tile = sheet[top : top + 16, 4 + 20 * column :][:, :16]
        np.testing.assert_array_equal(tile[::2, ::2], pictures[number])


def test_any_caption_can_be_drawn():
    picture = np.zeros((8, 8, 3), np.uint8)
    captions = ["x" * 10_000, "火 🔥\n\x00\ud800", ""]
    sheet = contact_sheet([[picture]] * 3, captions)
    assert sheet.width == 4 + 16 + 4
    assert gallery([picture] * 3, captions, title="🔥").width == 4 + 4 * (128 + 4)


def test_a_gallery_holds_its_pictures_unsmoothed_and_apart_from_captions():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (5, 64, 64, 3), np.uint8)
    captions = ["word " * 100] * 5
    sheet = np.asarray(gallery(list(pictures), captions, title="", columns=4))
    cell = sheet.shape[0] - 22  # two rows of pictures with their captions
    for i, picture in enumerate(pictures):
        left, top = 4 + i % 4 * 132, 22 + i // 4 * cell // 2
        tile = sheet[top : top + 128, left : left + 128]
        np.testing.assert_array_equal(tile[::2, ::2], picture)
        np.testing.assert_array_equal(tile[1::2, 1::2], picture)
    assert sheet[22 + 128 : 22 + cell // 2, :128].min() < 128  # the caption


def test_to_uint8_covers_the_range():
    values = np.array([-1.2, -1, 0, 1, 1.2])
    pixels = to_uint8(np.repeat(values[:, None], 3, axis=1))
    np.testing.assert_array_equal(pixels[:, 0], [0, 0, 128, 255, 255])
