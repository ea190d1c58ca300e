"""`parse_prompt`: rules by default, a model on request, rules again when that fails."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pokejax.attributes import VOCABULARIES, Attributes
from pokejax.prompts import llm
from pokejax.prompts.llm import LlmUnavailable, read_endpoint
from pokejax.prompts.parse import ParsedPrompt, parse_prompt
from pokejax.prompts.rules import parse_by_rules
from tests.helpers.llm_server import LlmServer, Request

PROMPT = "a small red fire wolf"
READING = dict.fromkeys(VOCABULARIES) | {
    "type1": "Fire",
    "primary_color": "Red",
    "shape": "Quadruped",
    "size": "Tiny",
    "evolution_stage": "Stage 2",
    "legendary": True,
    "mythical": None,
    "describes_creature": True,
}


def serve(*manners: str) -> LlmServer:
    """A server that behaves in `manners`, one after another, the last for ever."""
    told: list[str] = []

    def plan(request: Request, nth: int) -> str:
        told.append(request.model)
        return manners[min(len(told), len(manners)) - 1]

    return LlmServer(plan, labels=dict(READING))


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("baml_client", reason="make setup generates it")

    def point(server: LlmServer, **more: str) -> None:
        for name, value in (server.environment | more).items():
            monkeypatch.setenv(name, value)

    return point


def test_rules_by_default():
    parsed = parse_prompt(PROMPT)
    rules = parse_by_rules(PROMPT)
    assert parsed.attributes == rules.attributes and parsed.matches == rules.matches
    assert set(parsed.sources.values()) == {"rules"} and not parsed.warning
    assert parsed.sources.keys() == parsed.attributes.known().keys()


def test_rules_need_no_llm_packages():
    code = (
        "import sys; from pokejax.prompts.parse import parse_prompt; "
        f"parse_prompt({PROMPT!r}); "
        "print([m for m in ('baml_py', 'baml_client', 'openai') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert result.stdout.strip() == "[]", result.stderr


def test_the_model_decides(use, capfd: pytest.CaptureFixture):
    with serve("ok") as server:
        use(server)
        parsed = parse_prompt(PROMPT, use_llm=True, timeout_s=20)
    assert parsed.attributes == Attributes(
        type1="Fire",
        primary_color="Red",
        shape="Quadruped",
        size="Tiny",
        evolution_stage="Stage 2",
        legendary="Yes",
    )
    assert parsed.warning == "" and set(parsed.sources.values()) == {"llm"}
    # The words of what the rules read otherwise would mislead.
    assert parsed.matches.keys() == {"type1", "primary_color", "shape"}
    assert PROMPT in str(server.log[0].body) and len(server.log) == 1
    # BAML itself prints prompts and answers.
    out = capfd.readouterr()
    assert out.out + out.err == ""


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        ("hang", "took over 0.4 s"),
        ("429", "answered with status 429"),
        ("401", "answered with status 401"),
        ("sorry", "gave no readable answer"),
        ("html", "gave no readable answer"),
    ],
)
def test_rules_answer_when_the_model_does_not(use, manner: str, reason: str):
    with serve(manner) as server:
        use(server)
        begun = time.monotonic()
        parsed = parse_prompt(
            PROMPT, use_llm=True, timeout_s=0.4 if manner == "hang" else 20
        )
        taken_s = time.monotonic() - begun
    assert parsed.attributes == parse_by_rules(PROMPT).attributes
    assert set(parsed.sources.values()) == {"rules"}
    assert reason in parsed.warning and "\n" not in parsed.warning
    assert "sk-very-secret" not in parsed.warning
    assert manner != "hang" or taken_s < 5


def test_passing_failures_are_tried_again(use):
    with serve("500", "500", "ok") as server:
        use(server)
        parsed = parse_prompt(PROMPT, use_llm=True, timeout_s=20)
    assert parsed.warning == "" and len(server.log) == 3


def test_fallback_client_is_asked(use):
    def plan(request: Request, nth: int) -> str:
        return "ok" if request.model == "second" else "500"

    with LlmServer(plan, labels=dict(READING)) as server:
        use(server, OPENAI_MODEL="first", OPENAI_FALLBACK_MODEL="second")
        parsed = parse_prompt(PROMPT, use_llm=True, timeout_s=20)
    assert parsed.warning == ""
    assert [r.model for r in server.log] == ["first", "first", "first", "second"]


def test_answers_that_would_stall_the_parser(use):
    with LlmServer(lambda request, nth: "brackets") as server:
        use(server)
        begun = time.monotonic()
        parsed = parse_prompt(PROMPT, use_llm=True, timeout_s=20)
    assert "no readable answer" in parsed.warning
    assert time.monotonic() - begun < 10


def test_inside_a_running_event_loop(use):
    async def handle() -> ParsedPrompt:
        return parse_prompt(PROMPT, use_llm=True, timeout_s=20)

    with serve("ok") as server:
        use(server)
        assert asyncio.run(handle()).warning == ""


def test_odd_prompts(use):
    with serve("ok") as server:
        use(server)
        assert parse_prompt("  ", use_llm=True).sources == {}
        assert server.log == []
        odd = 'half a pair \ud83d, "quoted", {{ braces }} and \0 ' + "long " * 9999
        assert parse_prompt(odd, use_llm=True, timeout_s=20).warning == ""
        assert len(str(server.log[0].body)) < 12_000


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({}, "OPENAI_API_KEY is not set"),
        ({"OPENAI_API_KEY": "  "}, "OPENAI_API_KEY is not set"),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "host:80"}, "OPENAI_BASE_URL"),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://a:b/c@d"}, "valid port"),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://a:70000"}, "valid port"),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://[::1"}, "valid port"),
    ],
)
def test_bad_settings(environ: dict[str, str], reason: str):
    with pytest.raises(LlmUnavailable, match=reason) as caught:
        read_endpoint(environ)
    assert environ.get("OPENAI_BASE_URL", "-") not in str(caught.value)


def test_settings_hide_the_key():
    endpoint = read_endpoint({"OPENAI_API_KEY": " sk-hidden\n"})
    assert endpoint.api_key == "sk-hidden" and "hidden" not in repr(endpoint)
    assert endpoint.redact("bad key:\n sk-hidden!") == "bad key: [key]!"
    assert endpoint.models == ("gpt-4.1-mini",)


def test_missing_client_says_what_to_run(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("baml_py")
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setitem(sys.modules, "baml_client.sync_client", None)
    assert "make setup" in parse_prompt(PROMPT, use_llm=True).warning
    monkeypatch.setitem(sys.modules, "baml_py.logging", None)
    assert "pokejax[data]" in parse_prompt(PROMPT, use_llm=True).warning


def test_env_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_MODEL", "from-environment")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    Path(".env").write_text('OPENAI_API_KEY="k=1"\nOPENAI_MODEL=from-file\n# x\n')
    endpoint = llm.read_endpoint()
    assert (endpoint.api_key, endpoint.model) == ("k=1", "from-environment")
