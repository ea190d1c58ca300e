"""`--provider baml` against a server that misbehaves, and the limits it keeps to."""

import json
import time
from pathlib import Path

import pytest

from data_tools.vision import ledger
from data_tools.vision.pace import retry_after_s
from tests.helpers.llm_server import LlmServer, Request
from tests.helpers.vision import (
    SECRET,
    draw_pictures,
    every_trouble,
    labels_of,
    ledger_lines,
    run,
    start,
    wait_until,
)

pytest.importorskip("baml_client", reason="make setup generates it")


def test_retry_after_silences_everybody(tmp_path: Path, use):
    draw_pictures(tmp_path, 24)
    seen: list[str] = []

    def plan(request: Request, nth: int) -> str:
        seen.append(request.picture)
        return "429" if len(seen) == 5 else "ok"

    with LlmServer(plan, retry_after="1", seconds=0.1) as server:
        use(server)
        assert run(tmp_path, "--quiet", "--concurrency", "4") == 0
    told = next(r for r in server.log if r.manner == "429")
    assert told.done_s
    early = [
        r.begun_s - told.done_s
        for r in server.log
        # Those under way when it was said are excused.
        if told.done_s + 0.25 < r.begun_s < told.done_s + 0.97
    ]
    assert early == []
    assert len(server.log) == 25


def test_longest_pause_ends_the_run(tmp_path: Path, use, capsys: pytest.CaptureFixture):
    draw_pictures(tmp_path, 3)
    with LlmServer(lambda request, nth: "429", retry_after="86400") as server:
        use(server)
        assert run(tmp_path, "--concurrency", "1") == 1
    assert len(server.log) == 1
    told = capsys.readouterr().err
    assert "asks to wait for 86400 s; 3 pictures not asked: run again" in told


def test_requests_per_minute(tmp_path: Path, use):
    draw_pictures(tmp_path, 5)
    with LlmServer() as server:
        use(server)
        assert run(tmp_path, "--quiet", "--requests-per-minute", "300") == 0
    begun = [r.begun_s for r in server.log]
    assert max(begun) - min(begun) > 0.5  # 0.8 but for the first one's handshake


def test_retry_after_is_read_in_all_its_forms():
    assert retry_after_s({"retry-after": "2"}) == 2
    assert retry_after_s({"retry-after-ms": "150", "retry-after": "2"}) == 0.15
    assert retry_after_s({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    later = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 90))
    assert retry_after_s({"retry-after": later}) == pytest.approx(90, abs=3)
    for nonsense in ("", "soon", "nan", "inf", "-"):
        assert retry_after_s({"retry-after": nonsense}) is None


@pytest.mark.parametrize(
    ("concurrency", "tokens"),
    # As dear as the bound allows, so that any question too many would show.
    [("1", (900, 300)), ("8", (3500, 2000))],
)
def test_cost_cap_is_never_passed(
    tmp_path: Path,
    use,
    capsys: pytest.CaptureFixture,
    concurrency: str,
    tokens: tuple[int, int],
):
    draw_pictures(tmp_path, 40)
    price = ("--price", "1", "10", "--timeout-s", "0.5")
    flags = ("--concurrency", concurrency, *price, "--max-cost-usd")
    plan = every_trouble if concurrency == "8" else LlmServer.plan
    with LlmServer(plan, retry_after="0.1", tokens=tokens) as server:
        use(server)
        assert run(tmp_path, *flags, "0.1") == 1
        assert 0.02 < server.usd(1, 10) <= 0.1
        told = capsys.readouterr()
        assert "the next question could pass $0.1" in told.err
        assert "pictures not asked" in told.err
        # The cap counts earlier runs: nothing is left of it.
        before = len(server.log)
        assert run(tmp_path, *flags, "0.1") == 1
        assert server.usd(1, 10) <= 0.1
        assert len(server.log) - before <= 1
        assert run(tmp_path, *flags, "4") == 0
    assert max(server.answered().values()) == 1
    assert len(labels_of(tmp_path)) == 40


def test_killed_questions_count_against_the_cap(tmp_path: Path, use):
    draw_pictures(tmp_path, 8)
    with LlmServer() as server:
        server.gate.clear()
        process = start(tmp_path, server, "--concurrency", "4")
        wait_until(lambda: len(server.log) == 4)
        process.kill()
        process.communicate()
        entries = ledger.read_ledger(tmp_path / ledger.NAME)
        assert entries.spent_usd > 4 * 0.003 and not entries.answers
        use(server)
        server.gate.set()
        assert run(tmp_path, "--max-cost-usd", "0.012", "--quiet") == 1
    assert len(server.log) == 4


