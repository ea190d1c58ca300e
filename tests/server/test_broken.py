"""A model that draws no pictures: the service says so instead of sending black ones."""

import asyncio
import dataclasses
import time
from pathlib import Path

import pytest
from flax import nnx

from pokejax.attributes import Attributes
from pokejax.inference import bundle
from pokejax.inference.recipe import Recipe
from server.batcher import Caller
from server.errors import ApiError
from server.files import Look
from server.service import Service
from server.settings import Settings
from tests.helpers.bundles import write_wild


@pytest.fixture
def wild(model: Path, tmp_path: Path) -> Path:
    """A model whose pixels are not numbers."""
    write_wild(model, tmp_path / "wild.safetensors")
    return tmp_path / "wild.safetensors"


async def leave(service: Service, state: str) -> None:
    async with asyncio.timeout(120):
        while service.state == state:
            await asyncio.sleep(0.01)


async def draw(service: Service, recipe: Recipe) -> bytes | str:
    """A picture, or the error's code."""
    caller = Caller("somebody", time.monotonic() + 60)
    try:
        (ticket,) = service.order([recipe], caller=caller, look=Look())
        return await ticket.done
    except ApiError as error:
        return error.code


def test_a_model_whose_pixels_are_not_numbers_breaks_the_service(wild: Path):
    async def start_and_ask() -> bytes | str:
        service = Service(Settings(model=wild))
        await service.start()
        try:
            await leave(service, "starting")
            return await draw(service, Recipe("a fish", Attributes(), 1))
        finally:
            await service.stop()

    assert asyncio.run(start_and_ask()) == "broken"


def test_a_model_that_breaks_later_is_told_from_a_picture_that_fails(
    model: Path, wild: Path
):
    async def start_and_break() -> None:
        service = Service(Settings(model=model))
        await service.start()
        try:
            await leave(service, "starting")
            fish = Recipe("a fish", Attributes(), 1)
            # No request may ask for that.
            hopeless = dataclasses.replace(fish, temperature=float("nan"))
            assert await draw(service, hopeless) == "internal"
            assert isinstance(await draw(service, fish), bytes)
            assert service.state == "ready"
            # As if the memory of the device had gone bad.
            programs = service.require_ready().sampler._programs
            programs._params = nnx.state(bundle.read(wild).model)
            assert await draw(service, fish) == "internal"
            await leave(service, "ready")
            assert service.state == "broken"
            assert await draw(service, fish) == "broken"
        finally:
            await service.stop()

    asyncio.run(start_and_break())
