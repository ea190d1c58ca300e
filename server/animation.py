"""Pictures that move: from one to another, and the two frames of an idle creature."""

import io
from collections.abc import Sequence
from typing import Literal

from PIL import Image

from pokejax.creatures.kin import idle_frames
from pokejax.images import moving
from pokejax.inference.recipe import Sample

from .files import Look

_FRAME_MS = 100


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


def idle(sample: Sample, look: Look, format: Literal["gif", "apng"]) -> bytes:
    """The picture that a second frame was drawn beside, and it, forever in turn."""
    frames = idle_frames(sample, scale=look.scale, upscale=look.upscale)
    if format == "gif":
        return moving.gif(frames)
    return moving.apng(frames, sample.texts)
