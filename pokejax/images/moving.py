"""A few frames in one palette as a GIF and as an animated PNG, to the exact colour."""

import io
from collections.abc import Mapping, Sequence

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pokejax.images.finish import PixelArt

FRAME_MS = 500


def gif(frames: Sequence[PixelArt]) -> bytes:
    """Frames as a GIF that plays forever.

    Args:
      frames: two or more of one size in one palette; row 0 is transparent.
    """
    # Left to itself, Pillow drops colours that the first frame doesn't use.
    return _saved(frames, "GIF", disposal=2, optimize=False)


def apng(frames: Sequence[PixelArt], texts: Mapping[str, str]) -> bytes:
    """Frames as a PNG that plays forever; where that isn't known, it is the first one.

    Args:
      frames: as of `gif`.
      texts: of its text chunks, names in Latin-1.
    """
    info = PngInfo()
    for name, text in texts.items():
        # Half a surrogate pair has no UTF-8 form.
        info.add_itxt(name, text.encode("utf-8", "replace").decode())
    return _saved(frames, "PNG", pnginfo=info)


def _saved(frames: Sequence[PixelArt], format: str, **options: object) -> bytes:
    first, *others = map(_image, frames)
    buffer = io.BytesIO()
    first.save(
        buffer,
        format,
        save_all=True,
        append_images=others,
        duration=FRAME_MS,
        loop=0,
        **options,
    )
    return buffer.getvalue()


def _image(art: PixelArt) -> Image.Image:
    image = Image.fromarray(art.indices)
    image.putpalette(art.palette.tobytes())  # which makes it one in a palette
    image.info["transparency"] = 0  # or white would be taken for nothing
    return image
