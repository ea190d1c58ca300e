"""The service on a real Ray cluster: two replicas under load, one of them killed."""

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from pokejax import Sampler
from tests.helpers.live_server import free_port, wait_for
from tests.helpers.sessions import processes_of

pytest.importorskip("ray")
SECONDS = 600
CLIENTS = 6
STREAM = "/api/v1/generate/stream"
PICTURE = {"prompt": "a red fish", "seed": 3, "background": "transparent"}
MANY: dict[str, Any] = {"prompt": "a red fish", "seed": 1, "num_samples": 16}
# Who joins a cluster shows its token.
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
ENVIRONMENT = os.environ | TOKEN | {"PYTHONPATH": "."}
DEPLOY = """
import ray
from ray import serve
from server.ray_app import build
ray.init(log_to_driver=False)
serve.run(build({"replicas": 2}), name="pokejax", route_prefix="/")
"""


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

    def address(self) -> str:
        """Where another process joins the cluster, as Ray's own ones are told it."""
        told = " ".join(called for _, called in processes_of(self.process.pid))
        found = re.search(r"--gcs[-_]address=([\d.:]+)", told)
        assert found, told
        return found[1]


@pytest.fixture(scope="module")
def cluster(flow_model: Path) -> Iterator[Cluster]:
    port = free_port()
    options = ["--replicas=2", "--cpus=3", f"--port={port}", f"--model={flow_model}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "server.ray_cluster", *options],
        env=ENVIRONMENT,
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


@contextlib.contextmanager
def asking(cluster: Cluster) -> Iterator[list[httpx.Response]]:
    """Clients that ask for the same picture again and again, and their answers."""
    answers: list[httpx.Response] = []
    ended = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=cluster.url, timeout=SECONDS) as client:
            while not ended.is_set():
                answers.append(client.get("/api/v1/download", params=PICTURE))

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: len(answers) > 20, SECONDS)
        yield answers
        seen = len(answers)
        wait_for(lambda: len(answers) > seen + 20, SECONDS)
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def pictures(cluster: Cluster) -> set[str]:
    """Those of a stream, which is gone on with wherever it breaks off."""
    found: set[str] = set()
    last = ""
    with httpx.Client(base_url=cluster.url, timeout=SECONDS) as client:
        while True:
            headers = {"Last-Event-ID": last} if last else {}
            with (
                contextlib.suppress(httpx.RemoteProtocolError),
                client.stream("GET", STREAM, params=MANY, headers=headers) as answer,
            ):
                for line in answer.iter_lines():
                    if line.startswith("id: "):
                        last = line[4:]
                    if '"image":' in line:
                        found.add(line)
                    if line == "event: done":
                        return found


@pytest.mark.slow
def test_streams_go_on_at_any_replica(cluster: Cluster):
    with httpx.Client(base_url=cluster.url, timeout=SECONDS) as client:
        whole = client.get(STREAM, params=MANY | {"num_samples": 2}).text.splitlines()
        first = next(line for line in whole if line.startswith("id: "))[4:]
        images = [line for line in whole if '"image":' in line]
        assert images and any(line == "event: done" for line in whole)
        for _ in range(8):
            back = client.get(STREAM, headers={"Last-Event-ID": first})
            assert set(images) <= {*back.text.splitlines()}


# Pydantic, of how Ray describes its own options.
@pytest.mark.filterwarnings("ignore:Using extra keyword arguments")
def test_replicas_are_scaled_by_what_waits():
    from server.ray_app import build

    for wrong in ("0", "8-1", "two", ""):
        with pytest.raises(ValueError, match=f"replicas is '{wrong}'; expected"):
            build({"replicas": wrong})
    config = build({"replicas": "1-8"})._bound_deployment._deployment_config
    scaling = config.autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas) == (1, 8)
    assert scaling.target_ongoing_requests == 16
    with pytest.raises(ValueError, match="no argument 'gpu'; expected replicas or"):
        build({"gpu": 1})


@pytest.mark.slow
def test_health_and_ids_pass_through(cluster: Cluster):
    with httpx.Client(base_url=cluster.url, timeout=SECONDS) as client:
        assert client.get("/-/healthz").text == "success"  # the proxy's own
        answer = client.get("/api/v1/health", headers={"X-Request-Id": "my-own"})
        assert answer.headers.get_list("x-request-id") == ["my-own"]
        answer = client.get("/api/v1/ready")
        assert answer.status_code == 200
        assert len(answer.headers.get_list("x-request-id")) == 1


@pytest.mark.slow
def test_a_killed_replica_costs_no_answer(cluster: Cluster, flow_model: Path):
    before = cluster.replicas()
    assert len(before) == 2
    (expected,) = Sampler.load(flow_model).generate("a red fish", seed=3)
    whole = pictures(cluster)
    assert len(whole) >= MANY["num_samples"]
    with asking(cluster) as answers, ThreadPoolExecutor() as pool:
        streams = [pool.submit(pictures, cluster) for _ in range(4)]
        os.kill(min(before), signal.SIGKILL)
        assert all(stream.result() == whole for stream in streams)
        wait_for(lambda: len(cluster.replicas() - before) == 1, SECONDS)
    refused = [answer for answer in answers if answer.status_code != 200]
    # Those it had in its hands, at most, and each of these was told what to do.
    assert len(refused) <= CLIENTS
    for answer in refused:
        assert answer.status_code == 503 and "retry-after" in answer.headers
        code = json.loads(answer.content)["error"]["code"]
        assert code in ("replica_lost", "overloaded", "draining")
    for answer in answers:
        assert answer.status_code == 503 or answer.content == expected.png()


@pytest.mark.slow
def test_new_weights_replace_the_old_ones_under_load(
    cluster: Cluster, flow_model: Path, kin_model: Path
):
    """The same as `serve deploy`, by another process that joins the cluster."""
    old, new = (
        Sampler.load(model).generate("a red fish", seed=3)[0].png()
        for model in (flow_model, kin_model)
    )
    told = {"POKEJAX_MODEL": str(kin_model), "RAY_ADDRESS": cluster.address()}
    with asking(cluster) as answers:
        subprocess.run(
            [sys.executable, "-c", DEPLOY],
            env=ENVIRONMENT | told,
            check=True,
            timeout=SECONDS,
        )
        wait_for(lambda: len(cluster.replicas()) == 2, SECONDS)
        done = len(answers)
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.content for answer in answers} == {old, new}
    # What was asked before may have been answered after.
    assert {answer.content for answer in answers[done + CLIENTS :]} == {new}
