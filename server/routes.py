"""The service's own routes, `/api/v1/…`."""

import asyncio
import dataclasses
import time
from typing import Annotated, Any

import msgspec
from litestar import Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, HeaderParameter
from litestar.response import Stream

from pokejax.attributes import CONDITIONS
from pokejax.inference.recipe import Recipe, Sample, Start, between, count_up
from pokejax.inference.sampler import Sampler

from . import animation
from .decoding import read_query
from .drawing import AnyRequest, Drawing, Provided, caller_of
from .errors import ApiError
from .files import encode, look_of
from .jobs import Jobs
from .metrics import CONTENT_TYPE
from .schemas import (
    AttributesAnswer,
    BestOfBody,
    DownloadQuery,
    EditBody,
    GenerateAnswer,
    GenerateBody,
    Health,
    InterpolateAnswer,
    InterpolateBody,
    JobStatus,
    RelativeAnswer,
    RelativeBody,
    VariationsAnswer,
    VariationsBody,
    parsed_answer,
)
from .service import Service, overrides_of
from .uploads import Upload
from .wire import EVENT_STREAM, SSE_HEADERS, data_url

TURTLE = "a small blue water turtle with a red shell"


@post(
    "/api/v1/generate",
    summary="Draw pictures of a prompt",
    status_code=200,
    opt={"example": {"prompt": TURTLE, "num_samples": 2, "seed": 42}},
)
async def generate(drawing: Provided[Drawing[BestOfBody]]) -> GenerateAnswer:
    """Draw pictures of a prompt, or the best of several."""
    body = drawing.body
    sampler = drawing.service.require_ready().sampler
    if body.best_of == 1:
        return await _generated(drawing)
    if not sampler.picks:
        why = "best_of changes nothing: the model has no picker"
        told = "; ".join(filter(None, [drawing.parsed.warning, why]))
        parsed = dataclasses.replace(drawing.parsed, warning=told)
        return await _generated(dataclasses.replace(drawing, parsed=parsed))
    seeds = count_up(body.seed, body.num_samples * body.best_of)
    drawn = await drawing.samples(drawing.recipes(seeds))
    return await asyncio.to_thread(_best, drawing, sampler, drawn)


def _best(
    drawing: Drawing[BestOfBody], sampler: Sampler, drawn: list[Sample]
) -> GenerateAnswer:
    best = sampler.best(drawn, drawing.body.best_of)
    look = look_of(drawing.body)
    return _answer(
        drawing, [encode(s, look) for s in best], [s.recipe.seed for s in best]
    )


async def _generated(
    drawing: Drawing[Any], start: Start | None = None
) -> GenerateAnswer:
    body = drawing.body
    seeds = count_up(body.seed, body.num_samples)
    recipes = drawing.recipes(seeds, start=start)
    files = await drawing.draw(recipes, look_of(body))
    return _answer(drawing, files, seeds)


def _answer(
    drawing: Drawing[Any], files: list[bytes], seeds: list[int]
) -> GenerateAnswer:
    images = [data_url(file, drawing.body.format) for file in files]
    return GenerateAnswer(
        **msgspec.structs.asdict(parsed_answer(drawing.parsed)),
        image=images[0],
        images=images,
        seeds=seeds,
        generation_time_ms=drawing.took_ms,
        model_version=drawing.model_version,
    )


@post(
    "/api/v1/edit",
    summary="Draw pictures that start from one, or redraw parts of it",
    status_code=200,
    opt={"example": {"prompt": TURTLE, "image": "iVBORw0KGgo…", "strength": 0.6}},
)
async def edit(drawing: Provided[Drawing[EditBody]]) -> GenerateAnswer:
    """Draw pictures that start from one, or redraw parts of it."""
    body = drawing.body
    mask = None if body.mask is None else Upload("mask", body.mask)
    picture = Upload("image", body.image)
    start = await drawing.start_from(picture, mask, body.strength)
    return await _generated(drawing, start)


