"""Writes the prompts of a picture: what a person might type to get that creature.

Owns the sentences; the words are `pokejax.prompts.lexicon`'s. Only facts are mentioned,
and a word that implies something else besides (a beetle is also a Bug) only where that
is true as well. No species name is ever written, since nobody asks for a new creature
by an old one's name.
"""

import functools
import random
from collections.abc import Mapping
from typing import NamedTuple

from pokejax.attributes import NONE, Attributes
from pokejax.prompts import lexicon
from pokejax.prompts.phrases import (
    LAST_RESORT,
    Meaning,
    find_phrases,
    stems,
    tokenize,
)

# In how many prompts of a picture each fact is mentioned; the rest once or twice.
_OFTEN = {"shape": 3, "size": 3, "secondary_color": 2, "type2": 2}
# A fact's plainest word is also the likeliest in a person's prompt.
_PLAIN_CHANCE = 0.3
_ACCENTS = (
    "markings", "accents", "patches", "highlights", "details", "touches", "areas",
)  # fmt: skip
_SOLID = ("entirely", "solid", "completely", "uniformly")
_LEADS = (
    "{A}", "{A}.", "{A}.", "{a}", "Draw me {a}.", "Draw {a}", "Create {a}.",
    "Create {a}", "Make {a}, please.", "make me {a}", "I want {a}.", "I'd like {a}",
    "Can you draw {a}?", "Could you make {a}?", "Give me {a}.", "give me {a}",
    "Design {a}.", "Imagine {a}.", "Show me {a}", "A picture of {a}.",
    "Pixel art of {a}", "I'd love to see {a}.", "Please generate {a}.",
    "Paint {a}.", "Sketch {a}", "A sprite of {a}", "Generate {a}", "I need {a}.",
    "How about {a}?", "What would {a} look like?", "Please draw {a}.",
    "Meet {a}.", "Picture {a}.", "an image of {a}",
)  # fmt: skip
_CREATURES = ("creature", "Pokemon", "monster", "critter", "animal", "beast", "being")
_SHORTEST, _LONGEST = 3, 30  # words
_TRIES = 20
_STYLES = ("sentence", "terse", "sentence", "keywords", "told", "sentence", "terse")
# Where the parts of a description stand; the noun is at _HEAD.
_SIZE, _STAGE, _FAME, _COLOR, _SHAPE, _HABITAT, _TYPE, _TYPE2, _HEAD, _AFTER = range(10)

_ANIMALS = stems(noun for nouns in lexicon.SHAPE_NOUNS.values() for noun in nouns)
_Known = Mapping[str, str]


class _Part(NamedTuple):
    place: int
    text: str


def write_prompts(attributes: Attributes, seed: str) -> list[str]:
    """Five to seven prompts for one picture, the same for the same arguments.

    Every known fact is mentioned in at least one of them; type, main color, shape and
    size in at least two. Being neither legendary nor mythical isn't mentioned.

    Args:
      attributes: of the picture; unknown ones are left out of the prompts.
      seed: tells pictures apart, e.g. species and view.

    Returns:
      Prompts of 3 to 30 words, of two facts or more where that many are known.

    Raises:
      ValueError: nothing at all is known.
    """
    # A string seeds through SHA-512, the same on every machine and Python.
    rng = random.Random(seed)
    known = {
        name: value
        for name, value in attributes.known().items()
        if (name, value) not in (("legendary", "No"), ("mythical", "No"))
    }
    if not known:
        raise ValueError("nothing is known about the creature: nothing can be written")
    styles = list(_STYLES)
    rng.shuffle(styles)
    plan = _plan(rng, known, rng.randint(5, 7))
    return [
        _of_fair_length(rng, known, facts, style)
        for facts, style in zip(plan, styles, strict=False)
    ]


def _plan(rng: random.Random, known: _Known, count: int) -> list[set[str]]:
    """Which facts each of `count` prompts mentions."""
    plan: list[set[str]] = [set() for _ in range(count)]
    for name in known:
        if name in ("type1", "primary_color"):
            times = count - 1
        else:
            times = _OFTEN.get(name, rng.randint(1, 2))
        # "Pure" and "entirely" are rarer in speech than a second type or color is.
        times = 1 if known[name] == NONE else times
        for i in rng.sample(range(count), times):
            plan[i].add(name)
    for facts in plan:
        if "type2" in facts and "type1" in known:
            facts.add("type1")
        if known.get("secondary_color") == NONE and "secondary_color" in facts:
            facts.add("primary_color")
        spare = [name for name in known if name not in facts and known[name] != NONE]
        rng.shuffle(spare)
        # A lone type or color is no description.
        while len(facts) < 2 and spare:
            facts.add(spare.pop())
    return plan


