"""OpenAI's own client for JavaScript, fetched by `make test`, asks the service."""

import base64
import io
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from server.settings import Settings
from tests.helpers.live_server import Live, serve
from tests.unit.test_given import art, png

NODE = shutil.which("node")
MODULES = Path(".venv-js/node_modules").resolve()
SCRIPT = Path(__file__).with_name("openai_client.cjs")

pytestmark = [
    pytest.mark.skipif(NODE is None, reason="node is not installed"),
    pytest.mark.skipif(
        not (MODULES / "openai").is_dir(),
        reason="npm's package openai is not installed: make js-client",
    ),
]


@pytest.fixture(scope="module")
def flows(flow_model: Path) -> Iterator[Live]:
    """The service with a model that has a learned prior."""
    with serve(Settings(model=flow_model)) as running:
        yield running


def pixels(encoded: str) -> np.ndarray:
    file = base64.b64decode(encoded.rpartition(",")[2])
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))


def test_the_javascript_client(flows: Live, tmp_path: Path):
    mask = Image.new("RGBA", (32, 32), "white")
    mask.paste((0, 0, 0, 0), (0, 0, 32, 14))
    files = {"image": png(art()), "mask": png(mask)}
    for name, file in files.items():
        (tmp_path / name).write_bytes(file)
    paths = [str(tmp_path / name) for name in files]
    assert NODE
    ran = subprocess.run(
        [NODE, str(SCRIPT), f"{flows.url}/v1", *paths],
        env={**os.environ, "NODE_PATH": str(MODULES)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)

    def drawn(path: str, **asked: Any) -> list[np.ndarray]:
        body = {"prompt": "a red fish", "seed": 1, **asked}
        with flows.client() as client:
            answer: httpx.Response = client.post(f"/api/v1/{path}", json=body)
        assert answer.status_code == 200, answer.text
        return [pixels(image) for image in answer.json()["images"]]

    def same(given: list[str], expected: list[np.ndarray]) -> None:
        np.testing.assert_array_equal([pixels(image) for image in given], expected)

    assert told["models"] == ["pokejax", flows.service.model_version]
    generated = told["generated"]["data"]
    assert [picture["seed"] for picture in generated] == [1, 2]
    same(
        [picture["b64_json"] for picture in generated],
        drawn("generate", num_samples=2, scale=2),
    )
    *partial, completed = told["events"]
    assert [event["type"] for event in partial] == ["image_generation.partial_image"]
    assert completed["type"] == "image_generation.completed"
    same([completed["b64_json"]], drawn("generate"))
    encoded = {name: base64.b64encode(file).decode() for name, file in files.items()}
    same([told["edited"]["data"][0]["b64_json"]], drawn("edit", **encoded))
    del encoded["mask"]
    varied = drawn("edit", prompt="a creature", **encoded)
    same([told["varied"]["data"][0]["b64_json"]], varied)

    size, model, stream, edit, name = told["refused"]
    assert (size["kind"], size["param"]) == ("BadRequestError", "size")
    assert "from 64 to 1792" in size["message"]
    assert (model["kind"], model["code"]) == ("NotFoundError", "model_not_found")
    assert (stream["kind"], stream["param"]) == ("BadRequestError", "prompt")
    assert (edit["kind"], edit["param"]) == ("BadRequestError", "n")
    assert (name["status"], name["code"]) == (404, "model_not_found")
    assert "did you mean 'pokejax'" in name["message"]
