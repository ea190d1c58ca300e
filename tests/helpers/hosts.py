"""Processes that stand for hosts, which meet through `jax.distributed`."""

import os
import socket
from collections.abc import Mapping, Sequence

from tests.helpers.tools import QUICK_XLA


def environment(devices: int, more: Mapping[str, str] | None = None) -> dict[str, str]:
    flags = f"--xla_force_host_platform_device_count={devices} {QUICK_XLA}"
    return os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": "."} | dict(more or {})


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def by_flags(options: Sequence[str]) -> list[tuple[list[str], dict[str, str]]]:
    """Arguments and environment of two processes that are told where to meet."""
    meet = ["--mesh.coordinator", f"127.0.0.1:{free_port()}", "--mesh.processes=2"]
    return [
        ([*options, *meet, f"--mesh.process_id={i}"], environment(1)) for i in (0, 1)
    ]
