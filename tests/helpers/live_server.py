"""A real server on a loopback port, in a thread; and one that can be held up."""

import contextlib
import dataclasses
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx
import uvicorn

from pokejax.inference.sampler import Sampler
from server.app import create_app
from server.gate import Gate
from server.protocol import StrictProtocol
from server.service import Service
from server.settings import Settings


@dataclasses.dataclass
class Live:
    """A server that runs; `gate` cleared keeps its device from drawing."""

    url: str
    port: int
    service: Service
    gate: threading.Event
    app: Gate

    def is_held(self) -> bool:
        """Whether the device has something to draw and waits at the gate."""
        assert self.service.batcher
        return getattr(self.service.batcher.sampler, "held", False)

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60)


class HeldSampler(Sampler):
    """The real sampler, which waits at a gate before it draws."""

    def __init__(self, sampler: Sampler, gate: threading.Event):
        self.__dict__.update(sampler.__dict__)
        self._sampler = sampler
        self._gate = gate
        self.held = False

    def warm_up(self) -> None:
        self._sampler.warm_up()  # which no gate holds up

    def rounds(self, *args: Any, **options: Any) -> Iterator[Any]:
        self.held = not self._gate.is_set()
        assert self._gate.wait(60)
        self.held = False
        yield from super().rounds(*args, **options)


@contextlib.contextmanager
def serve(settings: Settings, until: str = "ready") -> Iterator[Live]:
    gate_app = create_app(settings)
    config = uvicorn.Config(
        gate_app, port=0, log_level="error", ws="none", http=StrictProtocol
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    service, gate = gate_app.service, threading.Event()
    gate.set()
    try:
        # Compiling the shipped model takes minutes on a machine that others keep busy.
        wait_for(lambda: service.state == until and server.started, seconds=300)
        assert service.batcher
        service.batcher.sampler = HeldSampler(service.batcher.sampler, gate)  # type: ignore[assignment]
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Live(f"http://127.0.0.1:{port}", port, service, gate, gate_app)
    finally:
        gate.set()
        server.should_exit = True
        thread.join(30)
    assert not thread.is_alive()


def wait_for(happened: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


Starter = Callable[..., AbstractContextManager[Live]]


def send_raw(port: int, data: bytes) -> socket.socket:
    """A connection on which `data` was sent."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.sendall(data)
    return connection


def raw_post(path: str, body: bytes) -> bytes:
    """A whole request."""
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def answers(url: str) -> bool:
    """Whether a server is there that answers with 200; cheap to ask over and over."""
    try:
        with urllib.request.urlopen(url) as answer:
            return answer.status == 200
    except urllib.error.HTTPError as refusal:
        refusal.close()
        return False
    except OSError:
        return False


def port_answers(port: int) -> bool:
    """Whether something listens on a loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
