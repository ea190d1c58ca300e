"""Streams and the queue: order, resuming, leaving, limits."""

import asyncio
import contextlib
import itertools
import json
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.helpers.live_server import Live, Starter, raw_post, send_raw, wait_for

PATH = "/api/v1/generate/stream"
QUERY: dict[str, str | int] = {"prompt": "a red dragon", "num_samples": 3, "seed": 42}


@pytest.fixture(autouse=True)
def open_gate(live: Live) -> Iterator[None]:
    yield
    live.gate.set()


def events(lines: Iterator[str]) -> Iterator[tuple[str, str, dict]]:
    """`(id, name, data)` of each event as it comes; comments are `("", "", {})`."""
    got: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            yield "", "", {}
        elif line:
            name, _, value = line.partition(": ")
            got[name] = value
        elif got:
            yield got["id"], got["event"], json.loads(got["data"])
            got = {}


def stream(client: httpx.Client, last: str | None = None, **query: str | int):
    headers = {"Last-Event-ID": last} if last else {}
    return client.stream("GET", PATH, params={**QUERY, **query}, headers=headers)


def test_events_come_in_order(client: httpx.Client):
    with stream(client, scale=2) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        assert answer.headers["cache-control"] == "no-cache"
        got = list(events(answer.iter_lines()))
    names = [name for _, name, _ in got]
    steps = ["queued", "parsed", "encoded", *["partial"] * 3, *["image"] * 3, "done"]
    assert names == steps
    job = got[0][2]["job"]
    assert all(i.startswith(f"{job}-{n}-") for n, (i, _, _) in enumerate(got, 1))
    assert got[1][2]["attributes"]["type1"] == "Dragon"
    images = [data for _, name, data in got if name == "image"]
    partial = [data for _, name, data in got if name == "partial"]
    assert [data["index"] for data in [*partial, *images]] == [0, 1, 2, 0, 1, 2]
    assert [data["seed"] for data in images] == [42, 43, 44]
    body = {**QUERY, "scale": 2}
    posted = client.post("/api/v1/generate", json=body).json()
    assert [data["image"] for data in images] == posted["images"]
    assert got[-1][2]["seeds"] == [42, 43, 44]


def test_a_broken_stream_is_resumed(client: httpx.Client, live: Live):
    with stream(client, seed=5) as answer:
        whole = [event[1:] for event in events(answer.iter_lines())]
    live.gate.clear()
    with stream(client, seed=5) as answer:
        first = list(itertools.islice(events(answer.iter_lines()), 3))
    job = first[0][2]["job"]
    status = client.get(f"/api/v1/jobs/{job}").json()
    assert status["status"] == "unfinished"
    # Whoever leaves frees the place in the queue.
    wait_for(lambda: depth(live) == 0)
    live.gate.set()
    with stream(client, last=first[-1][0], seed=99) as answer:
        rest = list(events(answer.iter_lines()))
    numbers = [int(i.split("-")[1]) for i, _, _ in [*first, *rest]]
    assert numbers == list(range(1, len(numbers) + 1))
    seen = [event[1:] for event in [*first, *rest]]
    assert [e for e in seen if e[0] == "image"] == [e for e in whole if e[0] == "image"]
    assert client.get(f"/api/v1/jobs/{job}").json()["status"] == "finished"
    with stream(client, last=rest[-1][0]) as answer:
        assert answer.status_code == 204  # tells an EventSource to stop


def test_who_leaves_a_plain_request_frees_the_place_too(
    client: httpx.Client, live: Live
):
    live.gate.clear()
    with pytest.raises(httpx.ReadTimeout):
        client.post(
            "/api/v1/generate",
            json={"prompt": "a red dragon", "seed": 7},
            timeout=httpx.Timeout(5, read=0.5),
        )
    wait_for(lambda: depth(live) == 0)


def test_an_unknown_job_is_not_an_unfinished_one(client: httpx.Client):
    for answer in (
        client.get(PATH, params=QUERY, headers={"Last-Event-ID": "0" * 16 + "-3"}),
        client.get("/api/v1/jobs/" + "0" * 16),
    ):
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "unknown_job"


