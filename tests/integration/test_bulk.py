"""Tables of prompts to shards: each recipe once, whatever happens, same bytes."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from PIL.PngImagePlugin import PngImageFile

from pokejax import Sampler, bulk
from pokejax.inference import shards
from pokejax.inference.recipe import PromptError
from tests.helpers.live_server import wait_for
from tests.helpers.sessions import processes_of

COLORS = ["red", "blue", "green", "yellow", "purple"]
ROWS = [
    {
        "prompt": f"a {COLORS[i % 5]} fish",
        "seed": i,
        "negative": "a bird" * (i % 2),
    }
    for i in range(40)
]
SECONDS = 300


@pytest.fixture(scope="module")
def sampler(flow_model: Path) -> Sampler:
    return Sampler.load(flow_model)


def read(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        opened = {entry.name: tar.extractfile(entry) for entry in tar}
        return {name: file.read() for name, file in opened.items() if file}


def test_a_shard_holds_each_recipe_once(sampler: Sampler, tmp_path: Path):
    recipes = [shards.recipe_of(row, sampler.usual_colors) for row in ROWS[:11]]
    shards.write_shard(tmp_path / "one.tar", recipes, sampler)
    again = [*recipes[::-1], *recipes[:3]]
    shards.write_shard(tmp_path / "two.tar", again, sampler)
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    files = read(tmp_path / "one.tar")
    assert len(files) == 2 * 11
    for recipe in recipes[:2]:
        key = shards.key_of(recipe, sampler.model_id)
        (alone,) = sampler.sample([recipe])
        assert files[f"{key}.png"] == alone.png()
        image = PngImageFile(io.BytesIO(files[f"{key}.png"]))
        assert json.loads(files[f"{key}.json"]) == image.text


def test_all_that_a_row_says_is_in_the_recipe():
    row = {"prompt": "a fish", "seed": 3, "attributes": '{"size": "Tiny"}'}
    row |= {"temperature": 0.5, "guidance": 2, "negative": "a bird", "shiny": True}
    recipe = shards.recipe_of(row, 15)
    assert (recipe.attributes.size, recipe.seed, recipe.shiny) == ("Tiny", 3, True)
    assert (recipe.temperature, recipe.guidance) == (0.5, 2.0)
    assert (recipe.negative, recipe.colors) == ("a bird", 15)
    other = shards.recipe_of(row | {"seed": 4}, 15)
    assert shards.key_of(recipe, "m") == shards.key_of(shards.recipe_of(row, 15), "m")
    assert shards.key_of(recipe, "m") != shards.key_of(other, "m")
    assert shards.key_of(recipe, "m") != shards.key_of(recipe, "n")
    assert {shards.shard_of(f"{i:024x}"[::-1], 7) for i in range(100)} == set(range(7))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": -1}, "seed is -1; expected 0 to"),
        ({"seed": None}, "seed is missing in a row"),
        ({"seed": 1.5}, "seed is 1.5; expected int"),
        ({"prompt": " "}, "the prompt is empty"),
        ({"shiny": 1}, "shiny is 1; expected bool"),
        ({"attributes": "red"}, "attributes is 'red'"),
        ({"attributes": '{"size": "Tine"}'}, "'Tine' is not one of .*did you mean"),
        ({"attributes": "[1]"}, "attributes is '\\[1\\]'"),
    ],
)
def test_a_row_that_cant_be_drawn_is_told(change: dict[str, Any], message: str):
    with pytest.raises(PromptError, match=message):
        shards.recipe_of(ROWS[0] | change, 0)


def test_columns_are_checked():
    shards.check_columns(["seed", "prompt", "shiny"])
    with pytest.raises(PromptError, match="no column 'seed'; it has prompt"):
        shards.check_columns(["prompt"])
    with pytest.raises(PromptError, match=r"no column 'promt'.*did you mean 'prompt'"):
        shards.check_columns(["prompt", "seed", "promt"])


def test_jobs_dont_mix(tmp_path: Path):
    (tmp_path / "table").write_bytes(b"some")
    files = [tmp_path / "table"]
    plan = bulk.plan_of(files, rows=9, model_id="m", per_shard=4)
    assert plan["shards"] == 3
    out = tmp_path / "out"
    out.mkdir()
    assert not bulk.is_begun(out, plan)
    (out / bulk.PLAN).write_text(json.dumps(plan))
    assert bulk.is_begun(out, plan)
    (tmp_path / "table").write_bytes(b"other")
    for other in (
        bulk.plan_of(files, rows=9, model_id="m", per_shard=4),
        plan | {"model": "n"},
        plan | {"shards": 4},
    ):
        with pytest.raises(bulk.BulkError, match="another job"):
            bulk.is_begun(out, other)
    (out / bulk.PLAN).write_text("{")
    with pytest.raises(bulk.BulkError, match="damaged"):
        bulk.is_begun(out, plan)
    (out / bulk.PLAN).unlink()
    (out / "shard-00000-of-00001.tar").touch()
    with pytest.raises(bulk.BulkError, match="but no plan"):
        bulk.is_begun(out, plan)


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.Table.from_pylist(rows), path)


def test_rows_go_to_the_shard_of_their_recipe(sampler: Sampler):
    pa = pytest.importorskip("pyarrow")
    model_id, colors = sampler.model_id, sampler.usual_colors
    where = {"model_id": model_id, "colors": colors, "shards": 5}
    placed = bulk.placed(pa.Table.from_pylist(ROWS), **where, todo=[0, 3]).to_pylist()
    assert {row["shard"] for row in placed} == {0, 3}
    for row in placed:
        number = row.pop("shard")
        key = shards.key_of(shards.recipe_of(row, colors), model_id)
        assert shards.shard_of(key, 5) == number
    bad = pa.Table.from_pylist([*ROWS, ROWS[0] | {"seed": -1}])
    (told,) = bulk.troubles(bad).to_pylist()
    assert told["trouble"].startswith("seed is -1")
    assert not bulk.troubles(pa.Table.from_pylist(ROWS)).num_rows


def test_a_shard_that_is_there_is_left_alone(
    flow_model: Path, sampler: Sampler, tmp_path: Path
):
    """Where Ray asks for it again, having lost the worker that had just drawn it."""
    pa = pytest.importorskip("pyarrow")
    colors = sampler.usual_colors
    drawer = bulk.Drawer(str(flow_model), str(tmp_path), 1, colors)
    where = {"model_id": sampler.model_id, "colors": colors, "shards": 1}
    rows = pa.Table.from_pylist([*ROWS[:3], ROWS[0]])
    rows = bulk.placed(rows, **where, todo=[0])
    first = drawer(rows).to_pylist()
    (path,) = tmp_path.iterdir()
    before = path.stat().st_ino
    assert drawer(rows).to_pylist() == first == [{"pictures": 3, "rows": 4}]
    assert path.stat().st_ino == before


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_table(tmp_path / "table.parquet", [{"prompt": "a fish"}])
    (tmp_path / "text.parquet").write_text("a fish")
    for name, message in {
        "nowhere.parquet": "No such file",
        "text.parquet": "is no Parquet",
        "table.parquet": "no column 'seed'",
    }.items():
        argv = ["--prompts", str(tmp_path / name), "--out", str(tmp_path / "out")]
        assert bulk.main(argv) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def command(flow_model: Path, table: Path, out: Path) -> list[str]:
    start = [sys.executable, "-m", "pokejax.bulk", "--prompts", str(table)]
    return [*start, f"--model={flow_model}", f"--out={out}", "--per-shard=4"]


def end_all_of(session: int) -> None:
    """Kill every process of a session, as a machine that goes down does."""
    for pid, _ in processes_of(session):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_ray_cluster_draws_all_once_though_killed(
    flow_model: Path, sampler: Sampler, tmp_path: Path
):
    pytest.importorskip("ray")
    table, out = tmp_path / "table.parquet", tmp_path / "out"
    write_table(table, ROWS + ROWS[:4])
    asked = command(flow_model, table, out)
    first = subprocess.Popen(asked, start_new_session=True)
    try:
        there: list[Path] = []

        def some() -> bool:
            there[:] = out.glob("shard-*.tar")
            return len(there) > 1 or first.poll() is not None

        wait_for(some, SECONDS)
        assert first.poll() is None, "it was too quick to be killed"
    finally:
        end_all_of(first.pid)
        first.wait()
    there = sorted(out.glob("shard-*.tar"))
    assert len(there) < 11
    before = {path: path.stat().st_ino for path in there}
    again = subprocess.run(asked, capture_output=True, text=True, timeout=SECONDS)
    assert again.returncode == 0, again.stderr
    assert f"11 shards, {len(there)} of them already there" in again.stdout
    # A file that is written anew is another one.
    assert {path: path.stat().st_ino for path in there} == before
    done = sorted(out.glob("shard-*-of-00011.tar"))
    assert len(done) == 11
    found = [name for path in done for name in read(path) if name.endswith(".png")]
    recipes = {
        shards.key_of(recipe, sampler.model_id): recipe
        for row in ROWS
        if (recipe := shards.recipe_of(row, sampler.usual_colors))
    }
    assert sorted(found) == sorted(f"{key}.png" for key in recipes)
    ours = tmp_path / "ours"
    ours.mkdir()
    for number, path in enumerate(done):
        own = [r for k, r in recipes.items() if shards.shard_of(k, 11) == number]
        shards.write_shard(ours / path.name, own, sampler)
        assert (ours / path.name).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_a_bad_row_ends_it_before_anything_is_drawn(flow_model: Path, tmp_path: Path):
    pytest.importorskip("ray")
    table, out = tmp_path / "table.parquet", tmp_path / "out"
    write_table(table, [*ROWS, ROWS[0] | {"seed": -1}])
    asked = command(flow_model, table, out)
    ended = subprocess.run(asked, capture_output=True, text=True, timeout=SECONDS)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: seed is -1")
    assert ended.stderr.count("\n") == 1
    assert not list(out.iterdir())  # not even what would refuse a better table


@pytest.mark.slow
# WebDataset leaves its files to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_reads_a_shard(sampler: Sampler, tmp_path: Path):
    webdataset: Any = pytest.importorskip("webdataset")
    recipes = [shards.recipe_of(row, 15) for row in ROWS[:3]]
    shards.write_shard(tmp_path / "one.tar", recipes, sampler)
    rows = list(webdataset.WebDataset(str(tmp_path / "one.tar"), shardshuffle=False))
    keys = [shards.key_of(recipe, sampler.model_id) for recipe in recipes]
    assert sorted(row["__key__"] for row in rows) == sorted(keys)
    assert all(row["png"] and json.loads(row["json"]) for row in rows)
