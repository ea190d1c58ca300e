"""What a picture is drawn from, and a drawn picture as a file that holds its recipe.

Owns `Recipe` (all that decides a picture but the weights), its limits, and
`Sample` with the PNG and WebP it becomes. Knows no model and loads no JAX.
"""

import io
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pokejax.attributes import Attributes
from pokejax.images.png import encode_png, enlarge
from pokejax.prompts.parsed import ParsedPrompt

MAX_PROMPT_CHARS = 1000
MAX_NUM = 1024
SEED_LIMIT = 2**31
MAX_TEMPERATURE = 10
MAX_GUIDANCE = 10


class PromptError(ValueError):
    """A request that can't be drawn; the message names the value and the limits."""


@dataclass(frozen=True)
class Recipe:
    """All that decides one picture but the weights.

    Attributes:
      prompt: as it was given.
      attributes: that the prompt was read as, with the caller's overrides.
      seed: of the latent noise, from 0 to 2^31 - 1.
      temperature: scale of that noise, from 0 up; 0 draws the typical picture.
      guidance: how strongly prompt and attributes steer, as a multiple of what the
        model is tuned to: 0 as if nothing were known, more exaggerates.
      towards: another recipe, whose prompt, attributes and seed pull at this one.
      mix: how far towards it, from 0 (not at all) to 1 (all the way).
    """

    prompt: str
    attributes: Attributes
    seed: int
    temperature: float = 1.0
    guidance: float = 1.0
    towards: "Recipe | None" = None
    mix: float = 0.0

    def texts(self) -> dict[str, str]:
        """The text chunks of its PNG: all that is needed to draw it again."""
        texts = {
            "prompt": self.prompt,
            "seed": str(self.seed),
            "attributes": json.dumps(self.attributes.known()),
            "temperature": repr(self.temperature),
            "guidance": repr(self.guidance),
        }
        if self.towards:
            end = self.towards
            texts |= {
                "towards_prompt": end.prompt,
                "towards_seed": str(end.seed),
                "towards_attributes": json.dumps(end.attributes.known()),
                "mix": repr(self.mix),
            }
        return texts


@dataclass(frozen=True)
class Sample:
    """One drawn picture and all that is needed to draw it again.

    Attributes:
      image: `h w 3` uint8.
      recipe: that it was drawn from.
      model_id: of the weights.
      partial: it is a step on the way, which nothing draws again.
    """

    image: UInt8[np.ndarray, "h w 3"]
    recipe: Recipe
    model_id: str
    partial: bool = False

    @property
    def prompt(self) -> str:
        """As it was given."""
        return self.recipe.prompt

    @property
    def seed(self) -> int:
        """Of this very picture."""
        return self.recipe.seed

    @property
    def attributes(self) -> Attributes:
        """That the prompt was read as, with the caller's overrides."""
        return self.recipe.attributes

    def png(self, *, scale: int = 1) -> bytes:
        """The picture as PNG; its text chunks carry the recipe and the model.

        Those of a partial picture only say that it is one, and the prompt.

        Args:
          scale: pixels a side that each pixel becomes, 1 or more.
        """
        texts = {"prompt": self.prompt, "partial": "a step on the way to the picture"}
        if not self.partial:
            texts = self.recipe.texts() | {"model": self.model_id}
        return encode_png(enlarge(self.image, scale), texts)

    def webp(self, *, scale: int = 1) -> bytes:
        """The picture as lossless WebP, which can't hold text chunks."""
        buffer = io.BytesIO()
        image = Image.fromarray(enlarge(self.image, scale))
        # The quickest of all lossless settings, by a factor of ten.
        image.save(buffer, "WEBP", lossless=True, quality=0, method=0)
        return buffer.getvalue()


def recipes_for(
    parsed: ParsedPrompt,
    seeds: Iterable[int],
    *,
    temperature: float = 1.0,
    guidance: float = 1.0,
) -> list[Recipe]:
    """A recipe of the same parsed prompt for each seed."""
    return [
        Recipe(parsed.prompt, parsed.attributes, seed, temperature, guidance)
        for seed in seeds
    ]


def count_up(seed: int | None, num: int) -> list[int]:
    """`num` seeds counting up from `seed`, wrapping to 0; None draws the first."""
    first = secrets.randbelow(SEED_LIMIT) if seed is None else seed
    return [(first + i) % SEED_LIMIT for i in range(num)]


def check_request(
    prompt: str,
    *,
    num: int,
    seed: int | None,
    temperature: float,
    guidance: float = 1.0,
) -> None:
    """Refuse what can't be drawn, before anything heavy is loaded.

    Raises:
      PromptError: a value is out of range; the message says which.
    """
    if not prompt.strip():
        raise PromptError("the prompt is empty; describe a creature")
    if len(prompt) > MAX_PROMPT_CHARS:
        raise PromptError(
            f"the prompt has {len(prompt):,} characters; at most {MAX_PROMPT_CHARS}"
        )
    if not 1 <= num <= MAX_NUM:
        raise PromptError(f"num is {num}; expected 1 to {MAX_NUM}")
    if seed is not None and not 0 <= seed <= SEED_LIMIT - num:
        raise PromptError(f"seed is {seed}; expected 0 to {SEED_LIMIT - num:,}")
    if not 0 <= temperature <= MAX_TEMPERATURE:
        raise PromptError(
            f"temperature is {temperature}; expected 0 to {MAX_TEMPERATURE}"
        )
    if not 0 <= guidance <= MAX_GUIDANCE:
        raise PromptError(f"guidance is {guidance}; expected 0 to {MAX_GUIDANCE}")
