"""One drawn picture, what it was drawn from, and both as a file.

Owns `Recipe` (all that decides a picture, but the weights), `Sample` and the PNG and
WebP they become. Knows no model.
"""

import io
import json
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pokejax.attributes import Attributes

# Of 1 to 9. Past 2 a 64x64 picture gets 3 % smaller and takes half as long again.
_PNG_LEVEL = 2


@dataclass(frozen=True)
class Recipe:
    """All that decides one picture, but the weights.

    Attributes:
      prompt: as it was given.
      attributes: that the prompt was read as, with the caller's overrides.
      seed: of the latent noise, from 0 to 2^31 - 1.
      temperature: scale of that noise, from 0 up; 0 draws the typical picture.
      guidance: how strongly prompt and attributes steer, as a multiple of what the
        model is tuned to: 0 as if nothing were known, more exaggerates.
      towards: another recipe, whose prompt, attributes and seed pull at this one.
      mix: how far towards it, from 0 (not at all) to 1 (all the way).
    """

    prompt: str
    attributes: Attributes
    seed: int
    temperature: float = 1.0
    guidance: float = 1.0
    towards: "Recipe | None" = None
    mix: float = 0.0

    def texts(self) -> dict[str, str]:
        """What a PNG of it says, all that is needed to draw it again."""
        texts = {
            "prompt": self.prompt,
            "seed": str(self.seed),
            "attributes": json.dumps(self.attributes.known()),
            "temperature": repr(self.temperature),
            "guidance": repr(self.guidance),
        }
        if self.towards:
            end = self.towards
            texts |= {
                "towards_prompt": end.prompt,
                "towards_seed": str(end.seed),
                "towards_attributes": json.dumps(end.attributes.known()),
                "mix": repr(self.mix),
            }
        return texts


@dataclass(frozen=True)
class Sample:
    """One drawn picture and all that is needed to draw it again.

    Attributes:
      image: `h w 3` uint8.
      recipe: that it was drawn from.
      model_id: of the weights.
    """

    image: UInt8[np.ndarray, "h w 3"]
    recipe: Recipe
    model_id: str

    @property
    def prompt(self) -> str:
        """As it was given."""
        return self.recipe.prompt

    @property
    def seed(self) -> int:
        """Of this very picture."""
        return self.recipe.seed

    @property
    def attributes(self) -> Attributes:
        """That the prompt was read as, with the caller's overrides."""
        return self.recipe.attributes

    def png(self, *, scale: int = 1) -> bytes:
        """The picture as PNG; its text chunks carry the recipe and the model.

        Args:
          scale: pixels a side that each pixel becomes, 1 or more.
        """
        return encode_png(
            enlarge(self.image, scale), self.recipe.texts() | {"model": self.model_id}
        )

    def webp(self, *, scale: int = 1) -> bytes:
        """The picture as lossless WebP, which has no place for texts."""
        buffer = io.BytesIO()
        image = Image.fromarray(enlarge(self.image, scale))
        # Of all lossless settings the quickest, by a factor of ten.
        image.save(buffer, "WEBP", lossless=True, quality=0, method=0)
        return buffer.getvalue()


def enlarge(
    image: UInt8[np.ndarray, "h w 3"], scale: int
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Make each pixel a square of `scale` pixels a side."""
    if scale == 1:
        return image
    return image.repeat(scale, axis=0).repeat(scale, axis=1)


def encode_png(image: UInt8[np.ndarray, "h w 3"], texts: dict[str, str]) -> bytes:
    """A PNG with a text chunk for each of `texts`, keywords in Latin-1.

    Pillow's encoder takes three times as long, which a busy server feels.
    """
    height, width, _ = image.shape
    rows = np.empty((height, 1 + 3 * width), np.uint8)
    rows[:, 0] = 2  # filter "up": each row is stored less the row above it
    pixels = image.reshape(height, -1)
    rows[0, 1:] = pixels[0]
    np.subtract(pixels[1:], pixels[:-1], out=rows[1:, 1:])
    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8-bit RGB
    chunks = [b"\x89PNG\r\n\x1a\n", _chunk(b"IHDR", size)]
    for name, text in texts.items():
        # Half a surrogate pair has no UTF-8 form.
        head = name.encode("latin-1") + bytes(5)  # not compressed, no language
        chunks.append(_chunk(b"iTXt", head + text.encode("utf-8", "replace")))
    chunks.append(_chunk(b"IDAT", zlib.compress(rows.data, _PNG_LEVEL)))
    chunks.append(_chunk(b"IEND", b""))
    return b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
