"""`/v1/…` in OpenAI's shape, so that its clients work as they are."""

import asyncio
import base64
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Stream

from pokejax.attributes import nearest_hint
from pokejax.inference.recipe import Recipe, Start, count_up

from .drawing import Drawing, Provided
from .errors import ApiError
from .files import Look, framed_look
from .routes import TURTLE
from .schemas import (
    ImagesAnswer,
    ImagesBody,
    ImagesEditForm,
    ImagesVariationForm,
    Model,
    ModelsAnswer,
    OpenAIImage,
)
from .service import Service
from .uploads import Upload
from .wire import EVENT_STREAM, SSE_HEADERS, data_url, sse_event

_NAME = "pokejax"
# There are no tokens here, but typed clients read their counts.
_USAGE = {
    "input_tokens": 0,
    "output_tokens": 0,
    "total_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
}


@post(
    "/v1/images/generations",
    summary="Draw pictures, in the format of OpenAI's API",
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
    return await _answer(drawing, _look(drawing))


@post(
    "/v1/images/edits",
    summary="Draw from a picture, or redraw parts of it, in the shape of OpenAI's API",
    status_code=200,
    opt={
        "form": True,
        "example": {"image": "@doodle.png", "prompt": TURTLE, "size": "256x256"},
        "also_produces": [EVENT_STREAM],
    },
)
async def images_edits(
    drawing: Provided[Drawing[ImagesEditForm]],
) -> Response[ImagesAnswer] | Stream:
    """Draw from a picture, or what a mask leaves transparent."""
    body, look = drawing.body, _look(drawing)
    mask = None if body.mask is None else Upload("mask", body.mask)
    picture = Upload("image", body.image)
    start = await drawing.start_from(picture, mask, body.strength)
    return await _answer(drawing, look, start)


@post(
    "/v1/images/variations",
    summary="Draw pictures like one, in the shape of OpenAI's API",
    status_code=200,
    opt={
        "form": True,
        "example": {"image": "@doodle.png", "n": 2},
        "also_produces": [EVENT_STREAM],
    },
)
async def images_variations(
    drawing: Provided[Drawing[ImagesVariationForm]],
) -> Response[ImagesAnswer] | Stream:
    """Draw pictures like one; nothing is known but the picture."""
    body, look = drawing.body, _look(drawing)
    picture = Upload("image", body.image)
    start = await drawing.start_from(picture, None, body.strength)
    return await _answer(drawing, look, start)


async def _answer(
    drawing: Drawing[Any], look: Look, start: Start | None = None
) -> Response[ImagesAnswer] | Stream:
    body, service = drawing.body, drawing.service
    seeds = count_up(body.seed, body.n or 1)
    recipes = drawing.recipes(seeds, start=start)
    shape = _shape(look, service)
    if body.stream:
        client = drawing.caller.client
        service.require_ready().check_room(client, len(recipes))
        service.streams.check(client)
        events = _events(drawing, recipes, shape, look)
        return Stream(events, media_type=EVENT_STREAM, headers=SSE_HEADERS)
    files = await drawing.draw(recipes, look)
    as_url = body.response_format == "url"
    drawn = drawing.parsed.prompt
    cut = drawn != body.prompt
    return Response(
        ImagesAnswer(
            created=int(time.time()),
            data=[
                OpenAIImage(
                    b64_json=None if as_url else base64.b64encode(file).decode(),
                    url=data_url(file, look.format) if as_url else None,
                    seed=seed,
                    revised_prompt=drawn if cut else None,
                )
                for file, seed in zip(files, seeds, strict=True)
            ],
            warning=f"only the first {len(drawn)} characters of the prompt were used"
            if cut
            else None,
            **shape,
        )
    )


@get("/v1/models", summary="The model's names, in the format of OpenAI's API")
async def models(service: Provided[Service]) -> ModelsAnswer:
    """The model's names."""
    return ModelsAnswer(data=[_model(name, service) for name in _names(service)])


@get("/v1/models/{model:str}", summary="One of the model's names; 404 if it isn't one")
async def one_model(service: Provided[Service], model: FromPath[str]) -> Model:
    """One of the model's names."""
    _check_model(model, service)
    return _model(model, service)


def _names(service: Service) -> list[str]:
    """A name that is always right, and that of the weights."""
    return [_NAME, *([service.model_version] if service.model_version else [])]


def _model(name: str, service: Service) -> Model:
    return Model(id=name, created=service.born_at)


def _check_model(name: str, service: Service) -> None:
    names = _names(service)
    if name not in names:
        hint = nearest_hint(name[:100], names)
        raise ApiError(
            404,
            "model_not_found",
            f"there is no model {name[:100]!r}; expected {' or '.join(names)}{hint}",
            param="model",
        )


def _look(drawing: Drawing[Any]) -> Look:
    """As many whole pixels as fit into the size asked for, and white around them.

    Raises:
      ApiError: 404, another model is asked for; 400, what can't be.
    """
    body, service = drawing.body, drawing.service
    if body.model is not None and not service.settings.any_model:
        _check_model(body.model, service)
    own = service.require_ready().sampler.image_size
    quality = 95 if body.output_compression is None else body.output_compression
    format = body.output_format or "png"
    transparent = body.background == "transparent"
    if transparent and format == "jpeg":
        raise ApiError(
            400,
            "invalid_request",
            "JPEG has no transparency; expected background opaque, or output_format png"
            " or webp",
            param="background",
        )
    if body.size is None or body.size == "auto":
        return Look(format, quality=quality, transparent=transparent)
    width, height = map(int, body.size.split("x"))
    return framed_look(
        format,
        own,
        width,
        height,
        quality=quality,
        transparent=transparent,
        param="size",
    )


def _shape(look: Look, service: Service) -> dict[str, str]:
    own = service.require_ready().sampler.image_size
    width, height = look.frame or (own, own)
    return {
        "size": f"{width}x{height}",
        "output_format": look.format,
        "background": "transparent" if look.transparent else "opaque",
        "quality": "auto",
    }


async def _events(
    drawing: Drawing[Any],
    recipes: list[Recipe],
    shape: dict[str, str],
    look: Look,
) -> AsyncIterator[bytes]:
    """Some rounds of the first picture, as many as were asked for, then every one."""
    service, partial = drawing.service, drawing.body.partial_images or 0
    kind = "image_edit" if recipes[0].start else "image_generation"
    shown: asyncio.Queue[bytes] = asyncio.Queue()
    wanted = [shown.put_nowait if partial else None] + [None] * (len(recipes) - 1)
    try:
        with service.streams.open(drawing.caller.client), contextlib.ExitStack() as end:
            tickets = service.order(
                recipes,
                caller=drawing.caller,
                look=look,
                previews=wanted,
            )
            end.callback(service.drop, tickets)
            sampler = service.require_ready().sampler
            kept = _spread(partial, sampler.previews(recipes[0]))
            number = 0
            async for i, file in _until(tickets[0].done, shown):
                if i in kept:
                    more = {"partial_image_index": number}
                    yield _event(f"{kind}.partial_image", file, shape, **more)
                    number += 1
            for ticket, recipe in zip(tickets, recipes, strict=True):
                file = await ticket.done
                more = {"seed": recipe.seed, "usage": _USAGE}
                yield _event(f"{kind}.completed", file, shape, **more)
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


def _event(name: str, file: bytes, shape: dict[str, str], **more: Any) -> bytes:
    data = {
        "type": name,
        "b64_json": base64.b64encode(file).decode(),
        "created_at": int(time.time()),
        **shape,
        **more,
    }
    return sse_event(name, data)


OPENAI_ROUTES = [
    images_generations,
    images_edits,
    images_variations,
    models,
    one_model,
]
