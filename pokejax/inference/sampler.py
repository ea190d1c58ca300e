"""Prompts to pictures: load a model once, then draw.

The same weights, recipe and kind of device give the same bytes, whatever else is drawn
beside it. Each compiled program rounds floats its own way, and XLA compiles another one
for every batch size, so there is only one batch size, the tile: what is drawn is cut
into tiles, the last one padded. Within a tile, no row affects another.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, UInt8

from pokejax.attributes import (
    CONDITIONS,
    NONE,
    RELATIONS,
    UNKNOWN_ID,
    Attributes,
)
from pokejax.commands import call_of
from pokejax.images.finish import USUAL_COLORS
from pokejax.images.tint import in_color
from pokejax.inference import shipped
from pokejax.inference.bundle import Bundle, BundleError
from pokejax.inference.bundle import read as read_bundle
from pokejax.inference.eyes import Eyes, eyes_of
from pokejax.inference.parts import Painted, parts_of
from pokejax.inference.programs import (
    Avoided,
    Given,
    Programs,
    Relatives,
    picker_program,
)
from pokejax.inference.recipe import (
    Kin,
    PromptError,
    Recipe,
    Sample,
    Start,
    check_request,
    count_up,
    recipes_for,
)
from pokejax.inference.slides import slid_rows
from pokejax.prompts.imagine import imagined
from pokejax.prompts.rules import parse_by_rules
from pokejax.text import TextEncoder, load_text_encoder

PriorName = Literal["flow", "full", "normal"]
T = TypeVar("T")
# Rows of a tile. On a CPU a tile of eight takes half as long again for one picture, and
# saves a sixth of the time for many; an accelerator draws 32 in the time of one.
_TILE_ROWS_CPU = 4
_TILE_ROWS_ACCELERATOR = 32
_CACHED_PROMPTS = 4096
_COLOR = list(CONDITIONS).index("primary_color")


class Round(NamedTuple):
    """Pictures of a tile; only those of the last round are final.

    `images` are RGB on white; `alpha` is None for a model that draws none. Those that
    are `tinted` get the colour that was asked for, if there is one, but for the pixels
    that were `painted` already, and for `eyes`.
    """

    images: UInt8[np.ndarray, "n h w 3"]
    alpha: UInt8[np.ndarray, "n h w"] | None
    final: bool
    tinted: bool = False
    painted: Bool[np.ndarray, "n h w"] | None = None
    eyes: Bool[np.ndarray, "n h w"] | None = None

    def sample(self, i: int, recipe: Recipe, model_id: str) -> Sample:
        """Picture `i`, finished as its recipe says."""
        image, alpha = self.images[i], None if self.alpha is None else self.alpha[i]
        start, partial = recipe.start, not self.final
        if start:
            given, anew = start.image, start.anew
            image = np.where(anew[..., None], image, given[..., :3])
            alpha = None if alpha is None else np.where(anew, alpha, given[..., 3])
        elif self.tinted and alpha is not None:
            painted, eyes = (
                None if mask is None else mask[i] for mask in (self.painted, self.eyes)
            )
            image = _in_its_color(image, alpha, recipe, painted, eyes)
        drawn = Sample(image, recipe, model_id, partial, alpha=alpha)
        return drawn.finished(recipe.colors) if recipe.colors else drawn


def _in_its_color(
    image: UInt8[np.ndarray, "h w 3"],
    alpha: UInt8[np.ndarray, "h w"],
    recipe: Recipe,
    painted: Bool[np.ndarray, "h w"] | None,
    eyes: Bool[np.ndarray, "h w"] | None,
) -> UInt8[np.ndarray, "h w 3"]:
    """The picture in the colour that its recipe asks for, or as it is.

    Beside a relative it has that one's colours, and a slider may want less of one. What
    was painted stays; if it has the second colour, nothing else is turned to that.
    """
    end = recipe.nearer
    color, second = end.attributes.primary_color, end.attributes.secondary_color
    if color is None or recipe.kin or dict(recipe.slides).get("primary_color", 1) <= 0:
        return image
    there = painted is not None and second in parts_of(recipe).values()
    there |= second == eyes_of(recipe)
    second = None if second in (None, NONE) or there else second
    turned = in_color(np.dstack([image, alpha]), color, second, painted)
    if eyes is not None:
        turned[eyes] = image[eyes]
    return turned


def _pixels(
    share: Float[Array, "b s s"], rows: int, size: int
) -> Bool[np.ndarray, "n h w"]:
    """The pixels of which a thumbnail's squares have more than half."""
    most = np.asarray(share)[:rows] > 0.5
    each = size // most.shape[1]
    return most.repeat(each, axis=1).repeat(each, axis=2)


