"""Cleaning up other people's pictures before training: background and contrast.

The fetched sprites need neither; photographs and scans of your own may. This
is the original's `--use-preprocessing`; it runs once, when the dataset is loaded.
"""

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from pokejax.images.colors import flood_from_border

# How far, of 255 in each channel, a pixel may be from the border's colour and still be
# background: JPEG's noise stays under it, an outline is well over it.
BACKGROUND_TOLERANCE = 24
# Share of the creature's pixels that may be clipped at either end of the range.
_CLIPPED = 0.01


def clean_up(
    images: UInt8[np.ndarray, "n h w 3"],
) -> UInt8[np.ndarray, "n h w 3"]:
    """Remove the background of every picture, and stretch its contrast."""
    out = np.empty_like(images)
    for i, image in enumerate(tqdm(images, "cleaning up", unit="picture")):
        out[i] = enhance_contrast(*remove_background(image))
    return out


def remove_background(
    image: UInt8[np.ndarray, "h w 3"],
) -> tuple[UInt8[np.ndarray, "h w 3"], np.ndarray]:
    """Paint the background white: what is connected to the border and has its colour.

    Returns:
      The picture, and the `h w` bool mask of the creature.
    """
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    color = np.median(border, axis=0)
    near = np.abs(image - color.reshape(1, 1, 3)).max(axis=-1) <= BACKGROUND_TOLERANCE
    background = flood_from_border(near)
    return np.where(background[..., None], np.uint8(255), image), ~background


def enhance_contrast(
    image: UInt8[np.ndarray, "h w 3"], creature: np.ndarray
) -> UInt8[np.ndarray, "h w 3"]:
    """Stretch the creature's values over the whole range, all channels alike.

    Stretching all three channels alike keeps hues, so colour labels stay true.

    Args:
      image: the picture.
      creature: `h w` bool; what is outside stays as it is.
    """
    values = image[creature]
    if not len(values):
        return image
    low, high = np.quantile(values, (_CLIPPED, 1 - _CLIPPED))
    if high - low < 1:  # one flat colour has no contrast to enhance
        return image
    stretched = np.clip((image - low) * (255 / (high - low)), 0, 255).round()
    return np.where(creature[..., None], stretched.astype(np.uint8), image)
