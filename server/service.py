"""Between the routes and the batcher: parsing prompts, ordering pictures.

Owns the state of the process (starting, ready, broken, draining) and knows no HTTP but
the errors it raises.
"""

import asyncio
import dataclasses
import functools
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import msgspec

from pokejax.attributes import RELATIONS, Attributes
from pokejax.images.training_index import TrainingIndex
from pokejax.images.training_index import read as read_index
from pokejax.inference.recipe import Recipe, Sample
from pokejax.inference.sampler import Sampler
from pokejax.inference.slides import idle, without_words
from pokejax.prompts.parse import parse_prompt
from pokejax.prompts.parsed import ParsedPrompt

from . import files
from .batcher import Batcher, Caller, Ticket
from .errors import ApiError, busy
from .files import Look
from .limits import OpenStreams
from .metrics import Metrics
from .reader import LlmReader
from .schemas import MAX_FRAMES
from .settings import Settings
from .tracing import Traces
from .uploads import Uploads

LOG = logging.getLogger("pokejax.server")
_CACHED_PROMPTS = 4096

State = Literal["starting", "ready", "broken", "draining"]


class Service:
    """One process's model, queue and counters."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.metrics = Metrics()
        self.traces = Traces()
        self.state: State = "starting"
        self.born = time.monotonic()
        self.born_at = int(time.time())
        self.batcher: Batcher | None = None
        # Run once everything is compiled, before the service calls itself ready.
        self.rehearse: Callable[[], Awaitable[None]] | None = None
        self._compiled = False
        self._parsed: OrderedDict[str, ParsedPrompt] = OrderedDict()
        self._text_thread = ThreadPoolExecutor(1, thread_name_prefix="text")
        self._reader = LlmReader()
        self.uploads = Uploads()
        self.training_index: TrainingIndex | None = None
        self.streams = OpenStreams(settings.client_streams, self.metrics.streams)

    async def start(self) -> None:
        """Load the model, then compile it in the background.

          Raises:
            BundleError: the model can't be used.
        IndexFileError: the index of training pictures can't be used.
            FileNotFoundError: the text encoder's weights are missing.
        """
        settings = self.settings
        if settings.training_index:
            index = await asyncio.to_thread(read_index, settings.training_index)
            self.training_index = index
        sampler = await asyncio.to_thread(
            Sampler.load, settings.model, tile_rows=settings.tile_rows or None
        )
        self.batcher = Batcher(
            sampler,
            self.metrics,
            max_batch=settings.max_batch,
            max_queue=settings.max_queue,
            # Room for others, but no less than the largest request needs.
            max_share=max(settings.max_queue // 2, MAX_FRAMES),
            max_wait_s=settings.max_wait_ms / 1000,
        )
        self.batcher.start(self._on_compiled, self._on_broken)

    def _on_compiled(self, failure: Exception | None) -> None:
        if failure is not None:
            self._on_broken(failure)
            return
        self._compiled = True
        self._opening = asyncio.create_task(self._open())

    def _on_broken(self, failure: Exception) -> None:
        LOG.error("the model can't draw", exc_info=failure)
        if self.state in ("starting", "ready"):
            self.state = "broken"
            self.metrics.ready.set(0)

    async def _open(self) -> None:
        if self.rehearse:
            await self.rehearse()
        if self.state == "starting":
            self.metrics.mark_ready()
            self.state = "ready"

    async def stop(self) -> None:
        """End all threads; requests still waiting fail with 503."""
        self.state = "draining"
        self.metrics.ready.set(0)
        if self.batcher:
            await asyncio.to_thread(self.batcher.close)
        self._text_thread.shutdown()
        self.uploads.close()
        await asyncio.to_thread(self.traces.close)

    @property
    def model_version(self) -> str | None:
        """The model's id; None before it's loaded."""
        return self.batcher.sampler.model_id if self.batcher else None

    @property
    def relations(self) -> list[str]:
        """What the model draws beside a relative's picture, once it is loaded."""
        known = self.batcher.sampler.relations if self.batcher else ()
        return [name for name in RELATIONS if name in known]

    def require_ready(self) -> Batcher:
        """The batcher, if requests are taken now.

        Raises:
          ApiError: 503, not yet.
        """
        # Also while draining: the gate lets nothing new in; what is in may finish.
        if self.state == "broken":
            raise ApiError(503, "broken", "the model can't draw; the log says why")
        if not self._compiled or self.batcher is None:
            raise busy("the model is still being compiled", "starting", 2)
        return self.batcher

    def colors_of(self, body: Any) -> int:
        """Of the palette that a request's pictures are finished in; 0 for none.

        Raises:
          ApiError: 503, the model isn't ready.
        """
        usual = self.require_ready().sampler.usual_colors
        pixel = usual > 0 if body.finish is None else body.finish == "pixel"
        # A shiny is another palette, so it has one.
        return body.colors if pixel or getattr(body, "shiny", False) else 0

    async def parse(
        self,
        prompt: str,
        overrides: Attributes,
        *,
        deadline: float,
        use_llm: bool = False,
        negative: str = "",
        slides: Mapping[str, float] | None = None,
    ) -> ParsedPrompt:
        """Parse a prompt and embed it, both off the event loop unless cached.

        Args:
          prompt: of the request.
          overrides: attributes that the request sets.
          deadline: of the request; a language model gets the time until then at most.
          use_llm: let a language model read the prompt.
          negative: what the request keeps away from; read and embedded, too.
          slides: how much of some attributes; the prompt is embedded without their
            words, too.
        """
        batcher = self.require_ready()
        parsed = self._parsed.get(prompt)
        loop = asyncio.get_running_loop()
        if parsed is None:
            self.metrics.prompts.labels("read").inc()
            parsed = await loop.run_in_executor(
                self._text_thread, _parse_and_embed, prompt, batcher.sampler
            )
            self._parsed[prompt] = parsed
            if len(self._parsed) > _CACHED_PROMPTS:
                self._parsed.popitem(last=False)
        else:
            self.metrics.prompts.labels("cached").inc()
            self._parsed.move_to_end(prompt)
        if use_llm:
            left = deadline - time.monotonic()
            seconds = min(left, self.settings.llm_timeout_s)
            parsed = await self._reader.read(parsed, seconds)
        told = [parsed.warning] if parsed.warning else []
        parsed = parsed.override(overrides)
        if negative:
            avoid = batcher.sampler.avoid
            await loop.run_in_executor(self._text_thread, avoid, negative)
        if slides:
            await loop.run_in_executor(
                self._text_thread, _embed_parts, prompt, list(slides), batcher.sampler
            )
            for name in idle(slides, parsed.attributes.known()):
                told.append(f"slides.{name} changes nothing: the prompt doesn't say it")
        if not batcher.sampler.takes_pictures:
            why = "nothing: the model has no learned prior"
            told += [f"negative_prompt changes {why}"] if negative else []
            told += [f"slides change {why}"] if slides else []
        return dataclasses.replace(parsed, warning="; ".join(told))

    def order(
        self,
        recipes: Sequence[Recipe],
        *,
        caller: Caller,
        look: Look | None,
        previews: Sequence[Callable[[bytes], None] | None] | None = None,
    ) -> list[Ticket]:
        """Queue a picture of each recipe for `caller`; the future gets the file.

        Without a look it gets the `Sample`.

        Raises:
          ApiError: 429, the queue is full; 503, not ready.
        """
        batcher = self.require_ready()
        loop = asyncio.get_running_loop()
        encode = functools.partial(files.encode, look=look) if look else _as_drawn
        slow = look is not None and look.is_slow(batcher.sampler.image_size)
        previews = previews or [None] * len(recipes)
        tickets = [
            Ticket(recipe, encode, caller, loop.create_future(), preview, slow)
            for recipe, preview in zip(recipes, previews, strict=True)
        ]
        batcher.submit(caller, tickets)
        return tickets

    def drop(self, tickets: Sequence[Ticket]) -> None:
        """Withdraw tickets that nobody is waiting for."""
        if self.batcher:
            self.batcher.drop(tickets)


def _as_drawn(sample: Sample) -> Sample:
    return sample


def _parse_and_embed(prompt: str, sampler: Sampler) -> ParsedPrompt:
    sampler.embed(prompt)
    return parse_prompt(prompt)


def _embed_parts(prompt: str, names: Sequence[str], sampler: Sampler) -> None:
    """Embed a prompt without the words of each attribute, for the device's thread."""
    for name in names:
        sampler.embed(without_words(prompt, name)[1])


def slides_in(given: msgspec.Struct | None) -> dict[str, float]:
    """The sliders of a request's `slides`."""
    named = {} if given is None else msgspec.structs.asdict(given)
    return {name: value for name, value in named.items() if value is not None}


def overrides_of(given: msgspec.Struct | None) -> Attributes:
    """The record of a request's `attributes`."""
    return (
        Attributes() if given is None else Attributes(**msgspec.structs.asdict(given))
    )
