"""The service's own routes, `/api/v1/…`."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.response import Stream

from pokejax.attributes import VOCABULARIES
from pokejax.inference.recipe import Recipe
from server import animation
from server.batcher import Ticket
from server.errors import ApiError
from server.jobs import Jobs, data_url
from server.metrics import CONTENT_TYPE
from server.reading import read_body, read_query
from server.schemas import (
    AttributesAnswer,
    DownloadQuery,
    Format,
    GenerateAnswer,
    GenerateBody,
    Health,
    InterpolateAnswer,
    InterpolateBody,
    VariationsAnswer,
    VariationsBody,
)
from server.service import (
    Service,
    count_up,
    overrides_of,
    pick_seed,
    recipes_of,
)

AnyRequest = Request[Any, Any, Any]
SSE_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class ClientLeft(ApiError):
    """Nobody is there to read the answer; the status is for the log."""

    def __init__(self):
        """See the class."""
        super().__init__(499, "client_left", "the client closed the connection")


def json_response(answer: msgspec.Struct, status: int = 200) -> Response[bytes]:
    """A struct as JSON."""
    return Response(
        msgspec.json.encode(answer), media_type="application/json", status_code=status
    )


async def collect(
    request: AnyRequest, service: Service, tickets: Sequence[Ticket]
) -> list[bytes]:
    """The files of all tickets, unless the client leaves before they are there.

    Raises:
      ApiError: a picture can't be had.
      ClientLeft: what wasn't drawn yet has left the queue.
    """
    files = asyncio.ensure_future(_files(tickets))
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({files, gone}, return_when=asyncio.FIRST_COMPLETED)
        if files.done():
            return files.result()
        raise ClientLeft
    finally:
        # Before the cancelling, which would make unfinished tickets look finished.
        service.drop(tickets)
        files.cancel()
        gone.cancel()


async def _gone(request: AnyRequest) -> None:
    """Return once the connection is closed; what comes before that is the body."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _files(tickets: Sequence[Ticket]) -> list[bytes]:
    return [await ticket.done for ticket in tickets]


async def draw(
    request: AnyRequest,
    service: Service,
    recipes: Sequence[Recipe],
    *,
    format: Format,
    scale: int = 1,
) -> list[bytes]:
    """The files of all recipes."""
    tickets = service.order(recipes, format=format, scale=scale)
    return await collect(request, service, tickets)


def _service(request: AnyRequest) -> Service:
    return request.app.state.service


def _since(start: float) -> float:
    return round(1000 * (time.perf_counter() - start), 1)


@post("/api/v1/generate", status_code=200)
async def generate(request: AnyRequest) -> Response[bytes]:
    """Draw pictures of a prompt."""
    start, service = time.perf_counter(), _service(request)
    body = await read_body(request, GenerateBody)
    reading = await service.read_prompt(
        body.prompt, overrides_of(body.attributes), use_llm=body.use_llm_parsing
    )
    seeds = count_up(pick_seed(body.seed), body.num_samples)
    recipes = recipes_of(body, reading, seeds)
    files = await draw(request, service, recipes, format=body.format, scale=body.scale)
    images = [data_url(file, body.format) for file in files]
    return json_response(
        GenerateAnswer(
            **msgspec.structs.asdict(reading.answer()),
            image=images[0],
            images=images,
            seeds=seeds,
            generation_time_ms=_since(start),
            model_version=service.model_version or "",
        )
    )


@get("/api/v1/generate/stream")
async def generate_stream(request: AnyRequest) -> Response[Any]:
    """The same as a stream of events; `Last-Event-ID` resumes a broken one."""
    jobs: Jobs = request.app.state.jobs
    last = request.headers.get("last-event-id")
    if last is not None:
        job, after = jobs.resume(last)
        if job.finished and after == len(job.events):
            return Response(b"", status_code=204)  # tells an EventSource to stop
    else:
        job, after = jobs.new(read_query(request, GenerateBody)), 0
    return Stream(job.watch(after), media_type="text/event-stream", headers=SSE_HEADERS)


@get("/api/v1/jobs/{job_id:str}")
async def job_status(request: AnyRequest) -> Response[bytes]:
    """Whether a stream's job is finished."""
    jobs: Jobs = request.app.state.jobs
    return json_response(jobs.get(request.path_params["job_id"]).status())


