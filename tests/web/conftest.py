"""One server with the shipped model, and one browser, for all of the studio's tests."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from server.settings import Settings
from tests.helpers.link import Link
from tests.helpers.live_server import Live, serve

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

_FLAGS = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]


@dataclass
class Site:
    """The studio's address, the server behind it, and the cable between."""

    url: str
    live: Live
    link: Link
    runs: Path


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("chromium isn't installed")
    api = pytest.importorskip("playwright.sync_api", reason="no playwright here")
    with api.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def served(browser: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    runs = tmp_path_factory.mktemp("runs")
    settings = Settings(max_queue=16, runs_dir=runs)
    with serve(settings) as live:
        link = Link(live.port)
        yield Site(f"http://127.0.0.1:{link.port}/", live, link, runs)
        link.close()


@pytest.fixture
def site(served: Site) -> Iterator[Site]:
    yield served
    served.link.mend()
    served.live.gate.set()


@pytest.fixture
def context(browser: "Browser") -> Iterator["BrowserContext"]:
    """A browser profile of its own, with an empty gallery."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(20_000)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield context
    context.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the console may say in a test; all else makes it fail."""
    return []


@pytest.fixture
def page(
    context: "BrowserContext", site: Site, complaints: list[str]
) -> Iterator["Page"]:
    """The studio, open and ready; its console must stay silent."""
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda m: errors.extend([m.text] * (m.type == "error")))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(site.url)
    page.wait_for_selector("body[data-ready]")
    yield page
    assert [e for e in errors if not any(c in e for c in complaints)] == []
