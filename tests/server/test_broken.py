"""A model that draws no pictures: the service says so instead of sending black ones."""

import asyncio
from pathlib import Path

import pytest

from server.errors import ApiError
from server.service import Service
from server.settings import Settings
from tests.helpers.bundles import write_wild


def test_a_model_whose_pixels_are_not_numbers_breaks_the_service(
    model: Path, tmp_path: Path
):
    write_wild(model, tmp_path / "wild.safetensors")

    async def start_and_ask() -> None:
        service = Service(Settings(model=tmp_path / "wild.safetensors"))
        await service.start()
        try:
            async with asyncio.timeout(120):
                while service.state == "starting":
                    await asyncio.sleep(0.05)
            assert service.state == "broken"
            with pytest.raises(ApiError) as refused:
                service.require_ready()
            assert (refused.value.status, refused.value.code) == (503, "broken")
        finally:
            await service.stop()

    asyncio.run(start_and_ask())