def _of_fair_length(
    rng: random.Random, known: _Known, facts: set[str], style: str
) -> str:
    text = _write(rng, known, facts, style)
    for _ in range(_TRIES):
        words = len(text.split())
        if _SHORTEST <= words <= _LONGEST:
            break
        style = "sentence" if words < _SHORTEST else "terse"
        text = _write(rng, known, facts, style)
    return text


def _write(rng: random.Random, known: _Known, facts: set[str], style: str) -> str:
    parts = _describe(rng, known, facts)
    if style == "keywords":
        words = [part.text for part in parts]
        if len(words) < 3:
            words.append(rng.choice(_CREATURES))
        rng.shuffle(words)
        return ", ".join(words)
    if style == "told":
        return _tell(rng, parts)
    phrase = _join(rng, parts)
    if style == "terse":
        return phrase
    one = f"{article(phrase)} {phrase}"
    return rng.choice(_LEADS).format(a=one, A=one[0].upper() + one[1:])


def _tell(rng: random.Random, parts: list[_Part]) -> str:
    """Two sentences: what it is, then what else there is to say."""
    told = [p for p in parts if p.place >= _AFTER]
    adjectives = [p for p in parts if p.place in (_SIZE, _COLOR, _SHAPE)]
    first = _join(rng, [p for p in parts if p not in told and p not in adjectives])
    intro = rng.choice(("This is", "It is", "Here is", "I imagine"))
    text = f"{intro} {article(first)} {first}."
    if adjectives:
        text += " It is " + " and ".join(p.text for p in adjectives) + "."
    if told:
        noun = rng.choice(_CREATURES)
        text += f" {article(noun).capitalize()} {noun} "
        text += ", ".join(p.text for p in told) + "."
    return text


def _join(rng: random.Random, parts: list[_Part]) -> str:
    before = sorted(p for p in parts if p.place < _HEAD)
    heads = [p.text for p in parts if p.place == _HEAD] or [rng.choice(_CREATURES)]
    after = [p.text for p in parts if p.place >= _AFTER]
    rng.shuffle(after)
    return " ".join([*(p.text for p in before), heads[0], ", ".join(after)]).strip()


def article(phrase: str) -> str:
    """`"an"` or `"a"`, as the phrase is spoken."""
    first = phrase.lower()
    said_with_vowel = first[0] in "aeiou" and not first.startswith(
        ("uni", "one", "once", "eu", "use")
    )
    return "an" if said_with_vowel else "a"


def _describe(rng: random.Random, known: _Known, facts: set[str]) -> list[_Part]:
    parts = _type_parts(rng, known, facts) + _color_parts(rng, known, facts)
    if "shape" in facts:
        parts.append(_shape_part(rng, known))
    for kind, place, adjectives, phrases in (
        ("size", _SIZE, lexicon.SIZE_ADJECTIVES, lexicon.SIZE_PHRASES),
        ("evolution_stage", _STAGE, lexicon.STAGE_ADJECTIVES, lexicon.STAGE_PHRASES),
        ("legendary", _FAME, lexicon.LEGENDARY_ADJECTIVES, lexicon.LEGENDARY_PHRASES),
        ("mythical", _FAME, lexicon.MYTHICAL_ADJECTIVES, lexicon.MYTHICAL_PHRASES),
    ):
        if kind in facts:
            as_phrase = rng.random() < (0.15 if kind == "size" else 0.5)
            words = (phrases if as_phrase else adjectives)[known[kind]]
            place = _AFTER if as_phrase else place
            parts.append(_Part(place, word_for(rng, known, kind, words)))
    if "habitat" in facts:
        parts.append(_habitat_part(rng, known))
    return parts


def _color_parts(rng: random.Random, known: _Known, facts: set[str]) -> list[_Part]:
    parts: list[_Part] = []
    secondary = known["secondary_color"] if "secondary_color" in facts else None
    if "primary_color" in facts:
        name = known["primary_color"]
        color = word_for(rng, known, "primary_color", lexicon.COLOR_WORDS[name])
        if secondary == NONE:
            return [_Part(_COLOR, f"{rng.choice(_SOLID)} {color}")]
        if secondary and rng.random() < 0.3:
            other = word_for(
                rng, known, "secondary_color", lexicon.COLOR_WORDS[secondary]
            )
            return [_Part(_COLOR, f"{color} and {other}")]
        form = rng.random()
        if form < 0.15:
            phrases = lexicon.COLOR_PHRASES[name]
            parts.append(_Part(_AFTER, word_for(rng, known, "primary_color", phrases)))
        elif form < 0.25:
            parts.append(_Part(_AFTER, f"with {article(color)} {color} body"))
        else:
            parts.append(_Part(_COLOR, color))
    if secondary and secondary != NONE:
        color = word_for(rng, known, "secondary_color", lexicon.COLOR_WORDS[secondary])
        parts.append(_Part(_AFTER, f"with {color} {rng.choice(_ACCENTS)}"))
    return parts


