"""`/sdapi/v1/…` in the shape of AUTOMATIC1111's web UI, for its clients and plugins.

What a sprite model has no use for (samplers, upscalers, steps) is taken and changes
nothing; pictures are framed in the size asked for, as in OpenAI's shape.
"""

import asyncio
import base64
import io
import json
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from litestar import Response, get, post
from PIL import Image

from pokejax.images.png import add_text
from pokejax.inference.recipe import SEED_LIMIT, Recipe, Start, between, count_up

from .batcher import Ticket
from .decoding import read_body
from .drawing import AnyRequest, Drawing, Provided, caller_of, unless_gone
from .errors import ApiError
from .files import framed_look
from .routes import TURTLE
from .schemas import (
    MAX_FRAMES,
    A1111Img2ImgBody,
    A1111Model,
    A1111Options,
    A1111PngInfo,
    A1111PngInfoBody,
    A1111Progress,
    A1111Sampler,
    A1111State,
    A1111Txt2Img,
    A1111Txt2ImgBody,
)
from .service import Service
from .uploads import Upload

_SAMPLER = "Flow"
_MOST_PIXELS = 2**26  # of all pictures of a request
# Each begins where the one before has ended, so that reading takes linear time.
_SETTING = re.compile(r"(?:^|, )([A-Z][\w ]*): ([^,\n]*)")
_BOMBS = Image.DecompressionBombError, Image.DecompressionBombWarning
_MOST_TEXT = 2**18  # characters in a PNG, where Pillow takes 64 million


@dataclass(eq=False)
class Run:
    """A client's pictures that are being drawn, and by which of the two routes."""

    job: str
    tickets: Sequence[Ticket]
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def done(self) -> int:
        """How many pictures are there."""
        return sum(ticket.done.done() for ticket in self.tickets)

    async def finish(self) -> list[bytes]:
        """All files, or those that are there when somebody interrupts.

        Raises:
          ApiError: a picture can't be drawn.
        """
        stopped = asyncio.ensure_future(self.stop.wait())
        try:
            left = {ticket.done for ticket in self.tickets}
            while left and not stopped.done():
                done, _ = await asyncio.wait(
                    {*left, stopped}, return_when=asyncio.FIRST_COMPLETED
                )
                left -= done
            return [t.done.result() for t in self.tickets if t.done.done()]
        finally:
            stopped.cancel()


class Runs:
    """The latest run of each client: what `/progress` and `/interrupt` are about."""

    def __init__(self):
        self.of: dict[str, Run] = {}


@post(
    "/sdapi/v1/txt2img",
    summary="Draw pictures, in the format of AUTOMATIC1111's API",
    status_code=200,
    opt={"example": {"prompt": TURTLE, "seed": 42, "width": 256, "height": 256}},
)
async def txt2img(
    drawing: Provided[Drawing[A1111Txt2ImgBody]], runs: Provided[Runs]
) -> A1111Txt2Img:
    """Draw pictures; `cfg_scale` 7 is the guidance that the model is tuned to."""
    return await _draw(drawing, runs)


@post(
    "/sdapi/v1/img2img",
    summary="Draw from a picture, in the shape of AUTOMATIC1111's API",
    status_code=200,
    opt={
        "example": {
            "prompt": TURTLE,
            "init_images": ["iVBORw0KGgo…"],
            "denoising_strength": 0.75,
        }
    },
)
async def img2img(
    drawing: Provided[Drawing[A1111Img2ImgBody]], runs: Provided[Runs]
) -> A1111Txt2Img:
    """Draw from a picture, or redraw parts of it."""
    body = drawing.body
    start = await drawing.start_from(
        Upload("init_images", body.init_images[0]),
        Upload("mask", body.mask) if body.mask else None,
        body.denoising_strength,
        opaque=True,
        invert=body.inpainting_mask_invert == 1,
    )
    return await _draw(drawing, runs, start)


