"""The command as a process of its own: signals, slow clients, what it prints."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from server import __main__ as command
from server.settings import SettingsError, read_settings
from tests.helpers.live_server import (
    raw_post,
    send_raw,
    wait_for,
)
from tests.helpers.llm_server import LlmServer
from tests.helpers.server_process import Running, started


@pytest.fixture(scope="module")
def running(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with started(
        model,
        tmp_path_factory.mktemp("server") / "log",
        POKEJAX_READ_TIMEOUT_S="1",
        POKEJAX_DRAIN_S="60",
        POKEJAX_API_KEYS="a-secret-key",
        POKEJAX_RATE_LIMIT="100000",
    ) as running:
        yield running


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


def test_who_takes_nothing_is_hung_up_on(running: Running, client: httpx.Client):
    body = {"prompts": ["a fish"], "seeds": list(range(1000)), "scale": 8}
    sent = raw_post("/api/v1/batch", json.dumps(body).encode())
    sent = sent.replace(b"Host: a", b"Host: a\r\nX-API-Key: a-secret-key")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", running.port))
        connection.sendall(sent)
        for count in (1, 0):
            told = f"pokejax_streams {count}.0"
            wait_for(lambda told=told: told in client.get("/metrics").text)
        got = b""
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(65536):
                got += part
    assert got.startswith(b"HTTP/1.1 200 ") and b"manifest.json" not in got


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


def test_only_proxies_that_were_named_are_believed(
    running: Running, client: httpx.Client
):
    forged = {"X-Forwarded-For": "6.6.6.6"}
    assert client.get("/api/v1/attributes", headers=forged).status_code == 200
    wait_for(lambda: "/api/v1/attributes" in running.log.read_text())
    assert "6.6.6.6" not in running.log.read_text()


def test_sigterm_lets_work_finish_and_lets_nothing_in(
    running: Running, client: httpx.Client
):
    answers: list[httpx.Response] = []
    body = {"prompt": "a fish", "num_samples": 16, "scale": 8}

    def work() -> None:
        answers.append(client.post("/api/v1/generate", json=body))

    threads = [threading.Thread(target=work) for _ in range(30)]
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
    assert all(json.loads(line)["event"] for line in log.splitlines())
    assert "hush" not in log and "secret" not in log


def workers_of(process: subprocess.Popen[bytes]) -> set[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return {
        int(pid)
        for pid in children.split()
        if b"multiprocessing.spawn" in Path(f"/proc/{pid}/cmdline").read_bytes()
    }


def test_two_workers(model: Path, tmp_path: Path):
    metrics = tmp_path / "tmp"
    metrics.mkdir()
    log, path = tmp_path / "log", "/api/v1/generate/stream"
    limits = {"POKEJAX_DRAIN_S": "1", "POKEJAX_LLM_TIMEOUT_S": "100"}
    with (
        LlmServer(plan=lambda request, nth: "hang") as llm,
        started(
            model,
            log,
            "--workers=2",
            TMPDIR=str(metrics),
            **limits,
            **llm.environment,
        ) as running,
    ):
        ready = "pokejax_ready_workers 2.0"
        with httpx.Client(base_url=running.url, timeout=120) as client:
            wait_for(lambda: ready in client.get("/metrics").text)
            # A worker that is killed is not counted any more, and replaced.
            before = workers_of(running.process)
            assert len(before) == 2
            os.kill(before.pop(), signal.SIGKILL)
        with httpx.Client(base_url=running.url, timeout=120) as client:
            wait_for(lambda: before != workers_of(running.process))
            wait_for(lambda: ready in client.get("/metrics").text)
        # Each request on a connection of its own, so any worker may get it.
        whole = httpx.get(f"{running.url}{path}?prompt=fish&seed=1", timeout=60).text
        image = next(line for line in whole.splitlines() if '"image":' in line)
        first = next(x for x in whole.splitlines() if x.startswith("id: "))[4:]
        for _ in range(12):
            back = httpx.get(
                f"{running.url}{path}", headers={"Last-Event-ID": first}, timeout=60
            )
            assert image in back.text.splitlines()
        asked = {"prompts": ["fish"], "seeds": [1, 2, 3]}
        zipped = httpx.post(f"{running.url}/api/v1/batch", json=asked, timeout=60)
        rest = f"{running.url}/api/v1/batch/{zipped.headers['x-job']}?offset=9"
        for _ in range(12):
            assert httpx.get(rest, timeout=60).content == zipped.content[9:]

        # A language model that hangs doesn't hold up the end.
        def ask(number: int) -> str:
            asked = {"prompt": f"a fish {number}", "use_llm_parsing": "true"}
            if number % 2:
                return httpx.get(f"{running.url}{path}", params=asked, timeout=60).text
            body = {**asked, "use_llm_parsing": True}
            url = f"{running.url}/api/v1/generate"
            return httpx.post(url, json=body, timeout=60).text

        with ThreadPoolExecutor(16) as pool:
            asked = [pool.submit(ask, number) for number in range(16)]
            counters, all_in = f"{running.url}/metrics", "requests_under_way 16.0"
            wait_for(lambda: all_in in httpx.get(counters).text)
            wait_for(lambda: len(llm.log) >= 8)  # a worker asks so many at a time
            running.process.send_signal(signal.SIGTERM)
            assert all('"code":"draining"' in answer.result() for answer in asked)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(60) in (0, -signal.SIGTERM)
    assert list(metrics.glob("pokejax-metrics-*")) == []
    assert all(json.loads(line)["event"] for line in log.read_text().splitlines())


DEAF = """
import socket, sys, uvicorn
from server.log import LOG_CONFIG
from server.workers import Workers
config = uvicorn.Config("tests.helpers.deaf:app", workers=2, log_config=LOG_CONFIG)
with socket.create_server(("127.0.0.1", 0)) as listener:
    Workers(config, [listener], patience_s=float(sys.argv[1])).run()
