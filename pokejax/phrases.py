"""Finds the lexicon's words and phrases in text: tokens, stems, the longest match.

Owns how two spellings count as the same word. What the found phrases mean together is
`pokejax.prompt_rules`' business. Imports only `pokejax.lexicon`.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pokejax import lexicon

# How firmly a phrase means what it means, weakest first.
LAST_RESORT, LIKENESS, EVOKED, NAMED, MARKED = range(5)

# Names of types that are everyday words or animals too: on their own they only evoke.
_WEAK_NAMES = frozenset({"normal", "dark", "dragon", "ground", "flying"})
_WORD = re.compile(r"[^\W_](?:[^\W_]|[\u0300-\u036f'’])*")
_SOFT_GAP = re.compile(r"[\s'’\"“”&/+_-]*")
# Nobody's word is longer, and normalizing a huge run of accents takes quadratic time.
_LONGEST_WORD = 40
_SPELLINGS = {
    "grey": "gray", "greyish": "grayish", "colour": "color", "coloured": "colored",
    "armour": "armor", "armoured": "armored", "leaves": "leaf", "wolves": "wolf",
    "hooves": "hoof", "mice": "mouse", "calves": "calf", "geese": "goose",
    "elves": "elf", "teeth": "tooth", "feet": "foot", "men": "man", "women": "woman",
    "thieves": "thief", "scarves": "scarf", "foxes": "fox",
}  # fmt: skip


class Meaning(NamedTuple):
    """One thing a phrase implies: a `kind` (key of `lexicon.WORDS`) and its value."""

    kind: str
    value: str
    rank: int


class Token(NamedTuple):
    """A word of the text, `text[start:end]`; `breaks` if punctuation precedes it."""

    stem: str
    start: int
    end: int
    breaks: bool


class Phrase(NamedTuple):
    """A phrase of the lexicon at tokens `first` to `last`, both included."""

    first: int
    last: int
    meanings: tuple[Meaning, ...]

    def of(self, kind: str) -> Meaning | None:
        """What the phrase says about `kind`, if anything."""
        return next((m for m in self.meanings if m.kind == kind), None)


def stem(word: str) -> str:
    """`word` without case, accents and plural, so that spellings of it compare equal.

    Total: any string has a stem, which may not be a word ("gas" and "ga" are one).
    """
    if len(word) > _LONGEST_WORD:
        return word
    if not word.isascii():
        decomposed = unicodedata.normalize("NFKD", word)
        word = "".join(c for c in decomposed if not unicodedata.combining(c))
    word = word.casefold().replace("’", "'").removesuffix("'s").replace("'", "")
    word = _SPELLINGS.get(word, word)
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if len(word) > 3 and word[-1] == "s" and word[-2] not in "sui":
        return word[:-1]
    return word


def stems(words: Iterable[str]) -> frozenset[str]:
    """The stems of single words."""
    return frozenset(map(stem, words))


def tokenize(text: str) -> list[Token]:
    """The words of `text` in order; hyphens and underscores part words."""
    tokens: list[Token] = []
    end = 0
    for word in _WORD.finditer(text):
        is_soft = _SOFT_GAP.fullmatch(text, end, word.start()) is not None
        tokens.append(Token(stem(word[0]), *word.span(), breaks=not is_soft))
        end = word.end()
    return tokens


def find_phrases(tokens: list[Token]) -> list[Phrase]:
    """The lexicon's phrases in `tokens`, from the left, longest first.

    None overlap, none spans punctuation. Linear in the number of tokens.
    """
    found: list[Phrase] = []
    i = 0
    while i < len(tokens):
        key: list[str] = []
        best = None
        for token in tokens[i : i + _LONGEST.get(tokens[i].stem, 0)]:
            if key and token.breaks:
                break
            key.append(token.stem)
            if meanings := _TABLE.get(tuple(key)):
                best = Phrase(i, i + len(key) - 1, meanings)
        if best:
            found.append(best)
        i = best.last + 1 if best else i + 1
    return found


def _rank(kind: str, table: Mapping, value: str, phrase: str) -> int:
    if kind == "shape":
        return LIKENESS if table is lexicon.SHAPE_NOUNS else EVOKED
    if kind != "type":
        return EVOKED
    if phrase == value.lower() and phrase not in _WEAK_NAMES:
        return NAMED
    if value in ("Normal", "Flying"):
        return LAST_RESORT
    is_animal = any(phrase in nouns for nouns in lexicon.SHAPE_NOUNS.values())
    return LIKENESS if is_animal and phrase not in _WEAK_NAMES else EVOKED


def _compile() -> dict[tuple[str, ...], tuple[Meaning, ...]]:
    table: dict[tuple[str, ...], list[Meaning]] = {}
    for kind, sources in lexicon.WORDS.items():
        for source in sources:
            for value, phrases in source.items():
                for phrase in phrases:
                    key = [token.stem for token in tokenize(phrase)]
                    if key[0] in ("a", "an", "the") and len(key) > 1:
                        del key[0]
                    meanings = table.setdefault(tuple(key), [])
                    if all(m.kind != kind for m in meanings):
                        rank = _rank(kind, source, value, phrase)
                        meanings.append(Meaning(kind, value, rank))
    return {key: tuple(meanings) for key, meanings in table.items()}


_TABLE = _compile()
_LONGEST: dict[str, int] = {}
for _key in _TABLE:
    _LONGEST[_key[0]] = max(len(_key), _LONGEST.get(_key[0], 0))
