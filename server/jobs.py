"""Streams that outlive their connection: events are kept a while, and resumed by id.

A job works only while somebody watches. When the last watcher leaves, undrawn pictures
leave the queue at once; a client that comes back in time gets the events it missed, and
the rest is queued again. Seeds are fixed, so the pictures are the same.
"""

import asyncio
import functools
import re
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from pokejax.inference.recipe import Recipe, count_up, recipes_for
from pokejax.prompts.parsed import ParsedPrompt
from server.batcher import Ticket
from server.errors import ApiError, as_api_error, busy
from server.schemas import GenerateBody, JobStatus, parsed_answer
from server.service import Service, overrides_of
from server.wire import data_url, sse_event

_MAX_JOBS = 1024
_POSITION_S = 0.5  # between looks at the place in the queue
_LAST_EVENT_ID = re.compile(r"([0-9a-f]{16})-([0-9]{1,6})")


class Job:
    """The events of one streamed request, and the task that adds to them."""

    def __init__(self, service: Service, jobs: "Jobs", body: GenerateBody):
        self.id = secrets.token_hex(8)
        self.finished = False
        self.events: list[bytes] = []
        self._service = service
        self._jobs = jobs
        self._body = body
        self._born = time.perf_counter()
        self._seeds = count_up(body.seed, body.num_samples)
        self._parsed: ParsedPrompt | None = None
        self._drawn: set[int] = set()
        self._watchers = 0
        self._position = -1
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._expire_later()

    def status(self) -> JobStatus:
        """How far the job is."""
        status = "finished" if self.finished else "unfinished"
        return JobStatus(job=self.id, status=status, events=len(self.events))

    async def watch(self, after: int) -> AsyncIterator[bytes]:
        """Events from number `after` on, with keep-alive comments in between."""
        self._watchers += 1
        self._service.metrics.streams.inc()
        if self._expiry:
            self._expiry.cancel()
        if not self.finished and self._task is None:
            self._task = asyncio.create_task(self._work())
        try:
            while True:
                news = self._news
                while after < len(self.events):
                    yield self.events[after]
                    after += 1
                if self.finished:
                    return
                if news is not self._news:
                    continue  # something arrived while the last event was being sent
                try:
                    async with asyncio.timeout(self._service.settings.keep_alive_s):
                        await news.wait()
                except TimeoutError:
                    yield b": keep-alive\n\n"
        finally:
            self._service.metrics.streams.dec()
            self._watchers -= 1
            if self._watchers == 0:
                if self._task:
                    self._task.cancel()
                    self._task = None
                self._expire_later()

    def _expire_later(self) -> None:
        loop = asyncio.get_running_loop()
        seconds = self._service.settings.resume_s
        self._expiry = loop.call_later(seconds, self._jobs.forget, self.id)

    def _emit(self, name: str, data: Any) -> None:
        event_id = f"{self.id}-{len(self.events) + 1}"
        self.events.append(sse_event(name, data, event_id))
        self._news.set()
        self._news = asyncio.Event()

    async def _work(self) -> None:
        try:
            await self._draw()
        except Exception as exc:
            error = as_api_error(exc)
            self.finished = True
            self._emit("error", msgspec.Raw(error.body(self.id)))

    async def _draw(self) -> None:
        batcher = self._service.require_ready()
        body = self._body
        self._say_position(batcher.depth)
        if self._parsed is None:
            parsed = await self._service.parse(
                body.prompt,
                overrides_of(body.attributes),
                use_llm=body.use_llm_parsing,
            )
            self._parsed = parsed
            self._emit("parsed", parsed_answer(parsed))
            sampler = batcher.sampler
            encoded = {"encoder": sampler.encoder.identity, "steps": sampler.previews}
            self._emit("encoded", encoded)
        recipes = recipes_for(
            self._parsed,
            self._seeds,
            temperature=body.temperature,
            guidance=body.guidance,
        )
        await self._order({i: r for i, r in enumerate(recipes) if i not in self._drawn})
        took = 1000 * (time.perf_counter() - self._born)
        self.finished = True
        self._emit(
            "done",
            {
                "seeds": self._seeds,
                "generation_time_ms": round(took, 1),
                "model_version": self._service.model_version,
            },
        )

    async def _order(self, recipes: dict[int, Recipe]) -> None:
        """Order pictures and emit each as it arrives."""
        body = self._body
        previews = [functools.partial(self._show_preview, i) for i in recipes]
        tickets = self._service.order(
            list(recipes.values()),
            format=body.format,
            scale=body.scale,
            previews=previews,
        )
        left: dict[asyncio.Future[bytes], int] = {
            ticket.done: i for ticket, i in zip(tickets, recipes, strict=True)
        }
        try:
            while left:
                done, _ = await asyncio.wait(
                    left, timeout=_POSITION_S, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    self._show_position(tickets)
                for future in sorted(done, key=lambda f: left[f]):
                    index = left.pop(future)
                    image = data_url(future.result(), body.format)
                    self._drawn.add(index)
                    seed = self._seeds[index]
                    data = {"index": index, "seed": seed, "image": image}
                    self._emit("image", data)
        finally:
            self._service.drop(tickets)

    def _show_preview(self, index: int, file: bytes) -> None:
        if not self.finished and index not in self._drawn:
            image = data_url(file, self._body.format)
            self._emit("partial", {"index": index, "image": image})

    def _show_position(self, tickets: list[Ticket]) -> None:
        waiting = [ticket for ticket in tickets if not ticket.done.done()]
        self._say_position(self._service.require_ready().position(waiting[0]))

    def _say_position(self, position: int) -> None:
        if position != self._position:
            self._position = position
            self._emit("queued", {"job": self.id, "position": position})


class Jobs:
    """The jobs that can be watched."""

    def __init__(self, service: Service):
        self._service = service
        self._jobs: dict[str, Job] = {}

    def new(self, body: GenerateBody) -> Job:
        """A job for a request.

        Raises:
          ApiError: 429, the queue is full or there are too many jobs; 503, not ready.
        """
        self._service.require_ready().check_room(body.num_samples)
        if len(self._jobs) >= _MAX_JOBS:
            raise busy("too many streams", "too_many_streams", 5, status=429)
        job = Job(self._service, self, body)
        self._jobs[job.id] = job
        return job

    def get(self, job_id: str) -> Job:
        """A job by its id.

        Raises:
          ApiError: 404, there never was such a job, or it has been forgotten.
        """
        if job_id not in self._jobs:
            raise ApiError(
                404,
                "unknown_job",
                f"there is no job {job_id[:40]!r}: it is unknown, or was forgotten"
                f" {self._service.settings.resume_s:g} s after its last reader left",
                param="job",
            )
        return self._jobs[job_id]

    def resume(self, last_event_id: str) -> tuple[Job, int]:
        """The job that a `Last-Event-ID` refers to, and the number of events seen.

        Raises:
          ApiError: 400, it isn't one of our ids; 404, its job is unknown.
        """
        match = _LAST_EVENT_ID.fullmatch(last_event_id)
        job = self.get(match[1]) if match else None
        if match is None or job is None or int(match[2]) > len(job.events):
            raise ApiError(
                400,
                "invalid_request",
                f"Last-Event-ID {last_event_id[:60]!r} is not the id of an event here",
                param="Last-Event-ID",
            )
        return job, int(match[2])

    def forget(self, job_id: str) -> None:
        """Forget a job."""
        self._jobs.pop(job_id, None)