"""


@pytest.mark.parametrize("patience_s", [0.5, 600], ids=["in time", "asked twice"])
def test_workers_that_hang_are_killed(patience_s: float, tmp_path: Path):
    log = tmp_path / "log"
    with log.open("wb") as file:
        command = [sys.executable, "-c", DEAF, str(patience_s)]
        process = subprocess.Popen(command, stderr=file)
    try:
        wait_for(lambda: log.read_text().count("Application startup complete") == 2)
        process.send_signal(signal.SIGTERM)
        if patience_s > 60:
            wait_for(lambda: log.read_text().count("Terminated child") == 2)
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    hung = [line["pid"] for line in lines if line["event"] == "hung"]
    assert len(hung) == 2 and not any(Path(f"/proc/{pid}").exists() for pid in hung)


STUCK = """
import sys, time
from server import __main__, lifecycle, service
read, lifecycle.LAST_S = service._parse_and_embed, 0.5
def stuck(prompt, sampler):
    return time.sleep(600) if "stuck" in prompt else read(prompt, sampler)
service._parse_and_embed = stuck
sys.exit(__main__.main())
"""


def test_a_thread_that_hangs_is_not_waited_for(model: Path, tmp_path: Path):
    log = tmp_path / "log"
    asked = raw_post("/api/v1/generate", b'{"prompt":"stuck"}')
    with (
        started(model, log, code=STUCK, POKEJAX_DRAIN_S="0.1") as running,
        send_raw(running.port, asked),
    ):
        metrics = f"{running.url}/metrics"
        wait_for(lambda: "requests_under_way 1.0" in httpx.get(metrics).text)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(60) == 1
    assert json.loads(log.read_text().splitlines()[-1])["event"] == "hung"


def test_a_port_that_is_taken_is_told_at_once(
    model: Path, capsys: pytest.CaptureFixture[str]
):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert command.main(["--port", str(port), "--model", str(model)]) == 2
    told = f"error: can't listen on 127.0.0.1 port {port}: Address already in use\n"
    assert capsys.readouterr().err == told


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


def test_an_index_that_is_none_is_told_before_a_port_is_opened(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("POKEJAX_TRAINING_INDEX", "nowhere.npz")
    assert command.main([]) == 2
    assert "nowhere.npz can't be read: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("POKEJAX_MAX_QUEUE", "many", "POKEJAX_MAX_QUEUE is 'many'; expected a whole"),
        ("POKEJAX_MAX_QUEUE", "1", "expected a whole number from 16"),
        ("POKEJAX_DRAIN_S", "nan", "POKEJAX_DRAIN_S is 'nan'; expected a number"),
        ("POKEJAX_LOG_PROMPTS", "maybe", "expected 0 or 1"),
        ("POKEJAX_API_KEYS", ",,", "POKEJAX_API_KEYS is set but holds no key"),
        ("POKEJAX_API_KEYS", "", "unset it to run without"),
        ("POKEJAX_KEY_LIMITS", "5,x", "POKEJAX_KEY_LIMITS is 'x'; expected a whole"),
        ("POKEJAX_KEY_LIMITS", "5", "has 1 numbers for 0 keys; expected one for each"),
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
        "POKEJAX_KEY_LIMITS": "5, 0",
        "POKEJAX_LOG_PROMPTS": "1",
        "POKEJAX_MODEL": "runs/x",
        "POKEJAX_MAX_WAIT_MS": "0.5",
        "HOME": "/",
    }
    settings = read_settings(environ)
    assert settings.api_keys == ("a", "b") and settings.log_prompts
    assert settings.key_limits == (5, 0)
    assert (settings.model, settings.max_wait_ms) == (Path("runs/x"), 0.5)
    assert read_settings({"POKEJAX_MAX_QUEUE": ""}).max_queue == 1024
