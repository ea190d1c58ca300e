"""A creature's ZIP, shinies and enlarging, as clients ask for them."""

import base64
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from pokejax import Sampler, creature, generate
from server.settings import Settings
from tests.helpers.live_server import serve
from tests.server.test_bad_input import check_error

PROMPT = "a red fish"


@pytest.fixture(scope="module")
def flow(flow_model: Path) -> Iterator[httpx.Client]:
    with serve(Settings(model=flow_model)) as live, live.client() as client:
        yield client


def test_a_creature_is_what_the_command_packs(
    flow: httpx.Client, flow_model: Path, tmp_path: Path
):
    asked = {"prompt": PROMPT, "seed": 7, "attributes": {"size": "Tiny"}, "colors": 6}
    answer = flow.post("/api/v1/creature", json=asked)
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Seed"] == "7"
    assert answer.headers["content-type"] == "application/zip"
    argv = ["--prompt", PROMPT, "--seed=7", "--set=size=Tiny", "--colors=6"]
    target = tmp_path / "fish.zip"
    argv += ["--model", str(flow_model), "--out", str(target)]
    assert creature.main(argv) == 0
    assert answer.content == target.read_bytes()
    assert "sheet.json" in zipfile.ZipFile(io.BytesIO(answer.content)).namelist()
    # Without a seed, the answer says which was drawn.
    answer = flow.post("/api/v1/creature", json={"prompt": PROMPT})
    again = flow.post(
        "/api/v1/creature",
        json={"prompt": PROMPT, "seed": int(answer.headers["X-Seed"])},
    )
    assert answer.content == again.content
    for wrong, param, told in (
        ({"colors": 86}, "colors", "a whole number from 2 to 85"),
        ({"scale": 2}, "scale", "there is no field scale"),
    ):
        answer = flow.post("/api/v1/creature", json={"prompt": PROMPT, **wrong})
        check_error(answer, 400, param, told)


def test_shinies_and_enlarging_are_the_librarys(
    flow: httpx.Client, flow_model: Path, tmp_path: Path
):
    sampler = Sampler.load(flow_model)
    (plain,) = sampler.generate(PROMPT, seed=3)
    (shiny,) = sampler.generate(PROMPT, seed=3, shiny=True)
    argv = ["--prompt", PROMPT, "--num=1", "--seed=3", "--shiny", "--scale=2"]
    argv += ["--upscale=scale2x", "--model", str(flow_model), "--out", str(tmp_path)]
    assert generate.main(argv) == 0
    (drawn,) = tmp_path.glob("a-red*")
    asked = {"prompt": PROMPT, "seed": 3, "shiny": True, "background": "transparent"}
    asked |= {"scale": 2, "upscale": "scale2x"}
    image = flow.post("/api/v1/generate", json=asked).json()["image"]
    assert base64.b64decode(image.rpartition(",")[2]) == drawn.read_bytes()
    large = np.asarray(Image.open(drawn))
    assert plain.art is not None
    assert drawn.read_bytes() == shiny.png(scale=2, upscale="scale2x")
    assert shiny.texts == {**plain.texts, "shiny": "true"}
    assert large.shape == (64, 64) and {*np.unique(large)} <= {
        *np.unique(plain.art.indices)
    }
    # A shiny is pixel art, whatever else is said.
    raw = flow.get(
        "/api/v1/download", params={**asked, "shiny": "true", "finish": "raw"}
    )
    assert raw.content == drawn.read_bytes()
    body = {**asked, "prompts": [PROMPT], "seeds": [3]}
    del body["prompt"], body["seed"]
    batch = flow.post("/api/v1/batch", json=body).content
    archive = zipfile.ZipFile(io.BytesIO(batch))
    assert archive.read("0000_3.png") == drawn.read_bytes()
    query = {**asked, "shiny": "true"}
    with flow.stream("GET", "/api/v1/generate/stream", params=query) as stream:
        images = [line for line in stream.iter_lines() if '"index":0' in line]
    image = json.loads(images[-1][6:])["image"]
    assert base64.b64decode(image.rpartition(",")[2]) == drawn.read_bytes()


def test_the_command_refuses_what_does_not_go_together(
    flow_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    base = [
        "--prompt",
        PROMPT,
        "--model",
        str(flow_model),
        "--out",
        str(tmp_path / "o"),
    ]
    for argv, told in (
        (["--shiny", "--finish=raw"], "expected --finish pixel"),
        (["--scale=9"], "--scale is 9; expected 1 to 8"),
    ):
        assert generate.main([*base, *argv]) == 2
        assert told in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
