"""Sliders: what a recipe's `slides` mean to the flow.

An attribute's part of the condition is its embedding, and the words of the prompt that
it was read from. From 0 to 1 a slider keeps so much of that part, which costs nothing.
Beyond, guidance leads away from a second condition, in which what is to be more is
missing and what is to be avoided is there: one more evaluation a step, however many
sliders there are. (Taking the sum further instead, at no cost, gives conditions that
training never saw, and broken pictures.)

Source: Liu et al., Compositional Visual Generation, arXiv 2206.01714; one evaluation
for all parts, in place of one for each, is ours.
"""

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from pokejax.attributes import CONDITIONS
from pokejax.inference.programs import Slid
from pokejax.inference.recipe import Recipe
from pokejax.prompts.rules import parse_by_rules

_CACHED_PROMPTS = 4096
_COLUMNS = {name: i for i, name in enumerate(CONDITIONS)}


def idle(slides: Mapping[str, float], attributes: Mapping[str, str]) -> list[str]:
    """The attributes with a slider that changes nothing, since they aren't known."""
    return [n for n, value in slides.items() if value != 1 and n not in attributes]


@functools.lru_cache(_CACHED_PROMPTS)
def without_words(prompt: str, name: str) -> tuple[str | None, str]:
    """What the rules read for an attribute, and the prompt without its words."""
    parsed = parse_by_rules(prompt)
    if name not in parsed.matches:
        return None, prompt
    match = parsed.matches[name]
    return getattr(parsed.attributes, name), prompt[: match.start] + prompt[match.end :]


def slid_rows(
    recipes: Sequence[Recipe],
    text_emb: Float[np.ndarray, "b 2 t"],
    embed: Callable[[str], Float[np.ndarray, " t"]],
) -> Slid | None:
    """The sliders of a padded tile's rows, or None if no row's change anything.

    Args:
      recipes: of the rows that aren't padding.
      text_emb: of both ends of each row, without sliders.
      embed: embeds a prompt.
    """
    if not any(recipe.active_slides for recipe in recipes):
        return None
    b = len(text_emb)
    slid = Slid(
        np.stack([text_emb, text_emb]),
        np.ones((2, b, len(CONDITIONS)), np.float32),
        np.zeros(b, np.float32),
        np.zeros(b, bool),
    )
    for i, recipe in enumerate(recipes):
        if not (slides := recipe.active_slides):
            continue
        near = {name: min(max(value, 0.0), 1.0) for name, value in slides.items()}
        beyond = {name: value - near[name] for name, value in slides.items()}
        # The furthest slider counts whole, the others in proportion.
        lean = max(map(abs, beyond.values()))
        far = {name: near[name] - beyond[name] / (lean or 1.0) for name in slides}
        slid.lean[i], slid.given[i] = lean, True
        for kind, kept in enumerate((near, far)):
            for name, part in kept.items():
                slid.kept[kind, i, _COLUMNS[name]] = part
            for j, end in enumerate((recipe, recipe.towards or recipe)):
                slid.text_emb[kind, i, j] = _keep_words(end, kept, embed)
    # What pads the tile does as the others do, or it would cost another program.
    slid.lean[len(recipes) :] = slid.lean.max()
    return slid


def _keep_words(
    recipe: Recipe,
    kept: Mapping[str, float],
    embed: Callable[[str], Float[np.ndarray, " t"]],
) -> Float[np.ndarray, " t"]:
    """A prompt's embedding, with as much of each attribute's words as is kept."""
    whole = embed(recipe.prompt)
    parts: dict[str, float] = {}
    for name, part in kept.items():
        value, rest = without_words(recipe.prompt, name)
        # Words that say something else than what is drawn aren't the attribute's.
        if value is not None and value == getattr(recipe.attributes, name):
            # What says two things, as "dragon" does, stays while one of them does.
            parts[rest] = max(part, parts.get(rest, 0.0))
    text_emb = whole
    for rest, part in parts.items():
        text_emb = text_emb - (1 - part) * (whole - embed(rest))
    return text_emb
