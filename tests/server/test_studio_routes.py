"""What the studio asks beside pictures: how a prompt reads, and training runs."""

import base64
import dataclasses
import json
from pathlib import Path

import httpx
import numpy as np
import pytest

from pokejax.images.given import read_picture
from pokejax.images.training_index import TrainingIndex
from tests.helpers.live_server import Live, Starter


def test_a_prompt_is_read_without_drawing(client: httpx.Client):
    asked = {"prompt": "a tiny red quizzical fox with a white belly"}
    answer = client.get("/api/v1/parse", params=asked).json()
    assert answer["attributes"]["primary_color"] == "Red"
    assert answer["words"]["size"] == "tiny"
    assert answer["unrecognised"] == ["quizzical"]
    assert answer["parts"] == {"belly": "White"}
    assert client.get("/api/v1/parse", params={"prompt": " "}).status_code == 400


def test_typing_costs_no_drawing(start: Starter):
    with start(rate_limit=1) as live, live.client() as client:
        asked = {"prompt": "a fox"}
        for _ in range(5):
            assert client.get("/api/v1/parse", params=asked).status_code == 200
        assert client.post("/api/v1/generate", json=asked).status_code == 200
        assert client.post("/api/v1/generate", json=asked).status_code == 429


def test_how_near_a_picture_is_to_training(
    client: httpx.Client, live: Live, monkeypatch: pytest.MonkeyPatch
):
    drawn = client.post("/api/v1/generate", json={"prompt": "a fox"}).json()["image"]
    ask = {"image": drawn}
    unknown = client.post("/api/v1/nearest", json=ask)
    assert unknown.json() == {"distance": None, "nearer": None}
    own = read_picture(base64.b64decode(drawn.partition(",")[2]), 64)[..., :3]
    white = np.full_like(own, 255)
    index = TrainingIndex.of(np.stack([white, own]), np.stack([white]))
    monkeypatch.setattr(live.service, "training_index", index)
    answer = client.post("/api/v1/nearest", json=ask).json()
    assert answer == {"distance": 0.0, "nearer": 0.0}
    bad = client.post("/api/v1/nearest", json={"image": "%%%"})
    assert bad.status_code == 400 and "not base64" in bad.text


@pytest.fixture
def runs(live: Live, tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a run, on a server that was given its directory."""
    settings = dataclasses.replace(live.service.settings, runs_dir=tiny_run.parent)
    monkeypatch.setattr(live.service, "settings", settings)
    return f"/api/v1/runs/{tiny_run.name}"


def test_runs_are_shown_if_a_directory_is_configured(client: httpx.Client):
    assert client.get("/api/v1/runs").json() == {"configured": False, "runs": []}
    assert client.get("/api/v1/runs/tiny").status_code == 404


def test_a_run_shows_its_log_and_pictures(
    client: httpx.Client, runs: str, tiny_run: Path
):
    (listed,) = client.get("/api/v1/runs").json()["runs"]
    assert (listed["name"], listed["epochs"]) == (tiny_run.name, 2)
    answer = client.get(runs).json()
    assert [row["Epoch"] for row in answer["rows"]] == [1, 2]
    files = {picture["file"]: picture for picture in answer["pictures"]}
    assert files["latent_kl.png"]["epoch"] is None
    (samples,) = (p["file"] for p in files.values() if p["kind"] == "samples")
    picture = client.get(f"{runs}/{samples}")
    assert picture.headers["content-type"] == "image/png"
    assert picture.content == (tiny_run / samples).read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        *("/model.safetensors", "/training_losses.jsonl", "/..%2Flatent_kl.png"),
        *("/%2e%2e/x", "%2F..", "/samples_epoch_999.png", "x", "/checkpoints"),
    ],
)
def test_nothing_else_can_be_named(client: httpx.Client, runs: str, path: str):
    assert client.get(runs + path).status_code == 404


def test_a_loss_that_is_no_number_is_null(
    client: httpx.Client, runs: str, live: Live, tmp_path: Path, monkeypatch
):
    settings = dataclasses.replace(live.service.settings, runs_dir=tmp_path)
    monkeypatch.setattr(live.service, "settings", settings)
    (tmp_path / "broken").mkdir()
    row = json.dumps({"Epoch": 1, "Train_Loss": float("nan")})
    (tmp_path / "broken" / "training_losses.jsonl").write_text(row + "\n")
    answer = client.get("/api/v1/runs/broken").json()
    assert answer["rows"] == [{"Epoch": 1, "Train_Loss": None}]
