"""Composes true prompts for a creature of the table, in many registers.

Owns the sentences that name animals and parts; the words for attributes are
`pokejax.prompts.lexicon`'s, and prompts of attributes alone `prompt_writer`'s. Whatever
is said stands in the creature's entry or its attributes.
"""

import random
import re
from collections.abc import Collection

from pokejax.attributes import COLORS, NONE, Attributes
from pokejax.prompts import lexicon

from .part_words import (
    faces_front,
    is_achromatic,
    names_color,
    takes_article,
    uncolored,
)
from .prompt_writer import article, type_thing, word_for, write_prompts
from .species import Entry, Part

# Without a colour these say nothing.
_BARE = frozenset(
    [
        "back",
        "body",
        "edge",
        "eye",
        "eyes",
        "face",
        "fur",
        "hair",
        "head",
        "skin",
        "top",
    ]
)
_LEADS = (
    "{a}", "{a}.", "draw {a}", "Draw me {a}.", "make {a}", "I want {a}.",
    "Can you draw {a}?", "a sprite of {a}", "pixel art of {a}", "Show me {a}.",
    "Please draw {a}.", "I'd like {a}", "generate {a}", "Design {a}.",
)  # fmt: skip
_BEHIND = ("seen from behind", "from behind", "back view", "its back turned to us")


def write_captions(
    entry: Entry,
    attributes: Attributes,
    seed: str,
    *,
    behind: bool = False,
    kept: Collection[str] = COLORS,
) -> list[str]:
    """Seven prompts of one picture, the same for the same arguments.

    Args:
      entry: of the creature.
      attributes: of the picture; its colours are the picture's own.
      seed: tells pictures apart.
      behind: the picture shows its back: each prompt says so, and none names a face.
      kept: which colours of the entry the picture still has. All of them in its normal
        palette, `ACHROMATIC` after a turn of its hues, and none in another palette.
    """
    rng = random.Random(seed)
    known = {k: v for k, v in attributes.known().items() if v not in (NONE, "No")}
    parts = [p for p in entry.parts if not (behind and faces_front(p.name))]
    teller = _Teller(rng, entry, known, parts, kept)
    plain = write_prompts(attributes, seed)
    if behind:  # "with feathers and a beak"
        plain = [p for p in plain if not faces_front(p)] or [teller.terse()]
    captions = [
        teller.tags(),
        teller.terse(),
        teller.phrase(parts=1),
        rng.choice(_LEADS).format(a=_with_article(teller.phrase(parts=1))),
        rng.choice(_LEADS).format(a=_with_article(teller.phrase(parts=2))),
        teller.told(),
        rng.choice(plain),
    ]
    if behind:
        captions = [from_behind(text, rng) for text in captions]
    return captions


def from_behind(prompt: str, rng: random.Random) -> str:
    """A prompt that also says that the creature's back is seen."""
    return f"{prompt.rstrip('.?!')}, {rng.choice(_BEHIND)}"


def _with_article(phrase: str) -> str:
    return f"{article(phrase)} {phrase}" if takes_article(phrase) else phrase


def _said_once(phrase: str) -> str:
    """Without the second of two equal words: a dragon-type dragon is a dragon."""
    return re.sub(r"\b(\w+)(?: \1\b)+", r"\1", phrase)


