"""Traces by OpenTelemetry, from the gate to the tile, if a collector is named.

A request is a span, below the one that its `traceparent` header names, if any. Below it
are those of its pictures: in the queue, on the device, being encoded. A prompt is never
part of one. `OTEL_EXPORTER_OTLP_ENDPOINT` names the collector; OpenTelemetry's other
variables (`OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`, …) are its own.
"""

# Of the extra `otel`, which is in no lock file.
# pyright: reportMissingImports=false

import logging
import os
import time
from collections.abc import Mapping
from typing import Any

LOG = logging.getLogger("pokejax.server")
_WHERE = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Trace:
    """The span of one request."""

    def __init__(self, tracer: Any, span: Any, parent: Any):
        self._tracer, self._span, self._context = tracer, span, parent

    @property
    def id(self) -> str:
        """32 hexadecimal digits that all spans of a trace share."""
        return f"{self._span.get_span_context().trace_id:032x}"

    def part(self, name: str, start: float, end: float, **told: int | str) -> None:
        """Note what was done for it, from any thread; times are `time.monotonic`'s."""
        now, clock = time.monotonic(), time.time_ns()
        first, last = (clock - int(1e9 * (now - t)) for t in (start, end))
        attributes = {f"pokejax.{key}": value for key, value in told.items()}
        span = self._tracer.start_span(
            name, self._context, start_time=first, attributes=attributes
        )
        span.end(last)

    def end(self, method: str, route: str, status: int, request_id: str) -> None:
        """It was answered, or its client left."""
        self._span.update_name(f"{method} {route}")
        told = {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
            "pokejax.request_id": request_id,
        }
        self._span.set_attributes(told)
        self._span.end()


class Traces:
    """Begins the spans of requests, and sends them off."""

    def __init__(self):
        """As the environment says; where it names no collector, nothing has a trace."""
        self._provider = _provider_of_environment()
        self._tracer = self._provider and self._provider.get_tracer("pokejax")

    def begin(self, headers: Mapping[bytes, bytes]) -> Trace | None:
        """The span of a request that came just now."""
        if not self._tracer:
            return None
        from opentelemetry.trace import SpanKind, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import (
            TraceContextTextMapPropagator,
        )

        given = {
            name: headers[name.encode()].decode("latin-1")
            for name in ("traceparent", "tracestate")
            if name.encode() in headers
        }
        above = TraceContextTextMapPropagator().extract(given)
        span = self._tracer.start_span("request", above, kind=SpanKind.SERVER)
        return Trace(self._tracer, span, set_span_in_context(span))

    def close(self) -> None:
        """Send what is left."""
        if self._provider:
            self._provider.shutdown()


def _provider_of_environment() -> Any:
    if not any(os.environ.get(name) for name in _WHERE):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        LOG.warning(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but there are no traces without the"
            " package %s: pip install 'pokejax[otel]'",
            error.name,
        )
        return None
    os.environ.setdefault("OTEL_SERVICE_NAME", "pokejax")
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
