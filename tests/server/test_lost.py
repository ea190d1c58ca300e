"""What Ray Serve's proxy makes of lost replicas, in this process and without Ray."""

import asyncio
import json
from typing import Any

import pytest

from server.lost import AskAgain

HEADERS = [(b"x-request-id", b"an-id")]
BODY = [
    {"type": "http.request", "body": b"a ", "more_body": True},
    {"type": "http.request", "body": b"fish", "more_body": False},
]


class Proxy:
    """Reads a request and answers, or doesn't where a replica would have been lost."""

    def __init__(self, *plans: str):
        self.plans = list(plans)
        self.read: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        plan, body, more = self.plans.pop(0), b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]
        self.read.append(body)
        if plan == "lost":
            return
        status = 200 if plan in ("well", "cut") else int(plan)
        kind = b"application/json" if plan == "well" else b"text/plain"
        headers = [(b"content-type", kind), *HEADERS, *HEADERS]
        await send(
            {"type": "http.response.start", "status": status, "headers": headers}
        )
        if plan != "cut":
            body = b"words" * (plan != "well")
            await send({"type": "http.response.body", "body": body})


def ask(proxy: Proxy, messages: list[Any] = BODY) -> list[Any]:
    sent: list[Any] = []

    async def exchange() -> None:
        left = iter(messages)

        async def receive() -> Any:
            return next(left, {"type": "http.disconnect"})

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "headers": HEADERS}
        await AskAgain(proxy)(scope, receive, send)

    asyncio.run(exchange())
    return sent


@pytest.mark.parametrize("plans", [("well",), ("lost", "well")])
def test_a_lost_request_is_asked_again_whole(plans: tuple[str, ...]):
    proxy = Proxy(*plans)
    start, body = ask(proxy)
    assert (start["status"], body["body"]) == (200, b"")
    assert [name for name, _ in start["headers"]].count(b"x-request-id") == 1
    assert proxy.read == [b"a fish"] * len(plans)


def test_one_lost_twice_gets_a_clear_answer():
    start, body = ask(Proxy("lost", "lost"))
    headers = dict(start["headers"])
    assert start["status"] == 503 and headers[b"retry-after"] == b"1"
    assert headers[b"x-request-id"] == b"an-id"
    error = json.loads(body["body"])["error"]
    assert (error["code"], error["request_id"]) == ("replica_lost", "an-id")


def test_a_stream_that_had_begun_is_cut_and_not_begun_anew():
    proxy = Proxy("cut")
    (start,) = ask(proxy)
    assert start["status"] == 200 and len(proxy.read) == 1


def test_nobody_is_answered_who_left():
    assert ask(Proxy("lost"), BODY[:1]) == []


@pytest.mark.parametrize("status", [429, 503])
def test_the_proxys_refusals_are_said_as_ours(status: int):
    start, body = ask(Proxy(str(status)))
    assert start["status"] == status
    assert json.loads(body["body"])["error"]["code"] == "overloaded"


def test_other_answers_stay_as_they_are():
    start, body = ask(Proxy("404"))
    assert (start["status"], body["body"]) == (404, b"words")