@post(
    "/api/v1/relative",
    summary="Draw a creature beside its picture: the other view or frame, its next"
    " stage",
    status_code=200,
    opt={"example": {"prompt": TURTLE, "image": "iVBORw0KGgo…", "relation": "back"}},
)
async def relative(drawing: Provided[Drawing[RelativeBody]]) -> RelativeAnswer:
    """Draw a creature beside its picture: the other view or frame, its next stage."""
    body = drawing.body
    if body.animation and body.relation != "frame":
        raise _no_animation(f"relation is {body.relation!r}; expected 'frame'")
    if body.animation and not drawing.service.colors_of(body):
        raise _no_animation("finish is 'raw'; expected 'pixel', which has a palette")
    kin = await drawing.beside(Upload("image", body.image), body.relation)
    parsed = drawing.parsed.override(kin.attributes)
    drawing = dataclasses.replace(drawing, parsed=parsed)
    seeds = count_up(body.seed, body.num_samples)
    samples = await drawing.samples(drawing.recipes(seeds, kin=kin))
    return await asyncio.to_thread(_beside, drawing, samples, seeds)


def _beside(
    drawing: Drawing[RelativeBody], samples: list[Sample], seeds: list[int]
) -> RelativeAnswer:
    look, moves = look_of(drawing.body), drawing.body.animation
    answer = _answer(drawing, [encode(s, look) for s in samples], seeds)
    animations: list[str] = []
    if moves:
        animations = [data_url(animation.idle(s, look, moves), moves) for s in samples]
    return RelativeAnswer(**msgspec.structs.asdict(answer), animations=animations)


def _no_animation(why: str) -> ApiError:
    told = f"animation is of two frames in one palette, but {why}"
    return ApiError(400, "invalid_request", told, param="animation")


@get(
    "/api/v1/generate/stream",
    summary="Draw pictures and report each step as a server-sent event: queued, parsed,"
    " encoded, partial, image, done; error ends it",
    media_type=EVENT_STREAM,
    responses={204: ResponseSpec(None, description="All was sent before")},
    opt={"query": GenerateBody},
)
async def generate_stream(
    request: AnyRequest,
    service: Provided[Service],
    jobs: Provided[Jobs],
    last_event_id: Annotated[str | None, HeaderParameter(name="Last-Event-ID")] = None,
) -> Response[Any]:
    """Draw pictures as a stream of events; `Last-Event-ID` resumes a broken one."""
    caller = caller_of(request, service)
    if last_event_id is None:
        job = jobs.new(read_query(request, GenerateBody), caller)
    else:
        job = jobs.resume(last_event_id, caller)
    if job is None:
        return Response(b"", status_code=204)  # tells an EventSource to stop
    return Stream(job.watch(), media_type=EVENT_STREAM, headers=SSE_HEADERS)


@get("/api/v1/jobs/{job_id:str}", summary="How far a stream is; 404 if unknown")
async def job_status(jobs: Provided[Jobs], job_id: FromPath[str]) -> JobStatus:
    """Whether a stream's job is finished."""
    return jobs.status(job_id)


@get(
    "/api/v1/download",
    summary="Draw one picture, as a file",
    media_type="image/png",
    opt={"also_produces": ["image/webp"]},
)
async def download(drawing: Provided[Drawing[DownloadQuery]]) -> Response[bytes]:
    """Draw one picture as a file."""
    query = drawing.body
    (seed,) = seeds = count_up(query.seed, 1)
    (file,) = await drawing.draw(drawing.recipes(seeds), look_of(query))
    return Response(
        file,
        media_type=f"image/{query.format}",
        headers={
            "Content-Disposition": f'attachment; filename="{seed}.{query.format}"',
            "X-Seed": str(seed),
        },
    )


