"""Pictures that clients send: what comes of them, and what is refused."""

import base64
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from PIL import Image

from pokejax import Sampler, generate
from pokejax.images.given import read_mask, read_picture
from pokejax.inference.recipe import Start
from server.limits import PicturePlaces
from server.settings import Settings
from tests.helpers.live_server import Live, serve, wait_for
from tests.server.test_bad_input import check_error
from tests.unit.test_given import art, bomb, png

PROMPT = "a red fish"
PICTURE = png(art())


def mask_file() -> bytes:
    """The upper half is transparent, and dark; the rest is light."""
    mask = Image.new("RGBA", (32, 32), "white")
    mask.paste((0, 0, 0, 0), (0, 0, 32, 14))
    return png(mask)


MASK = mask_file()
KEPT = ~read_mask(MASK, 32)


@pytest.fixture(scope="module")
def flows(flow_model: Path) -> Iterator[Live]:
    """The service with a model that has a learned prior."""
    with serve(Settings(model=flow_model, log_prompts=True)) as running:
        yield running


@pytest.fixture
def flow(flows: Live) -> Iterator[httpx.Client]:
    with flows.client() as client:
        yield client


def text(file: bytes) -> str:
    return base64.b64encode(file).decode()


def file_of(encoded: str) -> bytes:
    return base64.b64decode(encoded.rpartition(",")[2])


