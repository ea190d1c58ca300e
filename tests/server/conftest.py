"""Fixtures: the tiny model served on a loopback port."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from server.settings import Settings
from tests.helpers.live_server import Live, Starter, serve


@pytest.fixture(scope="session")
def model(tiny_run: Path) -> Path:
    return tiny_run / "model.safetensors"


@pytest.fixture(scope="session")
def start(model: Path) -> Starter:
    """Serve the tiny model with some settings changed, once it is in some state."""
    return lambda until="ready", **changes: serve(
        Settings(model=model, **changes), until
    )


@pytest.fixture(scope="session")
def live(start: Starter) -> Iterator[Live]:
    with start() as running:
        yield running


@pytest.fixture
def client(live: Live) -> Iterator[httpx.Client]:
    with live.client() as client:
        yield client
