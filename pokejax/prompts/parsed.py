"""What was read in a prompt, whoever read it. Data only, no rules."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from pokejax.attributes import Attributes

Source = Literal["rules", "llm", "request"]


@dataclass(frozen=True)
class Match:
    """Where an attribute was read: `prompt[start:end] == text`."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class ParsedPrompt:
    """A prompt and what it says of a creature.

    Attributes:
      prompt: as it was given.
      attributes: `None` where nothing is said.
      sources: for each known attribute, who said so.
      matches: for attributes that the rules read, or agree on, the words that decided
        them; a language model doesn't say where it read something.
      unrecognised: content words that the rules read nothing from, in order, each once.
      parts: the colors of parts with a place, as the rules read them: of the "back" in
        "with a red shell". Places are the keys of `pokejax.prompts.lexicon.PLACES`;
        the eyes of a creature without any are `NONE`.
      warning: why the rules answered though a model was asked for, or empty.
    """

    prompt: str
    attributes: Attributes
    sources: Mapping[str, Source] = field(default_factory=dict)
    matches: Mapping[str, Match] = field(default_factory=dict)
    unrecognised: tuple[str, ...] = ()
    parts: Mapping[str, str] = field(default_factory=dict)
    warning: str = ""

    def override(self, requested: Attributes) -> "ParsedPrompt":
        """With every value that `requested` knows in place of what was read."""
        known = requested.known()
        return replace(
            self,
            attributes=self.attributes.override(requested),
            sources={**self.sources, **dict.fromkeys(known, "request")},
            matches={n: m for n, m in self.matches.items() if n not in known},
        )
