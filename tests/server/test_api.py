"""What the routes promise, asked of a real server."""

import base64
import io
import json
import logging
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from PIL import Image

from pokejax import Sampler, generate
from pokejax.attributes import CONDITIONS, Attributes
from tests.helpers.live_server import Live, Starter
from tests.helpers.llm_server import LABELS, LlmServer

PROMPT = "a small blue water turtle with a red shell"


def pixels(url: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file_of(url))).convert("RGB"))


def file_of(url: str) -> bytes:
    return base64.b64decode(url.partition("base64,")[2])


def ask(client: httpx.Client, path: str = "generate", **body: object) -> dict:
    answer = client.post(f"/api/v1/{path}", json={"prompt": PROMPT, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_originals_contract(client: httpx.Client, live: Live):
    answer = ask(client, num_samples=3, seed=42, use_llm_parsing=False)
    assert answer["image"] == answer["images"][0]
    assert answer["image"].startswith("data:image/png;base64,")
    assert answer["seeds"] == [42, 43, 44]
    assert len(set(answer["images"])) == 3
    assert answer["generation_time_ms"] > 0
    assert answer["model_version"] == live.service.model_version
    assert answer["attributes"]["size"] == "Small"
    assert answer["words"]["size"] == "small"
    assert set(answer["sources"].values()) == {"rules"}
    assert answer["sources"].keys() == answer["attributes"].keys()


def test_a_picture_is_the_same_from_every_door(
    client: httpx.Client, model: Path, tmp_path: Path
):
    answer = ask(client, num_samples=2, seed=41)
    options = ["--seed=41", "--num=2", "--out", str(tmp_path), "--model", str(model)]
    assert generate.main(["--prompt", PROMPT, *options]) == 0
    drawn = [path.read_bytes() for path in sorted(tmp_path.glob("a-small*.png"))]
    assert [file_of(url) for url in answer["images"]] == drawn
    query = {"prompt": PROMPT, "seed": 42}
    download = client.get("/api/v1/download", params=query)
    assert download.content == drawn[1]
    assert download.headers["content-type"] == "image/png"
    assert download.headers["content-disposition"] == 'attachment; filename="42.png"'


def test_the_seed_used_is_always_told(client: httpx.Client):
    answer = ask(client)
    (seed,) = answer["seeds"]
    assert ask(client, seed=seed)["image"] == answer["image"]
    download = client.get("/api/v1/download", params={"prompt": PROMPT})
    again = {"prompt": PROMPT, "seed": download.headers["x-seed"]}
    assert client.get("/api/v1/download", params=again).content == download.content
    assert ask(client, seed=2**31 - 1, num_samples=2)["seeds"] == [2**31 - 1, 0]


def test_attributes_guidance_and_temperature_steer(client: httpx.Client):
    plain = ask(client, seed=1)
    green = ask(client, seed=1, attributes={"primary_color": "Green"})
    assert green["attributes"]["primary_color"] == "Green"
    assert green["sources"]["primary_color"] == "request"
    assert green["sources"]["size"] == "rules"
    others = [
        green,
        ask(client, seed=1, guidance=3),
        ask(client, seed=1, temperature=2),
    ]
    assert len({a["image"] for a in [plain, *others]}) == 4
    query = {"prompt": PROMPT, "seed": 1, "primary_color": "Green"}
    download = client.get("/api/v1/download", params=query)
    assert download.content == file_of(green["image"])


def test_formats_and_scales_show_the_same_pixels(client: httpx.Client):
    small = pixels(ask(client, seed=5)["image"])
    for format in ("png", "webp"):
        large = pixels(ask(client, seed=5, format=format, scale=3)["image"])
        expected = small.repeat(3, axis=0).repeat(3, axis=1)
        np.testing.assert_array_equal(large, expected)


def test_a_language_model_reads_the_prompt(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
):
    with LlmServer(labels=LABELS | {"describes_creature": True}) as llm:
        for name, value in llm.environment.items():
            monkeypatch.setenv(name, value)
        answer = ask(client, prompt="a beast", use_llm_parsing=True)
    assert answer["attributes"]["shape"] == "Quadruped"
    assert answer["sources"]["shape"] == "llm" and answer["warning"] is None
    monkeypatch.setenv("OPENAI_API_KEY", "")
    answer = ask(client, prompt="a red beast", use_llm_parsing=True)
    assert answer["attributes"]["primary_color"] == "Red"
    assert "prompt read by rules" in answer["warning"]


def test_interpolation_starts_and_ends_at_the_pictures(client: httpx.Client):
    first = ask(client, seed=7)["image"]
    answer = ask(client, "interpolate", seed=7, to_seed=8, frames=5, gif=True)
    assert answer["seeds"] == [7, 8]
    assert answer["images"][0] == first
    last = pixels(ask(client, seed=8)["image"]).astype(int)
    # Its noise went through a blend, so a float may have been rounded otherwise.
    assert np.abs(pixels(answer["images"][-1]) - last).max() <= 1
    assert len(set(answer["images"])) == 5
    with Image.open(io.BytesIO(file_of(answer["gif"]))) as gif:
        assert (gif.n_frames, gif.info["loop"]) == (5, 0)  # type: ignore[attr-defined]
    words = ask(client, "interpolate", seed=7, to_prompt="a red dragon", frames=2)
    assert words["start"]["attributes"]["primary_color"] == "Blue"
    assert words["end"]["attributes"]["primary_color"] == "Red"
    dragon = pixels(ask(client, prompt="a red dragon", seed=7)["image"]).astype(int)
    assert np.abs(pixels(words["images"][1]) - dragon).max() <= 1


def test_a_frame_is_had_alone_from_its_recipe(client: httpx.Client):
    walk = {"seed": 7, "to_prompt": "a red dragon", "to_seed": 8}
    frames = ask(client, "interpolate", **walk, frames=4)["images"]
    texts = Image.open(io.BytesIO(file_of(frames[1]))).text  # type: ignore[attr-defined]
    alone = ask(client, "interpolate", **walk, mix=float(texts["mix"]))
    assert alone["images"] == [frames[1]]
    assert ask(client, "interpolate", **walk, mix=0)["images"] == [frames[0]]


def test_variations_lie_near(client: httpx.Client):
    original = ask(client, seed=7)["image"]
    same = ask(client, "variations", seed=7, strength=0, num_samples=2)
    assert same["images"] == [original] * 2

    def distance(strength: float) -> float:
        answer = ask(client, "variations", seed=7, strength=strength, variation_seed=1)
        assert answer["towards_seeds"] == [1, 2, 3, 4]
        apart = [
            pixels(url) - pixels(original).astype(float) for url in answer["images"]
        ]
        return float(np.abs(apart).mean())

    assert 0 < distance(0.1) < distance(1.0)


def test_many_clients_get_what_one_would(client: httpx.Client, model: Path):
    sampler = Sampler.load(model)
    asked = [(f"creature number {i % 9}", 1000 + i, 1 + i % 5) for i in range(60)]

    def one(case: tuple[str, int, int]) -> list[bytes]:
        prompt, seed, num = case
        answer = ask(client, prompt=prompt, seed=seed, num_samples=num)
        return [file_of(url) for url in answer["images"]]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(one, asked))
    for (prompt, seed, num), files in zip(asked, answers, strict=True):
        alone = [sampler.generate(prompt, seed=seed + i)[0] for i in range(num)]
        assert files == [sample.png() for sample in alone]


def test_pictures_are_finished_and_cut_out_as_asked(client: httpx.Client, model: Path):
    (raw,) = Sampler.load(model).generate(PROMPT, seed=42)
    art = raw.finished(5)
    assert art.art is not None

    def drawn(**asked: Any) -> Image.Image:
        url = ask(client, seed=42, **asked)["image"]
        return Image.open(io.BytesIO(file_of(url)))

    flat = drawn(finish="pixel", colors=5, background="transparent", scale=2)
    assert flat.mode == "P" and flat.info["colors"] == "5"
    large = art.rgba.repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(flat.convert("RGBA"), large)
    on_white = drawn(finish="pixel", colors=5).convert("RGBA")
    np.testing.assert_array_equal(on_white.convert("RGB"), art.image)
    assert np.asarray(on_white)[..., 3].min() == 255
    for format in ("png", "webp"):
        cut = drawn(background="transparent", format=format)
        np.testing.assert_array_equal(cut.convert("RGBA"), raw.rgba)


def test_vocabularies_health_and_metrics(client: httpx.Client):
    words = client.get("/api/v1/attributes").json()["attributes"]
    assert words == {name: list(v) for name, v in CONDITIONS.items()}
    for path in ("health", "ready"):
        answer = client.get(f"/api/v1/{path}")
        assert answer.status_code == 200
        assert answer.json()["status"] == "ready" and answer.json()["queued"] == 0
    text = client.get("/metrics").text
    asked = 'pokejax_requests_total{key="",route="/api/v1/attributes",status="200"}'
    assert asked in text
    assert 'pokejax_queue_seconds_count{key="",route="/api/v1/generate"}' in text
    assert "pokejax_queued_pictures 0.0" in text
    assert "pokejax_recompilations" in text


def test_pages_come_from_here_only(client: httpx.Client):
    files = [f"/web/{path.name}" for path in Path("server/web").iterdir()]
    for path in ("/", "/docs", *files):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert "https://" not in answer.text and "//cdn" not in answer.text
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy and "unsafe" not in policy


@pytest.fixture
def stock(live: Live):
    with openai.OpenAI(api_key="any", base_url=f"{live.url}/v1", max_retries=0) as it:
        yield it


def test_the_stock_openai_client_generates(stock: openai.OpenAI, client: httpx.Client):
    answer = stock.images.generate(
        model="pokejax", prompt=PROMPT, n=2, size="128x128", extra_body={"seed": 42}
    )
    expected = ask(client, seed=42, num_samples=2, scale=4)["images"]
    assert answer.data
    assert [base64.b64decode(i.b64_json or "") for i in answer.data] == [
        file_of(url) for url in expected
    ]
    assert answer.data[1].model_extra == {"seed": 43}
    as_url = stock.images.generate(prompt=PROMPT, response_format="url")
    assert as_url.data and pixels(as_url.data[0].url or "").shape == (32, 32, 3)


def test_the_stock_openai_client_streams(stock: openai.OpenAI, client: httpx.Client):
    events = list(
        stock.images.generate(
            prompt=PROMPT, stream=True, partial_images=1, extra_body={"seed": 42}
        )
    )
    partial, completed = events
    assert partial.type == "image_generation.partial_image"
    assert completed.type == "image_generation.completed"
    expected = {
        t: file_of(ask(client, seed=42, temperature=t)["image"]) for t in (0, 1)
    }
    shown = Image.open(io.BytesIO(base64.b64decode(partial.b64_json)))
    typical = Image.open(io.BytesIO(expected[0]))
    assert shown.tobytes() == typical.tobytes()
    assert base64.b64decode(completed.b64_json) == expected[1]
    # It says what it is, and nothing that would draw another picture.
    assert shown.text.keys() == {"prompt", "partial"}  # type: ignore[attr-defined]
    assert completed.usage.total_tokens == 0


def test_the_stock_openai_client_understands_errors(stock: openai.OpenAI):
    with pytest.raises(openai.BadRequestError) as caught:
        stock.images.generate(prompt=PROMPT, size="2048x2048")
    assert caught.value.param == "size" and "from 64 to 1792" in caught.value.message
    with pytest.raises(openai.BadRequestError, match="prompt is empty"):
        stock.images.generate(prompt=" ", stream=True)
    with pytest.raises(openai.NotFoundError, match="no model 'dall-e-3'") as missing:
        stock.images.generate(prompt=PROMPT, model="dall-e-3")
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")


def test_the_stock_openai_client_lists_models(stock: openai.OpenAI, live: Live):
    names = [model.id for model in stock.models.list()]
    assert names == ["pokejax", live.service.model_version]
    for name in names:
        assert stock.models.retrieve(name).owned_by == "pokejax"
        assert stock.images.generate(prompt=PROMPT, model=name).data
    with pytest.raises(openai.NotFoundError, match="did you mean 'pokejax'"):
        stock.models.retrieve("pokejay")


def test_formats_frames_and_long_prompts_of_openais(
    stock: openai.OpenAI, client: httpx.Client
):
    def drawn(**asked: Any) -> Image.Image:
        answer = stock.images.generate(prompt=PROMPT, extra_body={"seed": 42}, **asked)
        assert answer.data and answer.size == asked.get("size", answer.size)
        return Image.open(io.BytesIO(base64.b64decode(answer.data[0].b64_json or "")))

    small = pixels(ask(client, seed=42)["image"])
    wide = np.asarray(drawn(size="300x100"))
    assert wide.shape == (100, 300, 3)
    large = small.repeat(3, axis=0).repeat(3, axis=1)
    np.testing.assert_array_equal(wide[2:98, 102:198], large)
    assert (wide[:, :102] == 255).all() and (wide[98:] == 255).all()
    jpeg = drawn(output_format="jpeg", size="256x256")
    assert jpeg.format == "JPEG" and jpeg.size == (256, 256)
    near = np.asarray(jpeg).astype(int)[::8, ::8] - small
    assert np.abs(near).mean() < 8
    long = "a red dragon " * 2000
    answer = stock.images.generate(prompt=long, extra_body={"seed": 1})
    assert answer.data and answer.data[0].revised_prompt
    kept = answer.data[0].revised_prompt
    assert long.startswith(kept) and 980 < len(kept) <= 1000
    assert "characters of the prompt" in (answer.model_extra or {})["warning"]
    same = file_of(ask(client, prompt=kept, seed=1)["image"])
    assert base64.b64decode(answer.data[0].b64_json or "") == same
    # A pattern that looks twice would take minutes.
    with pytest.raises(openai.BadRequestError, match="control character"):
        stock.images.generate(prompt="a" * 30_000 + "\x07")


def test_any_model_if_told_so(start: Starter):
    with (
        start(any_model=True) as live,
        openai.OpenAI(api_key="any", base_url=f"{live.url}/v1", max_retries=0) as it,
    ):
        assert it.images.generate(prompt=PROMPT, model="gpt-image-1").data


def test_keys_are_asked_for(start: Starter):
    with start(api_keys=("first-key", "second-key")) as live, live.client() as client:
        query = {"prompt": PROMPT}
        for headers in ({}, {"X-API-Key": "wrong"}, {"Authorization": "Basic a"}):
            answer = client.get("/api/v1/download", params=query, headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "invalid_api_key"
            assert "first-key" not in answer.text
        for headers in (
            {"X-API-Key": "second-key"},
            {"Authorization": "Bearer first-key"},
        ):
            answer = client.get("/api/v1/download", params=query, headers=headers)
            assert answer.status_code == 200
        assert client.get("/api/v1/health").status_code == 200
        assert "first-key" not in repr(live.service.settings)
        # After many wrong keys, the right one doesn't help for a while, or a program
        # could try them all.
        answers = [
            client.get("/metrics", headers={"X-API-Key": "x"}) for _ in range(25)
        ]
        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["retry-after"]) >= 1
        right = {"X-API-Key": "second-key"}
        assert client.get("/metrics", headers=right).status_code == 429
        assert client.get("/", headers=right).status_code == 200
        with httpx.Client(
            base_url=live.url,
            transport=httpx.HTTPTransport(local_address="127.0.0.2"),
        ) as other:
            assert other.get("/metrics", headers=right).status_code == 200


def test_keys_have_quotas_of_their_own(start: Starter):
    with (
        start(api_keys=("a", "b", "c"), key_limits=(2, 5, 0), rate_limit=9) as live,
        live.client() as client,
    ):

        def ask(key: str) -> httpx.Response:
            return client.get("/api/v1/attributes", headers={"X-API-Key": key})

        def metrics() -> str:
            return client.get("/metrics", headers={"X-API-Key": "c"}).text

        left = [ask("a").headers["x-ratelimit-remaining"] for _ in range(2)]
        assert left == ["1", "0"]
        refused = ask("a")
        assert refused.status_code == 429
        limits = {
            k: refused.headers[f"x-ratelimit-{k}"] for k in ("limit", "remaining")
        }
        assert limits == {"limit": "2", "remaining": "0"}
        assert 1 <= int(refused.headers["x-ratelimit-reset"]) <= 60
        assert ask("b").headers["x-ratelimit-limit"] == "5"
        body = {"prompt": PROMPT}
        client.post("/v1/images/generations", json=body, headers={"X-API-Key": "b"})
        of = 'key="2",route="/v1/images/generations"'
        for name in ("queue_seconds_count", "picture_draw_seconds_count"):
            line = f"pokejax_{name}{{{of}}} 1.0"
            # A tile is counted once it is drawn, when its pictures are on their way.
            end = time.monotonic() + 10
            while line not in (told := metrics()) and time.monotonic() < end:
                time.sleep(0.02)
            assert line in told
        # What the dashboard shows is there.
        shown = Path("deploy/grafana/dashboards/pokejax.json").read_text()
        for name in set(re.findall(r"pokejax_[a-z_]+", shown)):
            name = re.sub("_(bucket|sum|count)$", "", name)
            assert f"# HELP {name} " in told, name
        assert "x-ratelimit-limit" not in ask("c").headers


def test_head_is_get_without_the_body(client: httpx.Client, live: Live):
    query = {"prompt": PROMPT, "seed": 1, "num_samples": 3}
    for path in ("/", "/api/v1/health", "/api/v1/attributes", "/web/style.css"):
        head, got = client.head(path), client.get(path)
        assert head.status_code == got.status_code == 200 and head.content == b""
        assert head.headers["content-type"] == got.headers["content-type"]
    one = {"prompt": PROMPT, "seed": 1}
    head, got = (
        client.request(m, "/api/v1/download", params=one) for m in ("HEAD", "GET")
    )
    assert head.headers["content-length"] == got.headers["content-length"]
    live.gate.clear()  # a head doesn't wait for a stream's end
    head = client.head("/api/v1/generate/stream", params=query)
    live.gate.set()
    assert head.headers["content-type"].startswith("text/event-stream")
    assert client.head("/api/v1/generate").status_code == 405


def test_a_broken_model_is_told(start: Starter, monkeypatch: pytest.MonkeyPatch):
    def fail(_sampler: Sampler) -> None:
        raise RuntimeError("no finite pixel")

    monkeypatch.setattr(Sampler, "warm_up", fail)
    with start(until="broken") as live, live.client() as client:
        assert client.get("/api/v1/health").json()["status"] == "broken"
        assert client.get("/api/v1/ready").status_code == 503
        answer = client.post("/api/v1/generate", json={"prompt": PROMPT})
        assert answer.json()["error"]["code"] == "broken"


def test_a_client_may_ask_so_often(start: Starter):
    with start(rate_limit=3) as live, live.client() as client:
        answers = [client.get("/api/v1/attributes") for _ in range(4)]
        assert [a.status_code for a in answers] == [200, 200, 200, 429]
        assert answers[-1].json()["error"]["code"] == "rate_limited"
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 21
        assert client.get("/api/v1/health").status_code == 200


def test_pages_elsewhere_may_call_if_allowed(start: Starter, client: httpx.Client):
    origin = {"Origin": "https://studio.example"}
    assert "access-control-allow-origin" not in client.get("/", headers=origin).headers
    with start(cors_origins=("https://studio.example",)) as live, live.client() as c:
        asked = {**origin, "Access-Control-Request-Method": "POST"}
        preflight = c.options("/api/v1/generate", headers=asked)
        assert preflight.status_code == 204
        assert "Content-Type" in preflight.headers["access-control-allow-headers"]
        asked["Access-Control-Request-Headers"] = "x-evil,X-Stainless-Retry-Count"
        preflight = c.options("/v1/images/generations", headers=asked)
        allowed = preflight.headers["access-control-allow-headers"]
        assert "x-stainless-retry-count" in allowed and "evil" not in allowed
        answer = c.get("/api/v1/nowhere", headers=origin)
        allowed = answer.headers["access-control-allow-origin"]
        assert allowed == "https://studio.example"
        other = c.get("/", headers={"Origin": "https://else.example"})
        assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize("told", [False, True])
def test_the_log_keeps_prompts_to_itself(
    told: bool, start: Starter, caplog: pytest.LogCaptureFixture
):
    log = logging.getLogger("pokejax.server")
    log.addHandler(caplog.handler)
    try:
        with (
            start(log_prompts=told, api_keys=("secret-key",)) as live,
            live.client() as client,
        ):
            headers = {"X-API-Key": "secret-key", "X-Request-Id": "my-request.1"}
            asked = {"prompt": "a hush-hush creature"}
            for answer in (
                client.post("/api/v1/generate", json=asked, headers=headers),
                client.get("/api/v1/download", params=asked, headers=headers),
            ):
                assert answer.headers["x-request-id"] == "my-request.1"
    finally:
        log.removeHandler(caplog.handler)
    lines = [r.getMessage() for r in caplog.records if "my-request.1" in r.getMessage()]
    assert len(lines) == 2
    entry = json.loads(lines[0])
    assert (entry["path"], entry["status"]) == ("/api/v1/generate", 200)
    assert entry["ms"] > 0
    assert all(("hush" in line) == told for line in lines)
    assert "secret-key" not in caplog.text


def test_sampler_and_service_read_alike(client: httpx.Client, model: Path):
    sample = Sampler.load(model).generate(
        PROMPT, seed=3, attributes=Attributes(size="Huge"), guidance=2.0
    )[0]
    answer = ask(client, seed=3, attributes={"size": "Huge"}, guidance=2)
    assert file_of(answer["image"]) == sample.png()
