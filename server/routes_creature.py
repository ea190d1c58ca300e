"""`/api/v1/creature`: one creature as a ZIP of all the files that a game takes."""

import asyncio
from collections.abc import Mapping

from litestar import Response, post

from pokejax.creatures import creature as creatures
from pokejax.creatures.pack import files_of, zipped
from pokejax.inference.recipe import Recipe, Sample, count_up, recipes_for

from .drawing import Drawing, Provided
from .schemas import CreatureBody


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


CREATURE_ROUTES = [creature]