def rgba(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGBA"))


def edited(client: httpx.Client, **asked: Any) -> bytes:
    body = {"prompt": PROMPT, "image": text(PICTURE), "seed": 1, **asked}
    answer = client.post("/api/v1/edit", json=body)
    assert answer.status_code == 200, answer.text
    return file_of(answer.json()["images"][0])


def test_an_edit_is_what_library_and_command_draw(
    flow: httpx.Client, flow_model: Path, tmp_path: Path
):
    sampler = Sampler.load(flow_model)
    picture, anew = read_picture(PICTURE, 32), read_mask(MASK, 32)
    colors = sampler.usual_colors
    for asked, start in (
        ({}, Start.of(picture)),
        ({"strength": 0.2}, Start.of(picture, strength=0.2)),
        ({"mask": f"data:image/png;base64,{text(MASK)}"}, Start.of(picture, anew)),
    ):
        (sample,) = sampler.generate(PROMPT, seed=1, start=start, colors=colors)
        assert edited(flow, background="transparent", **asked) == sample.png()
    masked = rgba(edited(flow, mask=text(MASK), background="transparent"))
    np.testing.assert_array_equal(masked[KEPT], picture[KEPT])
    (tmp_path / "in.png").write_bytes(PICTURE)
    argv = ["--prompt", PROMPT, "--seed=1", "--num=1", "--out", str(tmp_path)]
    argv += ["--model", str(flow_model), "--init", str(tmp_path / "in.png")]
    assert generate.main(argv) == 0
    (drawn,) = tmp_path.glob("a-red*")
    assert edited(flow, background="transparent") == drawn.read_bytes()


def test_a_negative_prompt_steers_by_guidance(
    flow: httpx.Client, client: httpx.Client, flow_model: Path
):
    asked = {"prompt": PROMPT, "seed": 1, "guidance": 2, "background": "transparent"}
    sampler = Sampler.load(flow_model)
    (away,) = sampler.generate(PROMPT, seed=1, guidance=2.0, negative="a blue dragon")
    avoided = {**asked, "negative_prompt": " a blue dragon "}
    answer = flow.post("/api/v1/generate", json=avoided).json()
    assert file_of(answer["image"]) == away.png() and answer["warning"] is None
    download = flow.get("/api/v1/download", params=avoided)
    assert download.content == away.png()
    with flow.stream("GET", "/api/v1/generate/stream", params=avoided) as stream:
        images = [line for line in stream.iter_lines() if '"image":"data:' in line]
    assert file_of(json.loads(images[-1][6:])["image"]) == away.png()
    plain = flow.post("/api/v1/generate", json=asked).json()["image"]
    assert file_of(plain) != away.png()
    # As AUTOMATIC1111's clients ask for it.
    body = {**asked, "cfg_scale": 14, "width": 64, "height": 64}
    body["negative_prompt"] = "a blue dragon"
    told = flow.post("/sdapi/v1/txt2img", json=body).json()
    info = json.loads(told["info"])
    assert info["warning"] is None and info["negative_prompt"] == "a blue dragon"
    assert info["infotexts"][0].startswith(
        f"{PROMPT}\nNegative prompt: a blue dragon\nSteps: 20, "
    )
    large = away.image.repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(rgba(file_of(told["images"][0]))[..., :3], large)
    # Without a learned prior it changes nothing, and that is said.
    one, other = (
        client.post("/api/v1/generate", json={**asked, "negative_prompt": words}).json()
        for words in ("", "a blue dragon")
    )
    np.testing.assert_array_equal(
        rgba(file_of(one["image"])), rgba(file_of(other["image"]))
    )
    assert "negative_prompt changes nothing" in other["warning"]
    assert one["warning"] is None


def test_a_batch_has_negative_prompts_too(
    flow: httpx.Client, client: httpx.Client, flow_model: Path
):
    sampler = Sampler.load(flow_model)
    away = {
        words: sampler.generate(PROMPT, seed=1, guidance=2.0, negative=words)[0].png()
        for words in ("", "a blue dragon", "a big green fish")
    }
    assert len(set(away.values())) == 3
    common = {
        "guidance": 2,
        "background": "transparent",
        "negative_prompt": " a blue dragon ",
    }
    matrix = {"prompts": [PROMPT], "seeds": [1]}
    others = [{"negative_prompt": words} for words in ("", "a big green fish")]
    listed = [{"prompt": PROMPT, "seed": 1, **own} for own in ({}, *others)]

    def batch(of: httpx.Client, asked: Any) -> tuple[list[bytes], list[dict[str, Any]]]:
        answer = of.post("/api/v1/batch", json={**common, **asked})
        assert answer.status_code == 200, answer.text
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            pictures = json.loads(archive.read("manifest.json"))["pictures"]
            return [archive.read(p["file"]) for p in pictures], pictures

    files, (told,) = batch(flow, matrix)
    assert files == [away["a blue dragon"]]
    assert told["negative_prompt"] == "a blue dragon" and "warning" not in told
    files, told = batch(flow, {"pictures": listed})
    assert files == [away["a blue dragon"], away[""], away["a big green fish"]]
    assert [p.get("negative_prompt") for p in told] == [
        *("a blue dragon", None, "a big green fish")
    ]
    # Without a learned prior it changes nothing, and that is said.
    _, told = batch(client, {"pictures": listed})
    assert ["warning" in p for p in told] == [True, False, True]
    assert "negative_prompt changes nothing" in told[0]["warning"]
    for asked, field in (
        ({**matrix, "negative_prompt": "a\x00"}, "negative_prompt"),
        (
            {"pictures": [{"prompt": PROMPT, "negative_prompt": "a" * 1001}]},
            "pictures[0].negative_prompt",
        ),
    ):
        answer = flow.post("/api/v1/batch", json=asked)
        check_error(answer, 400, field, "negative_prompt has")


def test_slides_say_how_much(
    flow: httpx.Client, client: httpx.Client, flow_model: Path
):
    asked = {"prompt": PROMPT, "seed": 1, "background": "transparent"}
    slides = {"primary_color": 2, "shape": 0.5}
    (slid,) = Sampler.load(flow_model).generate(PROMPT, seed=1, slides=slides)
    answer = flow.post("/api/v1/generate", json={**asked, "slides": slides}).json()
    assert file_of(answer["image"]) == slid.png() and answer["warning"] is None
    query = {**asked, **{f"slides.{name}": value for name, value in slides.items()}}
    assert flow.get("/api/v1/download", params=query).content == slid.png()
    with flow.stream("GET", "/api/v1/generate/stream", params=query) as stream:
        images = [line for line in stream.iter_lines() if '"image":"data:' in line]
    assert file_of(json.loads(images[-1][6:])["image"]) == slid.png()
    matrix = {"prompts": [PROMPT], "seeds": [1], "slides": [{"shape": -1}, slides]}
    body = {**matrix, "background": "transparent"}
    with zipfile.ZipFile(
        io.BytesIO(flow.post("/api/v1/batch", json=body).content)
    ) as archive:
        assert archive.read("0001_1.png") == slid.png()
        listed = json.loads(archive.read("manifest.json"))["pictures"]
    assert [picture["slides"] for picture in listed] == matrix["slides"]
    # What isn't known, or a model that can't, is told.
    unsaid = {**asked, "slides": {"size": 2}}
    told = flow.post("/api/v1/generate", json=unsaid).json()
    assert told["warning"] == "slides.size changes nothing: the prompt doesn't say it"
    assert (
        "slides change nothing"
        in client.post("/api/v1/generate", json={**asked, "slides": slides}).json()[
            "warning"
        ]
    )


def test_the_command_interpolates_as_the_service_does(
    flow: httpx.Client, flow_model: Path, tmp_path: Path
):
    argv = ["--prompt", PROMPT, "--seed=1", "--num=1", "--out", str(tmp_path)]
    argv += ["--model", str(flow_model), "--set=size=Tiny", "--to-seed=7"]
    argv += ["--to-prompt", "a green bird", "--to-set=habitat=Sea", "--mix=0.4"]
    assert generate.main(argv) == 0
    (drawn,) = tmp_path.glob("a-red*")
    asked = {"prompt": PROMPT, "seed": 1, "attributes": {"size": "Tiny"}, "mix": 0.4}
    asked |= {"to_prompt": "a green bird", "to_seed": 7, "background": "transparent"}
    asked |= {"to_attributes": {"habitat": "Sea"}}
    answer = flow.post("/api/v1/interpolate", json=asked).json()
    assert [file_of(image) for image in answer["images"]] == [drawn.read_bytes()]


@pytest.mark.parametrize(
    ("query", "param", "told"),
    [
        ({"slides.shape": 4}, "slides.shape", "a number from -1 to 3"),
        ({"slides.shap": 1}, "slides.shap", "did you mean 'shape'?"),
        ({"slides.shape": [1, 2]}, "slides.shape", "is given twice"),
        ({"slides": "shape=1"}, "slides", "by their names, e.g. slides.size=2"),
    ],
)
def test_a_wrong_slide_in_a_query_is_named(
    query: dict[str, Any], param: str, told: str, flow: httpx.Client
):
    answer = flow.get("/api/v1/download", params={"prompt": PROMPT, **query})
    check_error(answer, 400, param, told)


def test_img2img(flow: httpx.Client, flows: Live):
    asked = {
        "prompt": PROMPT,
        "init_images": [f"data:image/png;base64,{text(PICTURE)}"],
        "seed": 1,
        "width": 32 * 2,
        "height": 32 * 2,
        "mask_blur": 4,
        "resize_mode": 0,
        "include_init_images": False,
    }

    def drawn(**changes: Any) -> tuple[np.ndarray, dict[str, Any]]:
        answer = flow.post("/sdapi/v1/img2img", json={**asked, **changes})
        assert answer.status_code == 200, answer.text
        assert not {"init_images", "mask"} & answer.json()["parameters"].keys()
        image = rgba(file_of(answer.json()["images"][0]))[::2, ::2, :3]
        return image, json.loads(answer.json()["info"])

    image, info = drawn()
    np.testing.assert_array_equal(image, rgba(edited(flow, strength=0.75))[..., :3])
    assert info["denoising_strength"] == 0.75
    assert "Denoising strength: 0.75" in info["infotexts"][0]
    white = rgba(edited(flow, strength=0, mask=text(MASK)))[..., :3]
    # There, what is opaque is drawn anew, or what is light where nothing is clear.
    light = Image.new("L", (32, 32), 0)
    light.paste(255, (0, 0, 32, 14))
    for change in (
        {"mask": text(MASK), "inpainting_mask_invert": 1},
        {"mask": text(png(light))},
    ):
        image, _ = drawn(denoising_strength=0, **change)
        np.testing.assert_array_equal(image, white)
    varied, info = drawn(subseed=7, subseed_strength=0.3, denoising_strength=1)
    assert info["subseed"] == 7 and (varied != drawn(denoising_strength=1)[0]).any()
    for images in ([], [text(PICTURE)] * 2):
        body = {**asked, "init_images": images}
        answer = flow.post("/sdapi/v1/img2img", json=body)
        check_error(answer, 400, "init_images", "expected a list of 1")
    # While it runs, its progress is told by its own name.
    flows.gate.clear()
    thread = threading.Thread(target=drawn)
    thread.start()
    wait_for(flows.is_held)
    state = flow.get("/sdapi/v1/progress").json()["state"]
    flows.gate.set()
    thread.join(60)
    assert (state["job"], state["job_count"]) == ("img2img", 1)


@pytest.fixture
def stock(flows: Live) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="any", base_url=f"{flows.url}/v1", max_retries=0) as it:
        yield it


