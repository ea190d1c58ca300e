"""Servers to measure: started on a free port, waited for, watched and ended."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

_START_SECONDS = 300


class Server(NamedTuple):
    """A server process that is ready."""

    process: subprocess.Popen
    port: int

    def fetch(self, path: str, key: str = "") -> str:
        url = f"http://127.0.0.1:{self.port}{path}"
        asked = urllib.request.Request(url, headers={"X-API-Key": key} if key else {})
        with urllib.request.urlopen(asked) as answer:
            return answer.read().decode()

    def metrics(self, key: str = "") -> dict[str, float]:
        """The service's counters, by name with labels."""
        lines = self.fetch("/metrics", key).splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def cpu_seconds(self) -> float:
        """Processor time used so far, by workers too; 0 where there is no /proc."""
        own = self.process.pid
        try:
            children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
            stats = [Path(f"/proc/{pid}/stat").read_text() for pid in (own, *children)]
        except OSError:
            return 0.0
        fields = [stat.rpartition(")")[2].split() for stat in stats]
        ticks = sum(int(field[11]) + int(field[12]) for field in fields)
        return ticks / os.sysconf("SC_CLK_TCK")

    def resident_mb(self) -> float:
        """Memory in use now; 0 where there is no /proc."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return 0.0
        (line,) = (x for x in status.splitlines() if x.startswith("VmRSS"))
        return int(line.split()[1]) / 1024


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def pokejax_server(
    model: Path, *, workers: int = 1, **settings: object
) -> Iterator[Server]:
    """The service with this model; `settings` are its variables, `max_queue=16`."""
    env = {f"POKEJAX_{name.upper()}": str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", "server", "--model", str(model)]
    with started([*command, "--workers", str(workers)], env) as server:
        while workers > 1 and server.metrics()["pokejax_ready_workers"] < workers:
            time.sleep(0.2)
        yield server


@contextmanager
def started(command: Sequence[str], env: dict[str, str]) -> Iterator[Server]:
    """A server that takes `--port`, once it says that it's ready."""
    port = free_port()
    process = subprocess.Popen(
        [*command, "--port", str(port)],
        env=os.environ | env,
        stderr=subprocess.DEVNULL,
    )
    server = Server(process, port)
    try:
        end = time.monotonic() + _START_SECONDS
        while True:
            try:
                server.fetch("/api/v1/ready")
                break
            except OSError:
                if time.monotonic() > end or process.poll() is not None:
                    raise SystemExit(f"{command} did not start") from None
                time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        process.wait(30)
