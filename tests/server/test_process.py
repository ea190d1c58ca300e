"""The command as a process of its own: signals, slow clients, what it prints."""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from server import __main__ as command
from server.settings import SettingsError, read_settings
from tests.helpers.live_server import free_port, raw_post, send_raw, wait_for


@dataclass
class Running:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/api/v1/ready") as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(scope="module")
def running(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    port, log = free_port(), tmp_path_factory.mktemp("server") / "log"
    env = {
        **os.environ,
        "POKEJAX_READ_TIMEOUT_S": "0.5",
        "POKEJAX_DRAIN_S": "60",
        "POKEJAX_API_KEYS": "a-secret-key",
    }
    options = ["--port", str(port), "--model", str(model)]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "server", *options], env=env, stderr=file
        )
    running = Running(process, port, log)
    try:
        wait_for(lambda: is_ready(running.url) or process.poll() is not None, 120)
        assert process.poll() is None, log.read_text()
        yield running
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def client(running: Running) -> Iterator[httpx.Client]:
    headers = {"X-API-Key": "a-secret-key"}
    with httpx.Client(base_url=running.url, headers=headers, timeout=120) as client:
        yield client


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-A: ",
        raw_post("/", b"{}" * 50)[:-60],
    ],
    ids=["nothing", "half of the headers", "half of the body"],
)
def test_slow_clients_are_hung_up_on(sent: bytes, running: Running):
    sent = sent.replace(b"Host: a", b"Host: a\r\nX-API-Key: a-secret-key")
    with send_raw(running.port, sent) as connection:
        got = b""
        while part := connection.recv(65536):
            got += part
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert json.loads(body)["error"]["code"] == "request_timeout"


def test_nothing_is_compiled_once_ready(client: httpx.Client):
    for body in (
        {"num_samples": 1},
        {"num_samples": 16, "guidance": 2, "temperature": 0, "scale": 2},
        {"num_samples": 5, "attributes": {"size": "Tiny"}, "format": "webp"},
    ):
        asked = {"prompt": "a hush-hush creature", **body}
        assert client.post("/api/v1/generate", json=asked).status_code == 200
    asked = {"prompt": "a red fish", "to_prompt": "a blue bird", "gif": True}
    assert client.post("/api/v1/interpolate", json=asked).status_code == 200
    asked = {"prompt": "a red fish", "seed": 1}
    assert client.post("/api/v1/variations", json=asked).status_code == 200
    text = client.get("/api/v1/generate/stream", params=asked).text
    assert "event: partial" in text and "event: done" in text
    assert "pokejax_recompilations 0.0" in client.get("/metrics").text


def test_sigterm_lets_work_finish_and_lets_nothing_in(
    running: Running, client: httpx.Client
):
    answers: list[httpx.Response] = []
    body = {"prompt": "a fish", "num_samples": 16, "scale": 8}

    def work() -> None:
        answers.append(client.post("/api/v1/generate", json=body))

    threads = [threading.Thread(target=work) for _ in range(48)]
    # An open connection, so that the refusal can be seen.
    assert client.get("/api/v1/health").status_code == 200
    for thread in threads:
        thread.start()
    wait_for(lambda: client.get("/api/v1/health").json()["queued"] > 150)
    running.process.send_signal(signal.SIGTERM)
    wait_for(lambda: client.get("/api/v1/health").json()["status"] == "draining")
    assert client.get("/api/v1/ready").status_code == 503
    refused = client.post("/api/v1/generate", json=body)
    for thread in threads:
        thread.join(60)
    # Ten at least were in; one that came too late was refused like any other.
    done = [a for a in answers if a.status_code == 200]
    assert len(done) >= 10 and all(len(a.json()["images"]) == 16 for a in done)
    assert {a.status_code for a in answers} <= {200, 503}
    assert refused.status_code == 503 and "retry-after" in refused.headers
    assert refused.json()["error"]["code"] == "draining"
    # uvicorn ends by the signal that it was sent, as a supervisor expects.
    assert running.process.wait(60) in (0, -signal.SIGTERM)
    log = running.log.read_text()
    assert '"event":"drained","left":0' in log
    assert "Traceback" not in log
    assert "hush" not in log and "secret" not in log


def test_help_teaches(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        command.main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for word in ("POKEJAX_MODEL", "POKEJAX_RATE_LIMIT", "default: 8000", "example:"):
        assert word in text


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--model", "nowhere.safetensors"], "no model at nowhere.safetensors"),
        (["--port", "70000"], "--port is 70000; expected 0 to 65535"),
        (["--workers", "0"], "--workers is 0; expected 1 to 64"),
        (["--port", "http"], "invalid int value: 'http'"),
    ],
)
def test_a_bad_command_line_is_one_line_and_code_2(
    argv: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("POKEJAX_MODEL", "")
    try:
        code = command.main(argv)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("POKEJAX_MAX_QUEUE", "many", "POKEJAX_MAX_QUEUE is 'many'; expected a whole"),
        ("POKEJAX_MAX_QUEUE", "1", "expected a whole number from 16"),
        ("POKEJAX_DRAIN_S", "nan", "POKEJAX_DRAIN_S is 'nan'; expected a number"),
        ("POKEJAX_LOG_PROMPTS", "maybe", "expected 0 or 1"),
        ("POKEJAX_MAX_QUEU", "5", "did you mean 'POKEJAX_MAX_QUEUE'?"),
    ],
)
def test_a_bad_setting_is_named(name: str, value: str, message: str):
    with pytest.raises(SettingsError) as caught:
        read_settings({name: value})
    assert message in str(caught.value)


def test_settings_are_read():
    environ = {
        "POKEJAX_API_KEYS": "a, b,,",
        "POKEJAX_LOG_PROMPTS": "1",
        "POKEJAX_MODEL": "runs/x",
        "POKEJAX_MAX_WAIT_MS": "0.5",
        "HOME": "/",
    }
    settings = read_settings(environ)
    assert settings.api_keys == ("a", "b") and settings.log_prompts
    assert (settings.model, settings.max_wait_ms) == (Path("runs/x"), 0.5)
    assert read_settings({"POKEJAX_MAX_QUEUE": ""}).max_queue == 1024
