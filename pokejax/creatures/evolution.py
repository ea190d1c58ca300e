"""A creature and what becomes of it: each stage drawn beside the one before."""

import json
from collections.abc import Sequence
from dataclasses import replace

from pokejax.attributes import EVOLUTION_STAGES, SIZES, Attributes
from pokejax.creatures.kin import related
from pokejax.creatures.sheet import sheet_of
from pokejax.images.png import encode_png
from pokejax.images.upscale import Upscale, enlarge
from pokejax.inference.recipe import Recipe, Sample
from pokejax.inference.sampler import Sampler

MAX_STAGES = 3
_STAGES = EVOLUTION_STAGES[:4]  # those that follow each other


def draw_lines(
    sampler: Sampler, firsts: Sequence[Sample], stages: int
) -> list[list[Sample]]:
    """Each picture, and the next stages of its creature.

    Args:
      sampler: that draws.
      firsts: the first stages.
      stages: of each line, 1 to 3.

    Raises:
      PromptError: the model hasn't learned to draw next stages.
    """
    if stages > 1:
        sampler.check_relation("evolution")
    lines = [[sample] for sample in firsts]
    for _ in range(stages - 1):
        samples = sampler.sample([next_stage(sampler, line[-1]) for line in lines])
        for line, sample in zip(lines, samples, strict=True):
            line.append(sample)
    return lines


def next_stage(sampler: Sampler, sample: Sample) -> Recipe:
    """What draws a creature's next stage beside its picture, of the next size.

    Args:
      sampler: of a model that has learned to.
      sample: the creature.
    """
    recipe = related(sampler, sample, "evolution")
    assert recipe
    return replace(recipe, attributes=grown(recipe.attributes))


def grown(attributes: Attributes) -> Attributes:
    """Of the next stage, where one is known, and the next size."""
    stage = attributes.evolution_stage or "Basic"
    if stage in _STAGES:
        stage = _after(stage, _STAGES)
    size = _after(attributes.size or "Small", SIZES)
    return replace(attributes, evolution_stage=stage, size=size)


def _after(word: str, words: Sequence[str]) -> str:
    return words[min(words.index(word) + 1, len(words) - 1)]


def line_png(
    line: Sequence[Sample], *, scale: int = 1, upscale: Upscale = "nearest"
) -> bytes:
    """A line on one sheet, youngest first; its text `stages` holds all recipes.

    Args:
      line: one or more stages.
      scale: as of `Sample.png`.
      upscale: as of `Sample.png`.
    """
    pictures = {str(i): sample.rgba for i, sample in enumerate(line)}
    sheet, _ = sheet_of(pictures, columns=len(line))
    texts = {"stages": json.dumps([sample.texts for sample in line])}
    return encode_png(enlarge(sheet, scale, upscale), texts)
