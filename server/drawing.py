"""What every drawing handler is given: the request, decoded, and its prompt, parsed.

`Drawing[Body]` in a handler's signature is all it takes: `read_drawing` looks there for
the struct that the request must fit, and so does `server.openapi`.
"""

import asyncio
import time
import typing
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from litestar import Request
from litestar.di import Dependency
from litestar.handlers import BaseRouteHandler
from litestar.params import SkipValidationMarker

from pokejax.attributes import Attributes
from pokejax.inference.recipe import Kin, Recipe, Sample, Start, recipes_for
from pokejax.prompts.parsed import ParsedPrompt

from .batcher import Caller, Ticket
from .decoding import read_body, read_form, read_query
from .errors import ApiError
from .files import Look
from .schemas import MAX_PROMPT_CHARS
from .service import Service, overrides_of, slides_in
from .uploads import Upload

AnyRequest = Request[Any, Any, Any]
Body = TypeVar("Body", bound=msgspec.Struct)
T = TypeVar("T")
# An argument that the application provides, as it is.
Provided = Annotated[T, Dependency(kind="named"), SkipValidationMarker()]


class ClientLeft(ApiError):
    """The client is gone; the status is for the log only."""

    def __init__(self):
        super().__init__(499, "client_left", "the client closed the connection")


@dataclass(frozen=True)
class Drawing(Generic[Body]):
    """A request for pictures.

    Attributes:
      body: as it was sent, checked.
      parsed: its prompt, with the attributes that the request sets.
      service: that draws.
      request: the HTTP request.
      caller: who sent it, and until when it must be drawn.
      started: when it came, by `time.perf_counter`.
    """

    body: Body
    parsed: ParsedPrompt
    service: Service
    request: AnyRequest
    caller: Caller
    started: float = field(default_factory=time.perf_counter)

    @property
    def took_ms(self) -> float:
        """Milliseconds since the request came."""
        return round(1000 * (time.perf_counter() - self.started), 1)

    @property
    def model_version(self) -> str:
        """Id of the model that draws."""
        return self.service.model_version or ""

    async def parse(self, prompt: str, attributes: Attributes) -> ParsedPrompt:
        """Parse another prompt of the same request."""
        return await _parse(
            self.request, self.service, self.body, prompt, attributes, self.caller
        )

    def recipes(
        self,
        seeds: Sequence[int],
        *,
        start: Start | None = None,
        kin: Kin | None = None,
    ) -> list[Recipe]:
        """A recipe for each seed, from a picture or beside one if that is given."""
        body: Any = self.body
        return recipes_for(
            self.parsed,
            seeds,
            temperature=body.temperature,
            guidance=body.guidance,
            colors=self.service.colors_of(body),
            start=start,
            negative=_negative(body),
            slides=_slides(body),
            kin=kin,
            shiny=getattr(body, "shiny", False),
        )

    async def start_from(
        self,
        picture: Upload,
        mask: Upload | None,
        strength: float | None,
        **reading: bool,
    ) -> Start:
        """What a picture that came with the request means, as `Uploads.start` does.

        Raises:
          ApiError: 400, the picture can't be used.
          ClientLeft: before it was decoded.
        """
        sampler = self.service.require_ready().sampler
        work = self.service.uploads.start(sampler, picture, mask, strength, **reading)
        return await unless_gone(self.request, work)

    async def beside(self, picture: Upload, relation: str) -> Kin:
        """What a relative's picture that came with the request means.

        Raises:
          ApiError: 400, it can't be used, or the model hasn't learned the relation.
          ClientLeft: before it was decoded.
        """
        sampler = self.service.require_ready().sampler
        work = self.service.uploads.kin(sampler, picture, relation)
        return await unless_gone(self.request, work)

    async def draw(self, recipes: Sequence[Recipe], look: Look) -> list[bytes]:
        """The files of all recipes, unless the client leaves before they are there.

        Raises:
          ApiError: a picture can't be drawn.
          ClientLeft: what wasn't drawn yet has left the queue.
        """
        return await self._draw(recipes, look)

    async def samples(self, recipes: Sequence[Recipe]) -> list[Sample]:
        """The pictures of all recipes, as `draw` draws them, but as they are."""
        return await self._draw(recipes, None)

    async def _draw(self, recipes: Sequence[Recipe], look: Look | None) -> list[Any]:
        tickets = self.service.order(recipes, caller=self.caller, look=look)
        try:
            return await unless_gone(self.request, _files(tickets))
        finally:
            self.service.drop(tickets)