def _shape_part(rng: random.Random, known: _Known) -> _Part:
    shape, form = known["shape"], rng.random()
    if form < 0.7:
        return _Part(
            _SHAPE, word_for(rng, known, "shape", lexicon.SHAPE_ADJECTIVES[shape])
        )
    return _Part(_AFTER, word_for(rng, known, "shape", lexicon.SHAPE_PHRASES[shape]))


def _habitat_part(rng: random.Random, known: _Known) -> _Part:
    name = known["habitat"]
    if rng.random() < 0.3:
        adjectives = lexicon.HABITAT_ADJECTIVES[name]
        return _Part(_HABITAT, word_for(rng, known, "habitat", adjectives))
    place = word_for(rng, known, "habitat", lexicon.HABITAT_PLACES[name])
    # "in in", "living in high in the sky": these name their own preposition.
    own = place.startswith(("high ", "above "))
    link = rng.choice(("living", "found") if own else ("from", "that lives near"))
    return _Part(_AFTER, f"{link} {place}")


def _type_parts(rng: random.Random, known: _Known, facts: set[str]) -> list[_Part]:
    if "type1" not in facts:
        return []
    first, second = known["type1"], known["type2"] if "type2" in facts else None
    plain = first.lower()
    if second == NONE:
        return [
            _Part(_TYPE, rng.choice((f"pure {plain}-type", f"purely {plain}-type")))
        ]
    if second is None:
        return [_one_type(rng, known, first)]
    other = second.lower()
    if rng.random() < 0.5:
        both = rng.choice(("{}/{}-type", "{} and {} type", "{}/{} type", "{}-{} type"))
        return [_Part(_TYPE, both.format(plain, other))]
    # Said with "type", the first stays the first whatever the second is called.
    if rng.random() < 0.5:
        phrases = lexicon.TYPE_PHRASES[second]
        extra = _Part(_AFTER, word_for(rng, known, "type2", phrases))
    else:
        words = lexicon.TYPE_ADJECTIVES[second]
        extra = _Part(_TYPE2, word_for(rng, known, "type2", words))
    return [_Part(_TYPE, f"{plain}-type"), extra]


def _one_type(rng: random.Random, known: _Known, name: str) -> _Part:
    form = rng.random()
    if form < 0.15:
        return _Part(_TYPE, f"{name.lower()}-type")
    if form < 0.25:
        thing = type_thing(rng, name)
        if rng.random() < 0.5:
            return _Part(_TYPE, f"{thing.replace(' ', '-')}-themed")
        return _Part(_AFTER, f"with {thing} powers")
    if form < 0.5:
        phrases = lexicon.TYPE_PHRASES[name]
        return _Part(_AFTER, word_for(rng, known, "type1", phrases))
    return _Part(_TYPE, word_for(rng, known, "type1", lexicon.TYPE_ADJECTIVES[name]))


def type_thing(rng: random.Random, name: str) -> str:
    """A thing that stands for a type: "ember" for Fire.

    Animals' names stand for a type too, but nothing is "crab-themed" by nature.
    """
    return rng.choice([w for w in lexicon.TYPE_NOUNS[name] if _says_only(w, "type")])


def word_for(
    rng: random.Random, known: _Known, name: str, words: tuple[str, ...]
) -> str:
    """A word for attribute `name` that implies nothing untrue; the first is plain."""
    fitting = _fitting(known, name, words) or [words[0]]
    return fitting[0] if rng.random() < _PLAIN_CHANCE else rng.choice(fitting)


def _fitting(known: _Known, name: str, words: tuple[str, ...]) -> list[str]:
    kind = {"type1": "type", "type2": "type"}.get(name, name)
    kind = {"primary_color": "color", "secondary_color": "color"}.get(kind, kind)
    return [
        word
        for word in words
        if all(m.kind == kind or _is_true(m, known) for m in _meanings(word))
        and not (kind in ("color", "size") and _names_animal(word))
    ]


def _is_true(meaning: Meaning, known: _Known) -> bool:
    name = {"type": "type1", "color": "primary_color"}.get(meaning.kind, meaning.kind)
    return known.get(name) == meaning.value and meaning.rank > LAST_RESORT


def _says_only(word: str, kind: str) -> bool:
    return all(meaning.kind == kind for meaning in _meanings(word))


@functools.cache
def _names_animal(words: str) -> bool:
    """Whether a mean of word vectors would see one, as in "mouse-gray"."""
    return any(token.stem in _ANIMALS for token in tokenize(words))


@functools.cache  # of the lexicon's few hundred words
def _meanings(words: str) -> list[Meaning]:
    return [m for phrase in find_phrases(tokenize(words)) for m in phrase.meanings]