def test_any_server_with_the_key_resumes_a_stream(start: Starter, client: httpx.Client):
    with stream(client, seed=5) as answer:
        whole = [event[1:] for event in events(answer.iter_lines())]
    with (
        start(resume_key="shared") as first,
        start(resume_key="shared", resume_s=0.05) as second,
        first.client() as c1,
        second.client() as c2,
    ):
        last, after = "", []
        for seen in (1, 2, 4, len(whole) - 2):
            with stream(c1, seed=5) as answer:
                before = list(itertools.islice(events(answer.iter_lines()), seen))
            last = before[-1][0]
            with stream(c2, last=last) as answer:
                after = list(events(answer.iter_lines()))
            numbers = [int(i.split("-")[1]) for i, _, _ in [*before, *after]]
            assert numbers == list(range(1, len(numbers) + 1))
            both = [event[1:] for event in [*before, *after]]
            for name in ("parsed", "image"):
                of_name = [event for event in both if event[0] == name]
                assert of_name == [event for event in whole if event[0] == name]
        with stream(c2, last=after[-1][0]) as answer:
            assert answer.status_code == 204
        # How far it is, only the worker knows that draws it, and for a while.
        path = f"/api/v1/jobs/{last[:16]}"
        wait_for(lambda: c2.get(path).status_code == 404)
        assert c1.get(path).status_code == 200
        # A server that doesn't share the key, and an id that was tampered with.
        forged = last[:-4] + ("AAAA" if last[-4:] != "AAAA" else "BBBB")
        for asked, id_ in ((client, last), (c2, forged)):
            answer = asked.get(PATH, headers={"Last-Event-ID": id_})
            assert answer.json()["error"]["code"] == "unknown_job"


def test_streams_that_ended_keep_nobody_out(live: Live, client: httpx.Client):
    get = f"GET {PATH}?prompt=fish HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    for _ in range(1100):
        with send_raw(live.port, get) as connection:
            connection.recv(16)
    with stream(client) as answer:
        assert answer.status_code == 200


def test_a_client_has_so_many_streams_and_others_have_theirs(start: Starter):
    get = f"GET {PATH}?prompt=fish HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    body = b'{"prompt": "a", "stream": true}'
    with start(client_streams=2) as live, contextlib.ExitStack() as opened:
        live.gate.clear()
        for sent in (get, raw_post("/v1/images/generations", body)):
            opened.enter_context(send_raw(live.port, sent))
        wait_for(lambda: sample(live, "pokejax_streams") == 2)
        with live.client() as client:
            for answer in (
                client.get(PATH, params=QUERY),
                client.post("/v1/images/generations", json=json.loads(body)),
            ):
                assert answer.status_code == 429
                assert answer.json()["error"]["code"] == "too_many_streams"
        with other_client(live) as other, stream(other) as answer:
            assert answer.status_code == 200
            live.gate.set()


def sample(live: Live, name: str) -> float:
    """Of all labels together."""
    return sum(
        sample.value
        for metric in live.service.metrics.registry.collect()
        for sample in metric.samples
        if sample.name == name
    )


def other_client(live: Live) -> httpx.Client:
    """A client with another address."""
    transport = httpx.HTTPTransport(local_address="127.0.0.2")
    return httpx.Client(base_url=live.url, transport=transport, timeout=60)


def test_who_asks_for_much_does_not_delay_who_asks_for_little(live: Live):
    assert live.service.batcher
    rows = live.service.batcher.max_rows
    live.gate.clear()
    order: list[int] = []
    before = sample(live, "pokejax_batch_pictures_count")

    def ask(client: httpx.Client, frames: int) -> None:
        body = {"prompt": "a fish", "seed": 1, "to_seed": 2, "frames": frames}
        assert client.post("/api/v1/interpolate", json=body).status_code == 200
        order.append(frames)

    with live.client() as heavy, other_client(live) as light:
        threads = [threading.Thread(target=ask, args=(heavy, 60)) for _ in range(6)]
        for thread in threads:
            thread.start()
        wait_for(lambda: depth(live) == 360 - rows)
        threads.append(threading.Thread(target=ask, args=(light, 2)))
        threads[-1].start()
        wait_for(lambda: depth(live) == 362 - rows)
        live.gate.set()
        for thread in threads:
            thread.join(60)
    assert order[0] == 2
    calls = sample(live, "pokejax_batch_pictures_count") - before
    assert calls <= 362 / rows + 3  # tiles were full


def test_a_drain_that_ends_tells_streams(start: Starter):
    with start(drain_s=0.05) as live, live.client() as client:
        assert live.service.batcher
        lifecycle = live.service.rehearse.__self__  # type: ignore[union-attr]
        live.gate.clear()
        with stream(client) as answer:
            lines = answer.iter_lines()
            next(lines)
            live.service.state = "draining"
            drained = asyncio.run_coroutine_threadsafe(
                lifecycle._finish(lambda: None), live.service.batcher._loop
            )
            drained.result(60)
            *_, event, data, _ = list(lines)
        live.gate.set()
    assert event == "event: error"
    assert json.loads(data[6:])["error"]["code"] == "draining"


def test_a_silent_stream_is_kept_alive(start: Starter):
    with start(keep_alive_s=0.05) as live, live.client() as client:
        live.gate.clear()
        with stream(client) as answer:
            got = events(answer.iter_lines())
            comments = (event for event in got if event[0] == "")
            assert len(list(itertools.islice(comments, 3))) == 3
            live.gate.set()
            assert [name for _, name, _ in got][-1] == "done"


def ask(live: Live, results: list[httpx.Response], **body: object) -> threading.Thread:
    def post() -> None:
        with live.client() as client:
            asked = {"prompt": "a fish", "seed": 1, **body}
            results.append(client.post("/api/v1/generate", json=asked))

    thread = threading.Thread(target=post)
    thread.start()
    return thread