class Sampler:
    """Draws pictures of one model."""

    def __init__(
        self,
        bundle: Bundle,
        encoder: TextEncoder,
        *,
        prior: PriorName = "flow",
        tile_rows: int | None = None,
    ):
        """Use `Sampler.load` unless you hold both parts already.

        Args:
          bundle: the model.
          encoder: the text encoder that it was trained with.
          prior: where z comes from: `"flow"`, the learned prior if the bundle has one,
            or its quick prior where that will do; `"full"`, the former in any case; or
            `"normal"`, N(0, 1).
          tile_rows: pictures drawn by one call of the device, 1 or more; None takes
            what suits the device. Samplers of different tiles agree in nearly all
            pixels, not in all.

        Raises:
          BundleError: the model was trained with another text encoder, or is a quick
            prior alone.
        """
        if encoder.identity != bundle.header.encoder:
            raise BundleError(
                f"the model was trained with text encoder {bundle.header.encoder};"
                f" this is {encoder.identity}"
            )
        if bundle.header.config.prior.distil:
            raise BundleError(
                "the model is a quick prior without the one that it was distilled from,"
                f" which {call_of('pokejax.export')} --quick puts beside it"
            )
        self.bundle = bundle
        self.encoder = encoder
        on_cpu = jax.default_backend() == "cpu"
        self.tile_rows = tile_rows or (
            _TILE_ROWS_CPU if on_cpu else _TILE_ROWS_ACCELERATOR
        )
        self.embed = functools.lru_cache(_CACHED_PROMPTS)(self._embed)
        self.avoid = functools.lru_cache(_CACHED_PROMPTS)(self._avoid)
        self.parts, self.eyes = parts_of, eyes_of
        self.imagine = imagined
        # What is meant where a prompt doesn't say how its creature is drawn.
        styles = bundle.header.config.data.styles
        style = styles[0] if styles and "native" not in styles else "native"
        self._usual = Attributes(view="front", style=style)
        self._prior = prior
        self._programs = Programs(bundle, prior=prior)

    @classmethod
    def load(
        cls,
        path: str | Path = shipped.MODEL,
        *,
        prior: PriorName = "flow",
        tile_rows: int | None = None,
    ) -> "Sampler":
        """Load a bundle file, or the best checkpoint of a run's directory.

        Without a path it is the model that comes with pokejax.

        `prior` and `tile_rows` are as in the constructor.

        Raises:
          BundleError: missing, broken, or for another text encoder.
          FileNotFoundError: the text encoder's weights are missing.
        """
        bundle = open_model(Path(path))
        encoder = load_text_encoder(bundle.header.config.text)
        return cls(bundle, encoder, prior=prior, tile_rows=tile_rows)

    @property
    def model_id(self) -> str:
        """The bundle's, marked if a prior isn't used: that draws other pictures."""
        of_prior = {"normal": self.bundle.prior, "full": self.bundle.quick}
        unused = of_prior.get(self._prior)
        return self.bundle.model_id + (f"-{self._prior}" if unused else "")

    @property
    def takes_pictures(self) -> bool:
        """Whether recipes may start from a picture; that takes a learned prior.

        So do negative prompts and slides, which change nothing without one.
        """
        return self._programs.flows

    @functools.cached_property
    def relations(self) -> frozenset[str]:
        """Of `RELATIONS`, what it can draw beside a relative's picture; often nothing.

        A relation that no training picture showed has learned nothing.
        """
        prior = self.bundle.prior
        learned = self.bundle.header.config.prior.relative_prob > 0
        if not (prior and learned and self._programs.flows):
            return frozenset()
        table = np.asarray(prior.relations.embedding[...])
        return frozenset(name for i, name in enumerate(RELATIONS) if table[i].any())

    @property
    def usual_colors(self) -> int:
        """Of the palette that its pictures are usually finished in; 0 for none.

        A model that draws alpha draws pixel art.
        """
        drawn = self.bundle.header.config.model.latent == "thumbnail"
        return USUAL_COLORS if drawn else 0

    @property
    def picks(self) -> bool:
        """Whether it can choose among drawings: not all models have a picker."""
        return self.bundle.picker is not None

    def best(self, samples: Sequence[Sample], best_of: int) -> list[Sample]:
        """Of each `best_of` drawings in a row, the one that the picker likes best.

        It likes what looks real, and what shows what the recipe's attributes ask for.

        Args:
          samples: drawings of this model, some multiple of `best_of`.
          best_of: 1 or more; 1 keeps all.

        Raises:
          PromptError: the model has no picker.
        """
        if best_of == 1:
            return list(samples)
        if self._like is None:
            raise PromptError("this model has no picker to choose the best with")
        scores: list[np.ndarray] = []
        for start in range(0, len(samples), self.tile_rows):
            some = samples[start : start + self.tile_rows]
            # The last batch is filled up with its last picture, or it'd compile anew.
            padded = [*some, *[some[-1]] * (self.tile_rows - len(some))]
            images = np.stack([sample.image for sample in padded])
            asked = [self._usual.override(s.attributes).ids() for s in padded]
            scores.append(np.asarray(self._like(images, np.stack(asked)))[: len(some)])
        liked = np.concatenate(scores).reshape(-1, best_of)
        return [
            samples[row * best_of + int(column)]
            for row, column in enumerate(liked.argmax(axis=1))
        ]

    @functools.cached_property
    def _like(self) -> Callable[..., Array] | None:
        """How much the picker likes a tile of pictures, given the ids asked for."""
        if self.bundle.picker is None:
            return None
        graphdef, params = nnx.split(self.bundle.picker)
        return functools.partial(picker_program(graphdef), params)

    @property
    def image_size(self) -> int:
        """Pixels a side of what is drawn."""
        return self.bundle.header.config.data.image_size

    @functools.cached_property
    def unheeded(self) -> frozenset[str]:
        """Conditions that change nothing, since the model was trained without them."""
        bundle = self.bundle
        reader = (
            bundle.model
            if self._prior == "normal" or bundle.prior is None
            else bundle.prior
        )
        tables = reader.category_embedder.tables if bundle.model.conditional else {}
        heeded = {
            name for name, table in tables.items() if np.any(table.embedding[...])
        }
        return frozenset(CONDITIONS) - heeded

    def previews(self, recipe: Recipe) -> int:
        """How many rounds its tile has before the last one, if they are wanted."""
        return self._programs.previews(plain=recipe.plain)

    def generate(
        self,
        prompt: str,
        *,
        num: int = 1,
        seed: int | None = None,
        attributes: Attributes | None = None,
        temperature: float = 1.0,
        guidance: float = 1.0,
        colors: int | None = None,
        start: Start | None = None,
        negative: str = "",
        slides: Mapping[str, float] | None = None,
        kin: Kin | None = None,
        shiny: bool = False,
        best_of: int = 1,
    ) -> list[Sample]:
        """Draw `num` pictures of a prompt, which is read by rules.

        Args:
          prompt: 1 to 1000 characters.
          num: how many; picture i has seed `seed + i`, so each can be had alone.
          seed: of the first picture, from 0 to 2^31 - num; None draws one.
          attributes: what is known here overrides what the prompt is read as.
          temperature: scale of the latent noise, from 0 up; 0 draws the typical one.
          guidance: how strongly prompt and attributes steer, as a multiple of what the
            model is tuned to.
          colors: of the palette that pictures are finished in, as
            `pokejax.images.finish` does; 0 leaves them as they were drawn, None takes
            what suits the model.
          start: a picture to start from, in place of noise alone.
          negative: a prompt to keep away from, see `Recipe`.
          slides: how much of some attributes, see `recipe.slides_of`.
          kin: the picture of a relative to be drawn beside, and the relation, one of
            `relations`.
          shiny: another palette, see `Recipe`; takes one of some colors.
          best_of: draws so many times as many pictures, seeds counting on, and keeps
            the `best`; the recipe of one that is kept draws it alone.

        Raises:
          PromptError: a value is out of range; the message says which.
        """
        check_request(
            prompt,
            num=num,
            seed=seed,
            temperature=temperature,
            guidance=guidance,
            negative=negative,
            best_of=best_of,
        )
        parsed = parse_by_rules(prompt).override(attributes or Attributes())
        seeds = count_up(seed, num * best_of)
        drawn = self.sample(
            recipes_for(
                parsed,
                seeds,
                temperature=temperature,
                guidance=guidance,
                colors=self.usual_colors if colors is None else colors,
                start=start,
                negative=negative,
                slides=slides,
                kin=kin,
                shiny=shiny,
            )
        )
        return self.best(drawn, best_of)

    def sample(self, recipes: Sequence[Recipe]) -> list[Sample]:
        """Draw a picture of each recipe, in order."""
        samples: dict[int, Sample] = {}
        for some in alike(list(enumerate(recipes)), lambda pair: pair[1]):
            for start in range(0, len(some), self.tile_rows):
                tile = some[start : start + self.tile_rows]
                *_, last = self.rounds([recipe for _, recipe in tile])
                for row, (i, recipe) in enumerate(tile):
                    samples[i] = last.sample(row, recipe, self.model_id)
        return [samples[i] for i in range(len(recipes))]

    def rounds(
        self, recipes: Sequence[Recipe], *, previews: bool = False
    ) -> Iterator[Round]:
        """Draw one tile, coarse pictures first; the last round is the final one.

        A learned prior takes several steps, and each has a picture that it is heading
        for. Without a prior there is no half-drawn picture; what can be shown
        first is the typical picture of the same prompt and attributes, at temperature
        0, the middle of what the seed picks from.

        Args:
          recipes: 1 to `tile_rows` of them, all `plain` or none of them.
          previews: whether rounds before the last one are wanted.

        Raises:
          BundleError: the model drew pixels that aren't finite numbers, which would
            look black.
        """
        rounds = self._programs.rounds(
            *self._tile(recipes), plain=recipes[0].plain, previews=previews
        )
        for drawn in rounds:
            for recipe, fine in zip(recipes, np.asarray(drawn.sound), strict=False):
                if not fine:
                    raise BundleError(
                        f"{self.model_id} drew pixels that aren't finite numbers for"
                        f" seed {recipe.seed}: the model is broken, or its guidance of"
                        f" {recipe.guidance} too much for it"
                    )
            images = np.asarray(drawn.images)[: len(recipes)]
            rgb = np.ascontiguousarray(images[..., :3])
            alpha = images[..., 3] if images.shape[-1] == 4 else None
            tinted = self.bundle.header.config.prior.tint
            size = images.shape[1]
            painted = eyes = None
            if drawn.painted is not None:
                painted = _pixels(drawn.painted, len(recipes), size)
            if drawn.eyes is not None:
                eyes = np.asarray(drawn.eyes)[: len(recipes)]
            yield Round(rgb, alpha, drawn.final, tinted, painted, eyes)

    def warm_up(self) -> None:
        """Compile all that drawing needs, so that no request waits for it."""
        plain = Recipe("a creature", Attributes(size="Tiny"), 0)
        self.sample([plain, replace(plain, prompt="a creature with a red belly")])
        if self.takes_pictures:
            size = self.image_size
            blank = Start.of(np.full((size, size, 4), 255, np.uint8))
            slid = replace(plain, slides=(("size", 2.0),))
            full = replace(slid, start=blank, negative="a creature")
            for relation in sorted(self.relations)[:1]:
                full = replace(full, kin=Kin(blank.rgba, relation))
            self.sample([full])
            usual = replace(plain, guidance=2.0)
            self.sample([usual])
            if self.tile_rows > 1:
                self.sample([slid, usual])  # which the usual program draws beside it

    def _embed(self, prompt: str) -> Float[np.ndarray, " d"]:
        # Training saw float16, too.
        half = self.encoder.encode([prompt])[0].astype(np.float16)
        return half.astype(np.float32)

    def _avoid(
        self, negative: str
    ) -> tuple[Float[np.ndarray, " d"], Int[np.ndarray, " 12"]]:
        """A negative prompt's embedding, and the ids of what the rules read in it."""
        return self.embed(negative), parse_by_rules(negative).attributes.ids()

    def _tile(self, recipes: Sequence[Recipe]):
        """The arrays of a padded tile: each row has two ends, mostly the same one."""
        rows = self.tile_rows
        text_emb = np.zeros((rows, 2, self.encoder.dim), np.float32)
        attributes = np.full((rows, 2, len(CONDITIONS)), UNKNOWN_ID, np.int32)
        seeds = np.zeros((rows, 2), np.uint32)
        knobs = np.ones((rows, 4), np.float32)
        for i, recipe in enumerate(recipes):
            for j, end in enumerate((recipe, recipe.towards or recipe)):
                text_emb[i, j] = self.embed(end.prompt)
                attributes[i, j] = self._ids(recipe, end)
                seeds[i, j] = end.seed
            of_color = dict(recipe.slides).get("primary_color", 1.0)
            if (attributes[i, :, _COLOR] == UNKNOWN_ID).all():
                of_color = 0.0
            knobs[i] = recipe.mix, recipe.temperature, recipe.guidance, of_color
        slid = None
        if self.takes_pictures:
            slid = slid_rows(recipes, text_emb, self.embed)
        pictures = self._given(recipes), self._avoided(recipes), slid
        beside = self._kin(recipes), self._painted(recipes), self._eyes(recipes)
        return text_emb, attributes, seeds, knobs, *pictures, *beside

    def _ids(self, recipe: Recipe, end: Recipe) -> Int[np.ndarray, " 12"]:
        """Of one end's conditions; what it leaves open is imagined.

        It isn't beside a relative, whose picture says more than words, nor where
        nothing is left to chance.
        """
        ids = self._usual.override(end.attributes).ids()
        settled = recipe.temperature == 0 or (
            recipe.start and not recipe.start.strength
        )
        if recipe.kin or settled or not self.takes_pictures:
            return ids
        avoided = self.avoid(recipe.negative)[1] if recipe.negative else None
        return self.imagine(ids, end.seed, avoided)

    def _given(self, recipes: Sequence[Recipe]) -> Given | None:
        """What the rows of a padded tile start from, if any doesn't from noise."""
        if not any(recipe.start for recipe in recipes):
            return None
        if not self.takes_pictures:
            raise PromptError(
                "this model has no learned prior, so it can't start from a picture"
            )
        size = self.image_size
        given = Given(
            np.zeros((self.tile_rows, size, size, 4), np.uint8),
            np.zeros((self.tile_rows, size, size), bool),
            np.ones(self.tile_rows, np.float32),
        )
        for i, start in enumerate(recipe.start for recipe in recipes):
            if start:
                given.images[i], given.stays[i] = start.image, ~start.anew
                given.strength[i] = start.strength
        return given

    def _avoided(self, recipes: Sequence[Recipe]) -> Avoided | None:
        """The negative prompts of a padded tile's rows, if any has one."""
        if not any(recipe.negative for recipe in recipes):
            return None
        rows = self.tile_rows
        avoided = Avoided(
            np.zeros((rows, self.encoder.dim), np.float32),
            np.full((rows, len(CONDITIONS)), UNKNOWN_ID, np.int32),
            np.zeros(rows, bool),
        )
        for i, recipe in enumerate(recipes):
            if recipe.negative:
                avoided.text_emb[i], avoided.attributes[i] = self.avoid(recipe.negative)
                avoided.given[i] = True
        return avoided

    def _kin(self, recipes: Sequence[Recipe]) -> Relatives | None:
        """What the rows of a padded tile are drawn beside, if any row is."""
        if not any(recipe.kin for recipe in recipes):
            return None
        size = self.image_size
        relatives = Relatives(
            np.zeros((self.tile_rows, size, size, 4), np.uint8),
            np.full(self.tile_rows, UNKNOWN_ID, np.int32),
        )
        for i, kin in enumerate(recipe.kin for recipe in recipes):
            if kin:
                self.check_relation(kin.relation)
                relatives.images[i] = kin.shown
                relatives.relation[i] = RELATIONS.index(kin.relation)
        return relatives

    def _painted(self, recipes: Sequence[Recipe]) -> Painted | None:
        """The parts of a padded tile's rows that are painted, if any row has one."""
        if self.bundle.header.config.model.latent != "thumbnail":
            return None
        parts = {
            i: colors
            for i, recipe in enumerate(recipes)
            if (colors := self.parts(recipe))
        }
        return Painted.of(self.tile_rows, parts) if parts else None

    def _eyes(self, recipes: Sequence[Recipe]) -> Eyes | None:
        """The eyes of a padded tile's rows, if any row has some."""
        if self.bundle.header.config.model.latent != "thumbnail":
            return None
        seeds = [recipe.nearer.seed for recipe in recipes]
        eyes = Eyes.of(self.tile_rows, [self.eyes(x) for x in recipes], seeds)
        return eyes if eyes.given.any() else None

    def check_relation(self, relation: str) -> None:
        """Refuse what the model hasn't learned to draw beside a relative.

        Raises:
          PromptError: it hasn't learned this relation; the message says what it has.
        """
        if relation in self.relations:
            return
        known = [name for name in RELATIONS if name in self.relations]
        raise PromptError(
            "this model wasn't trained to draw a picture's relatives"
            if not known
            else f"this model can't draw the {relation} of a picture; expected"
            f" {' or '.join(known)}"
        )


def alike(items: Sequence[T], recipe_of: Callable[[T], Recipe]) -> list[list[T]]:
    """The items whose recipes are `plain`, and the others; no list is empty.

    These can't share a tile, since other programs draw them.
    """
    plain = [item for item in items if recipe_of(item).plain]
    others = [item for item in items if not recipe_of(item).plain]
    return [kind for kind in (plain, others) if kind]


def open_model(path: Path) -> Bundle:
    """The model in a bundle file, or of the best checkpoint in a run's directory.

    Raises:
      BundleError: missing or broken.
    """
    if not path.is_dir():
        return read_bundle(path)
    # Only a training installation has Orbax.
    from pokejax.training.checkpoint import CheckpointError, load_bundle

    try:
        return load_bundle(path)
    except CheckpointError as error:
        raise BundleError(str(error)) from None
