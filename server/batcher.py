"""Where requests of many clients meet: one queue, one thread that draws.

The thread takes as many waiting pictures as a tile of the sampler holds, in turns of
those who asked for them. While it draws, others arrive, so a busy server fills its
tiles by itself. An idle one waits a moment before drawing a part-filled tile, but only
if pictures have lately arrived fast enough for another one to be likely.

A second thread turns pixels into files, so that the device needn't wait for that; and
a third one does so for large files, so that others needn't wait for these.
"""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

from pokejax.inference.recipe import Recipe, Sample
from pokejax.inference.sampler import Round, Sampler, alike

from .errors import ApiError, busy
from .fair_queue import FairQueue
from .metrics import Metrics
from .tracing import Trace

LOG = logging.getLogger("pokejax.server")
_MAX_BACKLOG = 4  # batches drawn but not yet encoded


class Caller(NamedTuple):
    """Who waits, and until when.

    Attributes:
      client: the key shown, else the address.
      deadline: by `time.monotonic`, seconds.
      route: that was called.
      key: number of the key that was shown, or empty.
      trace: of the request, if traces are kept.
    """

    client: str
    deadline: float
    route: str = ""
    key: str = ""
    trace: Trace | None = None


@dataclass(eq=False)
class Ticket:
    """One picture that a client is waiting for.

    Attributes:
      recipe: of the picture.
      encode: makes what is wanted of the pixels, mostly a file, off the event loop.
      caller: who waits for it.
      done: gets that, or an `ApiError`.
      preview: called on the event loop with the file of each round before the last.
      slow: encoding takes longer than drawing.
      dropped: nobody is waiting any more.
      queued: when, by `time.monotonic`, seconds.
    """

    recipe: Recipe
    encode: Callable[[Sample], Any]
    caller: Caller
    done: asyncio.Future[Any]
    preview: Callable[[bytes], None] | None = None
    slow: bool = False
    dropped: bool = False
    queued: float = 0.0


# A ticket, the round that its picture is of, and which one there.
Drawn = tuple[Ticket, Round, int]


