"""Prompts that a language model reads: bounded in time and number, and discreet."""

import asyncio
import logging
from collections.abc import Iterator

import httpx
import pytest

from tests.helpers.live_server import Live, Starter, raw_post, send_raw, wait_for
from tests.helpers.llm_server import LABELS, LlmServer

BODY = {"prompt": "a red and shy beast", "use_llm_parsing": True, "seed": 1}


@pytest.fixture
def llm(monkeypatch: pytest.MonkeyPatch) -> Iterator[LlmServer]:
    with LlmServer(labels=LABELS | {"describes_creature": True}) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


async def ask_all(live: Live, bodies: list[dict]) -> list[dict]:
    async with httpx.AsyncClient(base_url=live.url, timeout=60) as client:
        posts = [client.post("/api/v1/generate", json=body) for body in bodies]
        return [answer.json() for answer in await asyncio.gather(*posts)]


def test_nothing_of_the_settings_is_told(
    client: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    log = logging.getLogger("pokejax.server")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hidden")
    monkeypatch.setenv("OPENAI_MODEL", "secret-model")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    log.addHandler(caplog.handler)
    try:
        for url in (
            "http://me:hunter2@127.0.0.1:9/v1",
            "me:hunter2@127.0.0.1:9",
            "http://me:hun/ter2@127.0.0.1:9/v1",
            "http://me:hunter2@127.0.0.1:99999/v1",
        ):
            monkeypatch.setenv("OPENAI_BASE_URL", url)
            told = client.post("/api/v1/generate", json=BODY).text
            query = {**BODY, "use_llm_parsing": "true"}
            told += client.get("/api/v1/generate/stream", params=query).text
            assert told.count("prompt read by rules") == 2
            for secret in ("hunter2", "127.0.0.1", "sk-hidden", "secret-model"):
                assert secret not in told
            told = "".join(r.getMessage() for r in caplog.records)
            for secret in ("hun", "ter2", "127.0.0.1:9", "sk-hidden", "secret-model"):
                assert secret not in told
    finally:
        log.removeHandler(caplog.handler)


def test_an_answer_is_asked_for_once(llm: LlmServer, client: httpx.Client):
    for seed in (1, 2):
        answer = client.post("/api/v1/generate", json={**BODY, "seed": seed}).json()
        assert answer["sources"]["shape"] == "llm"
    assert len(llm.log) == 1


def test_a_hung_model_delays_a_request_by_its_limit_only(
    llm: LlmServer, start: Starter
):
    llm.gate.clear()
    with start(llm_timeout_s=0.6) as live:
        bodies = [{**BODY, "prompt": f"a red beast {i}"} for i in range(100)]
        answers = asyncio.run(ask_all(live, bodies))
    assert all("prompt read by rules" in answer["warning"] for answer in answers)
    assert any("too many" in answer["warning"] for answer in answers)
    # Those that were in line are never asked about, rather than later.
    assert len(llm.log) < 20


def test_the_deadline_covers_the_wait_for_a_model(llm: LlmServer, start: Starter):
    llm.gate.clear()
    with start(llm_timeout_s=100, deadline_s=0.5) as live, live.client() as client:
        answer = client.post("/api/v1/generate", json=BODY)
        assert answer.status_code == 504
        assert answer.json()["error"]["code"] == "deadline_exceeded"


def test_who_leaves_is_not_asked_about_any_longer(llm: LlmServer, start: Starter):
    llm.plan = lambda request, nth: "hang"
    body = b'{"prompt": "a red and shy beast", "use_llm_parsing": true}'
    path = "/api/v1/generate/stream?prompt=a+blue+beast&use_llm_parsing=true"
    get = f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    with start(llm_timeout_s=100) as live:
        for sent in (raw_post("/api/v1/generate", body), get):
            llm.log.clear()
            with send_raw(live.port, sent):
                wait_for(lambda: len(llm.log) == 1)
                assert llm.log[0].done_s is None
            wait_for(lambda: llm.log[0].done_s is not None)
