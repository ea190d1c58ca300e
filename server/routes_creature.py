"""One creature: a ZIP of all the files that a game takes, or a line of its stages."""

import asyncio
from collections.abc import Mapping

import msgspec
from litestar import Response, post

from pokejax.creatures import creature as creatures
from pokejax.creatures.evolution import line_png, next_stage
from pokejax.creatures.pack import files_of, zipped
from pokejax.inference.recipe import (
    PromptError,
    Recipe,
    Sample,
    count_up,
    recipes_for,
)

from .drawing import Drawing, Provided
from .errors import ApiError
from .files import encode, look_of
from .schemas import CreatureBody, EvolutionAnswer, EvolutionBody, parsed_answer
from .wire import data_url


@post(
    "/api/v1/creature",
    summary="Draw one creature as a game takes it: two frames, back, shinies, icon,"
    " sheet with JSON, palettes and card, in a ZIP",
    status_code=200,
    media_type="application/zip",
    opt={"example": {"prompt": "a small blue water turtle", "seed": 42}},
)
async def creature(drawing: Provided[Drawing[CreatureBody]]) -> Response[bytes]:
    """Draw one creature; its seed is in `X-Seed` and the file's name."""
    body = drawing.body
    seeds = count_up(body.seed, 1)
    (recipe,) = recipes_for(
        drawing.parsed,
        seeds,
        temperature=body.temperature,
        guidance=body.guidance,
        colors=body.colors,
        negative=body.negative_prompt,
    )
    sampler = drawing.service.require_ready().sampler
    drawn = await _drawn(drawing, creatures.first_recipes(sampler, recipe))
    drawn |= await _drawn(drawing, creatures.next_recipes(sampler, drawn["front"]))

    def pack() -> bytes:
        return zipped(files_of(creatures.assemble(sampler, drawn)))

    headers = {
        "Content-Disposition": f'attachment; filename="{seeds[0]}.zip"',
        "X-Seed": str(seeds[0]),
    }
    content = await asyncio.to_thread(pack)
    return Response(content, media_type="application/zip", headers=headers)


async def _drawn(
    drawing: Drawing[CreatureBody], recipes: Mapping[str, Recipe]
) -> dict[str, Sample]:
    if not recipes:
        return {}
    samples = await drawing.samples(list(recipes.values()))
    return dict(zip(recipes, samples, strict=True))


@post(
    "/api/v1/evolution",
    summary="Draw a creature and its next stages, and all of them on one sheet",
    status_code=200,
    opt={"example": {"prompt": "a small blue water turtle", "seed": 7, "stages": 3}},
)
async def evolution(
    drawing: Provided[Drawing[EvolutionBody]],
) -> EvolutionAnswer:
    """Draw a creature and its next stages, each beside the one before."""
    sampler = drawing.service.require_ready().sampler
    try:
        sampler.check_relation("evolution")
    except PromptError as error:
        raise ApiError(400, "invalid_request", str(error), param="stages") from None
    line = await drawing.samples(drawing.recipes(count_up(drawing.body.seed, 1)))
    while len(line) < drawing.body.stages:
        line += await drawing.samples([next_stage(sampler, line[-1])])
    return await asyncio.to_thread(_line, drawing, line)


def _line(drawing: Drawing[EvolutionBody], line: list[Sample]) -> EvolutionAnswer:
    look = look_of(drawing.body)
    images = [data_url(encode(sample, look), look.format) for sample in line]
    sheet = line_png(line, scale=look.scale, upscale=look.upscale)
    return EvolutionAnswer(
        **msgspec.structs.asdict(parsed_answer(drawing.parsed)),
        image=images[0],
        images=images,
        seeds=[sample.seed for sample in line],
        stages=[sample.attributes.known() for sample in line],
        sheet=data_url(sheet, "png"),
        generation_time_ms=drawing.took_ms,
        model_version=drawing.model_version,
    )


CREATURE_ROUTES = [creature, evolution]
