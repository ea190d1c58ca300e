"""Asking a vision model: sending, retrying, and keeping to pace, budget and ledger.

Owns which failures are worth retrying. BAML renders the request and parses the
answer; it's sent from here, since BAML hides Retry-After. Every step is in the
ledger before the next is taken.
"""

import asyncio
import json
import random
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai

from pokejax.prompts.llm import LlmEndpoint

from .ledger import MOST_ANSWERS, Key, Ledger
from .pace import Pace, Stopped, retry_after_s
from .questions import MOST_OUTPUT_TOKENS, Questions
from .spending import Budget, OverBudget, Prices

_FREE_TRIES = 4  # of failures of the server or the way there
_WAITS = 50  # times that a server says "too many requests"
_FIRST_BACKOFF_S = 0.5
_LONGEST_WAIT_S = 900.0
_UNREACHABLE = "can't be reached"


@dataclass
class Usage:
    """What this run sent and paid."""

    questions: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0


@dataclass(frozen=True)
class _Reply:
    """The result of one try.

    Attributes:
      metadata: of a good answer, else None.
      problem: why there is none.
      is_paid: whether it was an answer, even an unusable one.
      is_refused: whether the model itself gave an unusable one.
      is_final: whether another try would end the same.
      is_fatal: whether any question would.
      wait_s: how long to leave the server alone; None if it didn't ask for that.
    """

    metadata: dict[str, Any] | None = None
    problem: str = ""
    is_paid: bool = False
    is_refused: bool = False
    is_final: bool = False
    is_fatal: bool = False
    is_rate_limit: bool = False
    wait_s: float | None = None


