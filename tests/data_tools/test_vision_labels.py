"""`--provider baml`: the real command from pictures to labels, and its ledger."""

import json
import re
import resource
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_tools import create_dataset
from data_tools.generate_metadata import main
from data_tools.vision import ledger
from pokejax import safe_pickle
from pokejax.attributes import attributes_from_metadata
from tests.helpers.drawn import draw_creature
from tests.helpers.llm_server import LlmServer
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


def test_200_pictures_through_every_trouble_and_two_kills(tmp_path: Path):
    draw_pictures(tmp_path, 200)
    with LlmServer(every_trouble, retry_after="0.1") as server:
        first = start(tmp_path, server, "--concurrency", "8", "--verbose")
        wait_until(lambda: len(server.answered()) >= 60)
        # Hold all questions, let what was sent be read, then kill.
        server.gate.clear()
        time.sleep(0.3)
        wait_until(
            lambda: (
                len(server.answered())
                == sum("answer" in entry for entry in ledger_lines(tmp_path))
            )
        )
        first.send_signal(signal.SIGKILL)
        told = first.communicate()[0]
        answered = set(server.answered())
        assert 60 <= len(answered) < 200
        for path in labels_of(tmp_path)[::2]:
            path.unlink()  # as if killed between ledger and label
        server.gate.set()
        wait_until(lambda: all(r.done_s for r in server.log))
        sent_before = len(server.log)

        second = start(tmp_path, server, "--concurrency", "8")
        wait_until(lambda: len(server.log) > sent_before + 60)
        second.send_signal(signal.SIGKILL)  # at whatever moment this is
        told += second.communicate()[0]
        again = {r.picture for r in server.log[sent_before:]}
        assert not again & answered, "an answered picture was asked for again"
        recorded = sum("answer" in entry for entry in ledger_lines(tmp_path))

        third = start(tmp_path, server, "--concurrency", "8")
        told += third.communicate(timeout=60)[0]
        assert third.returncode == 0, told
        twice = [p for p, times in server.answered().items() if times > 1]
    # What was under way at the second kill may have been lost, and on a busy machine
    # what came just after its second had passed; nothing else.
    assert len(twice) <= 16 and recorded > len(answered)
    assert len(labels_of(tmp_path)) == 200
    assert len(server.answered()) == 200
    assert 2 <= server.most_under_way <= 8
    assert SECRET not in told + (tmp_path / ledger.NAME).read_text()
    metadata = json.loads(labels_of(tmp_path)[0].read_text())
    assert attributes_from_metadata(metadata).evolution_stage == "Stage 1"
    assert not list(tmp_path.glob("*/.*.part*"))


def test_dry_run_sends_and_writes_nothing(
    tmp_path: Path, use, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    paths = draw_pictures(tmp_path, 6)
    paths[0].write_bytes(b"")
    with LlmServer() as server:
        use(server)
        monkeypatch.delenv("OPENAI_API_KEY")
        before = sorted(tmp_path.rglob("*"))
        assert run(tmp_path, "--dry-run") == 0
        assert sorted(tmp_path.rglob("*")) == before
    assert server.log == []
    told = capsys.readouterr().out
    assert "6 pictures: 5 to ask gpt-4.1-mini about" in told and "1 unusable" in told
    usual, most = map(float, re.findall(r"\$(\d+\.\d+)", told)[:2])
    assert 0 < usual < most < 0.1
    # Where all is labelled, the whole set still has its price.
    main(["--images-dir", str(tmp_path), "--quiet", "--workers", "1"])
    with LlmServer() as server:
        use(server)
        assert run(tmp_path, "--dry-run") == 0
    told = capsys.readouterr().out
    assert "about $0.0000" in told and "all 6 pictures" in told
    whole = float(re.findall(r"labelled or answered: about \$(\d+\.\d+)", told)[0])
    assert whole == pytest.approx(usual * 6 / 5, abs=2e-4)


def test_ledger_saves_money_and_survives_a_torn_line(tmp_path: Path, use):
    paths = draw_pictures(tmp_path, 5)
    # The same picture again: a still frame.
    paths[0].with_name("still.png").write_bytes(paths[0].read_bytes())
    with LlmServer() as server:
        use(server)
        assert run(tmp_path, "--quiet") == 0
        assert len(server.log) == 5
        for path in labels_of(tmp_path):
            path.unlink()
        with (tmp_path / ledger.NAME).open("ab") as file:
            file.write(b'{"id": "torn", "usd": 0.1, "answ')
        assert run(tmp_path, "--quiet") == 0
        assert len(server.log) == 5 and len(labels_of(tmp_path)) == 6
        # A new picture under an old name is a new question.
        paths[0].write_bytes(paths[1].read_bytes())
        assert run(tmp_path, "--quiet", "--no-skip-existing") == 0
        assert len(server.log) == 6
    lines = (tmp_path / ledger.NAME).read_bytes().splitlines()
    assert sum(b"torn" in line for line in lines) == 1
    json.loads(lines[-1])


def test_a_second_run_on_the_folder_is_refused(
    tmp_path: Path, use, capsys: pytest.CaptureFixture
):
    draw_pictures(tmp_path, 1)
    held = ledger.Ledger(tmp_path / ledger.NAME)
    try:
        with LlmServer() as server:
            use(server)
            assert run(tmp_path) == 2
    finally:
        held.close()
    assert "another run is writing" in capsys.readouterr().err
    assert server.log == []


def test_interrupt_waits_for_answers_under_way(tmp_path: Path):
    draw_pictures(tmp_path, 12)
    with LlmServer(lambda request, nth: "slow") as server:
        process = start(tmp_path, server, "--concurrency", "2")
        wait_until(lambda: len(server.log) == 2)
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=120)[0]
    assert process.returncode == 130, told
    assert len(server.log) == 2 and len(labels_of(tmp_path)) == 2
    assert "Traceback" not in told and "10 pictures not asked" in told


