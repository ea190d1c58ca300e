"""Pictures beside a relative's, over HTTP."""

import base64
from pathlib import Path

import httpx

from pokejax import Sampler
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


def test_it_is_what_the_library_draws(kin_model: Path):
    sampler = Sampler.load(kin_model)
    kin = Kin(read_picture(PICTURE, 32).tobytes(), "back")
    (sample,) = sampler.generate("a red fish", seed=1, kin=kin)
    with serve(Settings(model=kin_model)) as running, running.client() as client:
        learned = client.get("/api/v1/health").json()["relations"]
        assert learned == ["front", "back", "evolution", "frame"]
        answer = client.post("/api/v1/relative", json=BODY)
        assert answer.status_code == 200, answer.text
        image = answer.json()["image"].rpartition(",")[2]
        assert base64.b64decode(image) == sample.png()
        assert answer.json()["attributes"]["view"] == "back"
        bad = client.post("/api/v1/relative", json=BODY | {"relation": "side"})
        check_error(bad, 400, "relation", "back")
        torn = client.post("/api/v1/relative", json=BODY | {"image": "aGk="})
        check_error(torn, 400, "image", "not a picture")


def test_a_model_that_has_not_learned_it_says_so(client: httpx.Client):
    assert client.get("/api/v1/health").json()["relations"] == []
    answer = client.post("/api/v1/relative", json=BODY)
    check_error(answer, 400, "relation", "wasn't trained")
