"""Reads attributes out of a prompt by rules: `read_prompt`.

Owns how the words of a prompt become attributes; the words are `pokejax.lexicon`'s,
finding them is `pokejax.phrases`'. No model, no network, well under a millisecond a
prompt. The rules, in the order they are applied:

1. Words are compared in lower case without accents, plurals as singulars, hyphens as
   spaces. The longest phrase wins, and it never spans a comma or a full stop.
2. "no", "not", "without" and the like cancel what follows, up to a noun, four words,
   or the end of the clause.
3. A color or size whose next noun is a part ("red shell", "big ears") speaks of that
   part. Part colors can only be the secondary color; part sizes are left out.
4. Types are ranked: said with "type" ("fire-type"), named ("fire"), evoked
   ("blazing"), an animal's ("fish"). Normal and Flying come last unless said with
   "type", since few creatures are those first. The best is `type1`, the next
   different one `type2`; within a rank the first mentioned wins. "Pure fire" means no
   second type. "Dragon" and "dark" evoke, so "fiery dragon" is Fire and Dragon.
5. Shapes are ranked: described ("four-legged"), an animal ("fox"), a comparison
   ("fox-like"). In "dragon turtle" the last noun is the creature.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pokejax import lexicon
from pokejax.attributes import NONE, Attributes
from pokejax.phrases import (
    LIKENESS,
    MARKED,
    NAMED,
    Meaning,
    Phrase,
    Token,
    find_phrases,
    stems,
    tokenize,
)

_TYPE_MARKS = frozenset({"type", "typed", "element", "elemental"})
_PURE = frozenset({"pure", "purely", "mono", "solely", "strictly", "only"})
_SOLID = frozenset({"entirely", "solid", "completely", "wholly", "uniformly"})
_CLAUSE_ENDS = stems(lexicon.CLAUSE_ENDS)
_LINKS = stems(lexicon.LINKS)
_NEGATION_REACH = 4
_NOUN_REACH = 8
_PARTS = stems(lexicon.PARTS)
_BODY = stems((*lexicon.COVERINGS, *lexicon.CREATURES))
_NEGATORS = stems(lexicon.NEGATORS)
_IGNORED = stems(lexicon.STOP_WORDS) | _NEGATORS | _SOLID | _PURE | _LINKS

# Attribute -> its value and the phrase that decided it.
_Chosen = dict[str, tuple[str, Phrase]]


@dataclass(frozen=True)
class Match:
    """Where an attribute was read: `prompt[start:end] == text`."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class PromptReading:
    """What `read_prompt` found.

    Attributes:
      attributes: `None` where the prompt doesn't say.
      matches: for each known attribute, the words that decided it.
      unrecognised: content words that nothing was read from, in order, each once.
    """

    attributes: Attributes
    matches: Mapping[str, Match]
    unrecognised: tuple[str, ...]


def read_prompt(prompt: str) -> PromptReading:
    """Read what `prompt` says of a creature, by the rules of this module's docstring.

    Never raises on any text, and takes time linear in its length.

    Args:
      prompt: free text in English, any length; may hold any character.

    Returns:
      The attributes found (`legendary` and `mythical` only ever `"Yes"`), the words
      each was read from, and the words left over.
    """
    tokens = tokenize(prompt)
    found = find_phrases(tokens)
    cancelled = _cancelled(tokens, found)
    kept = [f for f in found if not cancelled[f.first]]
    reader = _Reader(tokens, kept)
    chosen = reader.types() | reader.colors() | reader.shape() | reader.sizes()
    for name in ("evolution_stage", "habitat", "legendary", "mythical"):
        chosen |= reader.first(name)

    def match(f: Phrase) -> Match:
        start, end = tokens[f.first].start, tokens[f.last].end
        return Match(prompt[start:end], start, end)

    used = {i for f in kept for i in range(f.first, f.last + 1)}
    left = (
        prompt[t.start : t.end]
        for i, t in enumerate(tokens)
        if i not in used
        and not cancelled[i]
        and t.stem not in _IGNORED
        and (len(t.stem) > 1 or not t.stem.isascii())
    )
    return PromptReading(
        attributes=Attributes(**{name: value for name, (value, _) in chosen.items()}),
        matches={name: match(f) for name, (_, f) in chosen.items()},
        unrecognised=tuple(dict.fromkeys(left)),
    )


def _cancelled(tokens: list[Token], found: list[Phrase]) -> list[bool]:
    """For each token, whether a negation covers it."""
    owner = {i: f for f in found for i in range(f.first, f.last + 1)}
    cancelled = [False] * len(tokens)
    reach = 0
    for i, token in enumerate(tokens):
        following = tokens[i + 1].stem if i + 1 < len(tokens) else ""
        if i not in owner and token.stem in _NEGATORS:
            reach = 0 if following in ("only", "just") else _NEGATION_REACH
            continue
        if token.breaks or token.stem in ("but", "with", "and"):
            reach = 0
        if token.stem == "or" and i and cancelled[i - 1]:
            reach = _NEGATION_REACH
        if i in owner and i > owner[i].first:
            cancelled[i] = cancelled[i - 1]
        elif reach:
            cancelled[i] = True
            reach -= 1
        is_noun = token.stem in _PARTS or token.stem in _BODY
        if is_noun or (i in owner and owner[i].of("shape")):
            reach = 0
    return cancelled


