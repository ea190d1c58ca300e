"""Turns the hues of a sprite: another true picture, once its colours are named anew.

The turn is in OKLab, so lightness and chroma stay and shading with them; what leaves
the screen's gamut is clipped. Grays stay gray.

Source: Björn Ottosson, "A perceptual color space for image processing" (2020).
"""

import numpy as np
from jaxtyping import UInt8

_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def turn_hues(
    pixels: UInt8[np.ndarray, "h w 4"], degrees: float
) -> UInt8[np.ndarray, "h w 4"]:
    """RGBA pixels with every hue turned by `degrees`; alpha stays."""
    shape = pixels.shape
    # A sprite has sixteen colors on four thousand pixels.
    flat, places = np.unique(pixels.reshape(-1, 4), axis=0, return_inverse=True)
    return _turn(flat, degrees)[places.ravel()].reshape(shape)


def _turn(pixels: UInt8[np.ndarray, "n 4"], degrees: float) -> UInt8[np.ndarray, "n 4"]:
    rgb = pixels[..., :3] / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    lab = np.cbrt(linear @ _TO_LMS.T) @ _TO_LAB.T
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    lms = (lab @ turn.T) @ np.linalg.inv(_TO_LAB).T
    linear = (lms**3 @ np.linalg.inv(_TO_LMS).T).clip(0, 1)
    rgb = np.where(
        linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055
    )
    turned = np.concatenate(
        [(rgb * 255).round().astype(np.uint8), pixels[..., 3:]], axis=-1
    )
    turned[pixels[..., 3] == 0] = pixels[pixels[..., 3] == 0]
    return turned
