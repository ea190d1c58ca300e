"""What every drawing handler is given: the request, decoded, and its prompt, parsed.

`Drawing[Body]` in a handler's signature is all it takes: `read_drawing` looks there for
the struct that the request must fit, and so does `server.openapi`.
"""

import asyncio
import time
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from litestar import Request
from litestar.di import Dependency
from litestar.handlers import BaseRouteHandler
from litestar.params import SkipValidationMarker

from pokejax.attributes import Attributes
from pokejax.inference.recipe import Recipe, recipes_for
from pokejax.prompts.parsed import ParsedPrompt
from server.batcher import Ticket
from server.decoding import read_body, read_query
from server.errors import ApiError
from server.schemas import Format
from server.service import Service, overrides_of

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
      started: when it came, by `time.perf_counter`.
    """

    body: Body
    parsed: ParsedPrompt
    service: Service
    request: AnyRequest
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
        use_llm = getattr(self.body, "use_llm_parsing", False)
        return await self.service.parse(prompt, attributes, use_llm=use_llm)

    def recipes(
        self, seeds: Sequence[int], *, of: ParsedPrompt | None = None
    ) -> list[Recipe]:
        """A recipe for each seed, of the request's prompt or of another one."""
        body: Any = self.body
        return recipes_for(
            of or self.parsed,
            seeds,
            temperature=body.temperature,
            guidance=body.guidance,
        )

    async def draw(
        self, recipes: Sequence[Recipe], *, format: Format, scale: int
    ) -> list[bytes]:
        """The files of all recipes, unless the client leaves before they are there.

        Raises:
          ApiError: a picture can't be drawn.
          ClientLeft: what wasn't drawn yet has left the queue.
        """
        tickets = self.service.order(recipes, format=format, scale=scale)
        files = asyncio.ensure_future(_files(tickets))
        gone = asyncio.ensure_future(_gone(self.request))
        try:
            await asyncio.wait({files, gone}, return_when=asyncio.FIRST_COMPLETED)
            if files.done():
                return files.result()
            raise ClientLeft
        finally:
            # Before cancelling, which would make unfinished tickets look finished.
            self.service.drop(tickets)
            files.cancel()
            gone.cancel()


async def read_drawing(request: AnyRequest, service: Provided[Service]) -> Drawing[Any]:
    """Decode a request as its handler's signature says, and parse its prompt.

    Raises:
      ApiError: 4xx, the request doesn't fit; 503, the service isn't ready.
    """
    started = time.perf_counter()
    kind = body_of(request.route_handler)
    assert kind is not None  # or the handler would not ask for a drawing
    if request.method == "GET":
        body: Any = read_query(request, kind)
    else:
        body = await read_body(request, kind)
    parsed = await service.parse(
        body.prompt,
        overrides_of(body.attributes),
        use_llm=getattr(body, "use_llm_parsing", False),
    )
    return Drawing(body, parsed, service, request, started)


def body_of(handler: BaseRouteHandler) -> type[msgspec.Struct] | None:
    """The struct that a handler's requests must fit, or None if it draws nothing."""
    drawing = typing.get_type_hints(handler.fn).get("drawing")
    return typing.get_args(drawing)[0] if drawing else None


async def _gone(request: AnyRequest) -> None:
    """Return once the connection is closed, passing over what is left of the body."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _files(tickets: Sequence[Ticket]) -> list[bytes]:
    return [await ticket.done for ticket in tickets]