def test_the_stock_openai_client_edits(stock: openai.OpenAI, flow: httpx.Client):
    def drawn(**asked: Any) -> list[np.ndarray]:
        answer = stock.images.edit(prompt=PROMPT, extra_body={"seed": 1}, **asked)
        assert answer.data
        return [rgba(file_of(i.b64_json or "")) for i in answer.data]

    named = ("fish.png", PICTURE, "image/png")
    expected = rgba(edited(flow, mask=text(MASK)))
    (image,) = drawn(image=named, mask=MASK, model="pokejax", user="me")
    np.testing.assert_array_equal(image, expected)
    first, second = drawn(
        image=[io.BytesIO(PICTURE)], n=2, size="64x64", background="transparent"
    )
    clear = rgba(edited(flow, background="transparent", scale=2))
    np.testing.assert_array_equal(first, clear)
    assert (first != second).any()
    events = list(
        stock.images.edit(
            image=PICTURE, prompt=PROMPT, stream=True, extra_body={"seed": 1}
        )
    )
    assert [event.type for event in events] == ["image_edit.completed"]
    np.testing.assert_array_equal(rgba(file_of(events[0].b64_json)), rgba(edited(flow)))
    with pytest.raises(openai.BadRequestError, match="image is given twice") as caught:
        stock.images.edit(image=[PICTURE, PICTURE], prompt=PROMPT)
    assert caught.value.param == "image"
    with pytest.raises(openai.NotFoundError, match="no model 'dall-e-2'"):
        stock.images.edit(image=PICTURE, prompt=PROMPT, model="dall-e-2")
    with pytest.raises(openai.BadRequestError, match="n is '11'; expected"):
        stock.images.edit(image=PICTURE, prompt=PROMPT, n=11)


