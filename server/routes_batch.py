"""`/api/v1/batch`: up to 1,024 pictures in one answer."""

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Stream

from .batcher import Caller
from .batches import (
    AHEAD,
    Batches,
    as_sheet,
    as_zip,
    check_sheet,
    pictures_of,
)
from .decoding import read_body, read_query
from .drawing import AnyRequest, Provided, caller_of, unless_gone
from .schemas import BatchBody, BatchQuery
from .service import Service


@post(
    "/api/v1/batch",
    summary="Draw up to 1,024 pictures, from a list, or of each prompt with each of"
    " the attributes, slides and seeds; a ZIP sent while they are drawn, or one sheet",
    status_code=200,
    media_type="application/zip",
    opt={
        "body": BatchBody,
        "example": {
            "prompts": ["a red dragon", "a blue fish"],
            "seeds": [1, 2, 3],
            "attributes": [{"size": "Tiny"}, {"size": "Huge"}],
        },
        "also_produces": ["image/png"],
    },
)
async def batch(
    request: AnyRequest, service: Provided[Service], batches: Provided[Batches]
) -> Response[bytes] | Stream:
    """Draw many pictures; the header `X-Job` has the id to go on with."""
    body = await read_body(request, BatchBody)
    model = service.require_ready().sampler.model_id
    body = msgspec.structs.replace(
        body,
        pictures=pictures_of(body),
        **dict.fromkeys(("prompts", "seeds", "attributes", "slides")),
    )
    caller = _caller_with_room(request, service, body)
    # Noted only now, or refused ones would push out others.
    job = batches.keep(body, model)
    return await _answer(request, service, caller, body, job, 0)


@get(
    "/api/v1/batch/{job:str}",
    summary="The rest of a batch from a byte offset, if its download broke; 404 if"
    " unknown",
    media_type="application/zip",
    opt={"query": BatchQuery, "also_produces": ["image/png"]},
)
async def batch_again(
    request: AnyRequest,
    service: Provided[Service],
    batches: Provided[Batches],
    job: FromPath[str],
) -> Response[bytes] | Stream:
    """Go on with a batch; it is drawn anew, to the same bytes."""
    offset = read_query(request, BatchQuery).offset
    model = service.require_ready().sampler.model_id
    body = batches.get(job, model)
    caller = _caller_with_room(request, service, body)
    return await _answer(request, service, caller, body, job, offset)


def _caller_with_room(request: AnyRequest, service: Service, body: BatchBody) -> Caller:
    caller = caller_of(request, service)
    pictures = body.pictures or ()
    service.require_ready().check_room(caller.client, min(len(pictures), AHEAD))
    service.streams.check(caller.client)
    if body.answer == "sheet":
        check_sheet(service, body)
    return caller


async def _answer(
    request: AnyRequest,
    service: Service,
    caller: Caller,
    body: BatchBody,
    job: str,
    offset: int,
) -> Response[bytes] | Stream:
    headers = {"X-Job": job}
    if body.answer == "sheet":
        sheet = await unless_gone(request, as_sheet(service, caller, body))
        return Response(sheet[offset:], media_type="image/png", headers=headers)
    headers["Content-Disposition"] = f'attachment; filename="{job}.zip"'
    parts = as_zip(service, caller, body, offset)
    return Stream(parts, media_type="application/zip", headers=headers)


BATCH_ROUTES = [batch, batch_again]