def depth(live: Live) -> int:
    assert live.service.batcher
    return live.service.batcher.depth


def test_a_full_queue_is_measured_in_tiles(start: Starter):
    with start(max_queue=64) as live, live.client() as client:
        batcher = live.service.batcher
        assert batcher
        body = {"prompt": "a fish", "num_samples": 16}
        # As if a tile, full or not, took a second.
        batcher._tile_s = 1.0
        live.gate.clear()
        results: list[httpx.Response] = []
        threads = [ask(live, results, num_samples=16)]
        # All four at once would be more than one caller's share.
        wait_for(lambda: depth(live) == 16 - batcher.max_rows)
        threads += [ask(live, results, num_samples=16) for _ in range(3)]
        wait_for(lambda: depth(live) == 64 - batcher.max_rows)
        refused = client.post("/api/v1/generate", json=body)
        tiles = -(-depth(live) // batcher.max_rows)
        assert refused.headers["retry-after"] == str(tiles)
        live.gate.set()
        for thread in threads:
            thread.join(60)


def test_a_full_queue_says_when_to_come_again(start: Starter):
    with start(max_queue=16) as live, live.client() as client:
        live.gate.clear()
        results: list[httpx.Response] = []
        assert live.service.batcher
        drawn = live.service.batcher.max_rows
        threads = [ask(live, results, num_samples=16)]
        wait_for(lambda: depth(live) == 16 - drawn)  # the others are being drawn
        threads.append(ask(live, results, num_samples=drawn))
        wait_for(lambda: depth(live) == 16)
        body = {"prompt": "a fish", "num_samples": 1}
        for answer in (
            client.post("/api/v1/generate", json=body),
            client.get(PATH, params=body),
            client.post("/v1/images/generations", json={"prompt": "a", "stream": True}),
        ):
            assert answer.status_code == 429
            assert answer.json()["error"]["code"] == "queue_full"
            assert int(answer.headers["retry-after"]) >= 1
        assert client.get("/api/v1/health").json()["queued"] == 16
        live.gate.set()
        for thread in threads:
            thread.join(60)
        assert [r.status_code for r in results] == [200, 200]
        assert client.post("/api/v1/generate", json=body).status_code == 200


def test_work_of_clients_who_left_is_never_done(live: Live):
    before = sample(live, "pokejax_pictures_total")
    live.gate.clear()
    results: list[httpx.Response] = []
    blocker = ask(live, results)  # holds the device
    wait_for(live.is_held)
    body = json.dumps({"prompt": "a fish", "num_samples": 8}).encode()
    get = f"GET {PATH}?prompt=fish&num_samples=8 HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    asked = [
        get,
        raw_post("/api/v1/generate", body),
        raw_post("/v1/images/generations", b'{"prompt": "a", "n": 8, "stream": true}'),
    ]
    connections = [send_raw(live.port, data) for data in asked]
    wait_for(lambda: depth(live) == 24)
    for connection in connections:
        connection.close()
    wait_for(lambda: depth(live) == 0)
    live.gate.set()
    blocker.join(60)
    assert results[0].status_code == 200
    assert sample(live, "pokejax_pictures_total") == before + 1


def test_what_waits_too_long_is_told(start: Starter):
    with start(deadline_s=0.2) as live:
        live.gate.clear()
        results: list[httpx.Response] = []
        blocker = ask(live, results)
        wait_for(live.is_held)
        late = ask(live, results)
        wait_for(lambda: depth(live) == 1)
        time.sleep(0.3)
        live.gate.set()
        blocker.join(60)
        late.join(60)
    assert sorted(r.status_code for r in results) == [200, 504]
    told = next(r for r in results if r.status_code == 504).json()["error"]
    assert told["code"] == "deadline_exceeded"


def test_a_failing_device_fails_its_request_only(
    live: Live, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
):
    body = {"prompt": "a fish"}
    assert live.service.batcher

    def fail(*_args: object, **_options: object):
        raise RuntimeError("out of memory, say")

    with monkeypatch.context() as patch:
        patch.setattr(live.service.batcher.sampler, "rounds", fail)
        answer = client.post("/api/v1/generate", json=body)
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal"
    assert "memory" not in answer.text
    assert client.post("/api/v1/generate", json=body).status_code == 200


def test_not_before_it_is_ready(start: Starter, monkeypatch: pytest.MonkeyPatch):
    with start() as live, live.client() as client:
        monkeypatch.setattr(live.service, "state", "starting")
        monkeypatch.setattr(live.service, "_compiled", False)
        assert client.get("/api/v1/health").json()["status"] == "starting"
        assert client.get("/api/v1/ready").status_code == 503
        answer = client.post("/api/v1/generate", json={"prompt": "a fish"})
        assert answer.status_code == 503 and "retry-after" in answer.headers
        assert answer.json()["error"]["code"] == "starting"