@dataclass
class Asker:
    """Asks about one picture after another, within pace and budget.

    Attributes:
      prices: of each model of the endpoint; no entry counts as free.
      is_fatal: whether the run was stopped by something that the user must fix.
    """

    endpoint: LlmEndpoint
    questions: Questions
    prices: dict[str, Prices]
    ledger: Ledger
    budget: Budget
    pace: Pace
    connection: openai.AsyncOpenAI
    usage: Usage = field(default_factory=Usage)
    is_fatal: bool = False
    _asking: dict[tuple[str, str], asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock)
    )

    async def ask(self, path: Path, digest: str) -> dict[str, Any]:
        """The metadata of the picture at `path`, from the first model that gives it.

        Raises:
          ValueError: no model did; says why.
          Stopped: the run is to end.
        """
        problem = ""
        # Still frames are the same picture many times: one answer will do for all.
        async with self._asking[path.parent.name, digest]:
            if stored := self.questions.stored(self.ledger.entries, path, digest):
                return stored
            for model in self.endpoint.models:
                key = self.questions.key(path, digest, model)
                if self.ledger.entries.is_given_up(key):
                    problem = f"{model}: {self.ledger.entries.refused[key][-1]}"
                    continue
                reply = await self._ask_model(path, digest, model)
                if reply.metadata is not None:
                    return reply.metadata
                problem = f"{model}: {reply.problem}"
        raise ValueError(problem)

    async def _ask_model(self, path: Path, digest: str, model: str) -> _Reply:
        key = self.questions.key(path, digest, model)
        # A run that was ended in between has bought some.
        paid = len(self.ledger.entries.refused.get(key, ()))
        free = waits = 0
        while True:
            reply = await self._try(path, digest, model)
            if reply.is_fatal:
                self._end(reply.problem)
                raise Stopped
            if reply.wait_s is not None:
                self._leave_alone(reply.wait_s)
            if reply.is_rate_limit:
                waits += 1
                if reply.wait_s is None:
                    self._leave_alone(_FIRST_BACKOFF_S * 2 ** min(waits, 6))
            elif reply.is_paid:
                paid += 1
            else:
                free += 1
            if reply.metadata is not None or reply.is_final:
                return reply
            if _UNREACHABLE in reply.problem and free >= _FREE_TRIES:
                if not self.usage.input_tokens:
                    self._end(reply.problem)
                    raise Stopped
                return reply
            if paid >= MOST_ANSWERS or free >= _FREE_TRIES or waits >= _WAITS:
                return reply
            if not reply.is_rate_limit and not reply.is_paid:
                backoff_s = _FIRST_BACKOFF_S * 2 ** (free - 1)
                await self.pace.sleep(backoff_s * random.uniform(0.75, 1.25))

    def _leave_alone(self, seconds: float) -> None:
        if seconds > _LONGEST_WAIT_S:
            self.pace.stop(f"{self.endpoint.base_url} asks to wait for {seconds:.0f} s")
        self.pace.pause(seconds)

    def _end(self, reason: str) -> None:
        """End the run because of something that the user must fix first."""
        self.is_fatal = True
        self.pace.stop(reason)

    async def _try(self, path: Path, digest: str, model: str) -> _Reply:
        """One question, reserved, noted, sent, settled."""
        body = self.questions.body(path, model)
        key = self.questions.key(path, digest, model)
        prices = self.prices.get(model, Prices(0.0, 0.0))
        most_usd = self.questions.most_usd(path, prices)
        try:
            await self.budget.reserve(most_usd)
        except OverBudget as error:
            self.pace.stop(f"the next question could pass ${self.budget.cap_usd:g}")
            raise Stopped from error
        spent_usd = 0.0
        try:
            await self.pace.turn()
            spent_usd = most_usd  # until it's known
            name = f"{path.parent.name}/{path.name}"
            question = self._note(key, name, most_usd)
            reply, tokens, text = await self._send(path, body)
            if tokens is not None:
                spent_usd = prices.usd(*tokens)
            result = {"problem": reply.problem} if reply.problem else {"answer": text}
            if reply.is_refused:
                result["refused"] = self.endpoint.redact(text)
            self._settle(question, key, spent_usd, tokens=tokens, **result)
        finally:
            self.usage.usd += spent_usd
            await self.budget.settle(most_usd, spent_usd)
        return reply

    def _note(self, key: Key, name: str, most_usd: float) -> str:
        try:
            return self.ledger.ask(key, name, most_usd)
        except OSError as error:
            self._end_unwritten(error)
            raise Stopped from error

    def _settle(self, question: str, key: Key, usd: float, **result: Any) -> None:
        try:
            self.ledger.settle(question, key, usd, **result)
        except OSError as error:
            # The answer just received may still be written to its own file.
            self._end_unwritten(error)

    def _end_unwritten(self, error: OSError) -> None:
        # Asking without a record would mean paying twice.
        self._end(f"cannot write {str(self.ledger.path)!r}: {error.strerror}")

    async def _send(
        self, path: Path, body: dict[str, Any]
    ) -> tuple[_Reply, tuple[int, int] | None, str]:
        """The reply, its tokens if they're known, and its text."""
        self.usage.questions += 1
        try:
            raw = await self.connection.chat.completions.with_raw_response.create(
                **body
            )
            payload = json.loads(raw.text)
        except openai.APIStatusError as error:
            return self._status_reply(error), (0, 0), ""
        except openai.APITimeoutError:
            return _Reply(problem="no answer in time"), None, ""
        except openai.APIConnectionError as error:
            # Without a connection there was no question.
            is_sent = type(error.__cause__).__name__ != "ConnectError"
            what = "connection lost" if is_sent else _UNREACHABLE
            problem = f"{self.endpoint.base_url}: {what}"
            return _Reply(problem=problem), None if is_sent else (0, 0), ""
        except ValueError:
            return _Reply(problem="an answer that isn't JSON", is_paid=True), None, ""
        return self._read(path, payload)

    def _read(
        self, path: Path, payload: Any
    ) -> tuple[_Reply, tuple[int, int] | None, str]:
        try:
            billed = payload.get("usage") or {}
            tokens = None
            if billed:
                tokens = int(billed["prompt_tokens"]), int(billed["completion_tokens"])
                self.usage.input_tokens += tokens[0]
                self.usage.output_tokens += tokens[1]
            choice = payload["choices"][0]
            text = choice["message"].get("content") or ""
            refusal = choice["message"].get("refusal")
            ending = choice.get("finish_reason")
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            problem = "not an answer of a chat model"
            return _Reply(problem=problem, is_paid=True), None, ""
        problem = ""
        metadata = None
        if refusal or ending == "content_filter":
            problem = f"refused: {str(refusal or ending)[:120]}"
        elif ending == "length":
            problem = f"cut off after {MOST_OUTPUT_TOKENS} tokens"
        else:
            try:
                metadata = self.questions.metadata(path, str(text))
            except ValueError as error:
                problem = f"answer not as asked: {error}"
        problem = self.endpoint.redact(problem)
        reply = _Reply(metadata, problem, is_paid=True, is_refused=bool(problem))
        return reply, tokens, str(text or refusal or "")

    def _status_reply(self, error: openai.APIStatusError) -> _Reply:
        status = error.status_code
        told = error.body.get("message") if isinstance(error.body, dict) else None
        said = self.endpoint.redact(str(told or error.message))[:200]
        problem = f"status {status}: {said}"
        wait_s = retry_after_s(error.response.headers)
        # A key without credit gets the same status as one that asks too fast.
        if status in (401, 403, 404) or error.code == "insufficient_quota":
            reason = f"{self.endpoint.base_url} answered with {problem}"
            return _Reply(problem=reason, is_fatal=True)
        if status == 429:
            return _Reply(problem=problem, is_rate_limit=True, wait_s=wait_s)
        is_passing = status >= 500 or status in (408, 409, 425)
        return _Reply(problem=problem, is_final=not is_passing, wait_s=wait_s)
