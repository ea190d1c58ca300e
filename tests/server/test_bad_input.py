"""Whatever is sent: a 4xx in one shape that names the field, never a 500."""

import json
import re
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error

from server.openapi import API_ROUTES, describe
from tests.helpers.live_server import Live

GENERATE = "/api/v1/generate"


def check_error(answer: httpx.Response, status: int, param: str | None, told: str):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code", "request_id"}
    assert error["param"] == param
    assert told in error["message"], error["message"]
    assert error["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text and ".py" not in answer.text


@pytest.mark.parametrize(
    ("change", "param", "told"),
    [
        ({"prompt": ""}, "prompt", "is empty"),
        ({"prompt": " \n\t "}, "prompt", "is empty"),
        ({"prompt": "a" * 50_000}, "prompt", "50,000 characters; at most 1000"),
        ({"prompt": "a\x07b"}, "prompt", "control character U+0007"),
        ({"prompt": "a\x00"}, "prompt", "control character U+0000"),
        ({"prompt": "a\x85"}, "prompt", "control character U+0085"),
        ({"prompt": 7}, "prompt", "prompt is 7; expected text"),
        ({"prompt": None}, "prompt", "prompt is null; expected text"),
        ({"prompt": ["a"]}, "prompt", "is a list; expected text"),
        ({"num_samples": 0}, "num_samples", "num_samples is 0; expected a whole"),
        ({"num_samples": 10**9}, "num_samples", "number from 1 to 16"),
        ({"num_samples": "3"}, "num_samples", "is '3'; expected a whole"),
        ({"num_samples": 1.5}, "num_samples", "is 1.5; expected a whole"),
        ({"num_samples": True}, "num_samples", "is true; expected a whole"),
        ({"seed": -1}, "seed", "seed is -1"),
        ({"seed": 2**80}, "seed", "from 0 to 2147483647"),
        ({"seed": "42"}, "seed", "seed is '42'; expected a whole number"),
        ({"guidance": -0.1}, "guidance", "number from 0 to 10"),
        ({"guidance": 11}, "guidance", "is 11; expected a number from 0"),
        ({"temperature": "hot"}, "temperature", "expected a number"),
        ({"format": "gif"}, "format", "is 'gif'; expected one of"),
        ({"scale": 9}, "scale", "from 1 to 8"),
        ({"use_llm_parsing": 1}, "use_llm_parsing", "expected true or false"),
        ({"attributes": {"size": "Tinny"}}, "attributes.size", "mean 'Tiny'?"),
        ({"attributes": {"size": "Tinny"}}, "attributes.size", "Small, Medium"),
        ({"attributes": {"sise": "Tiny"}}, "attributes.sise", "mean 'size'?"),
        ({"attributes": {"size": 3}}, "attributes.size", "is 3; expected one of"),
        ({"attributes": ["size"]}, "attributes", "is a list; expected an obj"),
        ({"num_sample": 1}, "num_sample", "mean 'num_samples'?"),
        ({"\u0000": 1}, "\u0000", "no field"),
    ],
)
def test_a_wrong_value_is_named(
    change: dict[str, Any], param: str, told: str, client: httpx.Client
):
    body = json.dumps({"prompt": "a fish", **change}).encode()
    headers = {"Content-Type": "application/json"}
    answer = client.post(GENERATE, content=body, headers=headers)
    check_error(answer, 400, param, told)


@pytest.mark.parametrize(
    ("body", "param", "told"),
    [
        (b'{"prompt": "\\ud83d alone"}', "prompt", "half of a surrogate pair"),
        (b'{"prompt": "a", "guidance": NaN}', "guidance", "guidance is nan"),
        (b'{"seed": 3.0, "prompt": "a", "scale": 99}', "scale", "scale is 99"),
        (b'{"prompt": "a", "guidance": -Infinity}', "guidance", "-inf"),
        (
            b'{"prompt": "a", "guidance": 1e999}',
            "guidance",
            "guidance is Infinity; expected",
        ),
        (b'{"prompt": "a\nb\x01"}', "prompt", "control character U+0001"),
        (b'{"prompt": "a", "seed": 1, "seed": 2}', "seed", "seed is given twice"),
        (b'{"prompt": "a", "seed": 1.0, "prompt": "b"}', "prompt", "given twice"),
        (
            b'{"prompt": "a", "attributes": {"size": "Tiny", "size": "Huge"}}',
            "size",
            "given twice",
        ),
        (b'{"prompt": "a", "seed": 1' + b"0" * 5000 + b"}", "seed", "can't be read"),
        (b"{}", "prompt", "prompt is missing"),
        (b"", "body", "not JSON"),
        (b"null", "body", "body is null; expected an object"),
        (b"[" * 60_000, "body", "expected an object"),
        (b'{"attributes":' * 4000, "body", ""),
        (b'{"prompt": "a"', "body", "not JSON"),
        (b"\xff\xfe", "body", "not JSON"),
    ],
)
def test_a_broken_body_is_explained(
    body: bytes, param: str, told: str, client: httpx.Client
):
    headers = {"Content-Type": "application/json; charset=utf-8"}
    answer = client.post(GENERATE, content=body, headers=headers)
    error = answer.json()["error"]
    check_error(answer, 400, error["param"] if told == "" else param, told)


@pytest.mark.parametrize(
    "extra",
    [b'"a":1,"a":2', b'"a":' + b"1" * 5000, b'"a":' + b"[" * 990 + b"]" * 990],
)
def test_what_is_ignored_is_json_too(extra: bytes, client: httpx.Client):
    headers = {"Content-Type": "application/json"}
    body = b'{"prompt": "a", "n_iter": 1, "width": 64, "height": 64, ' + extra + b"}"
    answer = client.post("/sdapi/v1/txt2img", content=body, headers=headers)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonp"]
)
def test_another_content_type(kind: str, client: httpx.Client):
    answer = client.post(GENERATE, content=b"{}", headers={"Content-Type": kind})
    check_error(answer, 415, "Content-Type", "expected application/json")


