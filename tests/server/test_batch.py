"""Many pictures in one answer."""

import base64
import io
import json
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from server.batches import AHEAD, Batches
from server.errors import ApiError
from server.limits import OpenStreams
from server.schemas import BatchBody, BatchPicture
from tests.helpers.live_server import Live, wait_for

PATH = "/api/v1/batch"
MATRIX: dict[str, Any] = {
    "prompts": ["a red dragon", "a fish"],
    "seeds": [3, 1, 2],
    "attributes": [{"size": "Tiny"}, {"size": "Huge"}],
}


def test_a_matrix_as_a_zip(client: httpx.Client):
    answer = client.post(PATH, json=MATRIX)
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        listed = json.loads(archive.read("manifest.json"))["pictures"]
        assert [(p["prompt"], p["attributes"]["size"], p["seed"]) for p in listed] == [
            (prompt, size, seed)
            for prompt in MATRIX["prompts"]
            for size in ("Tiny", "Huge")
            for seed in (3, 1, 2)
        ]
        assert len(archive.namelist()) == 13
        for picture in (listed[1], listed[11]):
            body = {"prompt": picture["prompt"], "seed": picture["seed"]}
            body["attributes"] = {"size": picture["attributes"]["size"]}
            single = client.post("/api/v1/generate", json=body).json()["image"]
            file = base64.b64decode(single.partition(",")[2])
            assert archive.read(picture["file"]) == file


def test_a_list_goes_on_where_its_download_broke(client: httpx.Client):
    pictures: list[dict[str, Any]] = [{"prompt": f"creature {i}"} for i in range(50)]
    pictures[7]["seed"] = 5
    first = client.post(PATH, json={"pictures": pictures, "format": "webp"})
    job, whole = first.headers["x-job"], first.content
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        seeds = [
            p["seed"] for p in json.loads(archive.read("manifest.json"))["pictures"]
        ]
    assert seeds[7] == 5 and len(set(seeds)) == 2  # one was drawn for all others
    for offset in (0, 1, len(whole) // 2, len(whole) - 1, len(whole), len(whole) + 9):
        rest = client.get(f"{PATH}/{job}", params={"offset": offset})
        assert rest.status_code == 200 and rest.content == whole[offset:]
    missing = client.get(f"{PATH}/{'0' * 16}")
    assert missing.json()["error"]["code"] == "unknown_job"


def depth(live: Live) -> int:
    assert live.service.batcher
    return live.service.batcher.depth


def drawn(live: Live) -> float:
    return (
        live.service.metrics.registry.get_sample_value(
            "pokejax_pictures_total", {"route": PATH, "key": ""}
        )
        or 0
    )


def test_a_batch_takes_turns_and_stops_when_its_client_leaves(
    client: httpx.Client, live: Live
):
    body = {"prompts": ["a fish"], "seeds": list(range(1000)), "scale": 8}
    before = drawn(live)
    live.gate.clear()
    with client.stream("POST", PATH, json=body) as answer:
        wait_for(live.is_held)
        assert depth(live) <= AHEAD
        live.gate.set()
        next(answer.iter_raw())  # comes while others are drawn
    wait_for(lambda: depth(live) == 0)
    assert drawn(live) - before < 900


def test_the_latest_batches_are_shared(tmp_path: Path):
    one, other = Batches(tmp_path / "batches"), Batches(tmp_path / "batches")
    body = BatchBody(pictures=[BatchPicture(prompt="a fish", seed=1)], scale=2)
    jobs = [one.keep(body, "m") for _ in range(300)]
    assert other.get(jobs[-1], "m") == body
    assert len(list((tmp_path / "batches/m").iterdir())) == 256
    for job, model in (("0" * 16, "m"), ("..", "m"), (jobs[-1], "another")):
        with pytest.raises(ApiError, match="there is no job"):
            other.get(job, model)
    # Where nothing can be written, batches are still drawn.
    (tmp_path / "file").write_bytes(b"")
    lost = Batches(tmp_path / "file")
    assert lost.get(lost.keep(body, "m"), "m") == body


def test_a_sheet_counts_as_a_stream(
    client: httpx.Client, live: Live, monkeypatch: pytest.MonkeyPatch
):
    gauge = live.service.metrics.streams
    monkeypatch.setattr(live.service, "streams", OpenStreams(1, gauge))
    live.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        asked = {"prompts": ["a fish"], "answer": "sheet"}
        first = pool.submit(client.post, PATH, json=asked)
        wait_for(live.is_held)
        refused = client.post(PATH, json=asked)
        live.gate.set()
        assert first.result().status_code == 200
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "too_many_streams"


def test_a_sheet(client: httpx.Client):
    answer = client.post(PATH, json={**MATRIX, "answer": "sheet", "scale": 2})
    assert answer.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(answer.content)) as sheet:
        assert sheet.width == 4 + 6 * (64 + 4)
    many = {"prompts": ["a"], "seeds": list(range(1000)), "scale": 8}
    answer = client.post(PATH, json={**many, "answer": "sheet"})
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "scale"


@pytest.mark.parametrize(
    ("body", "param", "told"),
    [
        ({}, "prompts", "either prompts or pictures"),
        ({"prompts": ["a"], "pictures": [{"prompt": "a"}]}, "prompts", "either"),
        ({"pictures": [{"prompt": "a"}], "seeds": [1]}, "pictures", "their own"),
        ({"pictures": [{"prompt": "a"}], "slides": [{}]}, "pictures", "their own"),
        ({"prompts": ["a"] * 33, "seeds": [1] * 32}, "prompts", "1056 pictures; at"),
        ({"prompts": []}, "prompts", "a list of 1 to 1024"),
        ({"prompts": ["a", " "]}, "prompts[1]", "is empty"),
        ({"prompts": ["a"], "seeds": [1, -1]}, "seeds[1]", "from 0 to"),
        ({"pictures": [{"prompt": "a", "sed": 1}]}, "pictures[0].sed", "mean 'seed'"),
    ],
)
def test_what_is_no_batch(
    body: dict[str, Any], param: str, told: str, client: httpx.Client
):
    answer = client.post(PATH, json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param)
    assert told in error["message"]
