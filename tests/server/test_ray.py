"""The service on a real Ray cluster: two replicas under load, one of them killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pokejax import Sampler
from tests.helpers.live_server import free_port, wait_for
from tests.helpers.sessions import processes_of

pytestmark = pytest.mark.slow
pytest.importorskip("ray")
SECONDS = 600
STREAM = "/api/v1/generate/stream"


class Cluster:
    def __init__(self, url: str, process: subprocess.Popen[str]):
        self.url, self.process = url, process

    def replicas(self) -> set[int]:
        """The processes of replicas, which Ray gives a name."""
        return {
            pid
            for pid, called in processes_of(self.process.pid)
            if "ServeReplica" in called
        }


@pytest.fixture(scope="module")
def cluster(flow_model: Path) -> Iterator[Cluster]:
    port = free_port()
    options = ["--replicas=2", "--cpus=3", f"--port={port}", f"--model={flow_model}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "server.ray_cluster", *options],
        env=os.environ | {"PYTHONPATH": "."},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    try:
        assert process.stdout.readline().startswith("listening")
        yield Cluster(f"http://127.0.0.1:{port}", process)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        left = [pid for pid, _ in processes_of(process.pid)]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    assert process.returncode == 0 and not left


def test_streams_go_on_at_any_replica(cluster: Cluster):
    with httpx.Client(base_url=cluster.url, timeout=SECONDS) as client:
        asked = {"prompt": "a red fish", "seed": 1, "num_samples": 2}
        whole = client.get(STREAM, params=asked).text.splitlines()
        first = next(line for line in whole if line.startswith("id: "))[4:]
        images = [line for line in whole if '"image":' in line]
        assert images and any(line == "event: done" for line in whole)
        for _ in range(8):
            back = client.get(STREAM, headers={"Last-Event-ID": first})
            assert set(images) <= {*back.text.splitlines()}


def test_ids_pass_through(cluster: Cluster):
    with httpx.Client(base_url=cluster.url, timeout=SECONDS) as client:
        answer = client.get("/api/v1/health", headers={"X-Request-Id": "my-own"})
        assert answer.headers.get_list("x-request-id") == ["my-own"]
        answer = client.get("/api/v1/health")
        assert len(answer.headers.get_list("x-request-id")) == 1


def test_a_killed_replica_costs_no_answer(cluster: Cluster, flow_model: Path):
    before = cluster.replicas()
    assert len(before) == 2
    (expected,) = Sampler.load(flow_model).generate("a red fish", seed=3)
    answers: list[httpx.Response] = []
    ended = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=cluster.url, timeout=SECONDS) as client:
            while not ended.is_set():
                asked = {"prompt": "a red fish", "seed": 3, "background": "transparent"}
                answers.append(client.get("/api/v1/download", params=asked))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: len(answers) > 20, SECONDS)
        killed = min(before)
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: len(cluster.replicas() - before) == 1, SECONDS)
        seen = len(answers)
        wait_for(lambda: len(answers) > seen + 20, SECONDS)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    refused = [answer for answer in answers if answer.status_code != 200]
    # Those it had in its hands, at most, and each of these was told what to do.
    assert len(refused) <= len(threads)
    for answer in refused:
        assert answer.status_code == 503 and "retry-after" in answer.headers
        code = json.loads(answer.content)["error"]["code"]
        assert code in ("replica_lost", "overloaded", "draining")
    for answer in answers:
        assert answer.status_code == 503 or answer.content == expected.png()
