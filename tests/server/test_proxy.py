"""The shipped nginx configuration in front of the real service."""

import gzip
import itertools
import json
import logging
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.helpers.live_server import Live, free_port, wait_for
from tests.helpers.proxy import NGINX, Proxy, proxy
from tests.server.test_streams import depth, events, open_gate, stream

__all__ = ["open_gate"]  # a fixture

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", "privkey.pem", "-out", "fullchain.pem"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="module")
def front(live: Live) -> Iterator[Proxy]:
    with proxy(live.port) as running:
        yield running


@pytest.fixture
def client(front: Proxy) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=front.url, timeout=60) as client:
        yield client


def test_events_arrive_as_they_are_drawn_and_streams_are_resumed(
    client: httpx.Client, live: Live, front: Proxy
):
    with live.client() as direct, stream(direct, seed=5) as answer:
        whole = [event[1:] for event in events(answer.iter_lines())]
    live.gate.clear()  # from here on nothing is drawn, so nothing is finished
    with stream(client, seed=5) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in answer.headers
        first = list(itertools.islice(events(answer.iter_lines()), 3))
    assert [name for _, name, _ in first] == ["queued", "parsed", "encoded"]
    # The proxy lets go of the service, too, and the place is free.
    wait_for(lambda: depth(live) == 0)
    live.gate.set()
    with stream(client, last=first[-1][0]) as answer:
        rest = list(events(answer.iter_lines()))
    numbers = [int(i.split("-")[1]) for i, _, _ in [*first, *rest]]
    assert numbers == list(range(1, len(numbers) + 1))
    images = [event[1:] for event in rest if event[1] == "image"]
    assert images == [event for event in whole if event[0] == "image"]
    with stream(client, last=rest[-1][0]) as answer:
        assert answer.status_code == 204


def test_openais_stream_passes_too(client: httpx.Client):
    asked = {"prompt": "a red dragon", "seed": 42, "stream": True, "partial_images": 1}
    with client.stream("POST", "/v1/images/generations", json=asked) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "image_generation.completed" in "".join(answer.iter_text())


def test_answers_are_the_services_own(client: httpx.Client, live: Live):
    asked = {"prompt": "a small turtle", "seed": 42, "num_samples": 4}
    with live.client() as direct:
        expected = direct.post("/api/v1/generate", json=asked).json()["images"]
    answer = client.post("/api/v1/generate", json=asked)
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.json()["images"] == expected
    # As it went over the wire.
    with client.stream(
        "GET", "/openapi.json", headers={"Accept-Encoding": "gzip"}
    ) as answer:
        raw = b"".join(answer.iter_raw())
        assert "content-security-policy" in answer.headers
    with live.client() as direct:
        assert gzip.decompress(raw) == direct.get("/openapi.json").content
    # A refusal of the service, and its headers, pass as they are.
    answer = client.post("/api/v1/generate", json={"prompt": ""})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "prompt"


def test_static_files_are_kept(client: httpx.Client, live: Live):
    first = client.get("/web/style.css", headers={"X-Request-Id": "first"})
    second = client.get("/web/style.css", headers={"X-Request-Id": "second"})
    assert [a.headers["x-cache"] for a in (first, second)] == ["MISS", "HIT"]
    assert first.content == second.content
    for answer, name in ((first, "first"), (second, "second")):
        assert answer.headers.get_list("x-request-id") == [name]
        assert answer.headers.get_list("cache-control") == ["public, max-age=600"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get("/web/none.css").status_code == 404
    # Neither pages nor pictures are.
    query = {"prompt": "a red dragon", "seed": 42}
    assert "x-cache" not in client.get("/api/v1/download", params=query).headers


def test_large_bodies_are_refused_in_the_services_shape(
    client: httpx.Client, live: Live
):
    most = live.service.settings.max_body_bytes
    for size, who in ((most + 100, "service"), (5 * 2**20 + 100, "proxy")):
        answer = client.post(
            "/api/v1/generate",
            content=b" " * size,
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code == 413, who
        assert answer.headers["content-type"].startswith("application/json")
        error = answer.json()["error"]
        assert error["code"] == "body_too_large" and error["request_id"]
        assert set(error) == {"message", "type", "param", "code", "request_id"}


def test_the_counters_are_not_for_the_world(client: httpx.Client):
    answer = client.get("/metrics")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"
    assert "pokejax" not in answer.text


def test_clients_cannot_choose_their_address(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
):
    log = logging.getLogger("pokejax.server")
    log.addHandler(caplog.handler)
    try:
        headers = {"X-Forwarded-For": "203.0.113.9", "X-Request-Id": "spoof"}
        assert client.get("/api/v1/attributes", headers=headers).status_code == 200
        wait_for(lambda: "spoof" in caplog.text)
    finally:
        log.removeHandler(caplog.handler)
    assert "203.0.113.9" not in caplog.text


def test_logs_hold_neither_prompts_nor_keys(client: httpx.Client, front: Proxy):
    query = {"prompt": "a hush-hush creature", "seed": 1}
    headers = {"X-API-Key": "a-secret-key", "X-Request-Id": "logged"}
    client.get("/api/v1/download", params=query, headers=headers)
    wait_for(lambda: '"request_id":"logged"' in front.log())
    lines = [json.loads(line) for line in front.log().splitlines()]
    (line,) = [line for line in lines if line["request_id"] == "logged"]
    assert line["path"] == "/api/v1/download" and line["status"] == 200
    assert "hush" not in front.log() and "secret" not in front.log()


def test_a_service_that_is_away_is_told_and_https_works(certificates: Path):
    with proxy(free_port(), certificates) as running:
        tls = f"https://127.0.0.1:{running.tls_port}"
        trust = ssl.create_default_context(cafile=str(certificates / "fullchain.pem"))
        with httpx.Client(verify=trust) as client:
            plain = client.get(f"{running.url}/docs?prompt=hush")
            assert plain.status_code == 308
            assert plain.headers["location"] == "https://127.0.0.1/docs?prompt=hush"
            answer = client.get(f"{tls}/api/v1/download?prompt=hush")
        assert answer.status_code == 503 and answer.headers["retry-after"] == "5"
        assert answer.json()["error"]["code"] == "unreachable"
        wait_for(lambda: '"status":503' in running.log())
        assert "hush" not in running.log()
