"""Draws a creature in all its views, which share one palette and one shiny palette.

Drawing goes in two rounds, `first_recipes` and then `next_recipes`, so that the service
can queue each; `draw` does both at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import UInt8

from pokejax.attributes import Attributes
from pokejax.creatures.kin import lowered, related
from pokejax.images.finish import PixelArt
from pokejax.images.shiny import shiny_palette
from pokejax.inference.recipe import Recipe, Sample
from pokejax.inference.sampler import Sampler

# Three views in palettes of their own fit into one of 256.
MOST_COLORS = 85
# Views drawn from the first picture, and the relation that each has to it.
_RELATIONS = {"back": "back", "front_2": "frame"}
_OTHER_BACK = (
    "the back is drawn from the same words and seed, not from the front: not the same"
    " creature"
)
_SQUASHED = "the second frame is the first one with its body lowered"
_NO_VIEWS = "this model knows no views, so its back may show a face"


@dataclass(frozen=True)
class Creature:
    """A creature's pictures.

    Attributes:
      drawn: what the model drew, `front` and maybe others.
      views: `front`, `front_2` and `back`, all in the same palette.
      shiny: the other palette, of as many rows.
      notes: what isn't what it seems, a line each.
    """

    drawn: Mapping[str, Sample]
    views: Mapping[str, PixelArt]
    shiny: UInt8[np.ndarray, "k 3"]
    notes: tuple[str, ...]

    @property
    def front(self) -> Sample:
        """What all else follows from."""
        return self.drawn["front"]

    @property
    def palette(self) -> UInt8[np.ndarray, "k 3"]:
        """Of all views; row 0 is nothing."""
        return self.views["front"].palette


def draw(sampler: Sampler, recipe: Recipe) -> Creature:
    """Draw a creature.

    Args:
      sampler: that draws.
      recipe: of its front; `colors` is 2 to 85.
    """
    drawn = _drawn(sampler, first_recipes(sampler, recipe))
    drawn |= _drawn(sampler, next_recipes(sampler, drawn["front"]))
    return assemble(sampler, drawn)


def _drawn(sampler: Sampler, recipes: Mapping[str, Recipe]) -> dict[str, Sample]:
    samples = sampler.sample(list(recipes.values()))
    return dict(zip(recipes, samples, strict=True))


def first_recipes(sampler: Sampler, recipe: Recipe) -> dict[str, Recipe]:
    """What is drawn first, by view: the front, and the back if it can't follow it."""
    views = {"front": recipe}
    if "back" not in sampler.relations:
        views["back"] = recipe
    return {
        view: replace(
            recipe, attributes=recipe.attributes.override(Attributes(view=view))
        )
        for view, recipe in views.items()
    }


def next_recipes(sampler: Sampler, front: Sample) -> dict[str, Recipe]:
    """What is drawn from the front, by view; nothing if the model draws no kin."""
    found = {v: related(sampler, front, r) for v, r in _RELATIONS.items()}
    return {view: recipe for view, recipe in found.items() if recipe}


def assemble(sampler: Sampler, drawn: Mapping[str, Sample]) -> Creature:
    """The creature of what was drawn."""
    notes: list[str] = []
    if "back" not in sampler.relations:
        notes.append(_OTHER_BACK)
        if "view" in sampler.unheeded:
            notes.append(_NO_VIEWS)
    views: dict[str, PixelArt] = {}
    for view, sample in drawn.items():
        assert sample.art is not None  # its recipe has colors
        views[view] = sample.art
    if "front_2" not in views:
        views["front_2"] = lowered(views["front"])
        notes.append(_SQUASHED)
    shared = in_one_palette({v: views[v] for v in ("front", "front_2", "back")})
    palette = shared["front"].palette
    pixels = np.concatenate([art.indices.reshape(-1) for art in shared.values()])
    counts = np.bincount(pixels, minlength=len(palette))
    counts[0] = 0
    shiny = shiny_palette(palette, counts, drawn["front"].seed)
    return Creature(drawn, shared, shiny, tuple(notes))


def in_one_palette(views: Mapping[str, PixelArt]) -> dict[str, PixelArt]:
    """The same pictures in a palette of all their colours, the first one's first.

    Args:
      views: whose palettes have 256 different colours at most, row 0 left out.
    """
    rows = np.concatenate([art.palette[1:] for art in views.values()])
    first = np.unique(rows, axis=0, return_index=True)[1]
    palette = np.concatenate([np.full((1, 3), 255, np.uint8), rows[np.sort(first)]])
    place = {tuple(row): i for i, row in enumerate(palette.tolist()) if i}
    shared: dict[str, PixelArt] = {}
    for view, art in views.items():
        to = np.array([0, *(place[tuple(c)] for c in art.palette[1:].tolist())])
        shared[view] = PixelArt(to.astype(np.uint8)[art.indices], palette)
    return shared
