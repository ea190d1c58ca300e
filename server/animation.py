"""From one picture to another: the recipes in between, and frames as a GIF."""

import io
from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from pokejax.inference.recipe import Recipe

_FRAME_MS = 100


def between(start: Recipe, end: Recipe, mix: float) -> Recipe:
    """The recipe `mix` of the way; at 0 it is `start` itself, to the byte."""
    return replace(start, towards=end, mix=mix) if mix else start


def gif(files: Sequence[bytes]) -> bytes:
    """Pictures as a looping animation, each frame with its own palette."""
    frames = [
        # By way of RGBA, or a transparent color of a palette would come along.
        Image.open(io.BytesIO(file)).convert("RGBA").convert("RGB").quantize(256)
        for file in files
    ]
    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        "GIF",
        save_all=True,
        append_images=frames[1:],
        duration=_FRAME_MS,
        loop=0,
    )
    return buffer.getvalue()