@pytest.mark.parametrize(
    ("manner", "reason", "tries"),
    [
        ("refusal", "refused: I can't label this", 2),
        ("sorry", "no JSON but \"I'm sorry", 2),
        ("truncated", "lacks legendary, mythical", 2),
        ("cut-off", "cut off after 2000 tokens", 2),
        ("wrong-word", "unusable primary_color", 2),
        ("brackets", "more brackets", 2),
        ("html", "isn't JSON", 2),
        ("500", "status 500: failed for [key]", 4),
        ("drop", "connection lost", 4),
    ],
)
def test_what_cannot_be_had_is_reported_and_the_rest_goes_on(
    tmp_path: Path,
    use,
    capsys: pytest.CaptureFixture,
    manner: str,
    reason: str,
    tries: int,
):
    paths = draw_pictures(tmp_path, 4)
    victim: list[str] = []

    def plan(request: Request, nth: int) -> str:
        victim.append(request.picture)
        return manner if request.picture == victim[0] else "ok"

    with LlmServer(plan) as server:
        use(server)
        assert run(tmp_path, "--concurrency", "1") == 1
    told = capsys.readouterr()
    assert reason in told.err and str(paths[0]) in told.err
    assert SECRET not in told.err + told.out
    assert "3 pictures have metadata: 3 written now" in told.out
    assert "1 failed, 0 not asked" in told.out
    assert sum(r.picture == victim[0] for r in server.log) == tries
    assert reason.split("[")[0] in json.dumps(ledger_lines(tmp_path)).replace(
        '\\"', '"'
    )
    said = {
        "refusal": "I can't label this.",
        "sorry": "I'm sorry, but",
        "truncated": "a small red fire wolf",
        "cut-off": "a small red fire wolf",
        "wrong-word": "Turquoise-ish",
        "brackets": "[[[[",
    }
    texts = [e["refused"] for e in ledger_lines(tmp_path) if "refused" in e]
    assert len(texts) == (2 if manner in said else 0)
    assert all(said[manner] in text for text in texts)
    # What a model has answered isn't bought again unasked; all else is tried again.
    with LlmServer() as server:
        use(server)
        if manner in said:
            assert "1 of those failed because no model's answer" in told.out
            assert run(tmp_path, "--dry-run") == 0
            assert "0 to ask" in (told := capsys.readouterr()).out
            assert "1 answered unusably (--retry-refused" in told.out
            assert run(tmp_path) == 1 and not server.log
            told = capsys.readouterr()
            assert reason in told.err and "1 of those failed because" in told.out
            assert run(tmp_path, "--quiet", "--retry-refused") == 0
        else:
            assert run(tmp_path, "--quiet") == 0
    assert len(server.log) == 1


def test_a_run_that_ended_between_two_answers_buys_only_the_second(tmp_path: Path, use):
    draw_pictures(tmp_path, 1)
    path = tmp_path / ledger.NAME
    with LlmServer(lambda request, nth: "refusal") as server:
        use(server)
        assert run(tmp_path, "--quiet") == 1
        # Each question has two lines, and there were two.
        path.write_bytes(b"".join(path.read_bytes().splitlines(True)[:2]))
        assert run(tmp_path, "--quiet") == 1
        assert run(tmp_path, "--quiet") == 1
    assert len(server.log) == 3


def test_hanging_answers_are_given_up(tmp_path: Path, use):
    draw_pictures(tmp_path, 1)
    with LlmServer(lambda request, nth: "ok" if nth else "hang") as server:
        use(server)
        assert run(tmp_path, "--quiet", "--timeout-s", "0.3") == 0
    assert [r.manner for r in server.log] == ["hang", "ok"]


def test_fallback_model_is_asked_when_the_first_fails(tmp_path: Path, use):
    draw_pictures(tmp_path, 3)

    def plan(request: Request, nth: int) -> str:
        return "ok" if request.model == "gpt-4o" else "refusal"

    with LlmServer(plan) as server:
        use(server, OPENAI_FALLBACK_MODEL="gpt-4o")
        assert run(tmp_path, "--quiet") == 0
        assert run(tmp_path, "--quiet", "--no-skip-existing") == 0
        # Another second model is asked about what the first has refused.
        use(server, OPENAI_FALLBACK_MODEL="gpt-4.1")
        assert run(tmp_path, "--quiet", "--no-skip-existing") == 1
    assert [r.model for r in server.log].count("gpt-4o") == 3
    assert [r.model for r in server.log][9:] == 6 * ["gpt-4.1"]
    assert len(server.log) == 15


@pytest.mark.parametrize(
    ("manner", "reason"),
    [("401", "status 401"), ("404", "status 404"), ("no-credit", "slow down")],
)
def test_what_the_user_must_mend_ends_the_run(
    tmp_path: Path, use, capsys: pytest.CaptureFixture, manner: str, reason: str
):
    draw_pictures(tmp_path, 30)
    with LlmServer(lambda request, nth: manner) as server:
        use(server)
        assert run(tmp_path, "--quiet", "--concurrency", "3") == 2
    told = capsys.readouterr().err
    assert reason in told and SECRET not in told and "Traceback" not in told
    assert told.count("\n") == 1
    assert len(server.log) <= 3
    assert ledger.read_ledger(tmp_path / ledger.NAME).spent_usd == 0


def test_unreachable_server(tmp_path: Path, use, capsys: pytest.CaptureFixture):
    draw_pictures(tmp_path, 5)
    with LlmServer() as server:
        pass
    use(server)
    assert run(tmp_path, "--quiet") == 2
    told = capsys.readouterr().err
    assert "can't be reached; 5 pictures not asked" in told


def test_missing_key_and_price(
    tmp_path: Path,
    use,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    draw_pictures(tmp_path / "images", 1)
    monkeypatch.chdir(tmp_path)
    with LlmServer() as server:
        use(server, OPENAI_MODEL="llava")
        assert run(Path("images"), "--max-cost-usd", "1") == 2
        assert "--price IN OUT" in capsys.readouterr().err
        monkeypatch.delenv("OPENAI_API_KEY")
        assert run(Path("images")) == 2
        assert "OPENAI_API_KEY is not set" in capsys.readouterr().err
        assert not labels_of(tmp_path / "images")
        Path(".env").write_text("OTHER=1\nexport OPENAI_API_KEY='sk-from-file'\n")
        assert run(Path("images"), "--quiet") == 0
    assert [r.key for r in server.log] == ["sk-from-file"]
