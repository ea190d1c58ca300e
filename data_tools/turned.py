"""More colours of the same creatures: training pictures with their hues turned.

A turned picture is as true as the one it was made from, since its colours are looked
up and its captions composed anew. Only pictures of few colours are turned, whose
creature is in the table: other captions may name a part's colour, and can't be
rewritten.
"""

import dataclasses
import random
from collections.abc import Sequence

import numpy as np
from PIL import Image

from pokejax.attributes import NONE
from pokejax.images.colors import carried_over

from .captions import write_captions
from .cifar import Picture
from .part_words import ACHROMATIC
from .recolor import turn_hues
from .splits import families

_STEP, _LEAST = 20, 40  # degrees
_STYLES = ("native", "tuxemon")  # as drawn; others have been scaled
# What composed captions have that others lack: seven, of which a copy keeps some.
_KEPT_CAPTIONS = 4


def with_turned(pictures: Sequence[Picture], copies: int, seed: int) -> list[Picture]:
    """The pictures and, behind each that can be turned, copies in other hues.

    All pictures of a family are turned by the same angles, so that there are relatives
    of the copies, too.

    Args:
      pictures: of train.
      copies: of each, 0 or more; every copy of a picture has another angle.
      seed: decides the angles.
    """
    angles = range(_LEAST, 360 - _LEAST + 1, _STEP)
    family = families(pictures)
    result: list[Picture] = []
    for picture in pictures:
        result.append(picture)
        if picture.entry and picture.style in _STYLES:
            rng = random.Random(f"{seed}/{family[picture.species]}")
            for degrees in rng.sample(angles, min(copies, len(angles))):
                result.append(_turned(picture, degrees))
    return result


def _turned(picture: Picture, degrees: int) -> Picture:
    pixels = turn_hues(picture.pixels, degrees)
    before, after = Image.fromarray(picture.pixels), Image.fromarray(pixels)
    a = picture.attributes
    primary, secondary = carried_over(
        before, after, (a.primary_color or NONE, a.secondary_color or NONE)
    )
    attributes = dataclasses.replace(
        a, primary_color=primary, secondary_color=secondary
    )
    assert picture.entry  # or it isn't turned
    stem, dot, suffix = picture.filename.rpartition(".")
    filename = f"{stem}@{degrees}{dot}{suffix}"
    captions = write_captions(
        picture.entry,
        attributes,
        filename,
        behind="back" in picture.view,
        # Of a shiny picture, grays needn't be the entry's either.
        kept=ACHROMATIC if picture.as_entry else (),
    )
    return dataclasses.replace(
        picture,
        filename=filename,
        attributes=attributes,
        pixels=np.ascontiguousarray(pixels),
        prompts=tuple(captions[:_KEPT_CAPTIONS]),
    )