async def read_drawing(request: AnyRequest, service: Provided[Service]) -> Drawing[Any]:
    """Decode a request as its handler's signature says, and parse its prompt.

    Raises:
      ApiError: 4xx, the request doesn't fit; 503, the service isn't ready.
      ClientLeft: while a language model was reading.
    """
    started, caller = time.perf_counter(), caller_of(request, service)
    kind = body_of(request.route_handler)
    assert kind is not None  # or the handler would not ask for a drawing
    if request.method == "GET":
        body: Any = read_query(request, kind)
    elif request.route_handler.opt.get("form"):
        body = await read_form(request, kind)
    else:
        body = await read_body(request, kind)
    attributes = overrides_of(getattr(body, "attributes", None))
    prompt = _cut(body.prompt)
    parsed = await _parse(request, service, body, prompt, attributes, caller)
    return Drawing(body, parsed, service, request, caller, started)


async def _parse(
    request: AnyRequest,
    service: Service,
    body: Any,
    prompt: str,
    attributes: Attributes,
    caller: Caller,
) -> ParsedPrompt:
    """Parse a prompt; if a language model does, for as long as the client stays."""
    use_llm = getattr(body, "use_llm_parsing", False)
    reading = service.parse(
        prompt,
        attributes,
        deadline=caller.deadline,
        use_llm=use_llm,
        negative=_negative(body),
        slides=_slides(body),
    )
    return await (unless_gone(request, reading) if use_llm else reading)


def _negative(body: Any) -> str:
    """What a request keeps away from, as far as the text encoder takes it."""
    return _cut(getattr(body, "negative_prompt", "").strip())


def _slides(body: Any) -> dict[str, float]:
    """How much of some attributes a request wants; not all kinds can say it."""
    return slides_in(getattr(body, "slides", None))


def _cut(prompt: str) -> str:
    """What the text encoder can take of a prompt, in whole words if it has spaces."""
    if len(prompt) <= MAX_PROMPT_CHARS:
        return prompt
    return prompt[: MAX_PROMPT_CHARS + 1].rsplit(None, 1)[0][:MAX_PROMPT_CHARS]


def caller_of(request: AnyRequest, service: Service) -> Caller:
    """Who sent a request, as the gate made out, and until when it must be answered."""
    state = request.scope["state"]
    return Caller(
        state["client"],
        time.monotonic() + service.settings.deadline_s,
        min(request.route_handler.paths),
        state["key"],
        state.get("trace"),
    )


def body_of(handler: BaseRouteHandler) -> type[msgspec.Struct] | None:
    """The struct that a handler's requests must fit, or None if it draws nothing."""
    drawing = typing.get_type_hints(handler.fn).get("drawing")
    return typing.get_args(drawing)[0] if drawing else None


async def unless_gone(request: AnyRequest, work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns; it is cancelled if the client leaves before.

    Raises:
      ClientLeft: it did.
    """
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientLeft
    finally:
        working.cancel()
        gone.cancel()


async def _gone(request: AnyRequest) -> None:
    """Return once the connection is closed, passing over what is left of the body."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _files(tickets: Sequence[Ticket]) -> list[Any]:
    # Shielded: a ticket that is cancelled here couldn't be withdrawn any more.
    return [await asyncio.shield(ticket.done) for ticket in tickets]