def test_the_stock_openai_client_varies(stock: openai.OpenAI, flow: httpx.Client):
    with pytest.deprecated_call():  # the client says so of its method
        answer = stock.images.create_variation(
            image=PICTURE, n=2, response_format="url", extra_body={"seed": 1}
        )
    assert answer.data and len(answer.data) == 2
    drawn = rgba(file_of(answer.data[0].url or ""))
    np.testing.assert_array_equal(drawn, rgba(edited(flow, prompt="a creature")))


HOSTILE = [
    (b"", "not a picture"),
    (b"GIF89a", "not a picture"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture in PNG"),
    (PICTURE[:-40], "damaged"),
    (bomb(0), ""),
    (b"GIF89a" + bytes(20), ""),
    (bomb(5000), "5000x5000; expected at most 4096"),
    (bomb(10000), ""),
    (bomb(60000), ""),
    (bomb(4000), "damaged"),
]


@pytest.mark.parametrize(("file", "told"), HOSTILE)
def test_hostile_pictures_get_one_line(file: bytes, told: str, flow: httpx.Client):
    def check(answer: httpx.Response, param: str) -> None:
        check_error(answer, 400, param, told)
        message = answer.json()["error"]["message"]
        assert len(message) < 300 and "\n" not in message and " at 0x" not in message

    base = {"prompt": PROMPT}
    if file:
        body = {**base, "image": text(file)}
        check(flow.post("/api/v1/edit", json=body), "image")
        body = {**base, "image": text(PICTURE), "mask": text(file)}
        check(flow.post("/api/v1/edit", json=body), "mask")
        body = {**base, "init_images": [text(file)]}
        check(flow.post("/sdapi/v1/img2img", json=body), "init_images")
    files = {"image": ("a.png", file)}
    check(flow.post("/v1/images/edits", data=base, files=files), "image")
    check(flow.post("/v1/images/variations", files=files), "image")


@pytest.mark.parametrize(
    ("change", "param", "told"),
    [
        ({"image": ""}, "image", "expected a PNG, GIF"),
        ({"image": "not base64!"}, "image", "not base64"),
        ({"image": "data:image/png,abc!"}, "image", "not base64"),
        ({"image": "ü"}, "image", "not base64"),
        ({"image": 7}, "image", "image is 7; expected text"),
        ({"mask": "%%%"}, "mask", "not base64"),
        ({"mask": text(png(Image.new("L", (8, 8), 0)))}, "mask", "dark all over"),
        ({"strength": 1.5}, "strength", "from 0 to 1"),
        ({"prompt": " "}, "prompt", "is empty"),
        ({"negative_prompt": "a\x00"}, "negative_prompt", "control character"),
        ({"negative_prompt": "a" * 1001}, "negative_prompt", "at most 1000"),
        ({"slides": {"shap": 1}}, "slides.shap", "did you mean 'shape'?"),
        ({"slides": {"shape": 3.5}}, "slides.shape", "a number from -1 to 3"),
        ({"num_samples": 17}, "num_samples", "from 1 to 16"),
    ],
)
def test_a_wrong_edit_is_named(
    change: dict[str, Any], param: str, told: str, flow: httpx.Client
):
    body = {"prompt": PROMPT, "image": text(PICTURE), **change}
    check_error(flow.post("/api/v1/edit", json=body), 400, param, told)


def form(*parts: bytes) -> bytes:
    """The parts of a form as they are, with what stands between them."""
    return b"".join(b"--x\r\n" + part + b"\r\n" for part in parts) + b"--x--\r\n"


def part(name: bytes, content: bytes = b"1", more: bytes = b"") -> bytes:
    head = b'Content-Disposition: form-data; name="' + name + b'"' + more
    return head + b"\r\n\r\n" + content


@pytest.mark.parametrize(
    ("body", "param", "told"),
    [
        (b"", "body", "no form"),
        (b"--x", "body", "no form"),
        (form(), "image", "image is missing"),
        (form(part(b"prompt", b"a"))[:-6], "body", "no form"),
        (form(b"\r\n\r\n1"), "body", "no form"),
        (form(part(b"image", PICTURE)), "prompt", "prompt is missing"),
        (form(part(b"prompt", b"a")), "image", "image is missing"),
        (form(part(b"prompt", b"\xff")), "prompt", "UTF-8"),
        (form(part(b"n"), part(b"n")), "n", "given twice"),
        (form(part(b"promt"), part(b"image")), "promt", "mean 'prompt'?"),
        (form(*[part(b"a%d" % i) for i in range(99)]), "body", "no form"),
        (form(b"X: " + b"a" * 9000 + b"\r\n" + part(b"n")), "body", "no form"),
        (form(part(b"", more=b'; filename="\xff"')), "body", "no form"),
    ],
)
def test_a_broken_form_is_explained(
    body: bytes, param: str, told: str, flow: httpx.Client
):
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = flow.post("/v1/images/edits", content=body, headers=headers)
    check_error(answer, 400, param, told)


def test_other_content_types_and_boundaries(flow: httpx.Client):
    for kind in ("application/json", "text/plain", ""):
        answer = flow.post(
            "/v1/images/edits", content=b"{}", headers={"Content-Type": kind}
        )
        check_error(answer, 415, "Content-Type", "expected multipart/form-data")
    for boundary in ("", "; boundary=", "; boundary=\xe4", "; boundary=" + "a" * 300):
        kind = f"multipart/form-data{boundary}".encode("latin-1")
        answer = flow.post(
            "/v1/images/variations", content=form(), headers={b"Content-Type": kind}
        )
        check_error(answer, 400, answer.json()["error"]["param"], "")


def test_only_pictures_may_be_large(flow: httpx.Client):
    large = png(Image.effect_noise((700, 700), 90))
    assert 2**18 < len(large) < 2**20
    assert edited(flow, image=text(large))
    body = {"prompt": "a" * 2**18}
    check_error(flow.post("/api/v1/generate", json=body), 413, "body", "65,536")
    body = {"prompt": PROMPT, "image": "a" * (4 * 2**20)}
    check_error(flow.post("/api/v1/edit", json=body), 413, "body", "4,194,304")
    files = {"image": bytes(4 * 2**20)}
    answer = flow.post("/v1/images/variations", files=files)
    check_error(answer, 413, "body", "4,194,304")
    # A name that comes twice among very many is found without comparing all with all.
    names = ",".join(f'"{i}":1' for i in range(200_000))
    twice = f'{{"prompt":"a","init_images":["a"],{names},"199999":1}}'
    headers = {"Content-Type": "application/json"}
    answer = flow.post("/sdapi/v1/img2img", content=twice, headers=headers)
    check_error(answer, 400, "199999", "given twice")


def test_a_picture_is_not_logged_even_with_prompts(
    flow: httpx.Client, caplog: pytest.LogCaptureFixture
):
    edited(flow, prompt="a hush-hush fish")
    flow.post("/api/v1/generate", json={"prompt": "a loud fish"})
    wait_for(lambda: "a loud fish" in caplog.text)
    assert '"path":"/api/v1/edit"' in caplog.text
    assert "hush" not in caplog.text and text(PICTURE)[:40] not in caplog.text


def test_a_model_without_a_learned_prior_says_so(client: httpx.Client):
    body = {"prompt": PROMPT, "image": text(PICTURE), "init_images": [text(PICTURE)]}
    files = {"image": PICTURE}
    for answer, param in (
        (client.post("/sdapi/v1/img2img", json=body), "init_images"),
        (client.post("/v1/images/variations", files=files), "image"),
    ):
        check_error(answer, 400, param, "no learned prior")
    del body["init_images"]
    answer = client.post("/api/v1/edit", json=body)
    check_error(answer, 400, "image", "no learned prior")


def test_so_many_pictures_are_under_way_at_a_time(
    flow: httpx.Client, flows: Live, monkeypatch: pytest.MonkeyPatch
):
    places = PicturePlaces()
    monkeypatch.setattr(flows.app, "_pictures", places)
    for _ in range(8):
        places.enter("127.0.0.1")
    body = {"prompt": PROMPT, "image": text(PICTURE)}
    refused = flow.post("/api/v1/edit", json=body)
    check_error(refused, 429, None, "8 of them yours")
    assert refused.json()["error"]["code"] == "queue_full"
    assert refused.headers["retry-after"] == "1"
    places.leave("127.0.0.1")
    for _ in range(3):  # a place is free again after each, refused or not
        assert edited(flow)
        assert flow.post("/api/v1/edit", json={}).status_code == 400