def test_bad_files_and_names(tmp_path: Path, use, capsys: pytest.CaptureFixture):
    good = draw_pictures(tmp_path, 1)[0]
    for name in ('It\'s "Mr. Mime" é ポケ', "..dots..", "<b>&amp;"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "a b'\"ü.png").write_bytes(good.read_bytes())
    (tmp_path / "Blorp0/empty.png").write_bytes(b"")
    (tmp_path / "Blorp0/words.png").write_text("not a picture")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "Blorp0/huge.png")
    with LlmServer() as server:
        use(server)
        audit = tmp_path / "audit.html"
        assert run(tmp_path, "--audit", str(audit)) == 1
    told = capsys.readouterr()
    for name in ("empty.png", "words.png", "huge.png"):
        assert f"skipped {tmp_path}/Blorp0/{name}: " in told.err
    assert "Traceback" not in told.err
    assert len(server.log) == 4 == len(labels_of(tmp_path))
    page = audit.read_text()
    assert "&lt;b&gt;&amp;amp;" in page and "<b>&amp;/" not in page


def test_unwritable_label_is_kept_in_the_ledger(
    tmp_path: Path, use, capsys: pytest.CaptureFixture
):
    paths = draw_pictures(tmp_path, 3)
    # A folder in the way fails for root, too, unlike a read-only directory.
    in_the_way = paths[0].with_name("blorp0_picture000.json")
    in_the_way.mkdir()
    with LlmServer() as server:
        use(server)
        assert run(tmp_path, "--no-skip-existing", "--quiet") == 1
        assert f"cannot write {in_the_way}" in capsys.readouterr().err
        assert len(labels_of(tmp_path)) == 3
        in_the_way.rmdir()
        assert run(tmp_path, "--quiet") == 0
    assert len(server.log) == 3


def test_full_disk_stops_before_more_is_paid(tmp_path: Path):
    draw_pictures(tmp_path, 12)
    with LlmServer() as server:
        process = start(tmp_path, server, "--concurrency", "1")
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4000, 4000))
        told = process.communicate(timeout=120)[0]
        assert process.returncode == 2 and "File too large" in told, told
        asked = len(server.log)
        assert 1 <= asked == len(labels_of(tmp_path)) < 6
        process = start(tmp_path, server)
        told = process.communicate(timeout=120)[0]
        assert process.returncode == 0, told
        assert len(server.log) == 12
    assert len(labels_of(tmp_path)) == 12


def test_audit_measures_agreement(tmp_path: Path, use, capsys: pytest.CaptureFixture):
    for i, species in enumerate(("Charmander", "Squirtle", "Blorbo")):
        (tmp_path / species).mkdir()
        color = ("Red", "Blue", "Red")[i]
        image = draw_creature(np.random.default_rng(i), color, "Quadruped", 48)
        image.save(tmp_path / species / f"{species.lower()}_front.png")
    audit = tmp_path / "audit.html"
    with LlmServer() as server:
        use(server)
        assert run(tmp_path, "--audit", str(audit)) == 0
    told = capsys.readouterr().out
    # Said of all: a red Fire type. Known: two are red, one of two is a Fire type.
    assert "type1 1/2" in told and "primary_color 2/3" in told
    page = audit.read_text()
    assert "Water → Fire (1)" in page and page.count("data:image/png;base64,") == 3
    assert "http" not in page
    main(["--images-dir", str(tmp_path), "--no-skip-existing", "--audit", str(audit)])
    assert "type1 2/2" in capsys.readouterr().out


def test_both_providers_build_datasets_of_one_schema(tmp_path: Path, use):
    species = ("Charmander", "Squirtle", "Bulbasaur", "Pikachu", "Vulpix", "Psyduck")
    made = {}
    with LlmServer() as server:
        use(server)
        for provider in ("baml", "pokedex"):
            images = tmp_path / provider
            rng = np.random.default_rng(0)
            for name in species:
                (images / name).mkdir(parents=True)
                for view in ("front", "back"):
                    image = draw_creature(rng, "Red", "Quadruped", 48, accent="Yellow")
                    image.save(images / name / f"{name.lower()}_{view}.png")
            argv = ["--images-dir", str(images), "--quiet"]
            assert main([*argv, "--provider", provider, "--workers", "1"]) == 0
            target = tmp_path / f"{provider}-set"
            size = ("--image-size", "32", "--workers", "1")
            assert create_dataset.main([*argv, *size, "--output-dir", str(target)]) == 0
            metadata = json.loads(
                (images / "Vulpix/vulpix_vulpix_back.json").read_text()
            )
            assert all(re.search("behind|back", p) for p in metadata["prompts"])
            made[provider] = _shape(metadata), _files_and_keys(target)
    assert made["baml"] == made["pokedex"]


def _shape(value: object) -> object:
    """The keys and kinds of a value, without what it says."""
    if isinstance(value, dict):
        return {key: _shape(v) for key, v in sorted(value.items())}
    if isinstance(value, list):
        return [_shape(value[0])] if value else []
    if isinstance(value, np.ndarray):
        return value.dtype.name, value.shape[1:]
    return "word or none" if isinstance(value, str | None) else type(value).__name__


def _files_and_keys(root: Path) -> dict[str, object]:
    return {
        path.name: _shape(safe_pickle.load(path)) if "batch" in path.name else ""
        for path in root.iterdir()
    }
