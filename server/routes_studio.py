"""What the studio asks beside pictures: how a prompt reads, how training went."""

import asyncio
import mimetypes

from litestar import Response, get
from litestar.params import FromPath
from msgspec import Struct

from pokejax.prompts.parse import parse_prompt

from . import runs
from .decoding import read_query
from .drawing import AnyRequest, Provided
from .runs import RunAnswer, RunsAnswer
from .schemas import ParsedAnswer, Prompt, parsed_answer
from .service import Service


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


STUDIO_ROUTES = [parse, all_runs, one_run, run_picture]
