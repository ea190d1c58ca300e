"""What a picture is drawn from, and a drawn picture as a file that holds its recipe.

Owns `Recipe` (all that decides a picture but the weights), its limits, and
`Sample` with the PNG and WebP it becomes. Knows no model and loads no JAX.
"""

import base64
import json
import math
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, UInt8

from pokejax.attributes import (
    RELATIONS,
    VIEWS,
    VOCABULARIES,
    Attributes,
    nearest_hint,
)
from pokejax.images.finish import USUAL_COLORS, PixelArt, cut_out, pixel_art, redrawn
from pokejax.images.png import encode_indexed_png, encode_png, encode_small_png
from pokejax.images.shiny import shiny
from pokejax.images.upscale import Upscale, enlarge, swell
from pokejax.prompts.parsed import ParsedPrompt

MAX_PROMPT_CHARS = 1000
MAX_NUM = 1024
SEED_LIMIT = 2**31
MAX_TEMPERATURE = 10
MAX_GUIDANCE = 10
MAX_BEST_OF = 16
# How much of an attribute: 0 as if it were unknown, 1 as it is, below 0 away from it.
MIN_SLIDE, MAX_SLIDE = -1, 3
# What is drawn beside a picture comes out as large as it is. Next stages are larger, so
# the model is shown a picture so many times as high and wide.
GROWTH = 1.2
USUAL_STRENGTH = 0.6  # of a start without a mask; with one it is 1


class PromptError(ValueError):
    """A request that can't be drawn; the message names the value and the limits."""


@dataclass(frozen=True)
class Start:
    """A picture to start from.

    Attributes:
      rgba: its pixels as `pokejax.images.given.read_picture` gives them, row by row.
      strength: how far away from it, from 0 to 1: 0 leaves it as the model rebuilds
        it, 1 starts from noise alone.
      mask: a byte for each pixel, 1 where it is drawn anew; the others stay as they
        are. None draws all.
    """

    rgba: bytes
    strength: float
    mask: bytes | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise PromptError(f"strength is {self.strength}; expected 0 to 1")

    @classmethod
    def of(
        cls,
        picture: UInt8[np.ndarray, "h w 4"],
        mask: Bool[np.ndarray, "h w"] | None = None,
        strength: float | None = None,
    ) -> "Start":
        """What `pokejax.images.given` read, with the usual strength if none is given.

        Raises:
          PromptError: the strength is out of range.
        """
        if strength is None:
            strength = USUAL_STRENGTH if mask is None else 1.0
        bits = None if mask is None else mask.tobytes()
        return cls(picture.tobytes(), strength, bits)

    @property
    def image(self) -> UInt8[np.ndarray, "h w 4"]:
        """RGB on white, and alpha."""
        return _square_of(self.rgba)

    @property
    def anew(self) -> Bool[np.ndarray, "h w"]:
        """The pixels that are drawn anew."""
        image = self.image
        if self.mask is None:
            return np.ones(image.shape[:2], bool)
        return np.frombuffer(self.mask, np.uint8).reshape(image.shape[:2]) > 0

    def texts(self) -> dict[str, str]:
        """The text chunks of a PNG: picture and mask as PNGs in base64."""
        image = self.image
        texts = {
            "init": _base64(encode_small_png(cut_out(image[..., :3], image[..., 3]))),
            "strength": repr(self.strength),
        }
        if self.mask is not None:
            gray = self.anew.astype(np.uint8)[..., None] * 255
            texts["mask"] = _base64(encode_png(gray.repeat(3, axis=2), {}))
        return texts


