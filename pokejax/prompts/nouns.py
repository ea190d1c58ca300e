"""What an adjective in a prompt describes: the creature, a part of it, or a place.

Owns the search for the noun that a color, a size or a type describes. What follows from
that is `pokejax.prompts.rules`' business.
"""

from enum import Enum, auto
from itertools import pairwise
from operator import or_

from pokejax.prompts import lexicon
from pokejax.prompts.phrases import LIKENESS, Phrase, Token, stems

SOLID = frozenset({"entirely", "solid", "completely", "wholly", "uniformly"})
PURE = frozenset({"pure", "purely", "mono", "solely", "strictly", "only"})
TYPE_MARKS = frozenset({"type", "typed", "element", "elemental"})
_COMPARING = frozenset({"like", "as"})
_CLAUSE_ENDS = stems((*lexicon.CLAUSE_ENDS, *lexicon.NEGATORS, "than"))
_LINKS = stems(lexicon.LINKS)
_HAVING = stems(lexicon.HAVING)
_WHERE = stems(lexicon.WHERE)
_UNDER = stems(lexicon.UNDER)
_BESIDE = stems(lexicon.BESIDE)
_SCENES = stems(lexicon.SCENES)
_RELATIVES = stems(lexicon.RELATIVES)
_ACTS = stems(lexicon.ACTS)
_DETERMINERS = stems(lexicon.DETERMINERS)
_PARTS = stems(lexicon.PARTS)
_WRAPS = stems(lexicon.WRAPS)
_PATTERNED = stems(lexicon.PATTERNED)
_PLACE_OF = {s: place for place, parts in lexicon.PLACES.items() for s in stems(parts)}
_BODY = stems(lexicon.BODY)
_COVERINGS = stems(lexicon.COVERINGS)
_CREATURES = stems(lexicon.CREATURES)
# Words that say nothing by themselves; any other word may be the noun.
EMPTY_WORDS = stems((*lexicon.STOP_WORDS, *lexicon.NEGATORS)) | SOLID | PURE
EMPTY_WORDS |= _LINKS | _WHERE
_NOUN_REACH = 8
_PLACE_REACH = 5


class Noun(Enum):
    """What an adjective describes."""

    UNSAID = auto()  # "it is huge": the creature, as far as one can tell
    CREATURE = auto()
    BODY = auto()
    COVERING = auto()  # fur, skin, scales
    WRAP = auto()  # armor, plates
    PART = auto()  # wings, stripes
    THING = auto()  # what the creature has or holds
    PLACE = auto()