@pytest.mark.parametrize("path", ["/api/v1/generate/stream", "/api/v1/download"])
@pytest.mark.parametrize(
    ("query", "param", "told"),
    [
        ("", "prompt", "prompt is missing"),
        ("prompt=", "prompt", "is empty"),
        ("prompt=" + "a" * 50_000, "prompt", "50,000 characters"),
        ("prompt=a%00", "prompt", "control character"),
        ("prompt=%ED%A0%80", "body", "UTF-8"),
        ("prompt=a&prompt=b", "prompt", "given twice"),
        ("prompt=a&seed=-1", "seed", "is '-1'; expected a whole number from 0"),
        ("prompt=a&seed=many", "seed", "many"),
        ("prompt=a&guidance=nan", "guidance", "nan"),
        ("prompt=a&size=Tinny", "size", "mean 'Tiny'?"),
        ("prompt=a&shape=null", "shape", "shape is 'null'; leave it out"),
        ("prompt=a&seed=NULL", "seed", "leave it out"),
        ("prompt=a&attributes=x", "attributes", "by their names"),
        ("prompt=a&promt=b", "promt", "mean 'prompt'?"),
        ("&".join(f"a{i}=1" for i in range(200)), "body", "query"),
    ],
)
def test_a_wrong_query_is_named(
    path: str, query: str, param: str, told: str, client: httpx.Client
):
    check_error(client.get(f"{path}?{query}"), 400, param, told)


@pytest.mark.parametrize(
    ("path", "body", "param", "told"),
    [
        ("/api/v1/interpolate", {"gif": 1}, "gif", "expected true or false"),
        ("/api/v1/interpolate", {"to_seed": 1, "frames": 1}, "frames", "from 2 to 60"),
        (
            "/api/v1/interpolate",
            {"to_attributes": {"size": "B"}},
            "to_attributes.size",
            "",
        ),
        ("/api/v1/interpolate", {"to_prompt": ""}, "to_prompt", "is empty"),
        ("/api/v1/variations", {}, "seed", "seed is missing"),
        ("/api/v1/variations", {"seed": 1, "strength": 2}, "strength", "from 0 to 1"),
        ("/api/v1/batch", {}, "prompt", "there is no field prompt"),
        ("/v1/images/generations", {"n": 11}, "n", "from 1 to 10"),
        ("/v1/images/generations", {"size": "big"}, "size", "expected auto, or"),
        ("/v1/images/generations", {"size": "33x33"}, "size", "from 64 to 1792"),
        ("/v1/images/generations", {"size": "64x1793"}, "size", "from 64 to 1792"),
        ("/v1/images/generations", {"prompt": "a" * 32001}, "prompt", "most 32000"),
        ("/v1/images/generations", {"background": "red"}, "background", ""),
        (
            "/v1/images/generations",
            {"background": "transparent", "output_format": "jpeg"},
            "background",
            "JPEG has no transparency",
        ),
        ("/api/v1/generate", {"finish": "glossy"}, "finish", "pixel"),
        ("/api/v1/generate", {"colors": 1}, "colors", "from 2 to 255"),
        ("/v1/images/generations", {"output_format": "gif"}, "output_format", "jpeg"),
    ],
)
def test_the_other_bodies_are_checked_too(
    path: str, body: dict[str, Any], param: str, told: str, client: httpx.Client
):
    answer = client.post(path, json={"prompt": "a fish", **body})
    check_error(answer, 400, param, told)


