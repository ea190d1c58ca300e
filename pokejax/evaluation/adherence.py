"""Do pictures show what was asked for, and does one change change only one thing?

Colour is measured on pixels by the rule that labels training pictures; type, shape and
size are read by the judge. Each score stands beside that of real held-out pictures.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from pokejax.attributes import COLORS, UNKNOWN_ID, VOCABULARIES, Attributes
from pokejax.evaluation import features, metrics
from pokejax.evaluation.judge import JUDGED, Judge
from pokejax.evaluation.reference import Reference
from pokejax.evaluation.subject import draw
from pokejax.images.colors import primary_and_secondary
from pokejax.inference.recipe import Recipe
from pokejax.inference.sampler import Sampler
from pokejax.prompts.rules import parse_by_rules

MEASURED = ("primary_color", *JUDGED)

# The other words say nothing about colour.
_COLOR_PROMPTS = (
    "a {} creature",
    "a small {} monster on four legs",
    "a huge {} beast",
    "draw a {} animal with wings",
    "{} bipedal creature, medium size",
)
_SWAP_PROMPT = "a {size} {primary_color} {type1}-type {shape} creature"


def seen_colors(images: UInt8[np.ndarray, "n h w 3"]) -> Int[np.ndarray, " n"]:
    """Id of each picture's dominant foreground colour; `UNKNOWN_ID` if it is blank."""
    ids: list[int] = []
    for image in images:
        try:
            ids.append(COLORS.index(primary_and_secondary(Image.fromarray(image))[0]))
        except ValueError:  # no colour at all
            ids.append(UNKNOWN_ID)
    return np.array(ids, np.int32)


def read_all(
    judge: Judge, images: UInt8[np.ndarray, "n h w 3"], progress: str
) -> dict[str, np.ndarray]:
    """The id of each measured attribute, as pixels and judge have it; `n` each."""
    layout = features.extract(images, perceptual=False, progress=progress).layout
    return {"primary_color": seen_colors(images), **judge.read(layout)}


def adherence(
    asked: Int[np.ndarray, "n 12"],
    drawn: Mapping[str, np.ndarray],
    real: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """Shares of pictures that show what their labels say, drawn and real.

    Args:
      asked: ids of the held-out pictures, which the prompts were made from.
      drawn: what was seen in the pictures drawn for them, by attribute.
      real: what was seen in those pictures themselves.
    """
    results: dict[str, Any] = {}
    for name in drawn:
        ids = asked[:, list(VOCABULARIES).index(name)]
        known = ids != UNKNOWN_ID
        if not known.any():
            continue
        scores = {
            kind: {
                **metrics.share(seen[name][known] == ids[known])._asdict(),
                "chance": metrics.chance(ids[known], seen[name][known]),
            }
            for kind, seen in (("drawn", drawn), ("real", real))
        }
        ratio = scores["drawn"]["score"] / max(scores["real"]["score"], 1e-12)
        results[name] = {**scores, "drawn_over_real": ratio}
    return results


def color_prompts(sampler: Sampler, *, num: int, seed: int) -> dict[str, Any]:
    """How often the dominant foreground colour is the one asked for, in plain prompts.

    Every colour is asked for equally often, in prompts that differ in everything else.

    Args:
      sampler: the model; it must read any prompt.
      num: pictures in all, from 1 up; colours and prompts take turns.
      seed: of the first picture.
    """
    asked = np.arange(num) % len(COLORS)
    prompts = [
        _COLOR_PROMPTS[i // len(COLORS) % len(_COLOR_PROMPTS)].format(
            COLORS[asked[i]].lower()
        )
        for i in range(num)
    ]
    recipes = [
        Recipe(prompt, parse_by_rules(prompt).attributes, seed + i)
        for i, prompt in enumerate(prompts)
    ]
    hits = seen_colors(draw(sampler, recipes, "colour prompts")) == asked
    return {
        **metrics.share(hits)._asdict(),
        "chance": 1 / len(COLORS),
        "by_color": {
            color: float(hits[asked == i].mean())
            for i, color in enumerate(COLORS)
            if (asked == i).any()
        },
    }


def swap_test(
    sampler: Sampler, reference: Reference, *, num: int, seed: int
) -> dict[str, Any]:
    """Change one attribute of a prompt, keep the seed: what changes in the picture?

    The prompts name colour, type, shape and size as held-out pictures combine them. A
    change replaces the word in the prompt and the attribute alike. The same prompts
    with another seed say how much would have changed anyway.

    Args:
      sampler: the model; it must read any prompt.
      reference: for the judge and for the combinations.
      num: prompts; each is drawn six times.
      seed: of the choice of prompts and of the pictures.
    """
    rng = np.random.default_rng(seed)
    records = reference.attributes()
    bases = [
        {name: _value(records[i], name, rng) for name in MEASURED}
        for i in rng.integers(len(records), size=num)
    ]
    wishes = {
        name: [str(rng.choice([v for v in values if v != b[name]])) for b in bases]
        for name, values in VOCABULARIES.items()
        if name in MEASURED
    }
    seen = _read_words(sampler, reference.judge, bases, seed, "swap test: before")
    again = _read_words(
        sampler, reference.judge, bases, seed + num, "swap test: other seeds"
    )
    results: dict[str, Any] = {
        "num": num,
        "other_seed_stays": {k: float((seen[k] == again[k]).mean()) for k in MEASURED},
    }
    for name in MEASURED:
        changed = [
            base | {name: wish} for base, wish in zip(bases, wishes[name], strict=True)
        ]
        after = _read_words(
            sampler, reference.judge, changed, seed, f"swap test: {name}"
        )
        wished = np.array([VOCABULARIES[name].index(w) for w in wishes[name]])
        results[name] = {
            "becomes": metrics.share(after[name] == wished)._asdict(),
            "was_before": float((seen[name] == wished).mean()),
            "others_stay": {
                k: float((seen[k] == after[k]).mean()) for k in MEASURED if k != name
            },
        }
    return results


def _value(record: Attributes, name: str, rng: np.random.Generator) -> str:
    return getattr(record, name) or str(rng.choice(VOCABULARIES[name]))


def _read_words(
    sampler: Sampler, judge: Judge, words: list[dict[str, str]], seed: int, what: str
) -> dict[str, np.ndarray]:
    """Draw a picture of each set of words, and read it again."""
    recipes = [
        Recipe(
            _SWAP_PROMPT.format(**{k: v.lower() for k, v in values.items()}),
            Attributes(**values),
            seed + i,
        )
        for i, values in enumerate(words)
    ]
    return read_all(judge, draw(sampler, recipes, what), f"reading {what}")