async def _draw(
    drawing: Drawing[Any], runs: Runs, start: Start | None = None
) -> A1111Txt2Img:
    body, service, caller = drawing.body, drawing.service, drawing.caller
    count = body.batch_size * body.n_iter
    if count > MAX_FRAMES:
        told = f"batch_size × n_iter is {count}; expected at most {MAX_FRAMES}"
        raise ApiError(400, "invalid_request", told, param="n_iter")
    if count * body.width * body.height > _MOST_PIXELS:
        told = (
            f"{count} pictures of {body.width}x{body.height} are over {_MOST_PIXELS:,}"
        )
        raise ApiError(400, "invalid_request", f"{told} pixels", param="width")
    own = service.require_ready().sampler.image_size
    look = framed_look("png", own, body.width, body.height, param="width")
    recipes = _recipes(drawing, count, start)
    tickets = service.order(recipes, caller=caller, look=look)
    job = "img2img" if start else "txt2img"
    run = runs.of[caller.client] = Run(job, tickets)
    try:
        files = await unless_gone(drawing.request, run.finish())
    finally:
        service.drop(tickets)
        if runs.of.get(caller.client) is run:
            del runs.of[caller.client]
    texts = [_infotext(drawing, recipe) for recipe in recipes[: len(files)]]
    marked = [
        add_text(file, "parameters", text)
        for file, text in zip(files, texts, strict=True)
    ]
    return A1111Txt2Img(
        images=[base64.b64encode(file).decode() for file in marked],
        parameters={
            name: value
            for name, value in msgspec.to_builtins(body).items()
            if name not in ("init_images", "mask")  # the client has them
        },
        info=json.dumps(_info(drawing, recipes[: len(files)], texts)),
    )


def _recipes(drawing: Drawing[Any], count: int, start: Start | None) -> list[Recipe]:
    """Seeds count up; with a variation's strength it is its seeds that do."""
    body = drawing.body
    first = None if body.seed < 0 else body.seed % SEED_LIMIT
    if not body.subseed_strength:
        return drawing.recipes(count_up(first, count), start=start)
    (near,) = drawing.recipes(count_up(first, 1), start=start)
    ends = count_up(None if body.subseed < 0 else body.subseed % SEED_LIMIT, count)
    parsed = drawing.parsed
    return [
        between(
            near, Recipe(parsed.prompt, parsed.attributes, end), body.subseed_strength
        )
        for end in ends
    ]


def _infotext(drawing: Drawing[Any], recipe: Recipe) -> str:
    """What is in a picture's chunk `parameters`: prompts, then settings on one line."""
    body = drawing.body
    settings = {
        "Steps": body.steps,
        "Sampler": _SAMPLER,
        "CFG scale": f"{body.cfg_scale:g}",
        "Seed": recipe.seed,
        "Size": f"{body.width}x{body.height}",
        "Model": drawing.model_version,
    }
    if recipe.towards:
        settings["Variation seed"] = recipe.towards.seed
        settings["Variation seed strength"] = f"{recipe.mix:g}"
    if recipe.start:
        settings["Denoising strength"] = f"{recipe.start.strength:g}"
    lines = [recipe.prompt]
    if recipe.negative:
        lines.append(f"Negative prompt: {recipe.negative}")
    lines.append(", ".join(f"{name}: {value}" for name, value in settings.items()))
    return "\n".join(lines)


def _info(
    drawing: Drawing[Any], recipes: Sequence[Recipe], texts: Sequence[str]
) -> dict[str, Any]:
    body = drawing.body
    subseeds = [recipe.towards.seed if recipe.towards else -1 for recipe in recipes]
    return {
        "prompt": drawing.parsed.prompt,
        "all_prompts": [recipe.prompt for recipe in recipes],
        "negative_prompt": body.negative_prompt,
        "all_negative_prompts": [body.negative_prompt] * len(recipes),
        "seed": recipes[0].seed if recipes else -1,
        "all_seeds": [recipe.seed for recipe in recipes],
        "subseed": subseeds[0] if subseeds else -1,
        "all_subseeds": subseeds,
        "subseed_strength": body.subseed_strength,
        "width": body.width,
        "height": body.height,
        "sampler_name": _SAMPLER,
        "cfg_scale": body.cfg_scale,
        "steps": body.steps,
        "batch_size": body.batch_size,
        "denoising_strength": getattr(body, "denoising_strength", 0),
        "sd_model_name": drawing.model_version,
        "infotexts": texts,
        "warning": drawing.parsed.warning or None,
    }