@dataclass(frozen=True)
class Kin:
    """The picture of a relative, beside which one is drawn.

    Attributes:
      rgba: its pixels as `pokejax.images.given.read_picture` gives them, row by row.
      relation: what the drawn one is to it, of `RELATIONS`: its `"front"`, say.
    """

    rgba: bytes
    relation: str

    def __post_init__(self) -> None:
        if self.relation not in RELATIONS:
            raise PromptError(
                f"relation is {self.relation!r}; expected one of"
                f" {', '.join(RELATIONS)}{nearest_hint(self.relation, RELATIONS)}"
            )

    @property
    def image(self) -> UInt8[np.ndarray, "h w 4"]:
        """RGB on white, and alpha."""
        return _square_of(self.rgba)

    @property
    def shown(self) -> UInt8[np.ndarray, "h w 4"]:
        """As a model is shown it: what it evolves into is larger."""
        return self.image if self.is_same else swell(self.image, GROWTH)

    @property
    def is_same(self) -> bool:
        """Whether it is the same creature, and so has the same colours."""
        return self.relation != "evolution"

    @property
    def attributes(self) -> Attributes:
        """What it says of the picture that is drawn: the view, if that is another."""
        return Attributes(view=self.relation if self.relation in VIEWS else None)

    def texts(self) -> dict[str, str]:
        """The text chunks of a PNG: picture as a PNG in base64, and relation."""
        image = self.image
        picture = _base64(encode_small_png(cut_out(image[..., :3], image[..., 3])))
        return {"relative": picture, "relation": self.relation}


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
      colors: of the palette that the picture is finished in, see
        `pokejax.images.finish`; 0 leaves it as it was drawn.
      start: a picture to start from, in place of noise alone.
      negative: a prompt to keep away from: guidance leads away from it, and not from
        the open condition. Empty is none; without a learned prior it changes nothing.
      slides: how much of some attributes, as `slides_of` gives them. Those that neither
        recipe nor `towards` knows change nothing; without a learned prior none does.
      kin: the picture of a relative to be drawn beside, by a model that learned it.
      shiny: the finished picture gets another palette, see `pokejax.images.shiny`.
    """

    prompt: str
    attributes: Attributes
    seed: int
    temperature: float = 1.0
    guidance: float = 1.0
    towards: "Recipe | None" = None
    mix: float = 0.0
    colors: int = 0
    start: Start | None = None
    negative: str = ""
    slides: tuple[tuple[str, float], ...] = ()
    kin: Kin | None = None
    shiny: bool = False

    @property
    def plain(self) -> bool:
        """Whether prompt and attributes alone lead, as strongly as they usually do."""
        led = self.start or self.kin or self.negative or self.active_slides
        return self.guidance == 1 and not led

    @property
    def nearer(self) -> "Recipe":
        """Itself, or what it lies towards, if that is nearer."""
        return self.towards if self.towards and self.mix > 0.5 else self

    @property
    def active_slides(self) -> dict[str, float]:
        """The slides of what it, or the one that it lies towards, knows."""
        known = self.attributes.known().keys()
        if self.towards:
            known |= self.towards.attributes.known().keys()
        return {name: value for name, value in self.slides if name in known}

    def texts(self) -> dict[str, str]:
        """The text chunks of its PNG: all that is needed to draw it again."""
        texts = {
            "prompt": self.prompt,
            "seed": str(self.seed),
            "attributes": json.dumps(self.attributes.known()),
            "temperature": repr(self.temperature),
            "guidance": repr(self.guidance),
        }
        if self.negative:
            texts["negative"] = self.negative
        if self.slides:
            texts["slides"] = json.dumps(dict(self.slides))
        if self.colors:
            texts |= {"finish": "pixel", "colors": str(self.colors)}
        if self.shiny:
            texts["shiny"] = "true"
        if self.start:
            texts |= self.start.texts()
        if self.kin:
            texts |= self.kin.texts()
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
      art: the picture in its palette, if it was finished in one.
      alpha: of the model that drew it, if it draws one.
    """

    image: UInt8[np.ndarray, "h w 3"]
    recipe: Recipe
    model_id: str
    partial: bool = False
    art: PixelArt | None = None
    alpha: UInt8[np.ndarray, "h w"] | None = None

    def finished(self, colors: int = USUAL_COLORS) -> "Sample":
        """The same picture as pixel art: cut out, in a palette of `colors` at most.

        Beside the same creature's picture it takes that one's palette.

        Raises:
          ValueError: `colors` isn't from 2 to 255.
        """
        recipe = replace(self.recipe, colors=colors)
        start, kin = recipe.start, recipe.kin
        given, anew = None, np.ones(self.image.shape[:2], bool)
        if start and start.mask is not None:
            given, anew = start.image, start.anew
        elif kin and kin.is_same:
            given = kin.image
        if given is not None:
            before = pixel_art(given[..., :3], given[..., 3], colors=colors)
            art = redrawn(before, self.image, self.alpha, anew, colors=colors)
        else:
            art = pixel_art(self.image, self.alpha, colors=colors)
        if recipe.shiny:
            art = shiny(art, recipe.seed)
        return replace(self, image=art.rgb(), recipe=recipe, art=art)

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

    @property
    def rgba(self) -> UInt8[np.ndarray, "h w 4"]:
        """The picture without its white background."""
        if self.art is None:
            return cut_out(self.image, self.alpha)
        opaque = (self.art.indices > 0).astype(np.uint8) * 255
        return np.concatenate([self.image, opaque[..., None]], axis=-1)

    @property
    def texts(self) -> dict[str, str]:
        """The text chunks of its file: the recipe and the model.

        Those of a partial picture only say that it is one, and the prompt.
        """
        if self.partial:
            told = "a step on the way to the picture"
            return {"prompt": self.prompt, "partial": told}
        return self.recipe.texts() | {"model": self.model_id}

    def png(self, *, scale: int = 1, upscale: Upscale = "nearest") -> bytes:
        """The picture as PNG; its text chunks carry the recipe and the model.

        A finished picture is stored in its palette, transparent around the creature.

        Args:
          scale: pixels a side that each pixel becomes, 1 or more.
          upscale: how, see `pokejax.images.upscale`.
        """
        if self.art:
            indices = enlarge(self.art.indices[..., None], scale, upscale)[..., 0]
            return encode_indexed_png(indices, self.art.palette, self.texts)
        return encode_png(enlarge(self.image, scale, upscale), self.texts)


