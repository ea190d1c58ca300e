"""What the Dockerfile and the compose files say, done here without Docker."""

import dataclasses
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from pokejax.inference import shipped
from server.settings import PREFIX, Settings
from tests.helpers.live_server import answers, free_port, wait_for
from tests.helpers.proxy import replace_once
from tests.helpers.tools import QUICK_XLA, tool

# Root may write to what nobody may write to, unless it is without capabilities.
WITHOUT_RIGHTS = (
    []
    if os.geteuid()
    else ["setpriv", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]
)
# Continued lines joined, comments left out.
DOCKERFILE = re.sub(r"\\\n\s*", "", Path("Dockerfile").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load(Path("docker-compose.yml").read_text())


def steps(name: str) -> list[str]:
    return re.findall(rf"^{name} (.+)$", DOCKERFILE, flags=re.MULTILINE)


def test_the_dockerfile_is_clean():
    checked = subprocess.run([tool("hadolint"), "Dockerfile"], capture_output=True)
    assert checked.returncode == 0, checked.stdout.decode()


def test_every_run_is_a_make_target():
    targets = set(re.findall(r"^([a-z-]+):", Path("Makefile").read_text(), re.M))
    runs = [run.split() for run in steps("RUN")]
    assert runs and all(run[0] == "make" and run[1] in targets for run in runs)
    # Nobody is root in what comes out.
    assert steps("USER") == ["10001:10001"] * 2


def test_an_accelerator_is_an_extra():
    extras = tomllib.loads(Path("pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    cuda = yaml.safe_load(Path("docker-compose.cuda.yml").read_text())["services"]
    for service in (cuda["api"], cuda["train"]):
        assert service["build"]["args"]["ACCELERATOR"] in extras
    for run in steps("RUN")[::2]:  # one a stage; the others install the code
        command = run.replace("make", "make --dry-run", 1)
        env = os.environ | {"ACCELERATOR": "cuda"}
        told = subprocess.check_output(["sh", "-euc", command], env=env, text=True)
        installs = told.rpartition("uv pip install")[2].split()
        asked = [b for a, b in itertools.pairwise(installs) if a == "--extra"]
        assert asked[-1] == "cuda" and set(asked) < set(extras)


def test_compose_passes_on_every_setting():
    given = COMPOSE["services"]["api"]["environment"]
    passed = [name for name in given if name.startswith(PREFIX)]
    for name in passed:  # a plain value would stand in the way of the shell's
        assert given[name] is None or given[name].startswith(f"${{{name}:-")
    names = [PREFIX + field.name.upper() for field in dataclasses.fields(Settings)]
    assert passed == names


def test_compose_locks_its_services_and_mounts_what_exists():
    for name, service in COMPOSE["services"].items():
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        for mount in service.get("volumes", []):
            source = re.sub(r"^\$\{\w+:-(.+)\}$", r"\1", mount.split(":/")[0])
            assert Path(source).exists() or source in COMPOSE["volumes"], mount
            # Whatever of the repository is mounted is mounted to be read.
            assert not source.startswith("./") or mount.endswith(":ro"), mount
    # Rate limits believe the proxy, so nobody else may reach the service.
    assert "ports" not in COMPOSE["services"]["api"]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The service image's /app, made by its own RUN lines from its own context."""
    ignored = Path(".dockerignore").read_text().split("\n")
    patterns = [
        line.removeprefix("**/") for line in ignored if line[:1] not in ("", "#")
    ]

    def leave_out(folder: str, names: list[str]) -> set[str]:
        # A pattern without **/ is about the top only.
        top = Path(folder) == Path()
        kinds = patterns if top else ["__pycache__"]
        return {n for n in names if any(fnmatch(n, kind) for kind in kinds)}

    app = tmp_path_factory.mktemp("image") / "app"
    try:
        shutil.copytree(".", app, ignore=leave_out, symlinks=True)
        service = DOCKERFILE.split(" AS service-packages\n")[1].split("\nFROM ")[0]
        runs = re.findall("^RUN (.+)$", service, flags=re.MULTILINE)
        assert len(runs) == 2
        # A stage doesn't inherit arguments in every builder, so each has its own.
        arguments = "\n".join(re.findall("^ARG (.+)$", service, flags=re.MULTILINE))
        # Compiling all packages takes longer than the rest; one server starts here.
        env = os.environ | {"MAKEFLAGS": "BYTECODE="}
        for run in runs:
            command = ["sh", "-euc", f"{arguments}\n{run}"]
            made = subprocess.run(
                command, cwd=app, env=env, capture_output=True, text=True
            )
            assert made.returncode == 0, made.stderr
        yield app
    finally:
        # Nearly a gigabyte, which pytest would keep for a while.
        subprocess.run(["chmod", "--recursive", "u+w", app], check=True)
        shutil.rmtree(app)


@pytest.mark.network
def test_the_service_runs_as_in_the_image(
    image: Path, flow_model: Path, tmp_path: Path
):
    """With a tiny model, as if it were mounted, since that is there sooner."""
    assert (image / "pokejax/weights" / shipped.MODEL.name).is_file()
    inside = {path.name for path in image.iterdir()}
    assert inside.isdisjoint({"tests", "docs", ".git", "images", "outputs", ".env"})
    commands = {path.name for path in (image / ".venv/bin").iterdir()}
    assert {"python", "uvicorn"} <= commands
    assert commands.isdisjoint({"pip", "uv", "pyright", "pytest"})
    port = free_port()
    command = json.loads(steps("CMD")[-1])
    command = [str(port) if word == "8000" else word for word in command]
    # As written there, but with another port; nothing but /tmp can be written to.
    check = steps("HEALTHCHECK")[0].partition(" CMD ")[2]
    check = json.loads(replace_once(check, ":8000/", f":{port}/"))
    env = {
        "PATH": f"{image}/.venv/bin:{os.defpath}",
        "HOME": "/tmp",
        "PYTHONDONTWRITEBYTECODE": "1",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": QUICK_XLA,
        f"{PREFIX}MODEL": str(flow_model),
    }
    runs: dict[str, Any] = {"cwd": image, "env": env}
    command, check = [*WITHOUT_RIGHTS, *command], [*WITHOUT_RIGHTS, *check]
    subprocess.run(["chmod", "--recursive", "a-w", image], check=True)
    tried = subprocess.run([*WITHOUT_RIGHTS, "touch", image / "a"], capture_output=True)
    assert tried.returncode, "the root is to be read-only"

    def healthy() -> bool:
        return subprocess.run(check, **runs, capture_output=True).returncode == 0

    assert not healthy()
    log = tmp_path / "log"
    with (
        log.open("wb") as file,
        subprocess.Popen(command, **runs, stdout=file, stderr=file) as process,
    ):
        try:
            # Not by asking `healthy` over and over: each time starts a Python.
            ready = f"http://127.0.0.1:{port}/api/v1/ready"
            wait_for(lambda: answers(ready) or process.poll() is not None, 180)
            assert process.poll() is None, log.read_text()
            assert healthy()
            url = f"http://127.0.0.1:{port}/api/v1/download"
            query = {"prompt": "a red dragon", "seed": 42}
            answer = httpx.get(url, params=query, timeout=60)
            assert answer.content.startswith(b"\x89PNG")
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) in (0, -signal.SIGTERM)
        finally:
            process.kill()
    assert "Traceback" not in log.read_text()
