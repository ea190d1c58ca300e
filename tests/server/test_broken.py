"""A model that draws no pictures: the service says so instead of sending black ones."""

import asyncio
from pathlib import Path

from server.errors import ApiError
from server.service import Service
from server.settings import Settings
from tests.helpers.bundles import write_wild


def test_a_model_whose_pixels_are_not_numbers_breaks_the_service(
    model: Path, tmp_path: Path
):
    write_wild(model, tmp_path / "wild.safetensors")

    async def start_and_ask() -> str:
        service = Service(Settings(model=tmp_path / "wild.safetensors"))
        await service.start()
        try:
            async with asyncio.timeout(120):
                while True:
                    try:
                        service.require_ready()
                    except ApiError as error:
                        if error.code != "starting":
                            return error.code
                    await asyncio.sleep(0.05)
        finally:
            await service.stop()

    assert asyncio.run(start_and_ask()) == "broken"