def test_50_megabytes(client: httpx.Client):
    body = b'{"prompt": "' + b"a" * 50_000_000 + b'"}'
    headers = {"Content-Type": "application/json"}
    answer = client.post(GENERATE, content=body, headers=headers)
    check_error(answer, 413, "body", "over 65,536 bytes")
    chunks = (b"a" * 10_000 for _ in range(20))  # of no announced length
    answer = client.post(GENERATE, content=chunks, headers=headers)
    check_error(answer, 413, "body", "over 65,536 bytes")
    # A client that asks first needn't send it all.
    headers["Expect"] = "100-continue"
    check_error(client.post(GENERATE, content=body, headers=headers), 413, "body", "")


def test_there_is_nothing(client: httpx.Client):
    for path in ("/nope", "/api/v1/jobs/", "/web/../server/app.py", "/web/nope.js"):
        check_error(client.get(path), 404, None, "")
    check_error(client.delete(GENERATE), 405, None, "")
    check_error(client.get(GENERATE), 405, None, "")


@pytest.mark.parametrize("last", ["", "x", "0123456789abcdef", "0123456789abcdef-x"])
def test_a_last_event_id_that_never_was(last: str, client: httpx.Client):
    path = "/api/v1/generate/stream?prompt=a"
    answer = client.get(path, headers={"Last-Event-ID": last})
    check_error(answer, 400, "Last-Event-ID", "not the id of an event")


def test_all_routes_are_described():
    routes = {
        (method.lower(), path.replace(":str", ""))
        for handler in API_ROUTES
        for path in handler.paths
        for method in handler.http_methods
        if method in ("GET", "POST")
    }
    described = {
        (method, path)
        for path, methods in describe()["paths"].items()
        for method in methods
    }
    assert routes == described


SCHEMA = schemathesis.openapi.from_dict(describe()).exclude(path="/metrics")


# No job is known, so every good request gets a 404; this model knows no next stages;
# and no description says that a batch has either pictures or prompts, or what a picture
# is.
UNLIKE = r"^/(api/v1/(jobs|batch|edit|evolution|relative)|v1/images/[ev]|sdapi)"


def examples(count: int) -> settings:
    slow_ones = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        suppress_health_check=slow_ones,
    )


# Making up requests takes long to prepare, for each route: the others are in the slow
# variant only.
@SCHEMA.exclude(path_regex=UNLIKE).parametrize()
@examples(6)
def test_the_description_is_kept(case: schemathesis.Case, live: Live):
    """Good requests are answered as described, bad ones refused as described."""
    case.call_and_validate(base_url=live.url)


@pytest.mark.slow
@SCHEMA.parametrize()
@examples(30)
def test_the_description_is_kept_at_length(case: schemathesis.Case, live: Live):
    if re.match(UNLIKE, case.path):
        case.call_and_validate(base_url=live.url, checks=[not_a_server_error])
    else:
        case.call_and_validate(base_url=live.url)


def test_half_a_surrogate_pair_is_refused_beside_a_whole_float(client: httpx.Client):
    body = b'{"seed": 3.0, "prompt": "a \\ud83d"}'
    headers = {"Content-Type": "application/json"}
    answer = client.post("/api/v1/generate", content=body, headers=headers)
    assert answer.status_code == 400


@pytest.mark.parametrize("path", ["index.js/x", "a" * 300, "%00", "..%2Fapp.py", ""])
def test_what_is_no_page_is_not_found(client: httpx.Client, path: str):
    assert client.get("/web/index.js").status_code == 200
    assert client.get(f"/web/{path}").status_code == 404
