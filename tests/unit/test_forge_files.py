"""Files that only other people's machines read: checked by the tools they offer."""

import csv
import importlib.metadata
import json
import re
import subprocess
import sys
import threading
import tomllib
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import check_jsonschema
import pytest
import yaml
from click.testing import CliRunner

from tests.helpers.tools import tool

SCHEMAS = {
    "compose-spec": ["docker-compose*.yml"],
    "github-workflows": [".github/workflows/*.yml"],
    "github-issue-forms": [".github/ISSUE_TEMPLATE/[!c]*.yml"],
    "github-issue-config": [".github/ISSUE_TEMPLATE/config.yml"],
    "dependabot": [".github/dependabot.yml"],
    "citation-file-format": ["CITATION.cff"],
}


@pytest.mark.parametrize("schema", SCHEMAS)
def test_files_follow_their_schema(schema: str):
    files = [path for glob in SCHEMAS[schema] for path in Path().glob(glob)]
    assert files
    # The command itself, but in this process: loading it takes most of its time.
    options = ["--builtin-schema", f"vendor.{schema}", *map(str, files)]
    checked = CliRunner().invoke(check_jsonschema.main, options)
    assert checked.exit_code == 0, checked.output


def test_workflows_are_safe():
    command = [tool("zizmor"), "--offline", "--quiet", ".github"]
    audited = subprocess.run(command, capture_output=True, text=True)
    assert audited.returncode == 0, audited.stdout + audited.stderr


def make(target: str, *variables: str) -> subprocess.CompletedProcess[str]:
    # As it is: --old-file keeps make from setting it up.
    there = ["--old-file", f"{sys.prefix}/.ready", f"VENV={sys.prefix}"]
    command = ["make", target, *there, *variables]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.slow
def test_what_is_installed_is_listed(tmp_path: Path):
    assert make("sbom", f"SBOM={tmp_path}").returncode == 0
    sbom = json.loads((tmp_path / "sbom.json").read_text())
    assert sbom["bomFormat"] == "CycloneDX"
    assert sbom["metadata"]["component"]["name"] == "pokejax"
    listed = {part["name"]: part["version"] for part in sbom["components"]}
    with (tmp_path / "licenses.csv").open(newline="") as file:
        licenses = {row["Name"]: row for row in csv.DictReader(file)}
    for name in ("jax", "litestar", "pillow"):
        version = importlib.metadata.version(name)
        assert listed[name] == licenses[name]["Version"] == version
        assert licenses[name]["License"] not in ("", "UNKNOWN")


class Advisories(BaseHTTPRequestHandler):
    """Answers like OSV, and knows of one flaw, in a package called flawed."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        flaw = {"id": "PYSEC-0", "affected": [{"package": asked["package"]}]}
        found = {"vulns": [flaw]} if asked["package"]["name"] == "flawed" else {}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(found).encode())

    def log_message(self, format: str, *args: object): ...  # keep quiet


def test_advisories_are_found_and_their_lack_is_told(tmp_path: Path):
    lock = tmp_path / "lock"
    with ThreadingHTTPServer(("127.0.0.1", 0), Advisories) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        asking = f"AUDIT=--vulnerability-service osv --osv-url {url}"
        audit = partial(make, "audit", f"SBOM={tmp_path}", f"LOCK={lock}", asking)
        lock.write_text(f"sound==1 --hash=sha256:{'0' * 64}\n")
        sound = audit()
        lock.write_text(f"flawed==1 --hash=sha256:{'0' * 64}\n")
        flawed = audit()
        server.shutdown()
    assert sound.returncode == 0 and "No known" in sound.stderr, sound.stderr
    assert flawed.returncode and "PYSEC-0" in flawed.stdout
    assert "not audited" not in flawed.stderr
    unreached = audit()
    assert unreached.returncode and "not audited" in unreached.stderr
    assert "Traceback" not in unreached.stderr


def test_every_python_that_is_promised_is_tried():
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    workflow = yaml.safe_load(Path(".github/workflows/ci.yml").read_text())
    tried = workflow["jobs"]["check"]["strategy"]["matrix"]["python"]
    assert project["requires-python"].startswith(f">={tried[0]}")
    promised = [
        version[1]
        for text in project.get("classifiers", [])
        if (version := re.fullmatch(r"Programming .* :: (3\.\d+)", text))
    ]
    assert set(promised) <= set(tried)
