"""Clients that mean no good: what they send costs little, and nobody else notices."""

import contextlib
import dataclasses
import itertools
import json
import select
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.live_server import Live, send_raw

START = b"GET /api/v1/health HTTP/1.1\r\nHost: a\r\n"


def resident_mb() -> float:
    (line,) = (
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmRSS")
    )
    return int(line.split()[1]) / 1024


def answer_to(port: int, parts: Iterator[bytes]) -> tuple[bytes, int]:
    """The answer while `parts` are sent, and how many bytes were let in."""
    sent, got = 0, b""
    with send_raw(port, b"") as connection:
        with contextlib.suppress(ConnectionError):
            for part in parts:
                connection.sendall(part)
                sent += len(part)
        with contextlib.suppress(ConnectionError):
            while data := connection.recv(65536):
                got += data
    return got, sent


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (START, b"X-A: b\r\n" * 1000),
        (START, b"X-A: " + b"a" * 1000 + b"\r\n"),
        (START + b"X-A: ", b"a" * 60_000),
        (b"GET /", b"a" * 60_000),
        (START + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-A: ", b"a" * 60_000),
        (START + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: b\r\n" * 1000),
        (START + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a" * 60_000),
    ],
    ids=[
        *("many headers", "long headers", "an endless header", "an endless address"),
        *("an endless trailer", "many trailers", "an endless extension of a chunk"),
    ],
)
def test_headers_have_an_end(head: bytes, part: bytes, live: Live):
    before = resident_mb()
    parts = itertools.chain([head], itertools.repeat(part, 100_000_000 // len(part)))
    got, sent = answer_to(live.port, parts)
    assert sent < 20_000_000  # socket buffers, mostly
    assert resident_mb() < before + 20
    if b"chunked" not in head:  # those get the answer to the request as well
        told, _, body = got.partition(b"\r\n\r\n")
        assert told.startswith(b"HTTP/1.1 431 Request Header Fields Too Large")
        assert b"connection: close" in told
        error = json.loads(body)["error"]
        assert error["code"] == "headers_too_large" and "over" in error["message"]


def test_a_slow_line_gets_through_and_a_drip_does_not(
    live: Live, monkeypatch: pytest.MonkeyPatch
):
    settings = dataclasses.replace(live.service.settings, read_timeout_s=1.5)
    monkeypatch.setattr(live.service, "settings", settings)
    part, parts = b" " * 2**17, 10
    head = (
        "POST /api/v1/edit HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        f"Content-Length: {parts * len(part)}\r\n\r\n"
    ).encode()
    # It takes longer than the limit in all, each part of it much less.
    with send_raw(live.port, head) as connection:
        for _ in range(parts):
            time.sleep(0.2)
            connection.sendall(part)
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")
    # Bytes that come one by one don't count, however much came before.
    with send_raw(live.port, head + part * 2) as connection:
        for _ in range(1000):
            connection.sendall(b" ")
            if select.select([connection], [], [], 0.05)[0]:
                break
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 408 ") and b"128 KiB" in answer


@pytest.mark.parametrize("sent", [b"hello\r\n\r\n", b"GET / HTTP/1.1\r\nA b\r\n\r\n"])
def test_what_is_no_http_is_told_so_in_json(sent: bytes, live: Live):
    got, _ = answer_to(live.port, iter([sent]))
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request")
    assert b"application/json" in head
    assert json.loads(body)["error"]["code"] == "invalid_request"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /api/v1/health HTTP/1.1\r\n", b"400"),
        (b"GET /api/v1/health HTTP/1.1\r\nHost: a\r\nHost: b\r\n", b"400"),
        (b"GET /api/v1/health HTTP/1.0\r\n", b"200"),
    ],
    ids=["no host", "two hosts", "HTTP/1.0 needs none"],
)
def test_a_request_names_its_host_once(head: bytes, status: bytes, live: Live):
    got, _ = answer_to(live.port, iter([head + b"Connection: close\r\n\r\n"]))
    assert got[9:12] == status
    assert status == b"200" or b'"param":"Host"' in got
