"""Finds the lexicon's words and phrases in a text: tokens, stems, longest match.

Owns which spellings count as the same word, typing errors included, and how far a
"not" reaches. What the found phrases mean together is for `pokejax.prompts.rules`.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pokejax.prompts import lexicon

# How strongly a phrase implies its meaning, weakest first.
LAST_RESORT, PLACE, LIKENESS, EVOKED, NAMED, MARKED = range(6)

# Names of types that are also everyday words or animals: alone they only evoke.
_WEAK_NAMES = frozenset({"normal", "dark", "dragon", "ground", "flying"})
_WORD = re.compile(r"[wW]/(?:[oO](?![^\W_]))?|[^\W_](?:[^\W_]|[\u0300-\u036f'’])*")
_SOFT_GAP = re.compile(r"[\s'’\"“”&/+_-]*")
_LIST_SIGN = re.compile(r"\s*[/&+]\s*")
# Nobody's word is longer, and normalizing a huge run of accents takes quadratic time.
_LONGEST_WORD = 40
_SPELLINGS = {
    "grey": "gray", "greyish": "grayish", "colour": "color", "coloured": "colored",
    "armour": "armor", "armoured": "armored", "leaves": "leaf", "wolves": "wolf",
    "hooves": "hoof", "mice": "mouse", "calves": "calf", "geese": "goose",
    "elves": "elf", "teeth": "tooth", "feet": "foot", "men": "man", "women": "woman",
    "thieves": "thief", "scarves": "scarf", "foxes": "fox", "w/": "with",
    "w/o": "without",
}  # fmt: skip


class Meaning(NamedTuple):
    """One thing a phrase implies: a `kind` (key of `lexicon.WORDS`) and its value."""

    kind: str
    value: str
    rank: int


class Token(NamedTuple):
    """A word of the text, `text[start:end]`.

    Attributes:
      breaks: punctuation that ends a clause or a list item precedes it.
      listed: only "/", "&" or "+" parts it from the word before.
    """

    stem: str
    start: int
    end: int
    breaks: bool
    listed: bool


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
        gap = end, word.start()
        is_soft = _SOFT_GAP.fullmatch(text, *gap) is not None
        is_listed = _LIST_SIGN.fullmatch(text, *gap) is not None
        tokens.append(Token(stem(word[0]), *word.span(), not is_soft, is_listed))
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


def correct(tokens: list[Token]) -> list[Token]:
    """`tokens` with misspelt colors, types, sizes and animals under their right stems.

    A word of four letters or more that the lexicon doesn't have counts as a name if it
    begins with the same letter, is one slip away (a letter missing, added or, in longer
    names, wrong, or two swapped), and no other name is.
    """
    return [
        token
        if token.stem in _KNOWN_WORDS
        or not _SHORTEST_MISSPELT <= len(token.stem) <= _LONGEST_NAME
        else token._replace(stem=_intended(token.stem))
        for token in tokens
    ]


def _intended(word: str) -> str:
    found = {_SLIPS.get(word)}
    found |= {_SLIPS.get(f"{word[:i]}*{word[i + 1 :]}") for i in range(1, len(word))}
    found.discard(None)
    return (found.pop() or word) if len(found) == 1 else word


def _slips(names: Iterable[str]) -> dict[str, str]:
    """Each way to write one of `names` with one slip, `*` any letter -> the name.

    An empty name marks what could be a slip in either of two.
    """
    table: dict[str, str] = {}
    for name in names:
        keys = {f"{name}*"}
        for i in range(1, len(name)):
            keys.add(name[:i] + name[i + 1 :])
            keys.add(f"{name[:i]}*{name[i:]}")
            keys.add(name[:i] + name[i : i + 2][::-1] + name[i + 2 :])
            if len(name) > _SHORT_NAME or name in _COLORS_AND_TYPES:
                keys.add(f"{name[:i]}*{name[i + 1 :]}")
        for key in keys - {name}:
            table[key] = "" if key in table else name
    return table


def find_legs(tokens: list[Token]) -> list[Phrase]:
    """Counts of legs that tell a shape ("four stubby legs"), whatever is between."""
    found: list[Phrase] = []
    for i, token in enumerate(tokens):
        shape = lexicon.LEG_COUNTS.get(token.stem)
        for j in range(i + 1, min(i + _LEG_REACH, len(tokens)) if shape else 0):
            if tokens[j].breaks or tokens[j].stem in ("front", "pair", "of"):
                break
            if tokens[j].stem in lexicon.LEGS:
                found.append(Phrase(i, j, (Meaning("shape", shape or "", NAMED),)))
                break
    return found


def find_denied(tokens: list[Token], found: list[Phrase]) -> list[bool]:
    """For each of `tokens`, whether a negation covers it.

    "No", "not", "anything but" and the like cover what follows, up to a noun, four
    words, or the end of the clause.

    Args:
      tokens: of the text.
      found: the phrases in it; a negation within one is part of its meaning.
    """
    owner = {i: f for f in found for i in range(f.first, f.last + 1)}
    denied = [False] * len(tokens)
    reach = 0
    for i, token in enumerate(tokens):
        following = tokens[i + 1].stem if i + 1 < len(tokens) else ""
        pair = (tokens[i - 1].stem if i else "", token.stem)
        if i not in owner and (token.stem in _NEGATORS or pair in _NEGATING_PAIRS):
            reach = 0 if following in ("only", "just", "but") else _NEGATION_REACH
            if token.stem in _EXCEPTIVES or pair in _EXCEPTIVES:
                reach = 0 if _has_part_ahead(tokens, i + 1) else reach
            continue
        if token.breaks or token.stem in ("but", "with", "and"):
            reach = 0
        if token.stem == "or" and i and denied[i - 1]:
            reach = _NEGATION_REACH
        if i in owner and i > owner[i].first:
            denied[i] = denied[i - 1]
        elif reach:
            denied[i] = True
            reach -= 1
        if token.stem in _NOUNS or (i in owner and owner[i].of("shape")):
            reach = 0
    return denied


def _has_part_ahead(tokens: list[Token], start: int) -> bool:
    for token in tokens[start : start + _NEGATION_REACH]:
        if token.breaks:
            return False
        if token.stem in _PARTS:
            return True
    return False


def _rank(kind: str, table: Mapping, value: str, phrase: str) -> int:
    if kind == "shape":
        if phrase in lexicon.SHAPE_HINTS:
            return LAST_RESORT
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
    things = {p for phrases in lexicon.TYPE_NOUNS.values() for p in phrases}
    return {key: _placed(key, meanings, things) for key, meanings in table.items()}


def _placed(
    key: tuple[str, ...], meanings: list[Meaning], things: set[str]
) -> tuple[Meaning, ...]:
    """`meanings`, where one that is a place hardly implies a type."""
    is_place = " ".join(key) in things and any(m.kind == "habitat" for m in meanings)
    return tuple(
        m._replace(rank=min(m.rank, PLACE)) if is_place and m.kind == "type" else m
        for m in meanings
    )


def _single_words(table: Mapping[str, Iterable[str]], shortest: int) -> list[str]:
    words = (word for words in table.values() for word in words)
    return [word for word in words if word.isalpha() and len(word) >= shortest]


_TABLE = _compile()
_LONGEST: dict[str, int] = {}
for _key in _TABLE:
    _LONGEST[_key[0]] = max(len(_key), _LONGEST.get(_key[0], 0))

_NEGATION_REACH = 4
_LEG_REACH = 4
_PARTS = stems(lexicon.PARTS)
_NOUNS = _PARTS | stems((*lexicon.COVERINGS, *lexicon.BODY, *lexicon.CREATURES))
_NEGATORS = stems(lexicon.NEGATORS)
_NEGATING_PAIRS = {tuple(map(stem, pair.split())) for pair in lexicon.NEGATING_PAIRS}
_EXCEPTIVES = {stem(w) for w in lexicon.EXCEPTIVES if " " not in w} | {
    tuple(map(stem, w.split())) for w in lexicon.EXCEPTIVES if " " in w
}
_SHORTEST_MISSPELT = 4
_COLORS_AND_TYPES = [
    name.lower()
    for name in (*lexicon.COLOR_WORDS, *lexicon.TYPE_ADJECTIVES, *lexicon.FANCY_COLORS)
    if len(name) > _SHORTEST_MISSPELT
]
# With any letter of them wrong, too many short names are another word: horse, house.
_SHORT_NAME = 5
_SIZES = _single_words(lexicon.SIZE_ADJECTIVES, shortest=4)
_ANIMALS = _single_words(lexicon.SHAPE_NOUNS, shortest=5)
_NAMES = dict.fromkeys((*_COLORS_AND_TYPES, *_SIZES, *_ANIMALS))
_SLIPS = _slips(_NAMES)
_LONGEST_NAME = max(map(len, _NAMES)) + 1
_KNOWN_WORDS = {word for key in _TABLE for word in key} | _NOUNS | _NEGATORS
_KNOWN_WORDS |= stems((*lexicon.STOP_WORDS, *lexicon.LOOKALIKES, *lexicon.HAVING))
_KNOWN_WORDS |= stems((*lexicon.WHERE, *lexicon.CLAUSE_ENDS, *lexicon.LINKS))
