"""A loopback server that speaks OpenAI's chat protocol and misbehaves by plan."""

import asyncio
import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

LABELS: dict[str, Any] = {
    "type1": "Fire",
    "type2": "None",
    "primary_color": "Red",
    "secondary_color": "Yellow",
    "shape": "Quadruped",
    "size": "Small",
    "evolution_stage": "Stage 1",
    "habitat": "Mountain",
    "generation": 3,
    "prompts": [f"a small red fire wolf number {i}" for i in range(5)],
    "legendary": False,
    "mythical": False,
}


@dataclass
class Request:
    """One line of the server's log; `done_s` is unset while it's under way."""

    picture: str
    model: str
    key: str
    body: dict[str, Any]
    begun_s: float
    manner: str = ""
    done_s: float | None = None


_UNBILLED = {
    "429",
    "500",
    "401",
    "404",
    "no-credit",
    "hang",
    "html",
    "drop",
}
# What the server does with the nth (from 0) request about a picture.
Plan = Callable[[Request, int], str]


@dataclass
class LlmServer:
    """Serves on 127.0.0.1 from a thread while it's entered.

    Manners: `ok`, `slow`, `429`, `500`, `401`, `404`, `no-credit`, `hang`, `drop`,
    `truncated`, `cut-off`, `refusal`, `sorry`, `brackets`, `wrong-word`, `html`.
    """

    plan: Plan = lambda request, nth: "ok"
    labels: dict[str, Any] = field(default_factory=lambda: dict(LABELS))
    seconds: float = 0.01
    retry_after: str = "1"
    tokens: tuple[int, int] = (900, 300)  # billed for a question, for its answer
    log: list[Request] = field(default_factory=list)
    most_under_way: int = 0
    port: int = 0
    # Cleared, it keeps every request waiting.
    gate: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "LlmServer":
        self.gate.set()
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(started,))
        self._thread.start()
        assert started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._loop.close()

    @property
    def environment(self) -> dict[str, str]:
        return {
            "OPENAI_BASE_URL": f"http://127.0.0.1:{self.port}/v1",
            "OPENAI_API_KEY": "sk-very-secret-0123456789",
            "OPENAI_MODEL": "gpt-4.1-mini",
            "OPENAI_FALLBACK_MODEL": "",
            "NO_PROXY": "127.0.0.1",
        }

    def answered(self) -> Counter[str]:
        """How often each picture got a good answer."""
        return Counter(r.picture for r in self.log if r.manner == "ok" and r.done_s)

    def usd(self, input_price: float, output_price: float) -> float:
        """What the tokens it billed cost, at US dollars per million."""
        billed = sum(r.manner not in _UNBILLED for r in self.log)
        each = self.tokens[0] * input_price + self.tokens[1] * output_price
        return billed * each / 1e6

    def _serve(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main(started))

    async def _main(self, started: threading.Event) -> None:
        self._end = asyncio.Event()
        self._tasks: set[asyncio.Task] = set()
        self._under_way = 0
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await self._end.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = [line.partition(":") for line in head.lower().splitlines()[1:] if line]
        headers = {name: value.strip() for name, _, value in lines}
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        picture = hashlib.sha256(json.dumps(body["messages"]).encode()).hexdigest()
        nth = sum(r.picture == picture for r in self.log)
        key = headers.get("authorization", "").removeprefix("bearer ")
        request = Request(picture, body["model"], key, body, time.monotonic())
        request.manner = self.plan(request, nth)
        self.log.append(request)
        self._under_way += 1
        try:
            # A client that gave up may be heard of only after its next question.
            await asyncio.sleep(self.seconds)
            self.most_under_way = max(self.most_under_way, self._under_way)
            while not self.gate.is_set():
                await asyncio.sleep(0.01)
            if request.manner in ("hang", "drop"):
                if request.manner == "hang":
                    await reader.read(1)  # until the client closes
                return False
            if request.manner == "slow":
                await asyncio.sleep(0.4)
            writer.write(self._response(request))
            await writer.drain()
            return True
        finally:
            request.done_s = time.monotonic()
            self._under_way -= 1

    def _response(self, request: Request) -> bytes:
        status, extra, content = "200 OK", "", ""
        manner = request.manner
        if manner in ("429", "no-credit"):
            status = "429 Too Many Requests"
            code = "insufficient_quota" if manner == "no-credit" else "rate_limit"
            content = json.dumps({"error": {"message": "slow down", "code": code}})
            extra = f"Retry-After: {self.retry_after}\r\n" if manner == "429" else ""
        elif manner in ("500", "401", "404"):
            status = f"{manner} Failed"
            told = f"failed for {request.key}"  # as careless servers do
            content = json.dumps({"error": {"message": told}})
        elif manner == "html":
            content = "<html>Please log in</html>"
        elif request.body.get("stream"):
            content = _as_events(self._completion(request))
            extra = "Content-Type: text/event-stream\r\n"
        else:
            content = json.dumps(self._completion(request))
            extra = "Content-Type: application/json\r\n"
        data = content.encode()
        return (
            f"HTTP/1.1 {status}\r\n{extra}Content-Length: {len(data)}\r\n\r\n"
        ).encode() + data

    def _completion(self, request: Request) -> dict[str, Any]:
        labels = dict(self.labels)
        if request.manner == "wrong-word":
            labels["primary_color"] = "Turquoise-ish"
        text = json.dumps(labels)
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if request.manner in ("truncated", "cut-off"):
            # In the middle of the last prompt: five can be read, one of them torn.
            message["content"] = text[: text.index("number 4") - 5]
        if request.manner == "refusal":
            message |= {"content": None, "refusal": "I can't label this."}
        if request.manner == "brackets":
            message["content"] = "[" * 3000
        if request.manner == "sorry":
            message["content"] = "I'm sorry, but I can't help with that."
        ending = "length" if request.manner == "cut-off" else "stop"
        return {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": request.model,
            "choices": [{"index": 0, "message": message, "finish_reason": ending}],
            "usage": {
                "prompt_tokens": self.tokens[0],
                "completion_tokens": self.tokens[1],
                "total_tokens": sum(self.tokens),
            },
        }


def _as_events(completion: dict[str, Any]) -> str:
    """The same answer as a stream of one piece."""
    choice = completion["choices"][0]
    piece = {"index": 0, "delta": choice["message"], "finish_reason": "stop"}
    chunk = completion | {"object": "chat.completion.chunk", "choices": [piece]}
    return f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n"