@get("/api/v1/download")
async def download(request: AnyRequest) -> Response[bytes]:
    """One picture as a file."""
    service = _service(request)
    query = read_query(request, DownloadQuery)
    reading = await service.read_prompt(
        query.prompt, overrides_of(query.attributes), use_llm=query.use_llm_parsing
    )
    seed = pick_seed(query.seed)
    recipes = recipes_of(query, reading, [seed])
    (file,) = await draw(
        request, service, recipes, format=query.format, scale=query.scale
    )
    return Response(
        file,
        media_type=f"image/{query.format}",
        headers={
            "Content-Disposition": f'attachment; filename="{seed}.{query.format}"',
            "X-Seed": str(seed),
        },
    )


@post("/api/v1/interpolate", status_code=200)
async def interpolate(request: AnyRequest) -> Response[bytes]:
    """The way from one picture to another."""
    start, service = time.perf_counter(), _service(request)
    body = await read_body(request, InterpolateBody)
    begin = await service.read_prompt(
        body.prompt, overrides_of(body.attributes), use_llm=body.use_llm_parsing
    )
    given = body.attributes if body.to_attributes is None else body.to_attributes
    end = await service.read_prompt(
        body.to_prompt or body.prompt,
        overrides_of(given),
        use_llm=body.use_llm_parsing,
    )
    seed = pick_seed(body.seed)
    moves = body.to_prompt is not None or body.to_attributes is not None
    to_seed = seed if moves and body.to_seed is None else pick_seed(body.to_seed)
    towards = Recipe(body.to_prompt or body.prompt, end.attributes, to_seed)
    (first,) = recipes_of(body, begin, [seed])
    last = body.frames - 1
    recipes = [animation.between(first, towards, i / last) for i in range(body.frames)]
    files = await draw(request, service, recipes, format=body.format, scale=body.scale)
    gif = None
    if body.gif:
        moving = await asyncio.to_thread(animation.gif, files)
        gif = data_url(moving, "gif")
    return json_response(
        InterpolateAnswer(
            images=[data_url(file, body.format) for file in files],
            gif=gif,
            start=begin.answer(),
            end=end.answer(),
            seeds=[seed, to_seed],
            generation_time_ms=_since(start),
            model_version=service.model_version or "",
        )
    )


@post("/api/v1/variations", status_code=200)
async def variations(request: AnyRequest) -> Response[bytes]:
    """Pictures near one that is known by its seed."""
    start, service = time.perf_counter(), _service(request)
    body = await read_body(request, VariationsBody)
    reading = await service.read_prompt(
        body.prompt, overrides_of(body.attributes), use_llm=body.use_llm_parsing
    )
    (first,) = recipes_of(body, reading, [body.seed])
    seeds = count_up(pick_seed(body.variation_seed), body.num_samples)
    recipes = [
        animation.between(
            first, Recipe(body.prompt, reading.attributes, seed), body.strength
        )
        for seed in seeds
    ]
    files = await draw(request, service, recipes, format=body.format, scale=body.scale)
    images = [data_url(file, body.format) for file in files]
    return json_response(
        VariationsAnswer(
            **msgspec.structs.asdict(reading.answer()),
            image=images[0],
            images=images,
            seeds=[body.seed] * body.num_samples,
            towards_seeds=seeds,
            strength=body.strength,
            generation_time_ms=_since(start),
            model_version=service.model_version or "",
        )
    )


@get("/api/v1/attributes")
async def attributes(request: AnyRequest) -> Response[bytes]:
    """The closed vocabularies."""
    words = {name: list(vocabulary) for name, vocabulary in VOCABULARIES.items()}
    return json_response(AttributesAnswer(attributes=words))


@get("/api/v1/health")
async def health(request: AnyRequest) -> Response[bytes]:
    """That the process lives; 200 whatever it is doing."""
    return json_response(_health(_service(request)))


@get("/api/v1/ready")
async def ready(request: AnyRequest) -> Response[bytes]:
    """Whether requests are taken: 503 until all is compiled, and while draining."""
    service = _service(request)
    status = 200 if service.state == "ready" else 503
    return json_response(_health(service), status)


def _health(service: Service) -> Health:
    return Health(
        status=service.state,
        model_version=service.model_version,
        queued=service.batcher.depth if service.batcher else 0,
        uptime_s=round(time.monotonic() - service.born, 1),
    )


@get("/metrics")
async def metrics(request: AnyRequest) -> Response[bytes]:
    """The counters, for Prometheus."""
    return Response(
        _service(request).metrics.render(), headers={"Content-Type": CONTENT_TYPE}
    )


ROUTES = [
    generate,
    generate_stream,
    job_status,
    download,
    interpolate,
    variations,
    attributes,
    health,
    ready,
    metrics,
]
