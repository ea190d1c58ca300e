"""The server's command, running in a process of its own."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.live_server import answers, free_port, wait_for


@dataclass
class Running:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def started(
    model: Path,
    log: Path,
    *options: str,
    code: str = "",
    port: str = "",
    **env: str,
) -> Iterator[Running]:
    port = port or str(free_port())
    what = ["-c", code] if code else ["-m", "server"]
    command = [sys.executable, *what, "--port", port]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--model", str(model), *options],
            env={**os.environ, **env},
            stderr=file,
        )
    running = Running(process, int(port), log)
    try:
        ready = f"{running.url}/api/v1/ready"
        wait_for(lambda: answers(ready) or process.poll() is not None, 120)
        assert process.poll() is None, log.read_text()
        yield running
    finally:
        process.terminate()
        process.wait(60)