def _square_of(rgba: bytes) -> UInt8[np.ndarray, "h w 4"]:
    side = math.isqrt(len(rgba) // 4)
    return np.frombuffer(rgba, np.uint8).reshape(side, side, 4)


def _base64(file: bytes) -> str:
    return base64.b64encode(file).decode()


def recipes_for(
    parsed: ParsedPrompt,
    seeds: Iterable[int],
    *,
    temperature: float = 1.0,
    guidance: float = 1.0,
    colors: int = 0,
    start: Start | None = None,
    negative: str = "",
    slides: Mapping[str, float] | None = None,
    kin: Kin | None = None,
    shiny: bool = False,
) -> list[Recipe]:
    """A recipe of the same parsed prompt for each seed.

    Of a relative's back, for one, the view isn't what the prompt says.

    Raises:
      PromptError: a slide has no such name, or is out of range.
    """
    attributes = parsed.attributes
    return [
        Recipe(
            parsed.prompt,
            attributes.override(kin.attributes) if kin else attributes,
            seed,
            temperature,
            guidance,
            colors=colors,
            start=start,
            negative=negative.strip(),
            slides=slides_of(slides or {}),
            kin=kin,
            shiny=shiny,
        )
        for seed in seeds
    ]


def between(start: Recipe, end: Recipe, mix: float) -> Recipe:
    """The recipe `mix` of the way, from 0 to 1; at 0 it is `start` itself."""
    return replace(start, towards=end, mix=mix) if mix else start


def slides_of(values: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    """How much of some attributes, in the form in which a recipe holds it.

    Args:
      values: by the name of an attribute of creatures, from -1 to 3. 1 is as it is and
        so left out, 0 as if the attribute were unknown, 2 twice as much, -1 as far away
        from it as 1 is towards it.

    Raises:
      PromptError: an unknown name, with the nearest valid one, or a value out of range.
    """
    for name, value in values.items():
        if name not in VOCABULARIES:
            raise PromptError(
                f"there is no slide {name!r}; expected one of"
                f" {', '.join(VOCABULARIES)}{nearest_hint(name, VOCABULARIES)}"
            )
        if not MIN_SLIDE <= value <= MAX_SLIDE:
            raise PromptError(
                f"slide {name} is {value}; expected {MIN_SLIDE} to {MAX_SLIDE}"
            )
    return tuple((n, float(values[n])) for n in VOCABULARIES if values.get(n, 1) != 1)


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
    negative: str = "",
    best_of: int = 1,
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
    if len(negative) > MAX_PROMPT_CHARS:
        raise PromptError(
            f"the negative prompt has {len(negative):,} characters; at most"
            f" {MAX_PROMPT_CHARS}"
        )
    if not 1 <= best_of <= MAX_BEST_OF:
        raise PromptError(f"best_of is {best_of}; expected 1 to {MAX_BEST_OF}")
    if not 1 <= num <= MAX_NUM // best_of:
        raise PromptError(f"num is {num}; expected 1 to {MAX_NUM // best_of}")
    last = SEED_LIMIT - num * best_of
    if seed is not None and not 0 <= seed <= last:
        raise PromptError(f"seed is {seed}; expected 0 to {last:,}")
    if not 0 <= temperature <= MAX_TEMPERATURE:
        raise PromptError(
            f"temperature is {temperature}; expected 0 to {MAX_TEMPERATURE}"
        )
    if not 0 <= guidance <= MAX_GUIDANCE:
        raise PromptError(f"guidance is {guidance}; expected 0 to {MAX_GUIDANCE}")
