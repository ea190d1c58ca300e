"""What a prompt says about a creature, read by rules or a language model.

Owns the choice between the two, and that a failing or slow model never costs more than
its time limit: the rules of `pokejax.prompts.rules` then answer, with a warning. BAML
renders the request and parses the answer, but doesn't send it: its parser has to be
kept from answers that would stall it (`pokejax.prompts.llm.check_answer`).
"""

import asyncio
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import ModuleType
from typing import Any

from pokejax.attributes import FLAGS, VOCABULARIES, Attributes
from pokejax.prompts.llm import (
    LlmEndpoint,
    LlmUnavailable,
    check_answer,
    load_baml_client,
    read_endpoint,
    word_of,
)
from pokejax.prompts.parsed import ParsedPrompt
from pokejax.prompts.rules import parse_by_rules

_LONGEST = 2000  # characters that are sent; a model is paid by length


def parse_prompt(
    prompt: str, *, use_llm: bool = False, timeout_s: float = 8.0
) -> ParsedPrompt:
    """Read what `prompt` says about a creature.

    The model's reading replaces that of the rules: what it leaves open is left open on
    purpose. A blank prompt isn't sent.

    Args:
      prompt: free text; only its first 2000 characters are sent to a model.
      use_llm: ask the models of `pokejax.prompts.llm.read_endpoint` through BAML.
      timeout_s: for the model with all its retries, seconds above 0.

    Returns:
      What was read; never raises because of the model, or the lack of one. Blocks for
      `timeout_s` at most: an event loop calls it in a thread.
    """
    parsed = parse_by_rules(prompt)
    if not use_llm:
        return parsed
    # In its own thread, since the caller may have a running event loop.
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(asyncio.run, parse_by_llm(parsed, timeout_s=timeout_s))
        return asked.result()


async def parse_by_llm(parsed: ParsedPrompt, *, timeout_s: float) -> ParsedPrompt:
    """Put a language model's reading in place of the rules', for event loops.

    Cancelling it hangs up on the model.

    Args:
      parsed: what the rules read.
      timeout_s: as in `parse_prompt`.

    Returns:
      `parsed` itself, with a warning, if no model reads it in time. The warning tells
      nothing of where the model is, since a service hands it on.
    """
    if not parsed.prompt.strip():
        return parsed
    try:
        attributes = await _ask(parsed.prompt[:_LONGEST], timeout_s)
    except LlmUnavailable as error:
        return replace(parsed, warning=f"prompt read by rules: {error}")
    before, now = parsed.attributes.known(), attributes.known()
    return replace(
        parsed,
        attributes=attributes,
        sources=dict.fromkeys(now, "llm"),
        matches={n: m for n, m in parsed.matches.items() if before[n] == now.get(n)},
    )


async def _ask(prompt: str, timeout_s: float) -> Attributes:
    endpoint = read_endpoint()
    # Half a surrogate pair can't be sent.
    text = prompt.encode("utf-8", "replace").decode()
    # In threads, since the packages take a second to load.
    client, bodies = await asyncio.to_thread(_render, endpoint, text)
    answer = await _send(endpoint, bodies, timeout_s)
    return await asyncio.to_thread(_read, client, answer)


def _render(
    endpoint: LlmEndpoint, text: str
) -> tuple[ModuleType, list[dict[str, Any]]]:
    """BAML's client, and the body of a request to each of the endpoint's models."""
    client = load_baml_client()

    def body_for(model: str) -> dict[str, Any]:
        env = endpoint.for_model(model).environment()
        asked = client.b.with_options(client="Primary", env=env)
        return asked.request.ParsePrompt(text).body.json()

    return client, [body_for(model) for model in endpoint.models]


def _read(client: ModuleType, answer: str) -> Attributes:
    try:
        check_answer(answer)
        return attributes_of(client.b.parse.ParsePrompt(answer))
    except Exception as error:  # ValueError of ours, BamlError of a package loaded late
        raise LlmUnavailable("the model gave no readable answer") from error


async def _send(
    endpoint: LlmEndpoint, bodies: Sequence[dict[str, Any]], timeout_s: float
) -> str:
    """The answer to the first of `bodies` that gets one, within `timeout_s` in all."""
    import openai

    reason = ""
    try:
        async with (
            asyncio.timeout(timeout_s),
            openai.AsyncOpenAI(
                api_key=endpoint.api_key, base_url=endpoint.base_url, timeout=timeout_s
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
    except Exception:  # of an address that is none, parts of which it would tell
        reason = "can't be asked: OPENAI_BASE_URL is no address"
    raise LlmUnavailable(f"the model {reason}")


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
