"""The command that counts what prompts claim that isn't so.

Reads composed prompts out of metadata, and compares what each says with the creature's
entry in the table, the picture's attributes, and what its view and palette can show.
"""

import functools
import json
import random
import re
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from pokejax import startup
from pokejax.arguments import Parser
from pokejax.attributes import COLORS, TYPES, Attributes, attributes_from_metadata
from pokejax.commands import call_of
from pokejax.prompts import lexicon
from pokejax.prompts.phrases import tokenize
from pokejax.prompts.rules import parse_by_rules

from . import species
from .part_words import COLOR_WORDS, faces_front, is_achromatic, uncolored
from .pictures import base_view
from .species import Entry

_LONGEST_FIRST = sorted(COLOR_WORDS, key=len, reverse=True)
_COLOR = re.compile(rf"\b(?:{'|'.join(map(re.escape, _LONGEST_FIRST))})\b")
_COLOR_BEFORE = re.compile(rf"({_COLOR.pattern})[ -]\Z")
_MEANS: dict[str, set[str]] = {}
for _name, _words in lexicon.COLOR_WORDS.items():
    for _word in (*_words, _name.lower()):
        _MEANS.setdefault(_word, set()).add(_name)
_OF_TYPES = (lexicon.TYPE_PHRASES, lexicon.TYPE_NOUNS, lexicon.TYPE_ADJECTIVES)
for _word in COLOR_WORDS:
    _MEANS.setdefault(_word, {COLOR_WORDS[_word]})
_ANIMALS = {
    w for nouns in lexicon.SHAPE_NOUNS.values() for w in nouns if " " not in w
} - {"doe"}


def contradiction(
    prompt: str,
    entry: Entry,
    truth: Attributes,
    *,
    behind: bool = False,
    kept: Collection[str] = COLORS,
) -> str:
    """What a prompt says that isn't so, in a few words; empty if there is nothing.

    Args:
      prompt: composed from `entry` and `truth`.
      behind: the picture shows a back.
      kept: as `captions.write_captions` takes it.
    """
    text = prompt.lower()
    if behind:
        if "back" not in text and "behind" not in text:
            return "a front"
        nouns = map(uncolored, entry.nouns)
        plain = _without(text, [*nouns, *_phrases_of(truth)])
        if faces_front(plain):
            return "something that isn't seen from behind"
    return (
        _untrue_color(text, entry, truth, kept)
        or _untrue_animal(text, entry, truth)
        or _untrue_attribute(text, entry, truth)
    )


def _untrue_color(
    text: str, entry: Entry, truth: Attributes, kept: Collection[str]
) -> str:
    nouns = set(map(uncolored, entry.nouns))
    # "A ruby body" is how prompts of attributes alone name the first colour.
    ambiguous = {*nouns, *map(str.lower, _phrases_of(truth)), "body"}
    names = [part.name.lower() for part in entry.parts]
    # A noun may begin like a part, and a part may be all of a noun.
    text = _without(text, [n for n in nouns if not any(n in name for name in names)])
    for bare in (False, True):
        for part in sorted(entry.parts, key=lambda part: -len(part.name)):
            said = uncolored(part.name.lower()) if bare else part.name.lower()
            if bare and said in ambiguous:
                continue
            is_kept = part.color in kept and is_achromatic(part.name)
            has_it = len(kept) == len(COLORS) or is_kept
            while match := _whole(said).search(text):
                if not has_it and said != uncolored(said):
                    return said
                start, end = match.span()
                if color := _COLOR_BEFORE.search(text[:start]):
                    start = color.start()
                    if not (has_it and part.color in _MEANS[color[1]]):
                        return text[start:end]
                text = text[:start] + "," + text[end:]
        text = _without(text, nouns)
    colors = {truth.primary_color, truth.secondary_color}
    # Not in what is left of "cherry-blossom" without the blossom, which is Grass.
    text = _without(text, [word for word, means in _MEANS.items() if means & colors])
    text = _without(text, _phrases_of(truth))
    return next((word for word in _COLOR.findall(text)), "")


def _untrue_animal(text: str, entry: Entry, truth: Attributes) -> str:
    parts = [part.name for part in entry.parts]
    # "Shaped like a bird" and "no bigger than a cat" compare, and truly.
    compared = [
        *lexicon.SHAPE_PHRASES[truth.shape or entry.shape],
        *lexicon.SHAPE_ADJECTIVES[truth.shape or entry.shape],
        *(lexicon.SIZE_PHRASES[truth.size] if truth.size else ()),
        *_phrases_of(truth),
    ]
    told = _stems(" ".join([*entry.nouns, *parts, *compared]))
    invented = (_stems(text) & _stems(" ".join(_ANIMALS))) - told
    # A prompt of attributes alone names any animal of that shape.
    fitting = _stems(" ".join(lexicon.SHAPE_NOUNS[truth.shape or entry.shape]))
    return ", ".join(sorted(invented - fitting))


