"""What must be known of words to name a creature's parts truly and in good English.

Owns the lists: which words are colours, which parts only a front shows, which nouns
take no article.
"""

import re

from pokejax.prompts import lexicon


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# A hue that is turned leaves these as they are.
ACHROMATIC = frozenset({"Black", "White", "Gray"})
_ACHROMATIC_WORDS = _words(
    "black white gray grey dark pale silver blackened whitish grayish"
)
COLOR_WORDS = {
    word: name
    for name, words in lexicon.COLOR_WORDS.items()
    for word in (*words, name.lower())
} | {
    **{"grey": "Gray", "cream": "White", "dark": "Black", "pale": "White"},
    # Of no one colour, yet of another in another palette.
    **dict.fromkeys(("colourful", "rainbow", "sandy"), ""),
}
# Colours of things, which stand for the things themselves here: a rose hand.
_THINGS = _words("""
    blueberry caramel cherry chestnut chocolate coral dandelion eggplant grape lemon
    licorice olive orchid peach pearl plum pumpkin rose salmon smoky sunflower sunny
    walnut
""")
_ONE_WORD = "|".join(w for w in COLOR_WORDS if w.isalpha() and w not in _THINGS)
# Runs of colours before something else: "dark red ", "grey-green ", "red and white ".
_COLORS_BEFORE = re.compile(
    rf"(?:\b(?:(?:light|bright|deep)[ -])?(?<!ice )(?:{_ONE_WORD})(?: and |[ -]))+"
    r"(?=\w)",
    re.IGNORECASE,
)
_FRONT_ONLY = _words("""
    angry beak beaked beaks beard belly bib bill brow brows cheek cheeks chest chin
    coin confused core dial dizzy drooling eye eyebrow eyebrows eyed eyelashes
    eyeless eyelid eyelids eyes face faced faces fangs forehead gaping gem gems
    glasses goggle goggles grin grinning grumpy jaw jaws judo laughing lips
    loincloth lure mandibles mark mask masked moustache mouth mouths muzzle nappy
    necklace nose noses nostril nostrils pouch pupil pupils sad screen shy sleepy
    smile smiling snout stomach teeth throat tie tongue tongued toothed toothy trunk
    tusk tusked tusks udder underside undersides vein visor wattles whisker whiskers
    window windows zipper zippers
""")
_MASS = _words("""
    armour cloth cotton down fire fluff foam frost fur hair ice jelly lava mist moss mud
    plasma plumage rice sand seaweed shading silk skin slime smoke snow straw tea trash
    water wood wool
""")
_PLURAL = _words("antennae feet hooves larvae mice teeth")
_SINGULAR = _words("lens rhinoceros")


def names_color(text: str) -> bool:
    """Whether colours stand before the last word of a part or a noun."""
    return bool(_COLORS_BEFORE.search(text))


def uncolored(text: str) -> str:
    """A part or a noun without its colours: `"grey-green muscles"` -> `"muscles"`.

    The last word stays, which is a thing even if it is called `"cream"`.
    """
    return _COLORS_BEFORE.sub("", text)


def is_achromatic(text: str) -> bool:
    """Whether all colours before the last word are black, white or gray."""
    found = _COLORS_BEFORE.findall(text)
    words = re.findall(r"\w+", " ".join(found).lower())
    return all(word in _ACHROMATIC_WORDS or word == "and" for word in words)


def faces_front(text: str) -> bool:
    """Whether a text names something that isn't seen from behind, such as eyes."""
    return not _FRONT_ONLY.isdisjoint(re.findall(r"[a-z]+", text.lower()))


def takes_article(phrase: str) -> bool:
    """Whether the noun of a phrase is one thing: "tail", and not "fur" or "wings"."""
    noun = re.split(r" (?:with|of|on|in) ", phrase)[0].split()[-1].lower()
    if noun in _MASS | _PLURAL:
        return False
    is_plural = noun.endswith("s") and not noun.endswith(("ss", "us", "is"))
    return noun in _SINGULAR or not is_plural
