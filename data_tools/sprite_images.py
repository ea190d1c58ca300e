"""From a source picture to the PNG files of its species.

Owns the decoding (of SVG, too), the names of the output files,
what counts as already there or as a duplicate, and the writing.
"""

import contextlib
import hashlib
import io
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pokejax.files import whole_file

from .picture_files import OWN, open_picture, to_rgba
from .sprite_sources import Species, Sprite

SVG_SIDE = 256
# A PNG starts and ends with these bytes; a file cut short lacks the second.
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


@dataclass
class Converted:
    """What became of the pictures.

    Attributes:
      written: files written.
      present: files that were there already.
      duplicates: pictures left out because their species shows the same pixels.
      species: slugs of those whose pictures these are; a species may come from several
        sources.
      problems: one line for each picture skipped.
    """

    written: int = 0
    present: int = 0
    duplicates: int = 0
    species: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def add(self, other: "Converted") -> None:
        """Add the counts of `other`."""
        self.written += other.written
        self.present += other.present
        self.duplicates += other.duplicates
        if other.written + other.present:
            self.species |= other.species
        self.problems += other.problems


def convert_species(species: Species, out: Path, frames: int = 1) -> Converted:
    """Write one species' pictures below `out`, as RGBA PNG.

    Whole files that are there already stay; pixels that an earlier picture of the
    species shows are counted as a duplicate and not written again.

    Args:
      species: pictures in order of precedence.
      out: the images folder.
      frames: how many frames to take of an animation, evenly spaced, >= 1.

    Raises:
      OSError: a file can't be written. An unreadable picture isn't an error: it
        becomes a line in the counts.
    """
    counts = Converted(species={species.slug})
    seen: set[bytes] = set()
    plan = {p.view: output_paths(species, p, out, frames) for p in species.pictures}
    counts.present = sum(map(is_whole_png, (t for ts in plan.values() for t in ts)))
    if counts.present == sum(map(len, plan.values())):
        return counts
    with warnings.catch_warnings():
        # Pillow warns of odd metadata, and of sizes that are checked here anyway.
        warnings.simplefilter("ignore")
        for picture in species.pictures:
            targets = plan[picture.view]
            if all(map(is_whole_png, targets)):
                for target in targets:
                    # One that no longer decodes is simply not compared with.
                    with contextlib.suppress(Exception), Image.open(target) as image:
                        seen.add(_pixel_digest(image))
                continue
            images = decode(picture, frames)
            for target in targets:
                try:
                    image = next(images, None)
                # Pillow's decoders meet a damaged file with almost any exception.
                except Exception as error:
                    counts.problems.append(f"{picture.label!r}: {_reason(error)}")
                    break
                if image is None:
                    break
                digest = _pixel_digest(image)
                if is_whole_png(target):
                    pass
                elif digest in seen:
                    counts.duplicates += 1
                else:
                    _write_png(image, target, picture.own)
                    counts.written += 1
                seen.add(digest)
    return counts


def decode(picture: Sprite, frames: int = 1) -> Iterator[Image.Image]:
    """Up to `frames` RGBA images of one picture, evenly spaced over its animation.

    SVG is drawn to fit `SVG_SIDE` pixels. Invisible pixels come back as zeros.

    Raises:
      ValueError: empty, above `MAX_SIDE` pixels a side, or no SVG.
      Exception: whatever Pillow raises for a damaged file.
    """
    data = picture.data
    if not (data.stat().st_size if isinstance(data, Path) else data):
        raise ValueError("empty file")
    if picture.svg:
        data = _draw_svg(data.read_bytes() if isinstance(data, Path) else data)
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    with open_picture(file) as image:
        yield _rgba(image)
        if frames > 1:
            count = getattr(image, "n_frames", 1)
            for index in sorted({k * count // frames for k in range(frames)} - {0}):
                image.seek(index)
                yield _rgba(image)


def _draw_svg(svg: bytes) -> bytes:
    import resvg_py  # only needed here, and an optional dependency

    # Both sides bound the picture whatever its proportions: a very tall one would
    # otherwise ask for more memory than there is, which ends the process.
    return bytes(
        resvg_py.svg_to_bytes(
            svg_string=svg.decode("utf-8-sig"),
            width=SVG_SIDE,
            height=SVG_SIDE,
            skip_system_fonts=True,
        )
    )


def _rgba(image: Image.Image) -> Image.Image:
    rgba = to_rgba(image)
    visible = rgba.getchannel("A").point(lambda a: 255 if a else 0)
    clean = Image.new("RGBA", rgba.size)
    clean.paste(rgba, mask=visible)
    return clean


def _reason(error: Exception) -> str:
    return f"unreadable ({' '.join(str(error).split()) or type(error).__name__})"


def _pixel_digest(image: Image.Image) -> bytes:
    return hashlib.blake2b(repr(image.size).encode() + image.tobytes()).digest()


def output_paths(
    species: Species, picture: Sprite, out: Path, frames: int = 1
) -> list[Path]:
    """Where the chosen frames of `picture` go: `<slug>_<view>[_frame2 …].png`."""
    stem = f"{species.slug}_{picture.view}"
    later = [f"{stem}_frame{k}" for k in range(2, frames + 1)]
    return [out / species.folder / f"{name}.png" for name in (stem, *later)]


def is_whole_png(path: Path) -> bool:
    """Whether `path` is a PNG with both its ends, without decoding it."""
    try:
        with path.open("rb") as file:
            if file.read(len(_PNG_START)) != _PNG_START:
                return False
            file.seek(-len(_PNG_END), os.SEEK_END)
            return file.read() == _PNG_END
    except OSError:
        return False


def _write_png(image: Image.Image, target: Path, own: bool) -> None:
    target.parent.mkdir(exist_ok=True)
    said = PngInfo()
    if own:
        said.add_text(*OWN)
    with whole_file(target) as partial:
        image.save(partial, pnginfo=said)
