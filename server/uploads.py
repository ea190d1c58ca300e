"""Pictures that clients send -> what a recipe starts from.

Decoding the largest takes half a second and some hundred megabytes, so it is done by
threads that are no more than a few.
"""

import asyncio
import base64
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from pokejax.images.given import PictureError, read_mask, read_picture
from pokejax.images.training_index import Nearness, TrainingIndex
from pokejax.inference.recipe import Kin, PromptError, Start
from pokejax.inference.sampler import Sampler

from .errors import ApiError

_THREADS = 2
_COMPARED = 64  # pixels a side of pictures that are compared with others


class Upload(NamedTuple):
    """What a client sent.

    Attributes:
      field: of the request, for errors.
      content: a file, or its base64, maybe as a data URL.
    """

    field: str
    content: bytes | str


class Uploads:
    """The threads that decode pictures."""

    def __init__(self):
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="picture")

    async def start(
        self,
        sampler: Sampler,
        picture: Upload,
        mask: Upload | None,
        strength: float | None,
        **reading: bool,
    ) -> Start:
        """Decode a picture, and a mask if there is one.

        Args:
          sampler: that will draw.
          picture: to start from.
          mask: of what is drawn anew; None is all of it.
          strength: from 0 to 1; None takes what is usual.
          reading: how the mask is meant, see `pokejax.images.given.read_mask`.

        Raises:
          ApiError: 400, one of them can't be used, or the model takes none.
        """
        if not sampler.takes_pictures:
            told = "this model has no learned prior, so it can't start from a picture"
            raise _bad(picture.field, told)
        loop = asyncio.get_running_loop()
        size = sampler.image_size
        work = partial(_decode, size, picture, mask, strength, **reading)
        return await loop.run_in_executor(self._threads, work)

    async def kin(self, sampler: Sampler, picture: Upload, relation: str) -> Kin:
        """Decode a relative's picture.

        Args:
          sampler: that will draw.
          picture: of the relative.
          relation: what is drawn is to it.

        Raises:
          ApiError: 400, it can't be used, or the model hasn't learned the relation.
        """
        try:
            sampler.check_relation(relation)
        except PromptError as error:
            raise _bad("relation", str(error)) from None
        loop = asyncio.get_running_loop()
        work = partial(_decode, sampler.image_size, picture, None, None)
        start = await loop.run_in_executor(self._threads, work)
        return Kin(start.rgba, relation)

    async def nearness(self, index: TrainingIndex, picture: Upload) -> Nearness:
        """How near a picture is to the training pictures.

        Raises:
          ApiError: 400, it can't be used.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _nearness, index, picture)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()


def _decode(
    size: int,
    picture: Upload,
    mask: Upload | None,
    strength: float | None,
    **reading: bool,
) -> Start:
    field = picture.field
    try:
        pixels = read_picture(_file(picture), size)
        if mask is None:
            return Start.of(pixels, None, strength)
        field = mask.field
        anew = read_mask(_file(mask), size, **reading)
        return Start.of(pixels, anew, strength)
    except PictureError as error:
        raise _bad(field, f"{field}: {error}") from None


def _nearness(index: TrainingIndex, picture: Upload) -> Nearness:
    try:
        pixels = read_picture(_file(picture), _COMPARED)
    except PictureError as error:
        raise _bad(picture.field, f"{picture.field}: {error}") from None
    return index.nearness(pixels[..., :3])


def _file(upload: Upload) -> bytes:
    """The file itself.

    Raises:
      PictureError: it is text that isn't base64.
    """
    if isinstance(upload.content, bytes):
        return upload.content
    text = upload.content
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        raise PictureError("not base64, nor a data URL in base64") from None


def _bad(field: str, message: str) -> ApiError:
    return ApiError(400, "invalid_request", message, param=field)