class Batcher:
    """Draws tickets in batches; all methods are called on the event loop."""

    def __init__(
        self,
        sampler: Sampler,
        metrics: Metrics,
        *,
        max_batch: int,
        max_queue: int,
        max_share: int,
        max_wait_s: float,
    ):
        self.sampler = sampler
        self.metrics = metrics
        self.max_rows = min(max_batch, sampler.tile_rows)
        self.max_queue = max_queue
        self.max_share = max_share
        self.max_wait_s = max_wait_s
        self._waiting: FairQueue[Ticket] = FairQueue()
        self._wake = threading.Condition()
        self._closed = False
        self._encoder = ThreadPoolExecutor(1, thread_name_prefix="encode")
        self._slow_encoder = ThreadPoolExecutor(1, thread_name_prefix="encode slowly")
        self._backlog = threading.Semaphore(_MAX_BACKLOG)
        self._thread: threading.Thread | None = None
        self._last_arrival = 0.0
        self._gap_s = 1.0  # between arrivals, running mean
        self._tile_s = 0.05  # of drawing a tile, however full, running mean

    def start(
        self,
        on_compiled: Callable[[Exception | None], None],
        on_broken: Callable[[Exception], None],
    ) -> None:
        """Start the thread, which first compiles everything it will need.

        Args:
          on_compiled: called on the event loop afterwards, with the exception if
            there was one.
          on_broken: called there if later the model can't draw any more.
        """
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(
            target=self._run, args=(on_compiled, on_broken), name="device", daemon=True
        )
        self._thread.start()

    @property
    def depth(self) -> int:
        """How many pictures are waiting."""
        return len(self._waiting)

    def check_room(self, client: str, pictures: int) -> None:
        """Refuse more pictures than the queue has room for, in all or for one client.

        Raises:
          ApiError: 429, saying when there should be room.
        """
        own = self._waiting.count(client)
        if self.depth + pictures > self.max_queue:
            told = f"{self.depth} pictures are waiting; at most {self.max_queue} may"
        elif own + pictures > self.max_share:
            told = f"{own} of your pictures are waiting; at most {self.max_share} may"
        else:
            return
        seconds = math.ceil(self.depth / self.max_rows) * self._tile_s
        raise busy(told, "queue_full", seconds, status=429)

    def submit(self, caller: Caller, tickets: Sequence[Ticket]) -> None:
        """Queue all of `tickets`, which are one request of `caller`'s, or none.

        Raises:
          ApiError: 429, there is no room for them.
        """
        self.check_room(caller.client, len(tickets))
        now = time.monotonic()
        with self._wake:
            if self._closed:
                raise busy("the server is shutting down", "draining", 5)
            gap = min(1.0, now - self._last_arrival) / len(tickets)
            self._gap_s += 0.2 * (gap - self._gap_s)
            self._last_arrival = now
            for ticket in tickets:
                ticket.queued = now
            self._waiting.add(caller.client, tickets)
            self._wake.notify()
        self.metrics.queued.set(self.depth)

    def drop(self, tickets: Sequence[Ticket]) -> None:
        """Withdraw tickets whose client has left, so that they are never drawn."""
        tickets = [ticket for ticket in tickets if not ticket.done.done()]
        if not tickets:
            return
        for ticket in tickets:
            ticket.dropped = True
            ticket.done.cancel()
        with self._wake:
            gone = self._waiting.withdraw(lambda ticket: ticket.dropped)
        if gone:
            self.metrics.dropped.labels("client left").inc(len(gone))
        self.metrics.queued.set(self.depth)

    def position(self, ticket: Ticket) -> int:
        """About how many pictures come before a ticket's; 0 if it's drawn next."""
        with self._wake:
            return self._waiting.ahead(ticket)

    def close(self) -> None:
        """Fail what is waiting, finish what is being drawn, and end the threads."""
        with self._wake:
            self._closed = True
            left = self._waiting.withdraw(lambda ticket: True)
            self._wake.notify()
        error = busy("the server is shutting down", "draining", 5)
        for ticket in left:
            _settle(ticket, error)
        if self._thread:
            self._thread.join()
        self._encoder.shutdown()
        self._slow_encoder.shutdown()

    def _run(
        self,
        on_compiled: Callable[[Exception | None], None],
        on_broken: Callable[[Exception], None],
    ) -> None:
        failure = None
        try:
            self.sampler.warm_up()
        except Exception as error:  # whatever it is, the event loop must be told
            failure = error
        self._tell(on_compiled, failure)
        while tickets := self._take():
            try:
                for some in alike(tickets, lambda ticket: ticket.recipe):
                    self._draw(some)
            except Exception as error:
                LOG.error("drawing failed", exc_info=error)
                failed = ApiError(500, "internal", "drawing failed; the log says why")
                self._tell(_settle_all, [(ticket, failed) for ticket in tickets])
                try:  # whether it was these pictures', or any would fail
                    self.sampler.warm_up()
                except Exception as still:
                    self._tell(on_broken, still)

    def _take(self) -> list[Ticket]:
        """Wait for the next tickets to draw; none if the batcher is closed."""
        with self._wake:
            while True:
                while not self._waiting and not self._closed:
                    self._wake.wait()
                if self._closed:
                    return []
                self._await_company()
                taken: list[Ticket] = []
                now = time.monotonic()
                while self._waiting and len(taken) < self.max_rows:
                    ticket = self._waiting.take()
                    if ticket.caller.deadline < now:
                        self.metrics.dropped.labels("deadline").inc()
                        late = ApiError(
                            504, "deadline_exceeded", "not drawn in time: too busy"
                        )
                        self._tell(_settle, ticket, late)
                    else:
                        taken.append(ticket)
                        self.metrics.queue_seconds.labels(
                            ticket.caller.route, ticket.caller.key
                        ).observe(now - ticket.queued)
                        if ticket.caller.trace:
                            ticket.caller.trace.part("queue", ticket.queued, now)
                self.metrics.queued.set(self.depth)
                if taken:
                    return taken

    def _await_company(self) -> None:
        """Wait for a full tile, if the next picture is expected within the limit."""
        end = time.monotonic() + self.max_wait_s
        while (
            len(self._waiting) < self.max_rows
            and self._gap_s < self.max_wait_s
            and not self._closed
            and (left := end - time.monotonic()) > 0
        ):
            if not self._wake.wait(min(left, 2 * self._gap_s)):
                return  # nothing arrived in twice the usual time

    def _draw(self, tickets: list[Ticket]) -> None:
        previews = any(ticket.preview for ticket in tickets)
        start = time.monotonic()
        recipes = [ticket.recipe for ticket in tickets]
        for round in self.sampler.rounds(recipes, previews=previews):
            # Don't run too far ahead of the encoder, which big pictures slow down.
            self._backlog.acquire()
            encode = self._encode if round.final else self._encode_previews
            drawn = [(ticket, round, i) for i, ticket in enumerate(tickets)]
            quick = [pair for pair in drawn if not pair[0].slow]
            encoding = self._encoder.submit(encode, quick)
            encoding.add_done_callback(lambda _: self._backlog.release())
            if len(quick) < len(drawn):
                slow = [pair for pair in drawn if pair[0].slow]
                self._slow_encoder.submit(encode, slow)
        end = time.monotonic()
        seconds = end - start
        self._tile_s += 0.1 * (seconds - self._tile_s)
        self.metrics.draw_seconds.observe(seconds)
        self.metrics.batch_rows.observe(len(tickets))
        self.metrics.tile_fill.observe(len(tickets) / self.sampler.tile_rows)
        for ticket in tickets:
            labels = ticket.caller.route, ticket.caller.key
            self.metrics.pictures.labels(*labels).inc()
            self.metrics.picture_seconds.labels(*labels).observe(seconds)
            if ticket.caller.trace:
                ticket.caller.trace.part("tile", start, end, pictures=len(tickets))

    def _encode_previews(self, drawn: list[Drawn]) -> None:
        try:
            for ticket, round, i in drawn:
                if ticket.preview and not ticket.dropped:
                    sample = round.sample(i, ticket.recipe, self.sampler.model_id)
                    self._tell(ticket.preview, ticket.encode(sample))
        except Exception as error:  # the final picture may still succeed
            LOG.error("encoding a preview failed", exc_info=error)

    def _encode(self, drawn: list[Drawn]) -> None:
        results: list[tuple[Ticket, Any]] = []
        try:
            for ticket, round, i in drawn:
                if not ticket.dropped:
                    start = time.monotonic()
                    sample = round.sample(i, ticket.recipe, self.sampler.model_id)
                    results.append((ticket, ticket.encode(sample)))
                    if ticket.caller.trace:
                        ticket.caller.trace.part("encode", start, time.monotonic())
        except Exception as error:
            LOG.error("encoding failed", exc_info=error)
            failed = ApiError(500, "internal", "encoding failed; the log says why")
            results = [(ticket, failed) for ticket, *_ in drawn]
        finally:
            self._tell(_settle_all, results)

    def _tell(self, function: Callable[..., None], *args: object) -> None:
        """Call `function` on the event loop, unless that has been closed."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *args)


def _settle_all(results: Sequence[tuple[Ticket, Any]]) -> None:
    for ticket, result in results:
        _settle(ticket, result)


def _settle(ticket: Ticket, result: Any) -> None:
    if ticket.done.done():
        return
    if isinstance(result, ApiError):
        ticket.done.set_exception(result)
        ticket.done.exception()  # mark as retrieved: only the first failure is awaited
    else:
        ticket.done.set_result(result)
