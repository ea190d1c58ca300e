"""Reads attributes out of a prompt by rules: `parse_by_rules`.

Owns how the words of a prompt become attributes; the words are
`pokejax.prompts.lexicon`'s, finding them is `pokejax.prompts.phrases`'. No model, no
network, well under a millisecond a prompt. The rules, in the order they are applied:

1. Words are compared in lower case without accents, plurals as singulars, hyphens as
   spaces; a color, type, size or animal with one slip of the pen still counts. The
   longest phrase wins, and it never spans a comma or a full stop.
2. "no", "not", "without", "instead of" and the like cancel what follows, up to a noun,
   four words, or the end of the clause. What is denied outright ("not poisonous") isn't
   let in by a side door either ("viper"). A denied legendary or mythical is "No".
3. A place after "in", "from" and the like takes its adjectives with it: neither the
   colors, sizes nor types in "from the deep blue sea" are the creature's; so does a
   clause that is only a place ("gray sky, brown dog"). The sky above is no habitat.
   Whom it fights, chases or rides is another creature: "a wolf fighting a dragon" is
   of neither type.
4. A color or size describes the next noun. That of a part ("red shell", "big ears") or
   of a thing ("with a red umbrella") can only be the secondary color and is no size.
   "On a black body" is the primary color whatever was said before, and so is that of
   a shell, armor or plates if there's no other. Of parts that have a place, such as a
   belly, the color is kept beside the attributes, as the place's.
5. Types are ranked: said with "type" ("fire-type"), named ("fire") or listed
   ("ground/rock"), evoked ("blazing"), an animal's ("fish"), a place's ("lake"; only if
   there is no other). Normal and Flying come last unless said with "type" or listed,
   since few creatures are those first. The best is `type1`, the next different one
   `type2`; within a rank the first mentioned wins. "Pure fire" means no second type,
   and beside "fire-type" an animal adds none. "Dragon" and "dark" evoke, so "fiery
   dragon" is Fire and Dragon.
6. Shapes are ranked: a number of legs ("four stubby legs"), described ("serpentine"),
   an animal ("fox"), a comparison ("fox-like"), what it wears ("feathered"). In "dragon
   turtle" the last noun is the creature.
"""

from itertools import pairwise

from pokejax.attributes import FLAGS, NONE, Attributes
from pokejax.prompts import lexicon
from pokejax.prompts.nouns import (
    EMPTY_WORDS,
    PURE,
    SOLID,
    TYPE_MARKS,
    Noun,
    NounFinder,
)
from pokejax.prompts.parsed import Match, ParsedPrompt
from pokejax.prompts.phrases import (
    LIKENESS,
    MARKED,
    NAMED,
    PLACE,
    Meaning,
    Phrase,
    Token,
    correct,
    find_denied,
    find_legs,
    find_phrases,
    stems,
    tokenize,
)

_HEDGES = stems(lexicon.HEDGES)
_PARTS = stems(lexicon.PARTS)
_EYELESS, _FACES = stems(lexicon.EYELESS), stems(lexicon.FACES)
_NOT_ITSELF = (Noun.PART, Noun.WRAP, Noun.THING)
_THINGS = {
    tuple(token.stem for token in tokenize(thing))
    for things in lexicon.TYPE_NOUNS.values()
    for thing in things
}

# Attribute -> its value and the phrase that decided it.
_Chosen = dict[str, tuple[str, Phrase]]


def parse_by_rules(prompt: str) -> ParsedPrompt:
    """Read what `prompt` says about a creature, by this module's rules.

    Never raises on any text, and takes time linear in its length.

    Args:
      prompt: free text in English, any length; may hold any character.

    Returns:
      The attributes found, the words each was read from, and the words left over.
    """
    tokens = correct(tokenize(prompt))
    found = find_phrases(tokens)
    denied = find_denied(tokens, found)
    reader = _Reader(tokens, found, denied)
    chosen = reader.types() | reader.colors() | reader.shape() | reader.sizes()
    chosen |= reader.first("evolution_stage") | reader.habitat()
    chosen |= reader.flag("legendary") | reader.flag("mythical")
    chosen |= reader.first("view")

    def match(f: Phrase) -> Match:
        start, end = tokens[f.first].start, tokens[f.last].end
        return Match(prompt[start:end], start, end)

    used = {i for f in reader.found for i in range(f.first, f.last + 1)}
    used |= {i for f in reader.legs for i in (f.first, f.last)}
    used -= reader.nouns.acts
    parts = reader.parts()
    used |= {i for _, i in parts.values()}
    left = (
        prompt[t.start : t.end]
        for i, t in enumerate(tokens)
        if i not in used
        and not denied[i]
        and t.stem not in EMPTY_WORDS
        and (len(t.stem) > 1 or not t.stem.isascii())
    )
    return ParsedPrompt(
        prompt=prompt,
        attributes=Attributes(**{name: value for name, (value, _) in chosen.items()}),
        sources=dict.fromkeys(chosen, "rules"),
        matches={name: match(f) for name, (_, f) in chosen.items()},
        unrecognised=tuple(dict.fromkeys(left)),
        parts={place: color for place, (color, _) in parts.items()},
    )


