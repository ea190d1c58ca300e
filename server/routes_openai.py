"""`POST /v1/images/generations` in OpenAI's shape, so that its clients work as is."""

import asyncio
import base64
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

from litestar import Response, post
from litestar.response import Stream

from pokejax.inference.recipe import Recipe, count_up
from server.drawing import Drawing, Provided
from server.errors import ApiError
from server.routes import TURTLE
from server.schemas import Format, ImagesAnswer, ImagesBody, OpenAIImage
from server.service import Service
from server.wire import EVENT_STREAM, SSE_HEADERS, data_url, sse_event

# OpenAI's clients often ask for 1024 pixels, which is sixteen times 64.
_MAX_SCALE = 16
# There are no tokens here, but typed clients read their counts.
_USAGE = {
    "input_tokens": 0,
    "output_tokens": 0,
    "total_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
}


@post(
    "/v1/images/generations",
    summary="Draw pictures, in the shape of OpenAI's API",
    status_code=200,
    opt={
        "example": {"prompt": TURTLE, "n": 1, "size": "256x256", "seed": 42},
        "also_produces": [EVENT_STREAM],
    },
)
async def images_generations(
    drawing: Provided[Drawing[ImagesBody]],
) -> Response[ImagesAnswer] | Stream:
    """Draw pictures, in the shape of OpenAI's API."""
    body, service = drawing.body, drawing.service
    scale = _scale(body.size, service)
    seeds = count_up(body.seed, body.n or 1)
    recipes = drawing.recipes(seeds)
    shape = _shape(body, scale, service)
    format: Format = body.output_format or "png"
    if body.stream:
        client = drawing.caller.client
        service.require_ready().check_room(client, len(recipes))
        service.streams.check(client)
        events = _events(drawing, recipes, shape, format, scale)
        return Stream(events, media_type=EVENT_STREAM, headers=SSE_HEADERS)
    files = await drawing.draw(recipes, format=format, scale=scale)
    as_url = body.response_format == "url"
    return Response(
        ImagesAnswer(
            created=int(time.time()),
            data=[
                OpenAIImage(
                    b64_json=None if as_url else base64.b64encode(file).decode(),
                    url=data_url(file, format) if as_url else None,
                    seed=seed,
                )
                for file, seed in zip(files, seeds, strict=True)
            ],
            **shape,
        )
    )


def _scale(size: str | None, service: Service) -> int:
    """The whole number of times that `size` holds the model's own size."""
    own = service.require_ready().sampler.image_size
    if size is None or size == "auto":
        return 1
    width, height = map(int, size.split("x"))
    scale, rest = divmod(width, own)
    if width != height or rest or not 1 <= scale <= _MAX_SCALE:
        nearest = own * min(max(1, round(width / own)), _MAX_SCALE)
        raise ApiError(
            400,
            "invalid_request",
            f"size is {size!r}; expected a square multiple of {own}x{own}, at most"
            f" {_MAX_SCALE} times as wide; the nearest is '{nearest}x{nearest}'",
            param="size",
        )
    return scale


def _shape(body: ImagesBody, scale: int, service: Service) -> dict[str, str]:
    side = scale * service.require_ready().sampler.image_size
    return {
        "size": f"{side}x{side}",
        "output_format": body.output_format or "png",
        "background": "opaque",
        "quality": "auto",
    }


async def _events(
    drawing: Drawing[ImagesBody],
    recipes: list[Recipe],
    shape: dict[str, str],
    format: Format,
    scale: int,
) -> AsyncIterator[bytes]:
    """Some rounds of the first picture, as many as were asked for, then every one."""
    service, partial = drawing.service, drawing.body.partial_images or 0
    shown: asyncio.Queue[bytes] = asyncio.Queue()
    wanted = [shown.put_nowait if partial else None] + [None] * (len(recipes) - 1)
    try:
        with service.streams.open(drawing.caller.client), contextlib.ExitStack() as end:
            tickets = service.order(
                recipes,
                caller=drawing.caller,
                format=format,
                scale=scale,
                previews=wanted,
            )
            end.callback(service.drop, tickets)
            kept = _spread(partial, service.require_ready().sampler.previews)
            number = 0
            async for i, file in _until(tickets[0].done, shown):
                if i in kept:
                    more = {"partial_image_index": number}
                    yield _event("partial_image", file, shape, **more)
                    number += 1
            for ticket, recipe in zip(tickets, recipes, strict=True):
                file = await ticket.done
                yield _event("completed", file, shape, seed=recipe.seed, usage=_USAGE)
    except ApiError as error:
        yield b"event: error\ndata: " + error.body("") + b"\n\n"


def _spread(wanted: int, rounds: int) -> set[int]:
    """At most `wanted` of the numbers below `rounds`, evenly spread."""
    return {(i + 1) * rounds // (wanted + 1) for i in range(wanted)}


async def _until(
    end: asyncio.Future[bytes], shown: asyncio.Queue[bytes]
) -> AsyncIterator[tuple[int, bytes]]:
    """What comes into `shown`, numbered, until `end` is there.

    Previews come before the picture itself, so by then all of them are in the queue.
    """
    number = 0
    while not end.done() or not shown.empty():
        if shown.empty():
            item = asyncio.ensure_future(shown.get())
            try:
                await asyncio.wait({item, end}, return_when=asyncio.FIRST_COMPLETED)
                if not item.done():
                    continue
                file = item.result()
            finally:
                item.cancel()  # does nothing if it is done
        else:
            file = shown.get_nowait()
        yield number, file
        number += 1


def _event(kind: str, file: bytes, shape: dict[str, str], **more: Any) -> bytes:
    name = f"image_generation.{kind}"
    data = {
        "type": name,
        "b64_json": base64.b64encode(file).decode(),
        "created_at": int(time.time()),
        **shape,
        **more,
    }
    return sse_event(name, data)
