"""`baml_src/` agrees with the code, and its own tests run."""

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from data_tools.vision import questions as vision_questions
from pokejax.attributes import FLAGS, VOCABULARIES
from pokejax.images.colors import primary_and_secondary
from tests.helpers.llm_server import LABELS, LlmServer, Request

SOURCE = Path("baml_src")
CLI = Path(sys.executable).with_name("baml-cli")


def read(name: str) -> str:
    text = (SOURCE / name).read_text("utf-8")
    return re.sub(r"//.*", "", text)


def block(kind: str, name: str, text: str) -> list[str]:
    """The lines of `kind name { ... }`."""
    found = re.search(rf"^{kind} {name} \{{\n(.*?)^\}}", text, re.DOTALL | re.MULTILINE)
    assert found, f"no {kind} {name}"
    return [line.strip() for line in found[1].splitlines() if line.strip()]


@pytest.mark.parametrize(
    ("file", "name", "mark"),
    [
        ("media.baml", "PokemonMetadata", ""),
        ("prompt.baml", "PromptAttributes", "?"),
    ],
)
def test_enums_are_the_vocabularies(file: str, name: str, mark: str):
    kinds = dict(line.split()[:2] for line in block("class", name, read(file)))
    for attribute, vocabulary in VOCABULARIES.items():
        kind = kinds[attribute]
        assert kind.endswith(mark)
        kind = kind.removesuffix("?")
        if vocabulary is FLAGS:
            assert kind == "bool"
            continue
        values = block("enum", kind, read("attributes.baml"))
        words = [re.sub(r'.*@alias\("(.*)"\)', r"\1", value) for value in values]
        assert words == list(vocabulary)


def test_versions_and_limits_agree():
    generator = dict(
        line.split(None, 1)
        for line in block("generator", "python", read("generators.baml"))
    )
    version = generator["version"].strip('"')
    assert version == importlib.metadata.version("baml-py")
    assert f'"baml-py=={version}"' in Path("pyproject.toml").read_text()
    limits = re.findall(r"max_completion_tokens (\d+)", read("clients.baml"))
    assert set(map(int, limits)) == {vision_questions.MOST_OUTPUT_TOKENS}


def test_generated_client_is_of_this_source():
    inlined = pytest.importorskip(
        "baml_client.inlinedbaml", reason="make setup generates it"
    )
    files = {path.name: path.read_text("utf-8") for path in SOURCE.glob("*.baml")}
    assert inlined.get_baml_files() == files, "run make setup"


def test_pictures_are_what_the_tests_say():
    colors = {
        path.stem: primary_and_secondary(Image.open(path))
        for path in (SOURCE / "pictures").glob("*.png")
    }
    assert colors["red_quadruped"][0] == "Red"
    assert colors["blue_aquatic"] == ("Blue", "Yellow")


def test_the_source_has_no_warnings():
    command = [CLI, "check", "--from", SOURCE]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0
    assert "warning" not in (result.stdout + result.stderr).lower()


def test_baml_tests_run_against_a_server():
    """`baml-cli test` sends the drawn pictures and checks what comes back."""
    with LlmServer(labels=LABELS) as server:
        result = subprocess.run(
            [CLI, "test", "-i", "ExtractPokemonMetadata::"],
            env=os.environ
            | server.environment
            | {"OPENAI_FALLBACK_MODEL": "gpt-4.1-mini"},
            capture_output=True,
            text=True,
            timeout=60,
        )
    told = result.stdout + result.stderr
    # The server says "a red quadruped" of both, and only one is.
    assert len(server.log) == 2, told
    assert result.returncode != 0
    assert re.search(r"PASSED +ExtractPokemonMetadata::RedQuadruped", told), told
    assert re.search(r"FAILED +ExtractPokemonMetadata::BlueFishWithYellowBelly", told)
    assert "data:image/png;base64," in str(server.log[0].body)


def test_policy_of_the_clients(monkeypatch: pytest.MonkeyPatch):
    """BAML itself retries, then asks the fallback."""
    module = pytest.importorskip("baml_client.sync_client")

    def plan(request: Request, nth: int) -> str:
        return "ok" if request.model == "second" else "500"

    monkeypatch.setenv("BAML_LOG", "off")
    with LlmServer(plan, labels=dict(LABELS, describes_creature=True)) as server:
        models = {"OPENAI_MODEL": "first", "OPENAI_FALLBACK_MODEL": "second"}
        asked = module.b.with_options(env=server.environment | models)
        assert asked.ParsePrompt("a red wolf").type1.value == "Fire"
    assert [r.model for r in server.log] == ["first", "first", "first", "second"]
