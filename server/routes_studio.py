"""What the studio asks beside pictures.

How a prompt reads, how near a picture is to the training pictures, how training went.
"""

import asyncio
import mimetypes
from typing import Annotated

from litestar import Response, get, post
from litestar.params import FromPath
from msgspec import Meta, Struct

from pokejax.prompts.parse import parse_prompt

from . import runs
from .decoding import read_body, read_query
from .drawing import AnyRequest, Provided
from .runs import RunAnswer, RunsAnswer
from .schemas import ParsedAnswer, Picture, Prompt, parsed_answer
from .service import Service
from .uploads import Upload


class ParseQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    """A prompt to read."""

    prompt: Prompt


@get(
    "/api/v1/parse",
    summary="Read a prompt by rules, without drawing",
    opt={"query": ParseQuery},
)
async def parse(request: AnyRequest) -> ParsedAnswer:
    """Read a prompt; a millisecond's work, which needs no model."""
    return parsed_answer(parse_prompt(read_query(request, ParseQuery).prompt))


class NearestBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """A picture to compare."""

    image: Picture


class NearestAnswer(Struct, kw_only=True):
    """How near the nearest training picture is; null where the server has no index."""

    distance: (
        Annotated[
            float, Meta(description="Of 8x8 mean colours, from 0, the same, to 1.")
        ]
        | None
    ) = None
    nearer: (
        Annotated[
            float,
            Meta(
                description="Share of real pictures, none of them trained on, that are"
                " nearer to a training picture."
            ),
        ]
        | None
    ) = None


@post(
    "/api/v1/nearest",
    summary="How near a picture is to the nearest training picture",
    status_code=200,
    opt={"body": NearestBody, "example": {"image": "iVBORw0KGgo…"}},
)
async def nearest(request: AnyRequest, service: Provided[Service]) -> NearestAnswer:
    """Compare a picture with those in the configured index."""
    body = await read_body(request, NearestBody)
    index = service.training_index
    if index is None:
        return NearestAnswer()
    found = await service.uploads.nearness(index, Upload("image", body.image))
    return NearestAnswer(distance=found.distance, nearer=found.nearer)


@get("/api/v1/runs", summary="The training runs in the configured directory")
async def all_runs(service: Provided[Service]) -> RunsAnswer:
    """The training runs in the configured directory."""
    return await asyncio.to_thread(runs.list_runs, service.settings.runs_dir)


@get("/api/v1/runs/{run:str}", summary="A training run's log, and its pictures")
async def one_run(service: Provided[Service], run: FromPath[str]) -> RunAnswer:
    """A training run's log, and the names of its pictures."""
    return await asyncio.to_thread(runs.read_run, service.settings.runs_dir, run)


@get(
    "/api/v1/runs/{run:str}/{file:str}",
    summary="A training run's picture",
    media_type="image/png",
    opt={"also_produces": ["image/gif"]},
)
async def run_picture(
    service: Provided[Service], run: FromPath[str], file: FromPath[str]
) -> Response[bytes]:
    """A training run's picture."""
    root = service.settings.runs_dir
    content = await asyncio.to_thread(runs.read_picture, root, run, file)
    return Response(content, media_type=mimetypes.guess_type(file)[0])


STUDIO_ROUTES = [parse, nearest, all_runs, one_run, run_picture]
