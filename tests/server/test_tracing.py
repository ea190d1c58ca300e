"""Traces as a real exporter sends them, over HTTP, to a collector of our own."""

import gzip
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from server import tracing
from server.settings import Settings
from server.tracing import Traces
from tests.helpers.live_server import serve

TRACE, ABOVE = "ab" * 16, "cd" * 8


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """What a collector is sent, which the environment names."""
    bodies: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            zipped = self.headers["content-encoding"] == "gzip"
            bodies.append(gzip.decompress(body) if zipped else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
        yield bodies
        server.shutdown()
        thread.join()


def test_a_request_is_traced_to_its_tile(collected: list[bytes], flow_model: Path):
    pytest.importorskip("opentelemetry.sdk")
    proto = pytest.importorskip("opentelemetry.proto.collector.trace.v1")
    with serve(Settings(model=flow_model)) as live, live.client() as client:
        asked = {"prompt": "a hush-hush fish", "num_samples": 2}
        headers = {"traceparent": f"00-{TRACE}-{ABOVE}-01", "X-Request-Id": "an-id"}
        assert (
            client.post("/api/v1/generate", json=asked, headers=headers).status_code
            == 200
        )
        broken = {"traceparent": "nonsense"}
        assert client.get("/api/v1/attributes", headers=broken).status_code == 200
        client.get("/api/v1/health")
    (resources,) = [
        sent
        for body in collected
        for sent in proto.trace_service_pb2.ExportTraceServiceRequest.FromString(
            body
        ).resource_spans
    ]
    named = {a.key: a.value.string_value for a in resources.resource.attributes}
    assert named["service.name"] == "pokejax"
    spans = [span for scope in resources.scope_spans for span in scope.spans]
    ours = [span for span in spans if span.trace_id.hex() == TRACE]
    (root,) = [span for span in ours if span.parent_span_id.hex() == ABOVE]
    assert root.name == "POST /api/v1/generate"
    told = {a.key: a.value for a in root.attributes}
    assert told["http.response.status_code"].int_value == 200
    assert told["pokejax.request_id"].string_value == "an-id"
    parts = [span for span in ours if span.parent_span_id == root.span_id]
    assert sorted(part.name for part in parts) == sorted(
        ["encode", "queue", "tile"] * 2
    )
    for part in parts:
        begun, ended = part.start_time_unix_nano, part.end_time_unix_nano
        assert root.start_time_unix_nano <= begun <= ended
    (tile, _) = [part for part in parts if part.name == "tile"]
    assert [a.value.int_value for a in tile.attributes] == [2]
    (other,) = [span for span in spans if span.trace_id.hex() != TRACE]
    assert other.name == "GET /api/v1/attributes"
    assert b"hush" not in b"".join(collected)


def test_without_a_collector_nothing_is_traced(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    assert Traces().begin({}) is None


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    # As Python has what can't be imported.
    package = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
    monkeypatch.setitem(sys.modules, package, None)
    warned: list[str] = []
    monkeypatch.setattr(tracing.LOG, "warning", lambda *told: warned.append(told[0]))
    assert Traces().begin({}) is None
    assert len(warned) == 1 and "pip install 'pokejax[otel]'" in warned[0]
