"""Composes true prompts for a creature of the table, in many registers.

Owns the sentences that name animals and parts; the words for attributes are
`pokejax.prompts.lexicon`'s, and prompts of attributes alone `prompt_writer`'s. Whatever
is said stands in the creature's entry or its attributes.
"""

import random

from data_tools.prompt_writer import article, type_thing, word_for, write_prompts
from data_tools.species import Entry, Part
from pokejax.attributes import NONE, Attributes
from pokejax.prompts import lexicon

# A hue that is turned leaves these as they are.
ACHROMATIC = frozenset({"Black", "White", "Gray"})
_COLOR_WORDS = {
    word: name
    for name, words in lexicon.COLOR_WORDS.items()
    for word in (*words, name.lower())
} | {"grey": "Gray", "golden": "Yellow", "cream": "White", "dark": "Black"}
_MASS = frozenset(
    [
        "fur",
        "hair",
        "skin",
        "wool",
        "plumage",
        "moss",
        "smoke",
        "fire",
        "foam",
        "mud",
        "ice",
        "water",
        "armour",
        "down",
        "fluff",
        "cloth",
        "cotton",
        "slime",
        "lava",
        "seaweed",
        "sand",
        "snow",
        "trash",
        "frost",
        "silk",
        "plasma",
        "straw",
        "rice",
        "tea",
        "jelly",
        "shading",
        "mist",
        "wood",
    ]
)
_PLURAL = frozenset(["antennae", "teeth", "feet", "larvae", "hooves"])
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
    turned: bool = False,
) -> list[str]:
    """Seven prompts of one picture, the same for the same arguments.

    Args:
      entry: of the creature.
      attributes: of the picture; its colours are the picture's own.
      seed: tells pictures apart.
      behind: the picture shows its back, and each prompt says so.
      turned: its hues aren't the entry's, so only parts without one name their colour.
    """
    rng = random.Random(seed)
    known = {k: v for k, v in attributes.known().items() if v not in (NONE, "No")}
    teller = _Teller(rng, entry, known, turned)
    captions = [
        teller.tags(),
        teller.terse(),
        teller.phrase(parts=1),
        rng.choice(_LEADS).format(a=teller.with_article(teller.phrase(parts=1))),
        rng.choice(_LEADS).format(a=teller.with_article(teller.phrase(parts=2))),
        teller.told(),
        rng.choice(write_prompts(attributes, seed)),
    ]
    if behind:
        captions = [from_behind(text, rng) for text in captions]
    return captions


def from_behind(prompt: str, rng: random.Random) -> str:
    """A prompt that also says that the creature's back is seen."""
    return f"{prompt.rstrip('.?!')}, {rng.choice(_BEHIND)}"


class _Teller:
    """One picture's facts, and the ways of telling them."""

    def __init__(
        self,
        rng: random.Random,
        entry: Entry,
        known: dict[str, str],
        turned: bool,
    ):
        self.rng, self.entry, self.known, self.turned = rng, entry, known, turned

    def noun(self) -> str:
        return self.rng.choice(self.entry.nouns)

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
        # Without its colour, "brown body" says nothing.
        telling = [p for p in self.entry.parts if " " in self.uncolored(p)]
        parts = telling if self.turned and telling else self.entry.parts
        chosen = self.rng.sample(parts, min(count, len(parts)))
        return [self.part(part) for part in chosen]

    @staticmethod
    def uncolored(part: Part) -> str:
        if part.color in ACHROMATIC:
            return part.name
        words = part.name.split()
        plain = [w for w in words if w not in _COLOR_WORDS]
        return " ".join(plain).removeprefix("and ") or words[-1]

    def part(self, part: Part) -> str:
        if self.turned and part.color not in ACHROMATIC:
            return self.uncolored(part)
        words = part.name.split()
        plain = [w for w in words if w not in _COLOR_WORDS]
        if plain == words and self.rng.random() < 0.4:
            color = self.rng.choice(lexicon.COLOR_WORDS[part.color][:3])
            return f"{color} {part.name}"
        return part.name

    def tags(self) -> str:
        words = [f"{self.color('primary_color')} {self.noun()}"]
        extra = self.parts(self.rng.randint(1, 3))
        if "type1" in self.known and self.rng.random() < 0.6:
            extra.append(self.known["type1"].lower())
        if "secondary_color" in self.known and self.rng.random() < 0.3:
            extra.append(self.color("secondary_color"))
        if "size" in self.known and self.rng.random() < 0.3:
            extra.append(self.known["size"].lower())
        self.rng.shuffle(extra)
        return ", ".join(words + extra)

    def terse(self) -> str:
        return " ".join([*self.adjectives(0.6), self.noun()])

    def phrase(self, parts: int) -> str:
        seen = [self.with_article(part) for part in self.parts(parts)]
        if self.known.get("type1", "Normal") != "Normal" and self.rng.random() < 0.3:
            seen.append(self.powers())
        text = f"{self.terse()} with {' and '.join(seen)}"
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
        first = self.with_article(self.terse())
        if "type1" in self.known and self.rng.random() < 0.6:
            phrases = lexicon.TYPE_PHRASES[self.known["type1"]]
            first += f" {word_for(self.rng, self.known, 'type1', phrases)}"
        parts = [self.with_article(part) for part in self.parts(2)]
        text = f"{first[0].upper()}{first[1:]}. It has {' and '.join(parts)}"
        if "habitat" in self.known and self.rng.random() < 0.5:
            text += f", and it lives in or near {self.place()}"
        return f"{text}."

    @staticmethod
    def with_article(phrase: str) -> str:
        last = phrase.split(" with ")[0].split()[-1]
        is_plural = last in _PLURAL or (last.endswith("s") and not last.endswith("ss"))
        if last in _MASS or is_plural:
            return phrase
        return f"{article(phrase)} {phrase}"
