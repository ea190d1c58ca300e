"""Many pictures in one answer: a ZIP that is written while they are drawn, or a sheet.

A batch orders a few tiles at a time, so that it waits in turn with everybody else, and
it keeps none of its pictures: seeds make the same archive again, to the byte.
"""

import asyncio
import contextlib
import io
import itertools
import logging
import re
import secrets
import time
import zipfile
import zlib
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image

from pokejax.files import whole_file
from pokejax.images.sheets import contact_sheet
from pokejax.inference.recipe import Recipe, count_up, recipes_for

from .batcher import Caller, Ticket
from .errors import ApiError
from .files import look_of
from .jobs import unknown_job
from .schemas import MAX_BATCH, BatchBody, BatchPicture
from .service import Service, overrides_of, slides_in

LOG = logging.getLogger("pokejax.server")
AHEAD = 32  # pictures ordered before they can be written
_AGAIN_S = 0.2  # before a full queue is asked for room again
_KEPT_JOBS = 256
_MOST_PIXELS = 2**25  # of a sheet
_MOST_COLUMNS = 32
# One at a time: the largest take some hundred megabytes.
_SHEETS = ThreadPoolExecutor(1, thread_name_prefix="sheet")


class Batches:
    """The latest batches, so that a broken download can go on."""

    def __init__(self, folder: Path | None = None):
        """Note them in memory, and for others in files of `folder`, if there is one."""
        self._folder = folder
        self._bodies: OrderedDict[str, BatchBody] = OrderedDict()

    def keep(self, body: BatchBody, model: str) -> str:
        """Note a batch that a model draws; returns its id."""
        job = secrets.token_hex(8)
        self._bodies[job] = body
        if len(self._bodies) > _KEPT_JOBS:
            self._bodies.popitem(last=False)
        if self._folder:
            try:
                _share(self._folder / model, job, body)
            except OSError as error:  # it can still be drawn
                LOG.warning("a batch can't be noted: %s", error)
        return job

    def get(self, job: str, model: str) -> BatchBody:
        """A batch by its id.

        Raises:
          ApiError: 404, it is unknown here, another model's, or no longer known.
        """
        if body := self._bodies.get(job):
            return body
        if self._folder and re.fullmatch("[0-9a-f]{16}", job):
            with contextlib.suppress(OSError):
                packed = (self._folder / model / job).read_bytes()
                return msgspec.msgpack.decode(zlib.decompress(packed), type=BatchBody)
        raise unknown_job(job)


def _share(folder: Path, job: str, body: BatchBody) -> None:
    """Write a batch to a file, and remove the oldest if there are too many."""
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / job) as partial:
        partial.write_bytes(zlib.compress(msgspec.msgpack.encode(body)))
    files = sorted(folder.glob("[0-9a-f]*"), key=lambda path: path.stat().st_mtime)
    for path in files[:-_KEPT_JOBS]:
        path.unlink(missing_ok=True)


def pictures_of(body: BatchBody) -> list[BatchPicture]:
    """What a batch consists of, each with its seed: its list, or all of its matrix.

    Raises:
      ApiError: 400, it is neither, or too much.
    """
    if (body.prompts is None) == (body.pictures is None):
        raise _bad("give either prompts or pictures", "prompts")
    if body.pictures is not None:
        if any(own is not None for own in (body.seeds, body.attributes, body.slides)):
            raise _bad(
                "pictures have their own seeds, attributes and slides", "pictures"
            )
        pictures = body.pictures
    else:
        prompts, seeds = body.prompts or [], body.seeds or [None]
        attributes, slides = body.attributes or [None], body.slides or [None]
        count = len(prompts) * len(attributes) * len(slides) * len(seeds)
        if count > MAX_BATCH:
            raise _bad(f"that makes {count} pictures; at most {MAX_BATCH}", "prompts")
        pictures = [
            BatchPicture(prompt=prompt, attributes=own, slides=slid, seed=seed)
            for prompt, own, slid, seed in itertools.product(
                prompts, attributes, slides, seeds
            )
        ]
    (drawn,) = count_up(None, 1)  # the same for all that have none, to be compared
    return [
        picture
        if picture.seed is not None
        else msgspec.structs.replace(picture, seed=drawn)
        for picture in pictures
    ]


def _bad(message: str, param: str) -> ApiError:
    return ApiError(400, "invalid_request", message, param=param)


