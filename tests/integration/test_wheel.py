"""The wheel, installed into an environment of its own and used from elsewhere.

To be quick, that environment borrows what pokejax depends on from this one. The slow
variant installs all of it anew, from the wheel's own metadata, as people do.
"""

import os
import signal
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.conftest import TINY
from tests.helpers import drawn
from tests.helpers.live_server import answers, free_port, wait_for
from tests.helpers.tools import QUICK_XLA, tool

pytestmark = pytest.mark.network  # building needs hatchling

BESIDE = ("server", "data_tools", "configs", "baml_src")
HOSTILE = (*BESIDE, "baml_client", "commands")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source distribution, as a release is."""
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([tool("uv"), "build", "--quiet", "--out-dir", out], check=True)
    return next(out.glob("*.whl"))


@pytest.fixture(
    scope="module",
    params=["borrowed", pytest.param("installed", marks=pytest.mark.slow)],
)
def elsewhere(
    request: pytest.FixtureRequest,
    wheel: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A directory of traps, with an environment in `env` that has the wheel."""
    root = tmp_path_factory.mktemp("elsewhere")
    python = root / "env" / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", root / "env"], check=True
    )
    command = [tool("uv"), "pip", "install", "--quiet", "--python", python]
    if request.param == "installed":
        subprocess.run([*command, f"{wheel}[train,data,server]"], check=True)
    else:
        subprocess.run([*command, "--no-deps", wheel], check=True)
        # The .pth files in there aren't followed, so the checkout that is installed
        # there stays out.
        (site,) = (root / "env").glob("lib/python*/site-packages")
        (site / "packages.pth").write_text(sysconfig.get_path("purelib"))
    for name in HOSTILE:
        (root / f"{name}.py").write_text(f"raise SystemExit('not our {name}')")
    return root


def arguments(elsewhere: Path, *words: str) -> dict:
    """What `subprocess` needs to run `pokejax …` there."""
    return {
        "args": [elsewhere / "env/bin/pokejax", *words],
        "cwd": elsewhere,
        "env": {
            "HOME": str(elsewhere),
            # What this suite compiled, and what was compiled for it there before.
            "JAX_COMPILATION_CACHE_DIR": os.environ["JAX_COMPILATION_CACHE_DIR"],
            "PATH": os.defpath,
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": QUICK_XLA,
        },
    }


def run(elsewhere: Path, *words: str) -> str:
    done = subprocess.run(
        **arguments(elsewhere, *words), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_has_one_name_and_all_that_git_has(wheel: Path):
    with zipfile.ZipFile(wheel) as file:
        inside = {name for name in file.namelist() if ".dist-info/" not in name}
    listed = ["git", "ls-files", "pokejax", *BESIDE]
    tracked = subprocess.run(listed, check=True, capture_output=True, text=True)
    for path in tracked.stdout.split():
        assert ("" if path.startswith("pokejax/") else "pokejax/") + path in inside
    assert {"pokejax/py.typed", "pokejax/baml_client/sync_client.py"} <= inside
    assert {name.split("/")[0] for name in inside} == {"pokejax"}


def test_from_pictures_to_a_served_model(elsewhere: Path):
    """Dataset, training, drawing and serving, all from the wheel."""
    drawn.write_drawn_images(elsewhere / "images", species=8)
    sizes = ["--image-size=32", "--output-dir=set", "--workers=1"]
    said = run(elsewhere, "data", "create_dataset", *sizes)
    assert "next: pokejax train --config quickstart" in said

    config = ["--config", "quickstart", "--data.dir=set", "--train.workdir=run"]
    run(elsewhere, "train", *config, *TINY, "--train.epochs=1")
    assert (elsewhere / "run/model.safetensors").is_file()

    port = free_port()
    url = f"http://127.0.0.1:{port}"
    serve = arguments(elsewhere, "serve", f"--port={port}", "--model=run")
    with (
        (elsewhere / "log").open("wb") as log,
        subprocess.Popen(**serve, stderr=log) as process,
    ):
        try:
            ready = f"{url}/api/v1/ready"
            wait_for(lambda: answers(ready) or process.poll() is not None, 120)
            assert process.poll() is None, (elsewhere / "log").read_text()
            assert httpx.get(f"{url}/api/v1/health").json()["status"] == "ready"
            assert httpx.get(url).text.startswith("<!doctype html>")
            picture = httpx.get(f"{url}/api/v1/download?prompt=fish&seed=1", timeout=60)
            assert picture.content.startswith(b"\x89PNG")
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) in (0, -signal.SIGTERM)
        finally:
            process.kill()


def test_the_included_model_draws(elsewhere: Path):
    words = ["--prompt=a red fire lizard", "--num=1", "--seed=7", "--out=drawn"]
    run(elsewhere, "draw", *words)
    with Image.open(elsewhere / "drawn/a-red-fire-lizard_7.png") as picture:
        assert picture.size == (64, 64)


def test_the_language_models_client_is_the_wheels(elsewhere: Path):
    code = "from pokejax.prompts import llm; print(llm.load_baml_client().__name__)"
    asked = arguments(elsewhere)
    asked["args"] = [elsewhere / "env/bin/python", "-c", code]
    named = subprocess.run(**asked, check=True, capture_output=True, text=True)
    assert named.stdout == "pokejax.baml_client.sync_client\n"
