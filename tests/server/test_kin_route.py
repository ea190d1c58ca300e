"""Pictures beside a relative's, lines of evolution and animations, over HTTP."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pokejax import Sampler, generate
from pokejax.images.given import read_picture
from pokejax.inference.recipe import Kin
from server.settings import Settings
from tests.helpers.live_server import serve
from tests.server.test_bad_input import check_error
from tests.unit.test_given import art, png

PICTURE = png(art())
BODY = {
    "prompt": "a red fish",
    "seed": 1,
    "background": "transparent",
    "image": base64.b64encode(PICTURE).decode(),
    "relation": "back",
}
LINE = {"prompt": "a small red fish", "seed": 1, "background": "transparent"}


@pytest.fixture(scope="module")
def kin_client(kin_model: Path) -> Iterator[httpx.Client]:
    """Of a service whose model draws relatives."""
    with serve(Settings(model=kin_model)) as running, running.client() as client:
        yield client


def ask(client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(f"/api/v1/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def file_of(url: str) -> bytes:
    return base64.b64decode(url.rpartition(",")[2])


def test_it_is_what_the_library_draws(kin_client: httpx.Client, kin_model: Path):
    sampler = Sampler.load(kin_model)
    kin = Kin(read_picture(PICTURE, 32).tobytes(), "back")
    (sample,) = sampler.generate("a red fish", seed=1, kin=kin)
    learned = kin_client.get("/api/v1/health").json()["relations"]
    assert learned == ["front", "back", "evolution", "frame"]
    answer = ask(kin_client, "relative", BODY)
    assert file_of(answer["image"]) == sample.png()
    assert answer["attributes"]["view"] == "back" and answer["animations"] == []
    bad = kin_client.post("/api/v1/relative", json=BODY | {"relation": "side"})
    check_error(bad, 400, "relation", "back")
    torn = kin_client.post("/api/v1/relative", json=BODY | {"image": "aGk="})
    check_error(torn, 400, "image", "not a picture")


def test_a_frame_comes_with_the_commands_animation(
    kin_client: httpx.Client, kin_model: Path, tmp_path: Path
):
    source = tmp_path / "in.png"
    source.write_bytes(PICTURE)
    argv = ["--prompt=a red fish", "--seed=1", "--num=2", "--scale=2"]
    argv += ["--relative", str(source), "--as=frame", "--model", str(kin_model)]
    assert generate.main([*argv, "--out", str(tmp_path)]) == 0
    frame = BODY | {"relation": "frame", "scale": 2, "num_samples": 2}
    for kind, end in (("gif", "gif"), ("apng", "png")):
        answer = ask(kin_client, "relative", frame | {"animation": kind})
        for i, seed in enumerate((1, 2)):
            drawn = tmp_path / f"a-red-fish_{seed}"
            assert file_of(answer["images"][i]) == Path(f"{drawn}.png").read_bytes()
            moving = answer["animations"][i]
            assert moving.startswith(f"data:image/{kind};base64,")
            assert file_of(moving) == Path(f"{drawn}_idle.{end}").read_bytes()
    for change, told in (
        ({"relation": "back"}, "relation is 'back'; expected 'frame'"),
        ({"finish": "raw"}, "finish is 'raw'; expected 'pixel'"),
        ({"animation": "webp"}, "animation is 'webp'; expected"),
    ):
        body = frame | {"animation": "gif"} | change
        answer = kin_client.post("/api/v1/relative", json=body)
        check_error(answer, 400, "animation", told)


def test_a_line_is_what_the_command_draws(
    kin_client: httpx.Client, kin_model: Path, tmp_path: Path
):
    argv = ["--prompt=a small red fish", "--seed=1", "--num=1", "--stages=3"]
    argv += ["--scale=2", "--model", str(kin_model), "--out", str(tmp_path)]
    assert generate.main(argv) == 0
    answer = ask(kin_client, "evolution", LINE | {"scale": 2})
    drawn = [
        (tmp_path / f"a-small-red-fish_1{end}.png").read_bytes()
        for end in ("", "_stage2", "_stage3", "_line")
    ]
    assert [file_of(url) for url in (*answer["images"], answer["sheet"])] == drawn
    assert [stage["size"] for stage in answer["stages"]] == [
        *("Small", "Medium", "Large")
    ]
    assert answer["attributes"] == answer["stages"][0] and answer["seeds"] == [1] * 3
    two = ask(kin_client, "evolution", LINE | {"scale": 2, "stages": 2})
    assert two["images"] == answer["images"][:2]
    for change, param, told in (
        ({"stages": 4}, "stages", "a whole number from 2 to 3"),
        ({"stagse": 2}, "stagse", "did you mean 'stages'?"),
    ):
        wrong = kin_client.post("/api/v1/evolution", json=LINE | change)
        check_error(wrong, 400, param, told)


def test_a_model_that_has_not_learned_it_says_so(client: httpx.Client):
    assert client.get("/api/v1/health").json()["relations"] == []
    answer = client.post("/api/v1/relative", json=BODY)
    check_error(answer, 400, "relation", "wasn't trained")
    answer = client.post("/api/v1/evolution", json=LINE)
    check_error(answer, 400, "stages", "wasn't trained")
