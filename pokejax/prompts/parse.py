"""What a prompt says of a creature, by rules or by a language model: `parse_prompt`.

Owns the choice between the two, and that a failing or slow model never costs more than
its time limit: the rules of `pokejax.prompts.rules` then answer, with a warning. BAML
renders the request and parses the answer, but doesn't send it: its parser has to be
kept from answers that would stall it (`pokejax.prompts.llm.check_answer`).
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from pokejax.attributes import FLAGS, VOCABULARIES, Attributes
from pokejax.prompts.llm import (
    LlmSettings,
    LlmUnavailable,
    check_answer,
    load_baml_client,
    read_settings,
    word_of,
)
from pokejax.prompts.rules import Match, read_prompt

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
      use_llm: ask the models of `pokejax.prompts.llm.read_settings` through BAML.
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
    client = load_baml_client()
    # Half a surrogate pair can't be sent.
    text = prompt.encode("utf-8", "replace").decode()

    def body_for(model: str) -> dict[str, Any]:
        env = settings.for_model(model).environment()
        asked = client.b.with_options(client="Primary", env=env)
        return asked.request.ParsePrompt(text).body.json()

    bodies = [body_for(model) for model in settings.models]
    # A thread of its own: the caller may have an event loop that runs.
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(asyncio.run, _send(settings, bodies, timeout_s)).result()
    try:
        check_answer(answer)
        read = client.b.parse.ParsePrompt(answer)
    except Exception as error:  # ValueError of ours, BamlError of a package loaded late
        raise LlmUnavailable(f"{settings.model} gave no readable answer") from error
    return attributes_of(read)


async def _send(
    settings: LlmSettings, bodies: Sequence[dict[str, Any]], timeout_s: float
) -> str:
    """The answer to the first of `bodies` that gets one, within `timeout_s` in all."""
    import openai

    reason = ""
    try:
        async with (
            asyncio.timeout(timeout_s),
            openai.AsyncOpenAI(
                api_key=settings.api_key, base_url=settings.base_url, timeout=timeout_s
            ) as connection,
        ):
            for body in bodies:
                try:
                    raw = await connection.chat.completions.with_raw_response.create(
                        **body
                    )
                    return str(json.loads(raw.text)["choices"][0]["message"]["content"])
                except openai.APIStatusError as error:
                    reason = f"answered with status {error.status_code}"
                except openai.APIConnectionError:
                    reason = "cannot be reached"
                except (ValueError, KeyError, IndexError, TypeError):
                    reason = "gave no readable answer"
    except TimeoutError:
        reason = f"took over {timeout_s:g} s"
    raise LlmUnavailable(f"{settings.base_url} {reason}")


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
