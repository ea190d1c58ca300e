"""Fixtures of the data commands' tests."""

import pytest

from tests.helpers.llm_server import LlmServer


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch):
    """Point the environment at a server, and be quick to try again."""
    vision_requests = pytest.importorskip("data_tools.vision.requests")
    monkeypatch.setattr(vision_requests, "_FIRST_BACKOFF_S", 0.05)

    def point(server: LlmServer, **more: str) -> None:
        for name, value in (server.environment | more).items():
            monkeypatch.setenv(name, value)

    return point