@get("/sdapi/v1/progress", summary="How far the client's pictures have got")
async def progress(
    request: AnyRequest, service: Provided[Service], runs: Provided[Runs]
) -> A1111Progress:
    """How far the pictures are that this client waits for."""
    run = runs.of.get(caller_of(request, service).client)
    if run is None:
        return A1111Progress(progress=0.0, state=A1111State())
    state = A1111State(
        job=run.job,
        job_count=len(run.tickets),
        job_no=run.done,
        interrupted=run.stop.is_set(),
    )
    return A1111Progress(progress=run.done / len(run.tickets), state=state)


@post(
    "/sdapi/v1/interrupt",
    summary="End the client's drawing; it answers with what is drawn so far",
    status_code=200,
    media_type="application/json",
)
async def interrupt(
    request: AnyRequest, service: Provided[Service], runs: Provided[Runs]
) -> Response[dict[str, str]]:
    """End what this client waits for."""
    if run := runs.of.get(caller_of(request, service).client):
        run.stop.set()
    return Response({})


@get("/sdapi/v1/options", summary="The settings that clients look for")
async def options(service: Provided[Service]) -> A1111Options:
    """The settings that clients look for."""
    return A1111Options(sd_model_checkpoint=service.model_version or "")


@post(
    "/sdapi/v1/options",
    summary="Accepted and ignored: there is one model",
    status_code=200,
    media_type="application/json",
    opt={"body": A1111Options, "example": {"samples_format": "png"}},
)
async def set_options(request: AnyRequest) -> Response[None]:
    """Check that it could be settings."""
    await read_body(request, A1111Options)
    return Response(None)


@get("/sdapi/v1/sd-models", summary="The model")
async def sd_models(service: Provided[Service]) -> list[A1111Model]:
    """The model."""
    name = service.model_version or ""
    return [A1111Model(title=name, model_name=name, filename=f"{name}.safetensors")]


@get("/sdapi/v1/samplers", summary="The sampler")
async def samplers() -> list[A1111Sampler]:
    """The sampler."""
    return [A1111Sampler(name=_SAMPLER)]


@post(
    "/sdapi/v1/png-info",
    summary="What a PNG's text chunks say",
    status_code=200,
    opt={"body": A1111PngInfoBody, "example": {"image": "iVBORw0KGgo…"}},
)
async def png_info(request: AnyRequest) -> A1111PngInfo:
    """Read a PNG's text chunks; its pixels are left alone."""
    body = await read_body(request, A1111PngInfoBody)
    return await asyncio.to_thread(read_png_info, body.image)


def read_png_info(picture: str) -> A1111PngInfo:
    """What the text chunks of a PNG say, which is given in base64 or as a data URL.

    Raises:
      ApiError: 400, it is no PNG, or holds more text than pictures do.
    """
    try:
        items = _texts_in(picture)
    except (ValueError, OSError, SyntaxError, *_BOMBS):
        told = "image is no PNG in base64"
        raise ApiError(400, "invalid_request", told, param="image") from None
    # Packed, that much and more fits into a small file.
    if (length := sum(map(len, items.values()))) > _MOST_TEXT:
        told = f"image has {length:,} characters of text; at most {_MOST_TEXT:,}"
        raise ApiError(400, "invalid_request", told, param="image")
    info = items.get("parameters", "")
    settings = dict(_SETTING.findall(info.rpartition("\n")[2]))
    return A1111PngInfo(info=info, items=items, parameters=settings)


def _texts_in(image: str) -> dict[str, str]:
    """The text chunks of a PNG in base64."""
    file = base64.b64decode(image.rpartition("base64,")[2], validate=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd files: not worth a line in the log
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(file), formats=["PNG"]) as opened:
            texts = opened.info.items()
    return {str(name): text for name, text in texts if isinstance(text, str)}


A1111_ROUTES = [
    txt2img,
    img2img,
    progress,
    interrupt,
    options,
    set_options,
    sd_models,
    samplers,
    png_info,
]