def _untrue_attribute(text: str, entry: Entry, truth: Attributes) -> str:
    # Words of the table may also name a type or a place: a leaf tail isn't Grass.
    told = _stems(" ".join([*entry.nouns, *(part.name for part in entry.parts)]))
    read = parse_by_rules(text)
    known = read.attributes.known()
    types = {truth.type1, truth.type2}
    for name, allowed in (
        ("type1", types),
        ("type2", types | {"None"}),  # a second one may be left unsaid
        ("size", {truth.size}),
        ("habitat", {truth.habitat}),
        ("evolution_stage", {truth.evolution_stage}),
        ("legendary", {truth.legendary, "No"}),
        ("mythical", {truth.mythical, "No"}),
    ):
        value = known.get(name)
        if value is None or value in allowed:
            continue
        if not _stems(read.matches[name].text) <= told:
            return f"{name} {value}"
    return ""


def _phrases_of(truth: Attributes) -> list[str]:
    """What is said of a true type, home or colour, and names another by the way."""
    kinds = [kind for kind in (truth.type1, truth.type2) if kind in TYPES]
    return [
        *kinds,
        *(
            phrase
            for phrases, value in (
                (lexicon.HABITAT_PLACES, truth.habitat),
                *((words, kind) for words in _OF_TYPES for kind in kinds),
                (lexicon.SIZE_ADJECTIVES, truth.size),
                (lexicon.COLOR_PHRASES, truth.primary_color),
            )
            for phrase in (phrases[value] if value else ())
        ),
    ]


def _without(text: str, phrases: Collection[str]) -> str:
    for phrase in sorted(phrases, key=len, reverse=True):
        text = _whole(phrase.lower()).sub("", text)
    return text


# There are more patterns than `re` remembers, and compiling is most of the work.
@functools.cache
def _whole(phrase: str) -> re.Pattern[str]:
    return re.compile(rf"\b{re.escape(phrase)}\b")


@functools.cache
def _stems(text: str) -> frozenset[str]:
    return frozenset(token.stem for token in tokenize(text))


def find_composed(images_dir: Path) -> list[dict]:
    """Metadata whose prompts were composed from an entry of the table."""
    found: list[dict] = []
    for path in sorted(images_dir.glob("*/*.json")):
        metadata = json.loads(path.read_text("utf-8"))
        if metadata.get("entry") in species.load() and metadata.get("prompts"):
            found.append(metadata)
    return found


def check(metadata: dict, prompt: str) -> str:
    """`contradiction` of one prompt in a metadata file."""
    return contradiction(
        prompt,
        species.load()[metadata["entry"]],
        attributes_from_metadata(metadata),
        behind="back" in base_view(metadata["view"]),
        kept=COLORS if metadata.get("as_entry") else (),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print each prompt of a sample that claims something untrue, and how many do."""
    parser = Parser(
        prog=call_of("data_tools.claims"),
        description="Count the untrue claims that prompts in an images directory make.",
        epilog="exit codes: 0 none, 1 some, 2 no prompts to check",
    )
    add = parser.add_argument
    add("--images-dir", type=Path, default=Path("images"), help="input (images)")
    add("--num", type=int, default=300, help="prompts to check; 0: all (300)")
    add("--seed", type=int, default=0, help="of the sample (0)")
    args = parser.parse_args(argv)
    pairs = [(m, p) for m in find_composed(args.images_dir) for p in m["prompts"]]
    if not pairs:
        print(
            f"claims: error: no composed prompts in {str(args.images_dir)!r};"
            f" {call_of('data_tools.generate_metadata')} writes them",
            file=sys.stderr,
        )
        return 2
    if 0 < args.num < len(pairs):
        pairs = random.Random(args.seed).sample(pairs, args.num)
    untrue = 0
    for metadata, prompt in pairs:
        if problem := check(metadata, prompt):
            untrue += 1
            print(f"{metadata['image']}: {problem}: {prompt!r}")
    print(f"{untrue} of {len(pairs)} prompts claim something untrue")
    return 1 if untrue else 0


if __name__ == "__main__":
    startup.ready()
    raise SystemExit(main())