async def as_zip(
    service: Service, caller: Caller, body: BatchBody, offset: int
) -> AsyncIterator[bytes]:
    """The archive from byte `offset` on, a picture at a time, its list at the end."""
    sink = _Sink()
    listed: list[dict[str, object]] = []
    with service.streams.open(caller.client):
        with zipfile.ZipFile(sink, "w") as archive:  # type: ignore[arg-type]
            async for recipe, warning, file in _drawn(service, caller, body):
                name = f"{len(listed):04}_{recipe.seed}.{body.format}"
                known = recipe.attributes.known()
                entry = {"file": name, "prompt": recipe.prompt, "seed": recipe.seed}
                more = {
                    "slides": dict(recipe.slides),
                    "negative_prompt": recipe.negative,
                    "warning": warning,
                }
                said = {field: what for field, what in more.items() if what}
                listed.append({**entry, "attributes": known, **said})
                # An entry's own date is 1980, so the archive is always the same.
                archive.writestr(zipfile.ZipInfo(name), file)
                if part := sink.take(offset):
                    yield part
            manifest = {"model_version": service.model_version, "pictures": listed}
            archive.writestr(
                zipfile.ZipInfo("manifest.json"), msgspec.json.encode(manifest)
            )
        if part := sink.take(offset):
            yield part


class _Sink:
    """A file to write to whose content is taken away piece by piece."""

    def __init__(self):
        self._parts: list[bytes] = []
        self._taken = 0

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        pass

    def take(self, offset: int) -> bytes:
        """What was written since the last call, without what lies before `offset`."""
        data = b"".join(self._parts)
        self._parts.clear()
        start, self._taken = self._taken, self._taken + len(data)
        return data[max(0, offset - start) :]


def check_sheet(service: Service, body: BatchBody) -> None:
    """Refuse a sheet that is too large to be made in memory.

    Raises:
      ApiError: 400, it is.
    """
    side = service.require_ready().sampler.image_size * body.scale
    pixels = len(body.pictures or ()) * side**2
    if pixels > _MOST_PIXELS:
        raise _bad(
            f"the sheet would have {pixels:,} pixels; at most {_MOST_PIXELS:,}:"
            " lower scale, or use answer=zip",
            "scale",
        )


async def as_sheet(service: Service, caller: Caller, body: BatchBody) -> bytes:
    """One PNG: a caption for each prompt, and its pictures below it."""
    rows: list[list[bytes]] = []
    captions: list[str] = []
    with service.streams.open(caller.client):
        # Files, which take a tenth of their pixels' memory, until all are there.
        async for recipe, _, file in _drawn(service, caller, body):
            new = not rows or captions[-1] != recipe.prompt
            if new or len(rows[-1]) == _MOST_COLUMNS:
                rows.append([])
                captions.append(recipe.prompt)
            rows[-1].append(file)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(_SHEETS, _sheet_png, rows, captions)


def _sheet_png(files: Sequence[Sequence[bytes]], captions: Sequence[str]) -> bytes:
    rows = [
        [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in row]
        for row in files
    ]
    buffer = io.BytesIO()
    contact_sheet(rows, captions, scale=1).save(buffer, "PNG")
    return buffer.getvalue()


async def _drawn(
    service: Service, caller: Caller, body: BatchBody
) -> AsyncIterator[tuple[Recipe, str, bytes]]:
    """Each picture's recipe, warning and file, in order, a few ordered ahead."""
    waiting: deque[tuple[Recipe, str, Ticket]] = deque()
    pictures = iter(body.pictures or ())
    try:
        while True:
            if len(waiting) <= AHEAD // 2:
                read = [
                    await _recipe(service, caller, body, picture)
                    for picture in itertools.islice(pictures, AHEAD - len(waiting))
                ]
                recipes = [recipe for recipe, _ in read]
                tickets = await _order(service, caller, body, recipes)
                waiting += [
                    (*pair, ticket) for pair, ticket in zip(read, tickets, strict=True)
                ]
            if not waiting:
                return
            recipe, warning, ticket = waiting[0]
            file = await asyncio.shield(ticket.done)
            waiting.popleft()
            yield recipe, warning, file
    finally:
        service.drop([ticket for *_, ticket in waiting])


async def _recipe(
    service: Service, caller: Caller, body: BatchBody, picture: BatchPicture
) -> tuple[Recipe, str]:
    """A picture's recipe, and what its client is warned of."""
    slides = slides_in(picture.slides)
    own, common = picture.negative_prompt, body.negative_prompt
    negative = (common if own is None else own).strip()
    parsed = await service.parse(
        picture.prompt,
        overrides_of(picture.attributes),
        deadline=caller.deadline,
        slides=slides,
        negative=negative,
    )
    assert picture.seed is not None
    (recipe,) = recipes_for(
        parsed,
        [picture.seed],
        temperature=body.temperature,
        guidance=body.guidance,
        colors=service.colors_of(body),
        shiny=body.shiny,
        slides=slides,
        negative=negative,
    )
    return recipe, parsed.warning


async def _order(
    service: Service, caller: Caller, body: BatchBody, recipes: list[Recipe]
) -> list[Ticket]:
    """Order some pictures, as soon as there is room for them."""
    look = look_of(body)
    while recipes:
        # The limit is of each picture's wait, not of the whole batch.
        deadline = time.monotonic() + service.settings.deadline_s
        caller = caller._replace(deadline=deadline)
        try:
            return service.order(recipes, caller=caller, look=look)
        except ApiError as error:
            if error.code != "queue_full":
                raise
            await asyncio.sleep(_AGAIN_S)
    return []
