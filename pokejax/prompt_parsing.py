"""What a prompt says of a creature, by rules or by a language model: `parse_prompt`.

Owns the choice between the two, and that a failing or slow model never costs more than
its time limit: the rules of `pokejax.prompt_rules` then answer, with a warning.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pokejax.attributes import FLAGS, VOCABULARIES, Attributes
from pokejax.llm import LlmUnavailable, load_baml_client, read_settings, word_of
from pokejax.prompt_rules import Match, read_prompt

Source = Literal["rules", "llm"]
_LONGEST = 2000  # characters that are sent; a model is paid by length


@dataclass(frozen=True)
class ParsedPrompt:
    """What `parse_prompt` found.

    Attributes:
      attributes: `None` where the prompt doesn't say.
      sources: for each known attribute, who read it.
      matches: for each known attribute on which the rules agree, the words that decided
        it; a model doesn't say where it read something.
      unrecognised: content words that the rules read nothing from, in order.
      warning: why the rules answered though the model was asked for, or empty.
    """

    attributes: Attributes
    sources: Mapping[str, Source]
    matches: Mapping[str, Match]
    unrecognised: tuple[str, ...] = ()
    warning: str = ""


def parse_prompt(
    prompt: str, *, use_llm: bool = False, timeout_s: float = 8.0
) -> ParsedPrompt:
    """Read what `prompt` says of a creature.

    The model's reading replaces that of the rules, since what it leaves open is open on
    purpose. A blank prompt isn't sent.

    Args:
      prompt: free text; only its first 2000 characters are sent to a model.
      use_llm: ask the model of `pokejax.llm.read_settings` through BAML.
      timeout_s: for the model with all its retries, seconds above 0.

    Returns:
      The reading; never raises for what the model does or that there's none. Blocks for
      `timeout_s` at most: an event loop calls it in a thread.
    """
    rules = read_prompt(prompt)
    known = rules.attributes.known()
    by_rules = ParsedPrompt(
        rules.attributes,
        dict.fromkeys(known, "rules"),
        rules.matches,
        rules.unrecognised,
    )
    if not use_llm or not prompt.strip():
        return by_rules
    try:
        attributes = _ask(prompt[:_LONGEST], timeout_s)
    except LlmUnavailable as error:
        return ParsedPrompt(
            **{**vars(by_rules), "warning": f"prompt read by rules: {error}"}
        )
    read = attributes.known()
    return ParsedPrompt(
        attributes,
        dict.fromkeys(read, "llm"),
        {n: m for n, m in rules.matches.items() if known[n] == read.get(n)},
        rules.unrecognised,
    )


def _ask(prompt: str, timeout_s: float) -> Attributes:
    settings = read_settings()
    # BAML's fallback would ask the same model again.
    name = "Primary" if len(settings.models) == 1 else "WithFallback"
    client = load_baml_client().b.with_options(client=name, env=settings.environment())
    # After the client, whose loader says what to do where it's missing.
    from baml_py import AbortController
    from baml_py.errors import BamlAbortError, BamlClientHttpError, BamlError

    # Half a surrogate pair can't be sent.
    text = prompt.encode("utf-8", "replace").decode()
    stop = AbortController(timeout_ms=max(1, round(timeout_s * 1000)))
    try:
        answer = client.ParsePrompt(text, baml_options={"abort_controller": stop})
    except BamlAbortError as error:
        raise LlmUnavailable(f"{settings.model} took over {timeout_s:g} s") from error
    # BAML's own messages are pages long, with a stack trace of its insides.
    except BamlClientHttpError as error:
        reason = (
            "can't be reached"
            if "ConnectError" in str(error)
            else f"answered with status {error.status_code}"
        )
        raise LlmUnavailable(f"{settings.base_url} {reason}") from error
    except BamlError as error:
        raise LlmUnavailable(f"{settings.model} gave no readable answer") from error
    return attributes_of(answer)


def attributes_of(answer: Any) -> Attributes:
    """The record in an answer of BAML's `ParsePrompt` or `ExtractPokemonMetadata`.

    Args:
      answer: has a field for each of `VOCABULARIES`: an enum or bool, None is unknown.
    """
    words: dict[str, str] = {}
    for name, vocabulary in VOCABULARIES.items():
        value = getattr(answer, name)
        if vocabulary is FLAGS and value is not None:
            words[name] = FLAGS[value]
        elif value is not None:
            words[name] = word_of(value.value, vocabulary)
    return Attributes(**words)