class _Teller:
    """One picture's facts, and the ways of telling them."""

    def __init__(
        self,
        rng: random.Random,
        entry: Entry,
        known: dict[str, str],
        parts: list[Part],
        kept: Collection[str],
    ):
        self.rng, self.entry, self.known, self.kept = rng, entry, known, kept
        self.kept_all = len(set(kept)) == len(COLORS)
        told = [(part, self.without_lost_color(part)) for part in parts]
        if not self.kept_all:
            # Without its colour, "brown tail" says little, and "brown body" nothing.
            telling = [(part, name) for part, name in told if " " in name]
            told = telling or [pair for pair in told if pair[1] not in _BARE]
        self.visible = told

    def noun(self) -> str:
        # The creature's colour stands before it, and may be another than the noun's.
        return uncolored(self.rng.choice(self.entry.nouns))

    def color(self, name: str) -> str:
        return word_for(
            self.rng, self.known, name, lexicon.COLOR_WORDS[self.known[name]]
        )

    def adjectives(self, chance: float = 0.5) -> list[str]:
        """Some of size, colour and type, as they stand before a noun."""
        rng, known, words = self.rng, self.known, []
        if "size" in known and rng.random() < chance:
            choice = lexicon.SIZE_ADJECTIVES[known["size"]]
            words.append(word_for(rng, known, "size", choice))
        if "mythical" in known or "legendary" in known:
            kind = "mythical" if "mythical" in known else "legendary"
            if rng.random() < 0.4:
                words.append(kind)
        if "primary_color" in known and rng.random() < 0.95:
            color = self.color("primary_color")
            if "secondary_color" in known and rng.random() < 0.25:
                color += f" and {self.color('secondary_color')}"
            words.append(color)
        if "type1" in known and rng.random() < chance:
            words.append(self.type_word())
        return words

    def type_word(self) -> str:
        names = [k for k in ("type1", "type2") if k in self.known]
        name = self.rng.choice(names)
        if self.rng.random() < 0.5:
            return self.known[name].lower()
        choice = lexicon.TYPE_ADJECTIVES[self.known[name]]
        return word_for(self.rng, self.known, name, choice)

    def powers(self) -> str:
        return f"{type_thing(self.rng, self.known['type1'])} powers"

    def parts(self, count: int) -> list[str]:
        chosen = self.rng.sample(self.visible, min(count, len(self.visible)))
        return [self.part(part, name) for part, name in chosen]

    def without_lost_color(self, part: Part) -> str:
        """The part's name, with its colours if the picture has kept them."""
        stays = part.color in self.kept and is_achromatic(part.name)
        return part.name if self.kept_all or stays else uncolored(part.name)

    def part(self, part: Part, name: str) -> str:
        if not self.kept_all or names_color(name):
            return name
        # A lone "tail" says nothing.
        if " " not in name or self.rng.random() < 0.4:
            return f"{self.rng.choice(lexicon.COLOR_WORDS[part.color][:3])} {name}"
        return name

    def tags(self) -> str:
        words = [_said_once(f"{self.color('primary_color')} {self.noun()}")]
        extra = self.parts(self.rng.randint(1, 3))
        kind = self.known.get("type1", "").lower()
        if kind and kind not in words[0].split() and self.rng.random() < 0.6:
            extra.append(kind)
        if "secondary_color" in self.known and self.rng.random() < 0.3:
            extra.append(self.color("secondary_color"))
        if "size" in self.known and self.rng.random() < 0.3:
            extra.append(self.known["size"].lower())
        self.rng.shuffle(extra)
        return ", ".join(words + extra)

    def terse(self) -> str:
        return _said_once(" ".join([*self.adjectives(0.6), self.noun()]))

    def phrase(self, parts: int) -> str:
        seen = [_with_article(part) for part in self.parts(parts)]
        if self.known.get("type1", "Normal") != "Normal" and self.rng.random() < 0.3:
            seen.append(self.powers())
        text = self.terse()
        if seen:
            text += f" with {' and '.join(seen)}"
        if "habitat" in self.known and self.rng.random() < 0.2:
            text += f" from {self.place()}"
        return text

    def place(self) -> str:
        places = [
            place
            for place in lexicon.HABITAT_PLACES[self.known["habitat"]]
            if not place.startswith(("high ", "above "))
        ]
        return word_for(self.rng, self.known, "habitat", tuple(places))

    def told(self) -> str:
        """Two sentences."""
        first = _with_article(self.terse())
        if "type1" in self.known and self.rng.random() < 0.6:
            phrases = lexicon.TYPE_PHRASES[self.known["type1"]]
            first += f" {word_for(self.rng, self.known, 'type1', phrases)}"
        said = [_with_article(part) for part in self.parts(2)]
        said = [f"has {' and '.join(said)}"] if said else []
        if "habitat" in self.known and (not said or self.rng.random() < 0.5):
            lives = f"lives in or near {self.place()}"
            said.append(f"it {lives}" if said else lives)
        text = f"{first[0].upper()}{first[1:]}."
        return f"{text} It {', and '.join(said)}." if said else text
