"""Other pictures of the same creature: from behind, a moment later, and grown.

A model that has learned how such pictures belong together draws them from the first
one. For any other, the back is drawn from the same words and seed, which is not the
same creature, and the moment later is the first picture with its body lowered.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import UInt8

from pokejax.images.colors import oklab
from pokejax.images.finish import PixelArt, pixel_art
from pokejax.images.upscale import Upscale, enlarge
from pokejax.inference.recipe import Kin, Recipe, Sample
from pokejax.inference.sampler import Sampler

# Of a creature's height: where a row may go, below the face and above the feet.
_BELLY = (0.45, 0.75)
_TALL = 40  # pixels from which a breath takes two rows


def related(sampler: Sampler, sample: Sample, relation: str) -> Recipe | None:
    """What draws a relative of a picture; None if the model draws no such relatives.

    Args:
      sampler: that will draw it.
      sample: the picture.
      relation: of `pokejax.attributes.RELATIONS`.
    """
    if relation not in sampler.relations:
        return None
    kin = Kin(sample.rgba.tobytes(), relation)
    attributes = sample.attributes.override(kin.attributes)
    # Its colours and place are the picture's already.
    bare = replace(sample.recipe, start=None, shiny=False)
    return replace(bare, attributes=attributes, kin=kin)


def idle_frames(
    sample: Sample, *, scale: int = 1, upscale: Upscale = "nearest"
) -> list[PixelArt]:
    """Both frames of an animation, in one palette.

    Args:
      sample: the second one, drawn beside the first and finished; its palette begins
        with that one's.
      scale: as of `Sample.png`.
      upscale: as of `Sample.png`.
    """
    recipe = sample.recipe
    assert recipe.kin and recipe.kin.relation == "frame" and sample.art
    given = recipe.kin.image
    first = pixel_art(given[..., :3], given[..., 3], colors=recipe.colors)
    frames = (first.indices, sample.art.indices)
    large = [enlarge(frame[..., None], scale, upscale)[..., 0] for frame in frames]
    return [PixelArt(indices, sample.art.palette) for indices in large]


def lowered(art: PixelArt) -> PixelArt:
    """The same creature as it breathes out: a row or two lower, on the same feet."""
    rows = np.flatnonzero(art.indices.any(axis=1))
    if len(rows) < 8:
        return art
    top, height = int(rows[0]), int(rows[-1] - rows[0] + 1)
    indices = art.indices
    for _ in range(2 if height > _TALL else 1):
        gone = _dullest_row(indices, art.palette, top, height)
        indices = indices.copy()
        indices[top + 1 : gone + 1] = indices[top:gone]
        indices[top] = 0
        top, height = top + 1, height - 1
    return PixelArt(indices, art.palette)


def _dullest_row(
    indices: UInt8[np.ndarray, "h w"],
    palette: UInt8[np.ndarray, "k 3"],
    top: int,
    height: int,
) -> int:
    """Which row of the belly is most like the one above it, and won't be missed."""
    lab = oklab(palette / 255.0)[indices]
    change = np.abs(np.diff(lab, axis=0)).sum(axis=(1, 2))  # between row i and i + 1
    change += (np.diff((indices > 0).astype(int), axis=0) != 0).sum(axis=1)
    first, last = (top + round(height * part) for part in _BELLY)
    return first + int(change[first - 1 : last].argmin())
