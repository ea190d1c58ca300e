"""What clients of AUTOMATIC1111's web UI send, answered in its shape."""

import base64
import io
import json
import struct
import threading
from typing import Any

import httpx
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.helpers.live_server import Live, wait_for

API = "/sdapi/v1"
# As a client sends it, with much that means nothing here.
ASKED: dict[str, Any] = {
    "prompt": "a red dragon",
    "seed": 42,
    "width": 128,
    "height": 64,
    "sampler_name": "Euler a",
    "steps": 20,
    "enable_hr": False,
    "override_settings": {},
    "alwayson_scripts": {},
}


def txt2img(client: httpx.Client, **changes: Any) -> tuple[list[bytes], dict[str, Any]]:
    answer = client.post(f"{API}/txt2img", json={**ASKED, **changes})
    assert answer.status_code == 200, answer.text
    files = [base64.b64decode(image) for image in answer.json()["images"]]
    return files, json.loads(answer.json()["info"])


def pixels(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))


def picture(client: httpx.Client, path: str = "generate", **body: Any) -> np.ndarray:
    asked = {"prompt": "a red dragon", "seed": 42, "scale": 2, **body}
    answer = client.post(f"/api/v1/{path}", json=asked).json()
    return pixels(base64.b64decode(answer["images"][0].partition(",")[2]))


def test_txt2img(client: httpx.Client):
    files, info = txt2img(client, batch_size=2, n_iter=2, negative_prompt="blurry")
    assert info["all_seeds"] == [42, 43, 44, 45] and len(files) == 4
    assert "negative_prompt changes nothing" in info["warning"]
    # In the middle of the size asked for.
    np.testing.assert_array_equal(pixels(files[0])[:, 32:96], picture(client))
    assert pixels(files[0]).shape == (64, 128, 3)
    (strong,), info = txt2img(client, cfg_scale=21)
    np.testing.assert_array_equal(pixels(strong)[:, 32:96], picture(client, guidance=3))
    (varied,), info = txt2img(client, subseed=7, subseed_strength=0.3)
    assert (info["seed"], info["subseed"]) == (42, 7)
    near = picture(client, "variations", num_samples=1, variation_seed=7)
    np.testing.assert_array_equal(pixels(varied)[:, 32:96], near)
    _, info = txt2img(client, seed=-1)
    assert info["seed"] >= 0
    refused = client.post(
        f"{API}/txt2img", json={**ASKED, "n_iter": 60, "batch_size": 2}
    )
    assert refused.json()["error"]["param"] == "n_iter"


def test_a_picture_tells_its_settings(client: httpx.Client):
    (file,), info = txt2img(client)
    encoded = base64.b64encode(file).decode()
    for image in (encoded, f"data:image/png;base64,{encoded}"):
        told = client.post(f"{API}/png-info", json={"image": image}).json()
        assert told["info"] == info["infotexts"][0]
        assert told["info"].startswith("a red dragon\nSteps: 20, Sampler: ")
        assert told["parameters"]["Seed"] == "42"
        assert told["parameters"]["Size"] == "128x64"
        assert told["items"]["seed"] == "42"  # ours is beside it
    sides = struct.pack(">II", 2**20, 2**20)
    huge = base64.b64encode(file[:16] + sides + file[24:]).decode()
    for image in ("", "AAAA", "not base64", encoded[:40], huge):
        refused = client.post(f"{API}/png-info", json={"image": image})
        assert refused.json()["error"]["param"] == "image"


def test_text_in_a_picture_has_an_end(client: httpx.Client):
    texts = PngInfo()
    for i in range(40):
        texts.add_text(f"k{i}", "\x01" * 1_000_000, zip=True)
    bomb, large = io.BytesIO(), io.BytesIO()
    Image.new("L", (4, 4)).save(bomb, "PNG", pnginfo=texts)
    assert len(bomb.getvalue()) < 2**16
    # Its text is short; the file is as large as others' clients make them.
    noise, texts = Image.effect_noise((700, 700), 90), PngInfo()
    texts.add_text("parameters", "a fish\nSteps: 3")
    noise.save(large, "PNG", pnginfo=texts)
    assert len(large.getvalue()) > 2**17
    refused, told = (
        client.post(
            f"{API}/png-info",
            json={"image": base64.b64encode(file.getvalue()).decode()},
        )
        for file in (bomb, large)
    )
    assert refused.status_code == 400 and len(refused.content) < 1000
    error = refused.json()["error"]
    assert error["param"] == "image" and "40,000,000 characters" in error["message"]
    assert told.json()["parameters"] == {"Steps": "3"}


def test_what_clients_look_for_first(client: httpx.Client, live: Live):
    name = live.service.model_version
    assert [m["title"] for m in client.get(f"{API}/sd-models").json()] == [name]
    assert client.get(f"{API}/samplers").json()[0]["name"] == "Flow"
    assert client.get(f"{API}/options").json()["sd_model_checkpoint"] == name
    options = {"sd_model_checkpoint": name, "CLIP_stop_at_last_layers": 2}
    assert client.post(f"{API}/options", json=options).json() is None
    idle = client.get(f"{API}/progress").json()
    assert (idle["progress"], idle["state"]["job_count"]) == (0, 0)
    assert client.post(f"{API}/interrupt").json() == {}


def test_progress_and_interrupt(client: httpx.Client, live: Live):
    live.gate.clear()
    results: list[tuple[list[bytes], dict[str, Any]]] = []

    def ask() -> None:
        with live.client() as other:
            results.append(txt2img(other, batch_size=30))

    thread = threading.Thread(target=ask)
    thread.start()
    wait_for(live.is_held)
    state = client.get(f"{API}/progress").json()
    assert state["progress"] == 0 and state["state"]["job_count"] == 30
    assert state["state"]["job"] == "txt2img"
    assert client.post(f"{API}/interrupt").json() == {}
    thread.join(60)
    live.gate.set()
    files, info = results[0]
    assert len(files) < 30 and len(info["all_seeds"]) == len(files)
    wait_for(
        lambda: live.service.batcher is not None and live.service.batcher.depth == 0
    )
