"""Between the pixels of a file, uint8, and those of a model, floats in [-1, 1].

Written with methods that numpy's and JAX's arrays share, so that both round alike; it
imports neither.
"""

from typing import Any


def to_float(pixels: Any) -> Any:
    """Pixels 0 to 255 as float32 in [-1, 1].

    Args:
      pixels: an array of numpy or JAX, any shape; so is what comes back.
    """
    return pixels.astype("float32") / 127.5 - 1


def to_uint8(image: Any) -> Any:
    """Pixels in [-1, 1] as uint8, the nearest one; what is outside is clipped.

    Args:
      image: a float array of numpy or JAX, any shape; so is what comes back.
    """
    return ((image + 1) * 127.5).round().clip(0, 255).astype("uint8")
