"""Suggests names for creatures: syllables of what they are, no model, no network."""

import functools
import random
import re
from pathlib import Path

from pokejax.attributes import CONDITIONS, Attributes
from pokejax.prompts import lexicon

_LENGTHS = range(4, 12)  # letters
_TRIES = 1000
_VOWELS = "aeiouy"
# The beginnings that fit a type; names of those without one begin with any of these.
_BEGINNINGS = {
    "Normal": "mur pell tam bram noll wick",
    "Fire": "pyr cind embr scor ign blaz",
    "Water": "mar aqu rill brin del spla",
    "Electric": "volt zap amp fulg jol tesl",
    "Grass": "flor thorn verd moss bram fern",
    "Ice": "cry fros gel niv rim glac",
    "Fighting": "brawn mar thud knuck var pug",
    "Poison": "tox ven mias nox vir mur",
    "Ground": "terr dun mud quar loam sil",
    "Flying": "aer gal zeph plum sor wisp",
    "Psychic": "psy lum aur myst orac men",
    "Bug": "chit moth skit lar vesp mand",
    "Rock": "grav bas crag gran peb ton",
    "Ghost": "wrai phan gloam shad spek mourn",
    "Dragon": "drac wyr tyr scal vor dray",
    "Dark": "umbr noct dusk mal grim snar",
    "Steel": "ferr chrom riv gir plat anv",
    "Fairy": "pix glim fae lil bell spri",
}
# The endings that fit a size.
_ENDINGS = {
    "Tiny": "let kin pip bit mite",
    "Small": "ling ette ini oo by",
    "Medium": "on er ix ara ock",
    "Large": "gor dane osk rune oth",
    "Huge": "ath oros umar drax thor",
}
# Words of the prompt that say nothing about this creature alone.
_PLAIN = {*lexicon.STOP_WORDS}.union(
    word.lower() for words in CONDITIONS.values() for word in words
)
_ENDS = frozenset(word for words in _ENDINGS.values() for word in words.split())


def suggest_name(prompt: str, attributes: Attributes, seed: int) -> str:
    """A name for a creature, that none of the known ones has.

    Args:
      prompt: the beginning of some word of it may be in the name; not of colours,
        types and the like.
      attributes: type and size decide on syllables.
      seed: picks among them; the same arguments give the same name.
    """
    pick = random.Random(f"{seed}/{prompt}")
    types = [t for t in (attributes.type1, attributes.type2) if t in _BEGINNINGS]
    begins = " ".join(_BEGINNINGS[t] for t in types or _BEGINNINGS).split()
    ends = sorted(_ENDINGS.get(attributes.size or "", "").split() or _ENDS)
    heads = _heads(prompt)
    for _ in range(_TRIES):
        parts = [pick.choice(begins), pick.choice(ends)]
        if heads and pick.random() < 0.6:
            parts.insert(pick.choice((0, 1)), pick.choice(heads))
            if len("".join(parts)) > _LENGTHS[-1]:
                parts.pop(0)
        name = functools.reduce(_joined, parts)
        if len(name) in _LENGTHS and name not in known_names():
            return name.capitalize()
    raise AssertionError("all names are taken")  # there are thousands


def _heads(prompt: str) -> list[str]:
    """The beginnings of the prompt's words, up to the consonants after a vowel."""
    words = re.findall(r"[a-z]{4,}", prompt.lower())
    found = [
        re.match(rf"[^{_VOWELS}]{{0,3}}[{_VOWELS}][^{_VOWELS}]{{0,2}}", word)
        for word in words
        if word not in _PLAIN
    ]
    return [head[0] for head in found if head and len(head[0]) > 2]


def _joined(left: str, right: str) -> str:
    """Two syllables as one can say them."""
    while left[-1] == right[0]:
        right = right[1:] or "a"
    hard = left[-1] not in _VOWELS and right[0] not in _VOWELS
    # Two consonants may meet; of three, one is hard to say.
    crowded = hard and (left[-2:-1] not in tuple(_VOWELS) or right[1:2] not in _VOWELS)
    return f"{left}{'o' if crowded else ''}{right}"


@functools.cache
def known_names() -> frozenset[str]:
    """Names that creatures of games have, in lower-case letters and digits."""
    text = Path(__file__).with_name("known_names.txt").read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return frozenset(" ".join(lines).split())