class _Reader:
    """The phrases of one prompt, and each attribute's way of choosing among them."""

    def __init__(
        self, tokens: list[Token], found: list[Phrase], denied: list[bool]
    ) -> None:
        self.tokens = tokens
        self.found = [f for f in found if not denied[f.first]]
        self.covered = denied
        self.denied = [f for f in found if denied[f.first]]
        self.legs = [f for f in find_legs(tokens) if not denied[f.first]]
        self.nouns = NounFinder(tokens, self.found)
        names = [f for f in self.found if f.first == f.last and self._is_name(f)]
        self.marked = self._marked(names)
        self.listed = self._listed(names)

    def flag(self, kind: str) -> _Chosen:
        for f in self.denied:
            if f.of(kind):
                return {kind: (FLAGS[False], f)}
        return self.first(kind)

    def first(self, kind: str) -> _Chosen:
        for f in self.found:
            if meaning := f.of(kind):
                return {kind: (meaning.value, f)}
        return {}

    def habitat(self) -> _Chosen:
        for f in self.found:
            meaning = f.of("habitat")
            if not meaning or (meaning.value == "Sky" and self.nouns.is_overhead(f)):
                continue
            return {"habitat": (meaning.value, f)}
        return {}

    def sizes(self) -> _Chosen:
        own = (Noun.UNSAID, Noun.CREATURE, Noun.BODY)
        for f in self.found:
            if not (meaning := f.of("size")) or self._stem_at(f.last + 1) in _HEDGES:
                continue
            if self.nouns.noun_of(f) in own:
                return {"size": (meaning.value, f)}
        return {}

    def shape(self) -> _Chosen:
        named = {m.value for f in self.found if (m := f.of("shape"))}
        has_two_legs = bool(named & {"Avian", "Humanoid"})
        types = self.marked | self.listed
        best: tuple[int, Meaning, Phrase] | None = None
        for f in sorted([*self.found, *self.legs], key=lambda f: f.first):
            meaning = f.of("shape")
            if not meaning:
                continue
            rank = meaning.rank
            if rank == LIKENESS:
                following = self._stem_at(f.last + 1)
                if f.first in types:
                    continue  # "ghost type" is no ghost
                if following in _PARTS and f.last + 1 not in self.nouns.owner:
                    continue  # "mouse ears" is no mouse
                rank -= following == "like"
            if rank == NAMED and meaning.value == "Bipedal" and has_two_legs:
                continue  # a bird or a knight on its two legs is still one
            heads_compound = (
                best and best[0] == rank == LIKENESS and best[2].last == f.first - 1
            )
            if best is None or rank > best[0] or heads_compound:
                best = rank, meaning, f
        return {"shape": (best[1].value, best[2])} if best else {}

    def colors(self) -> _Chosen:
        first: list[tuple[str, Phrase]] = []
        body: list[tuple[str, Phrase]] = []
        wraps: list[tuple[str, Phrase]] = []
        parts: list[tuple[str, Phrase]] = []
        denied = self._denied("color")
        for f in self.found:
            meaning = f.of("color")
            if not meaning or (meaning.value in denied and not self._is_plain(f)):
                continue
            color, noun = (meaning.value, f), self.nouns.noun_of(f)
            if noun is Noun.BODY:
                first.append(color)
            elif noun is Noun.COVERING and self.nouns.introduced_by(f) is Noun.PLACE:
                first.append(color)  # "on black fur"
            elif noun in _NOT_ITSELF:
                parts.append(color)
                wraps += [color] if noun is Noun.WRAP else []
            elif noun is not Noun.PLACE:
                body.append(color)
        body = first + body or wraps[:1]
        chosen = {"primary_color": body[0]} if body else {}
        primary = body[0][0] if body else None
        others = [color for color in (*body[1:], *parts) if color[0] != primary]
        if others:
            chosen["secondary_color"] = others[0]
        elif body and self._stem_at(body[0][1].first - 1) in SOLID:
            chosen["secondary_color"] = (NONE, body[0][1])
        return chosen

    def parts(self) -> dict[str, tuple[str, int]]:
        """By place, a part's color and the token that names it.

        The first such part wins, and of its colors the last one. Eyes may be `NONE`.
        """
        parts: dict[str, tuple[str, int]] = {}
        for f in self.found:
            meaning = f.of("color")
            if not meaning or not (found := self.nouns.place_of(f)):
                continue
            place, i = found
            if place not in parts or parts[place][1] == i:
                parts[place] = meaning.value, i
        # "Without red eyes" has some, of another color.
        colored = {f.last + 1 for f in self.denied if f.of("color")}
        for i, token in enumerate(self.tokens):
            denied = self.covered[i] and token.stem in _FACES and i not in colored
            if token.stem in _EYELESS or denied:
                parts["eyes"] = NONE, i
        return parts

    def types(self) -> _Chosen:
        denied = self._denied("type")
        said: list[tuple[int, Meaning, Phrase]] = []
        for f in self.found:
            meaning = f.of("type")
            if not meaning:
                continue
            rank = NAMED if f.first in self.listed else meaning.rank
            rank = MARKED if f.first in self.marked else rank
            elsewhere = self.nouns.located[f.first] or self.nouns.acted_on[f.first]
            if rank < MARKED and (elsewhere or f.first in self.nouns.acts):
                continue
            key = tuple(t.stem for t in self.tokens[f.first : f.last + 1])
            if rank < NAMED and key in _THINGS and self.nouns.is_beside(f):
                continue
            if self._stem_at(f.first) == "dark" and self.nouns.noun_of(f) is Noun.PART:
                continue  # "dark wings" are of any type
            if meaning.value not in denied or self._is_plain(f):
                said.append((rank, meaning, f))
        # A place says where a creature lives, and only at a pinch what it is.
        said = [s for s in said if s[0] > PLACE or not s[2].of("habitat")] or said
        said.sort(key=lambda s: -s[0])
        for rank, meaning, f in said:
            if rank >= NAMED:
                after = f.last + 1 + (self._stem_at(f.last + 1) in TYPE_MARKS)
                if self._stem_at(f.first - 1) in PURE or self._stem_at(after) == "only":
                    return {"type1": (meaning.value, f), "type2": (NONE, f)}
        chosen: _Chosen = {}
        for rank, meaning, f in said:
            if chosen and said[0][0] == MARKED and rank <= LIKENESS:
                break
            if not chosen:
                chosen["type1"] = (meaning.value, f)
            elif meaning.value != chosen["type1"][0]:
                chosen["type2"] = (meaning.value, f)
                break
        return chosen

    def _denied(self, kind: str) -> set[str]:
        """Values said not to be the creature's; "no leaves" doesn't deny Grass."""
        values: set[str] = set()
        for f in self.denied:
            key = tuple(t.stem for t in self.tokens[f.first : f.last + 1])
            meaning = f.of(kind)
            if not meaning or (key in _THINGS and not self._is_plain(f)):
                continue
            if kind == "type" or self.nouns.noun_of(f) not in _NOT_ITSELF:
                values.add(meaning.value)
        return values

    def _marked(self, names: list[Phrase]) -> set[int]:
        """First tokens of types said with "type": before, after, or joined by "and"."""
        starts = {f.first for f in names}
        marked: set[int] = set()
        for f in reversed(names):
            joined = f.last + 1 + (self._stem_at(f.last + 1) == "and")
            if self._stem_at(f.last + 1) in TYPE_MARKS or (
                joined in marked and not self.tokens[joined].breaks
            ):
                marked.add(f.first)
        for f in names:
            before = f.first - 1 - (self._stem_at(f.first - 1) == "and")
            is_mark = self._stem_at(before) in TYPE_MARKS and before - 1 not in starts
            if is_mark or before in marked:
                marked.add(f.first)
        return marked

    def _listed(self, names: list[Phrase]) -> set[int]:
        """First tokens of types in a list such as "ground/rock" or "dark and ice"."""
        listed: set[int] = set()
        for f, g in pairwise(names):
            gap = self.tokens[f.last + 1 : g.first + 1]
            with_and = len(gap) == 2 and gap[0].stem == "and"
            with_and = with_and and not (gap[0].breaks or gap[1].breaks)
            if with_and or (len(gap) == 1 and gap[0].listed):
                listed |= {f.first, g.first}
        return listed

    def _is_name(self, f: Phrase) -> bool:
        return f.of("type") is not None and self._is_plain(f)

    def _is_plain(self, f: Phrase) -> bool:
        """Whether the phrase is the very name of what it means."""
        stem = self._stem_at(f.first)
        return f.first == f.last and any(stem == m.value.lower() for m in f.meanings)

    def _stem_at(self, index: int) -> str:
        return self.tokens[index].stem if 0 <= index < len(self.tokens) else ""