class _Reader:
    """The phrases of one prompt, and each attribute's way of choosing among them."""

    def __init__(self, tokens: list[Token], found: list[Phrase]) -> None:
        self.tokens = tokens
        self.found = found
        self.owner = {i: f for f in found for i in range(f.first, f.last + 1)}
        self.marked = self._marked([f for f in found if f.of("type")])

    def first(self, kind: str) -> _Chosen:
        for f in self.found:
            if meaning := f.of(kind):
                return {kind: (meaning.value, f)}
        return {}

    def sizes(self) -> _Chosen:
        for f in self.found:
            if (meaning := f.of("size")) and not self._speaks_of_part(f):
                return {"size": (meaning.value, f)}
        return {}

    def shape(self) -> _Chosen:
        best: tuple[int, Meaning, Phrase] | None = None
        for f in self.found:
            meaning = f.of("shape")
            if not meaning:
                continue
            rank = meaning.rank
            if rank == LIKENESS:
                if f.first in self.marked:
                    continue  # neither is "ghost type" a ghost
                if self._stem_at(f.last + 1) in _PARTS and f.last + 1 not in self.owner:
                    continue  # "mouse ears" is no mouse
                rank -= self._stem_at(f.last + 1) == "like"
            heads_compound = (
                best and best[0] == rank == LIKENESS and best[2].last == f.first - 1
            )
            if best is None or rank > best[0] or heads_compound:
                best = rank, meaning, f
        return {"shape": (best[1].value, best[2])} if best else {}

    def colors(self) -> _Chosen:
        body: list[tuple[str, Phrase]] = []
        parts: list[tuple[str, Phrase]] = []
        for f in self.found:
            if meaning := f.of("color"):
                of_part = self._speaks_of_part(f)
                (parts if of_part else body).append((meaning.value, f))
        chosen = {"primary_color": body[0]} if body else {}
        primary = body[0][0] if body else None
        others = [color for color in (*body[1:], *parts) if color[0] != primary]
        if others:
            chosen["secondary_color"] = others[0]
        elif body and self._stem_at(body[0][1].first - 1) in _SOLID:
            chosen["secondary_color"] = (NONE, body[0][1])
        return chosen

    def types(self) -> _Chosen:
        types = [(meaning, f) for f in self.found if (meaning := f.of("type"))]
        ranked = sorted(
            types, key=lambda t: -(MARKED if t[1].first in self.marked else t[0].rank)
        )
        for meaning, f in ranked:
            if meaning.rank == NAMED or f.first in self.marked:
                after = f.last + 1 + (self._stem_at(f.last + 1) in _TYPE_MARKS)
                if (
                    self._stem_at(f.first - 1) in _PURE
                    or self._stem_at(after) == "only"
                ):
                    return {"type1": (meaning.value, f), "type2": (NONE, f)}
        chosen: _Chosen = {}
        for meaning, f in ranked:
            if not chosen:
                chosen["type1"] = (meaning.value, f)
            elif meaning.value != chosen["type1"][0]:
                chosen["type2"] = (meaning.value, f)
                break
        return chosen

    def _marked(self, types: list[Phrase]) -> set[int]:
        """First tokens of types said with "type": before, after, or joined by "and"."""
        names = [f for f in types if f.first == f.last and self._is_name(f)]
        starts = {f.first for f in names}
        marked: set[int] = set()
        for f in reversed(names):
            joined = f.last + 1 + (self._stem_at(f.last + 1) == "and")
            if self._stem_at(f.last + 1) in _TYPE_MARKS or (
                joined in marked and not self.tokens[joined].breaks
            ):
                marked.add(f.first)
        for f in names:
            before = f.first - 1 - (self._stem_at(f.first - 1) == "and")
            is_mark = self._stem_at(before) in _TYPE_MARKS and before - 1 not in starts
            if is_mark or before in marked:
                marked.add(f.first)
        return marked

    def _is_name(self, f: Phrase) -> bool:
        meaning = f.of("type")
        return meaning is not None and self._stem_at(f.first) == meaning.value.lower()

    def _stem_at(self, index: int) -> str:
        return self.tokens[index].stem if 0 <= index < len(self.tokens) else ""

    def _speaks_of_part(self, f: Phrase) -> bool:
        """Whether the noun that the phrase `f` describes is a part of the creature."""
        maybe = False
        for i in range(f.last + 1, min(f.last + 1 + _NOUN_REACH, len(self.tokens))):
            token = self.tokens[i]
            after = self.owner.get(i + 1)
            in_list = token.stem == "and" and after is not None and after.of("color")
            owner = self.owner.get(i)
            next_color = owner is not None and owner.of("color") is not None
            if token.breaks and not next_color:
                break
            if token.stem in _CLAUSE_ENDS and not in_list:
                break
            if token.stem in _BODY:
                return False
            if token.stem in _PARTS:
                if owner is None:
                    return True
                # "Red flame" is a part, "red flame lizard" isn't.
                maybe = owner.of("type") is not None and owner.last == i
            elif owner is not None and (shape := owner.of("shape")):
                part_next = self._stem_at(owner.last + 1) in _PARTS
                if shape.rank == LIKENESS and not part_next:
                    return False
        return maybe or (f.of("color") is not None and self._follows_part(f))

    def _follows_part(self, f: Phrase) -> bool:
        for i in range(f.first - 1, max(f.first - 1 - _NOUN_REACH, -1), -1):
            if self.tokens[i + 1].breaks:
                return False
            if self.tokens[i].stem in _PARTS:
                return i not in self.owner
            if self.tokens[i].stem not in _LINKS:
                return False
        return False
