"""What README and the API's page tell people to send, sent to a real server."""

import re
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pokejax import Sampler
from server.settings import Settings
from tests.helpers.live_server import Live, serve
from tests.unit.test_given import art, png

ADDRESS = "http://127.0.0.1:8000"
PAGES = ("README.md", "docs/api.md", "docs/tutorial.md")


def blocks(page: str, language: str) -> list[str]:
    text = Path(page).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.M | re.S)


@pytest.fixture(scope="module")
def drawing_kin(kin_model: Path) -> Iterator[Live]:
    with serve(Settings(model=kin_model)) as live:
        yield live


@pytest.mark.parametrize("page", PAGES)
def test_its_curl_commands_work(page: str, drawing_kin: Live, tmp_path: Path):
    (tmp_path / "doodle.png").write_bytes(png(art()))
    joined = "".join(blocks(page, "console")).replace("\\\n", " ")
    sent = [line for line in joined.splitlines() if line.startswith("curl ")]
    assert sent
    for command in sent:
        assert ADDRESS in command
        quiet = "curl --fail --silent --show-error "
        answered = subprocess.run(
            command.replace("curl ", quiet, 1).replace(ADDRESS, drawing_kin.url),
            shell=True,
            cwd=tmp_path,
            capture_output=True,
        )
        assert answered.returncode == 0, command + answered.stderr.decode()
        assert b'"error"' not in answered.stdout
    for path in tmp_path.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
    for path in tmp_path.glob("*.zip"):
        listed = zipfile.ZipFile(path).namelist()
        assert {"manifest.json", "recipe.json"} & {*listed}


def test_the_python_in_readme_works(
    live: Live, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    draw, ask = blocks("README.md", "python")
    # The shipped model has tests of its own; this one is there already.
    sampler = Sampler.load(model)
    monkeypatch.setattr(Sampler, "load", lambda: sampler)
    monkeypatch.chdir(tmp_path)
    exec(draw, {})
    assert len(list(tmp_path.glob("snake_*.png"))) == 4
    names: dict[str, object] = {}
    exec(ask.replace(ADDRESS, live.url), names)
    assert getattr(names["picture"], "b64_json", None)
