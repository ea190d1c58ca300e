"""Prompts that a language model reads: a few at a time, within limits, each once."""

import asyncio
import logging
from collections import OrderedDict
from dataclasses import replace

from pokejax.prompts.parse import parse_by_llm
from pokejax.prompts.parsed import ParsedPrompt

LOG = logging.getLogger("pokejax.server")
_MOST_ASKED = 8  # at a time
_MOST_WAITING = 64  # with those that are being asked about
_REMEMBERED = 4096
_BY_RULES = "prompt read by rules: "


class LlmReader:
    """Asks a language model; what it answered is remembered."""

    def __init__(self):
        self._places = asyncio.Semaphore(_MOST_ASKED)
        self._waiting = 0
        self._answers: OrderedDict[str, ParsedPrompt] = OrderedDict()

    async def read(self, parsed: ParsedPrompt, seconds: float) -> ParsedPrompt:
        """Put a model's reading in place of the rules'.

        Cancelling it gives up the place in line, or hangs up on the model.

        Args:
          parsed: what the rules read.
          seconds: for waiting in line and for the model, together.

        Returns:
          `parsed` itself, with a warning that a client may see, if no model reads it.
        """
        if answer := self._answers.get(parsed.prompt):
            self._answers.move_to_end(parsed.prompt)
            return answer
        if self._waiting >= _MOST_WAITING:
            told = "too many prompts are waiting for the language model"
            return replace(parsed, warning=_BY_RULES + told)
        self._waiting += 1
        try:
            async with asyncio.timeout(seconds), self._places:
                answer = await parse_by_llm(parsed, timeout_s=seconds)
        except TimeoutError:
            told = "the language model took too long"
            return replace(parsed, warning=_BY_RULES + told)
        finally:
            self._waiting -= 1
        if answer.warning:
            # Why is the operator's business: it says what isn't installed or set.
            LOG.warning(answer.warning)
            told = "no language model could read it"
            return replace(parsed, warning=_BY_RULES + told)
        self._answers[parsed.prompt] = answer
        if len(self._answers) > _REMEMBERED:
            self._answers.popitem(last=False)
        return answer
