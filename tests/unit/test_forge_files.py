"""Files that only other people's machines read: checked by the tools they offer."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

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
    command = [tool("check-jsonschema"), "--builtin-schema", f"vendor.{schema}"]
    checked = subprocess.run([*command, *files], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_workflows_are_safe():
    command = [tool("zizmor"), "--offline", "--quiet", ".github"]
    audited = subprocess.run(command, capture_output=True, text=True)
    assert audited.returncode == 0, audited.stdout + audited.stderr


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
