"""Metrics for Prometheus, including how often XLA has compiled.

With several workers each writes its numbers to files in `PROMETHEUS_MULTIPROC_DIR`
(which `python -m server` sets up), and any of them answers for all.
"""

import os
from pathlib import Path

import jax
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"

# Upper ends of histograms' buckets, in seconds.
_LATENCIES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_DRAWING = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)

_compilations = 0
disable_created_metrics()


def _count_compilation(event: str, duration_secs: float, **_: str | int) -> None:
    global _compilations
    if event == "/jax/core/compile/backend_compile_duration":
        _compilations += 1


# JAX can't unregister listeners, so there is one per process, not per app.
jax.monitoring.register_event_duration_secs_listener(_count_compilation)


def compilations() -> int:
    """How many programs XLA has compiled in this process."""
    return _compilations


class Metrics:
    """The service's counters, in a registry of its own."""

    def __init__(self):
        self.registry = CollectorRegistry()
        self._at_ready: int | None = None

        def gauge(name: str, help: str) -> Gauge:
            return Gauge(
                name, help, registry=self.registry, multiprocess_mode="livesum"
            )

        def counter(name: str, help: str, *labels: str) -> Counter:
            return Counter(name, help, labels, registry=self.registry)

        def histogram(
            name: str, help: str, buckets: tuple[float, ...], *labels: str
        ) -> Histogram:
            return Histogram(
                name, help, labels, registry=self.registry, buckets=buckets
            )

        # A key is its number in the settings, from 1; without one the label is empty.
        self.requests = counter(
            "pokejax_requests", "Answered requests", "route", "key", "status"
        )
        self.request_seconds = histogram(
            "pokejax_request_seconds",
            "From the first byte of a request to the last of its answer",
            _LATENCIES,
            *("route", "key"),
        )
        self.queue_seconds = histogram(
            "pokejax_queue_seconds",
            "From a picture's order to the call that draws it",
            _LATENCIES,
            *("route", "key"),
        )
        self.picture_seconds = histogram(
            "pokejax_picture_draw_seconds",
            "Time on the device of the call that drew a picture, which it shares",
            _DRAWING,
            *("route", "key"),
        )
        self.under_way = gauge("pokejax_requests_under_way", "Requests being answered")
        self.queued = gauge("pokejax_queued_pictures", "Pictures that wait")
        self.pictures = counter("pokejax_pictures", "Pictures drawn", "route", "key")
        self.dropped = counter(
            "pokejax_dropped_pictures", "Pictures not drawn after all", "reason"
        )
        self.batch_rows = histogram(
            "pokejax_batch_pictures", "Pictures drawn by one call", (1, 2, 4, 8, 16, 32)
        )
        self.draw_seconds = histogram(
            "pokejax_draw_seconds",
            "Time on the device of one call",
            _DRAWING,
        )
        self.tile_fill = histogram(
            "pokejax_tile_fill",
            "Part of a call's places that pictures took",
            (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1),
        )
        self.prompts = counter(
            "pokejax_prompts", "Prompts read and embedded, or found in the cache", "how"
        )
        self.streams = gauge("pokejax_streams", "Open streams")
        self.ready = gauge("pokejax_ready_workers", "Workers that take requests")
        self.recompilations = gauge(
            "pokejax_recompilations", "Programs compiled since ready; should stay 0"
        )

    def mark_ready(self) -> None:
        """From here on, every compilation counts as a recompilation."""
        self._at_ready = compilations()
        self.ready.set(1)

    def recompiled(self) -> int:
        """Programs compiled since `mark_ready`; 0 before."""
        return 0 if self._at_ready is None else compilations() - self._at_ready

    def render(self) -> bytes:
        """All numbers in Prometheus' text format."""
        self.recompilations.set(self.recompiled())
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self.registry)
        _forget_dead_workers()
        everyone = CollectorRegistry()
        MultiProcessCollector(everyone)
        return generate_latest(everyone)


def _forget_dead_workers() -> None:
    """Leave out what workers that were killed said of themselves."""
    for path in Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).glob("gauge_live*.db"):
        pid = int(path.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid)