class NounFinder:
    """Finds what each phrase of a prompt describes.

    Attributes:
      located: for each token, whether it tells where: "in the deep blue sea".
      acts: tokens that tell what the creature does: "a wolf fighting".
      acted_on: for each token, whether it tells to whom: "fighting a red dragon".
    """

    def __init__(self, tokens: list[Token], found: list[Phrase]) -> None:
        """Take the words of a prompt and those phrases in it that aren't denied."""
        self.tokens = tokens
        self.owner = {i: f for f in found for i in range(f.first, f.last + 1)}
        self.located = self._located()
        self.acts = {i for i in range(len(tokens)) if self._is_act(i)}
        self.acted_on = self._acted_on()

    def _stem_at(self, index: int) -> str:
        return self.tokens[index].stem if 0 <= index < len(self.tokens) else ""

    def _located(self) -> list[bool]:
        located = [False] * len(self.tokens)
        start = None
        for i, token in enumerate(self.tokens):
            f = self.owner.get(i)
            if token.breaks:
                start = None
            if token.stem in _WHERE:
                start = i
            elif token.stem in _CLAUSE_ENDS or (f and f.of("shape")):
                start = None
            is_place = f is not None and f.of("habitat") is not None
            if is_place and start is not None and i - start <= _PLACE_REACH:
                located[start : i + 1] = [True] * (i + 1 - start)
        has_shape = any(f.of("shape") for f in self.owner.values())
        for clause in self._clauses() if has_shape else ():
            if self._is_scenery(clause):
                located[clause.start : clause.stop] = [True] * len(clause)
        return located

    def _clauses(self) -> list[range]:
        """What punctuation parts."""
        starts = [0, *(i for i, token in enumerate(self.tokens) if i and token.breaks)]
        return [range(a, b) for a, b in pairwise([*starts, len(self.tokens)])]

    def _is_scenery(self, clause: range) -> bool:
        """Whether it is a place with its color, and no more: "gray sky, brown dog"."""
        last = self.owner.get(clause[-1])
        if not last or not last.of("habitat") or last.of("shape"):
            return False
        before = range(clause.start, last.first)
        colors = [self._is_color(i) for i in before]
        empty = [self.tokens[i].stem in EMPTY_WORDS for i in before]
        return any(colors) and all(map(or_, colors, empty))

    def _is_creature(self, index: int) -> bool:
        f = self.owner.get(index)
        shape = f and f.of("shape")
        return self._stem_at(index) in _CREATURES or bool(
            shape and shape.rank == LIKENESS
        )

    def _is_act(self, i: int) -> bool:
        following, owner = self._stem_at(i + 1), self.owner.get(i)
        if self._stem_at(i) not in _ACTS or self.tokens[i].breaks:
            return False
        if owner and owner.first < owner.last:
            return False  # "riding the waves"
        if following in _DETERMINERS:
            return True
        names_type = self._is_creature(i + 1) or following in TYPE_MARKS
        doer = i - 1
        while self._stem_at(doer) in _RELATIVES:
            doer -= 1
        return self._is_creature(doer) and not names_type

    def _acted_on(self) -> list[bool]:
        acted_on = [False] * len(self.tokens)
        for i in self.acts:
            for j in range(i + 1, len(self.tokens)):
                word = self.tokens[j].stem
                ends = word in _CLAUSE_ENDS and word not in _DETERMINERS
                if ends or self.tokens[j].breaks:
                    break
                acted_on[j] = True
        return acted_on

    def is_beside(self, f: Phrase) -> bool:
        """Whether it is only a thing that the creature stands by: "under a tree"."""
        for i in range(f.first - 1, max(f.first - 1 - _PLACE_REACH, -1), -1):
            is_adjective = self._is_color(i) or self._stem_at(i) in _DETERMINERS
            if self.tokens[i + 1].breaks or not is_adjective:
                following = self.tokens[f.last + 1 : f.last + 2]
                ends = not following or following[0].breaks
                return self._stem_at(i) in _BESIDE and ends
        return False

    def is_overhead(self, f: Phrase) -> bool:
        """Whether it is only what all live under: "beneath a gray sky"."""
        for i in range(f.first - 1, max(f.first - 1 - _PLACE_REACH, -1), -1):
            if self.tokens[i + 1].breaks:
                break
            if self.tokens[i].stem in _WHERE:
                return self.tokens[i].stem in _UNDER
        return False

    def _is_color(self, index: int) -> bool:
        f = self.owner.get(index)
        return f is not None and f.of("color") is not None

    def noun_of(self, f: Phrase) -> Noun:
        """What the noun is that the phrase `f` describes."""
        return self._find_noun(f)[0]

    def _find_noun(self, f: Phrase) -> tuple[Noun, int]:
        """The noun that `f` describes, and its token; -1 where there is none."""
        if self.located[f.first] or self.acted_on[f.first]:
            return Noun.PLACE, -1
        maybe, at = Noun.UNSAID, -1
        for i in range(f.last + 1, min(f.last + 1 + _NOUN_REACH, len(self.tokens))):
            token = self.tokens[i]
            in_list = token.stem == "and" and self._is_color(i + 1)
            if token.breaks and not self._goes_on(f, i):
                break
            if token.stem in _CLAUSE_ENDS and not in_list:
                break
            if token.stem in _PATTERNED and self._is_joined(f):
                return Noun.CREATURE, i
            if self._has_own_color(f, i):
                continue
            noun, is_sure = self._noun_at(i)
            if is_sure:
                return noun, i
            maybe, at = (maybe, at) if noun is Noun.UNSAID else (noun, i)
        if maybe is Noun.PART:
            return maybe, at
        if f.of("color") and (part := self._part_before(f)) is not None:
            is_wrap = self.tokens[part].stem in _WRAPS
            return (Noun.WRAP if is_wrap else Noun.PART), part
        return (self.introduced_by(f) if maybe is Noun.THING else Noun.UNSAID), at

    def _noun_at(self, i: int) -> tuple[Noun, bool]:
        """What the token is, and whether what follows can't change that."""
        word, owner = self.tokens[i].stem, self.owner.get(i)
        if word in _SCENES:
            return Noun.PLACE, True
        if word in _BODY:
            return Noun.BODY, True
        if word in _COVERINGS:
            return Noun.COVERING, True
        if word in _CREATURES:
            return Noun.CREATURE, True
        if word in _PARTS or word in _WRAPS:
            if owner is None:
                return (Noun.WRAP if word in _WRAPS else Noun.PART), True
            # "Red flame" is a part, "red flame lizard" isn't.
            is_last = owner.of("type") is not None and owner.last == i
            return (Noun.PART if is_last else Noun.UNSAID), False
        if owner is None:
            return (Noun.UNSAID if word in EMPTY_WORDS else Noun.THING), False
        shape = owner.of("shape")
        part_next = self._stem_at(owner.last + 1) in _PARTS
        if shape and shape.rank == LIKENESS and not part_next:
            return Noun.CREATURE, True
        return (Noun.THING if owner.of("type") else Noun.UNSAID), False

    def introduced_by(self, f: Phrase) -> Noun:
        """THING after "with a", PLACE after "on a", else UNSAID."""
        for i in range(f.first - 1, max(f.first - 1 - _NOUN_REACH, -1), -1):
            word, owner = self.tokens[i].stem, self.owner.get(i)
            if self.tokens[i + 1].breaks:
                break
            if word in _HAVING or (word in _COMPARING and f.of("size")):
                return Noun.THING
            if word in _WHERE:
                return Noun.PLACE
            if word in _CLAUSE_ENDS and word != "and":
                break
            if word in _CREATURES or (owner and owner.of("shape")):
                break
        return Noun.UNSAID

    def _is_joined(self, f: Phrase) -> bool:
        """Whether `f` is one of two colors: "black and white"."""
        after = f.last + 1 + (self._stem_at(f.last + 1) == "and")
        before = f.first - 1 - (self._stem_at(f.first - 1) == "and")
        return self._is_color(f.first) and (
            self._is_color(after) or self._is_color(before)
        )

    def _has_own_color(self, f: Phrase, i: int) -> bool:
        """Whether the token is "bellied" in "a blue red-bellied bird", and `f` blue."""
        word = self.tokens[i].stem
        own = self.owner.get(i - 1)
        if not own or own.first <= f.last or not self._is_color(i - 1):
            return False
        is_joined = self._stem_at(own.first - 1) == "and"
        return word in _PARTS and word.endswith("ed") and not is_joined

    def _goes_on(self, f: Phrase, i: int) -> bool:
        """Whether a list from `f` goes on after the comma before token `i`.

        It does in "red, white and blue wings", not in "pink, white bow".
        """
        is_and = self._stem_at(i) == "and" and self._is_color(i + 1)
        if is_and or not self._is_color(i):
            return is_and
        if self.introduced_by(f) is Noun.THING:
            return True
        end = i + _NOUN_REACH
        while self._is_color(i) and i < end:
            i = self.owner[i].last + 1
        return self._stem_at(i) == "and" and self._is_color(i + 1)

    def place_of(self, f: Phrase) -> tuple[str, int] | None:
        """Where the part is that the phrase `f` describes, and the token that names it.

        The place is of `lexicon.PLACES`. None if `f` describes no part, or one that may
        be anywhere.
        """
        noun, i = self._find_noun(f)
        if noun not in (Noun.PART, Noun.WRAP):
            return None
        if i > f.last:
            if self.introduced_by(f) is Noun.PLACE:
                return None  # "on a red shell"
            # The last one of "spotted belly" and of "plate armor" is the part.
            while self._stem_at(i + 1) in _PARTS and not self.tokens[i + 1].breaks:
                i += 1
        place = _PLACE_OF.get(self.tokens[i].stem)
        return (place, i) if place else None

    def _part_before(self, f: Phrase) -> int | None:
        """The token of the part in "a tail that is a deep red"."""
        for i in range(f.first - 1, max(f.first - 1 - _NOUN_REACH, -1), -1):
            if self.tokens[i + 1].breaks:
                break
            word = self.tokens[i].stem
            if word in _PARTS and i not in self.owner:
                return i
            if word not in _LINKS:
                break
        return None
