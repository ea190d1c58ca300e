"""Streams: each step of drawing as an event whose id is enough to go on from there.

A stream works only while somebody reads it. When the reader leaves, undrawn pictures
leave the queue at once; whoever comes back with the id of an event gets what was not
sent before it, from any worker. Seeds are fixed, so the pictures are the same.
"""

import asyncio
import contextlib
import functools
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from pokejax.attributes import Attributes
from pokejax.inference.recipe import Recipe, count_up, recipes_for
from pokejax.prompts.parsed import ParsedPrompt

from .batcher import Caller, Ticket
from .bookmarks import Bookmark, Bookmarks, unknown_job
from .errors import ApiError, as_api_error
from .files import look_of
from .schemas import GenerateBody, JobStatus, parsed_answer
from .service import Service, overrides_of, slides_in
from .wire import data_url, sse_event

_POSITION_S = 0.5  # between looks at the place in the queue
_KNOWN_JOBS = 4096


class Job:
    """The events of one streamed request, from a bookmark on."""

    def __init__(self, service: Service, jobs: "Jobs", mark: Bookmark, caller: Caller):
        self.mark = mark
        self._service = service
        self._jobs = jobs
        self._caller = caller
        self._born = time.perf_counter()
        self._seeds = count_up(mark.body.seed, mark.body.num_samples)
        self._position = -1
        self._events: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def watch(self) -> AsyncIterator[bytes]:
        """Draw, and give events as they come, with comments in long silences."""
        with contextlib.ExitStack() as opened:
            try:
                opened.enter_context(self._service.streams.open(self._caller.client))
            except ApiError as error:
                yield sse_event("error", msgspec.Raw(error.body(self.mark.job)))
                return
            working = asyncio.create_task(self._work())
            opened.callback(self._jobs.forget_later, self.mark.job)
            opened.callback(working.cancel)
            while True:
                try:
                    async with asyncio.timeout(self._service.settings.keep_alive_s):
                        event = await self._events.get()
                except TimeoutError:
                    yield b": keep-alive\n\n"
                    continue
                if event is None:
                    return
                yield event

    def _emit(self, name: str, data: Any, **changes: Any) -> None:
        """Add an event; `changes` are what the bookmark in its id says since then."""
        events = self.mark.events + 1
        self.mark = msgspec.structs.replace(self.mark, events=events, **changes)
        self._events.put_nowait(sse_event(name, data, self._jobs.remember(self.mark)))

    async def _work(self) -> None:
        try:
            await self._draw()
        except Exception as exc:
            error = as_api_error(exc)
            body = msgspec.Raw(error.body(self.mark.job))
            self._emit("error", body, finished=True)
        self._events.put_nowait(None)

    async def _draw(self) -> None:
        batcher = self._service.require_ready()
        body = self.mark.body
        self._say_position(batcher.depth)
        is_new = self.mark.attributes is None
        if self.mark.attributes is None:
            parsed = await self._service.parse(
                body.prompt,
                overrides_of(body.attributes),
                deadline=self._caller.deadline,
                use_llm=body.use_llm_parsing,
                negative=body.negative_prompt.strip(),
                slides=slides_in(body.slides),
            )
            known = parsed.attributes.known()
            self._emit("parsed", parsed_answer(parsed), attributes=known)
        else:
            attributes = Attributes(**self.mark.attributes)
            parsed = ParsedPrompt(body.prompt, attributes)
        recipes = recipes_for(
            parsed,
            self._seeds,
            temperature=body.temperature,
            guidance=body.guidance,
            colors=self._service.colors_of(body),
            negative=body.negative_prompt,
            slides=slides_in(body.slides),
            shiny=body.shiny,
        )
        if is_new:
            sampler = batcher.sampler
            steps = sampler.previews(recipes[0])
            encoded = {"encoder": sampler.encoder.identity, "steps": steps}
            self._emit("encoded", encoded)
        left = {i: r for i, r in enumerate(recipes) if not self.mark.drawn >> i & 1}
        if left:
            await self._order(left)
        took = 1000 * (time.perf_counter() - self._born)
        self._emit(
            "done",
            {
                "seeds": self._seeds,
                "generation_time_ms": round(took, 1),
                "model_version": self._service.model_version,
            },
            finished=True,
        )

    async def _order(self, recipes: dict[int, Recipe]) -> None:
        """Order pictures and emit each as it arrives."""
        body = self.mark.body
        previews = [functools.partial(self._show_preview, i) for i in recipes]
        tickets = self._service.order(
            list(recipes.values()),
            caller=self._caller,
            look=look_of(body),
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
                    data = {"index": index, "seed": self._seeds[index], "image": image}
                    self._emit("image", data, drawn=self.mark.drawn | 1 << index)
        finally:
            self._service.drop(tickets)

    def _show_preview(self, index: int, file: bytes) -> None:
        if not self.mark.finished and not self.mark.drawn >> index & 1:
            image = data_url(file, self.mark.body.format)
            self._emit("partial", {"index": index, "image": image})

    def _show_position(self, tickets: list[Ticket]) -> None:
        waiting = [ticket for ticket in tickets if not ticket.done.done()]
        self._say_position(self._service.require_ready().position(waiting[0]))

    def _say_position(self, position: int) -> None:
        if position != self._position:
            self._position = position
            self._emit("queued", {"job": self.mark.job, "position": position})


class Jobs:
    """Begins streams, goes on with broken ones, and knows how far the latest are."""

    def __init__(self, service: Service):
        self._service = service
        self._bookmarks = Bookmarks(service.settings.resume_key)
        self._statuses: OrderedDict[str, JobStatus] = OrderedDict()

    def new(self, body: GenerateBody, caller: Caller) -> Job:
        """Begin a stream.

        Raises:
          ApiError: 429, there is no room in the queue, or the client has too many
            streams; 503, not ready.
        """
        self._check(caller.client, body.num_samples)
        (seed,) = count_up(body.seed, 1)
        body = msgspec.structs.replace(body, seed=seed)
        mark = Bookmark(
            secrets.token_hex(8), 0, self._service.model_version or "", body
        )
        return Job(self._service, self, mark, caller)

    def resume(self, last_event_id: str, caller: Caller) -> Job | None:
        """Go on after an event; None if it was the last one.

        Raises:
          ApiError: 400, it isn't the id of an event; 404, it isn't one of ours, or of
            another model; else as in `new`.
        """
        mark = self._bookmarks.read(last_event_id)
        if mark.finished:
            return None
        self._check(caller.client, mark.body.num_samples - mark.drawn.bit_count())
        if mark.model != self._service.model_version:
            raise unknown_job(mark.job)
        return Job(self._service, self, mark, caller)

    def _check(self, client: str, pictures: int) -> None:
        self._service.require_ready().check_room(client, pictures)
        self._service.streams.check(client)

    def status(self, job: str) -> JobStatus:
        """How far a stream is, or was.

        Raises:
          ApiError: 404, this worker doesn't know it, or not any more.
        """
        if job not in self._statuses:
            raise unknown_job(job)
        return self._statuses[job]

    def remember(self, mark: Bookmark) -> str:
        """Note how far a stream is; returns the id of the event that it is at."""
        status = "finished" if mark.finished else "unfinished"
        job = mark.job
        self._statuses[job] = JobStatus(job=job, status=status, events=mark.events)
        self._statuses.move_to_end(job)
        if len(self._statuses) > _KNOWN_JOBS:
            self._statuses.popitem(last=False)
        return self._bookmarks.event_id(mark)

    def forget_later(self, job: str) -> None:
        """Forget a stream some time after its reader left, unless it goes on."""
        last = self._statuses.get(job)

        def forget() -> None:
            if self._statuses.get(job) is last:
                self._statuses.pop(job, None)

        loop = asyncio.get_running_loop()
        loop.call_later(self._service.settings.resume_s, forget)