@post(
    "/api/v1/interpolate",
    summary="Interpolate from one picture to another",
    status_code=200,
    opt={
        "example": {
            "prompt": TURTLE,
            "to_prompt": "a red dragon",
            "frames": 8,
            "gif": True,
        }
    },
)
async def interpolate(drawing: Provided[Drawing[InterpolateBody]]) -> InterpolateAnswer:
    """Interpolate from one picture to another."""
    body = drawing.body
    to_prompt = body.to_prompt or body.prompt
    given = body.attributes if body.to_attributes is None else body.to_attributes
    end = await drawing.parse(to_prompt, overrides_of(given))
    (seed,) = count_up(body.seed, 1)
    moves = body.to_prompt is not None or body.to_attributes is not None
    stays = moves and body.to_seed is None
    (to_seed,) = [seed] if stays else count_up(body.to_seed, 1)
    towards = Recipe(to_prompt, end.attributes, to_seed)
    (first,) = drawing.recipes([seed])
    mixes = [i / (body.frames - 1) for i in range(body.frames)]
    if body.mix is not None:
        mixes = [body.mix]
    files = await drawing.draw(
        [between(first, towards, mix) for mix in mixes], look_of(body)
    )
    gif = None
    if body.gif:
        moving = await asyncio.to_thread(animation.gif, files)
        gif = data_url(moving, "gif")
    return InterpolateAnswer(
        images=[data_url(file, body.format) for file in files],
        gif=gif,
        start=parsed_answer(drawing.parsed),
        end=parsed_answer(end),
        seeds=[seed, to_seed],
        generation_time_ms=drawing.took_ms,
        model_version=drawing.model_version,
    )


@post(
    "/api/v1/variations",
    summary="Draw variations of a picture, which is given by its seed",
    status_code=200,
    opt={"example": {"prompt": TURTLE, "seed": 42, "num_samples": 4, "strength": 0.3}},
)
async def variations(drawing: Provided[Drawing[VariationsBody]]) -> VariationsAnswer:
    """Draw variations of a picture, which is given by its seed."""
    body, parsed = drawing.body, drawing.parsed
    (first,) = drawing.recipes([body.seed])
    seeds = count_up(body.variation_seed, body.num_samples)
    ends = [Recipe(parsed.prompt, parsed.attributes, seed) for seed in seeds]
    files = await drawing.draw(
        [between(first, end, body.strength) for end in ends],
        look_of(body),
    )
    images = [data_url(file, body.format) for file in files]
    return VariationsAnswer(
        **msgspec.structs.asdict(parsed_answer(parsed)),
        image=images[0],
        images=images,
        seeds=[body.seed] * body.num_samples,
        towards_seeds=seeds,
        strength=body.strength,
        generation_time_ms=drawing.took_ms,
        model_version=drawing.model_version,
    )


@get("/api/v1/attributes", summary="The values that each attribute can have")
async def attributes() -> AttributesAnswer:
    """The closed vocabularies."""
    return AttributesAnswer(
        attributes={name: list(words) for name, words in CONDITIONS.items()}
    )


@get("/api/v1/health", summary="Whether the process is alive; always 200")
async def health(service: Provided[Service]) -> Health:
    """What the process is doing; 200 whatever that is."""
    return _health(service)


@get(
    "/api/v1/ready",
    summary="Whether requests are taken; 503 if not",
    responses={503: ResponseSpec(Health, description="Not now")},
)
async def ready(service: Provided[Service]) -> Response[Health]:
    """Whether requests are taken: 503 until all is compiled, and while draining."""
    return Response(
        _health(service), status_code=200 if service.state == "ready" else 503
    )


def _health(service: Service) -> Health:
    return Health(
        status=service.state,
        model_version=service.model_version,
        relations=service.relations,
        queued=service.batcher.depth if service.batcher else 0,
        uptime_s=round(time.monotonic() - service.born, 1),
    )


@get("/metrics", summary="Counters for Prometheus", media_type="text/plain")
async def metrics(service: Provided[Service]) -> Response[bytes]:
    """The counters, for Prometheus."""
    return Response(service.metrics.render(), headers={"Content-Type": CONTENT_TYPE})


ROUTES = [
    generate,
    edit,
    relative,
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
