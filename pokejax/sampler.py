"""A prompt -> pictures: load a model once, then draw.

The same weights, recipe and kind of device give the same bytes, whatever else is drawn
beside it. A compiled program rounds floats its own way, and XLA compiles another one
for every batch size; so there is one batch size only, the tile: what is drawn is cut
into tiles, and the last one is padded. Within a tile no row sees another.
"""

import functools
import itertools
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, UInt8

from pokejax.attributes import UNKNOWN_ID, VOCABULARIES, Attributes
from pokejax.bundle import Bundle, BundleError
from pokejax.bundle import read as read_bundle
from pokejax.models.cvae import CVAE
from pokejax.prompt_rules import read_prompt
from pokejax.samples import Recipe, Sample
from pokejax.text import TextEncoder, load_text_encoder

MAX_PROMPT_CHARS = 1000
MAX_NUM = 1024
SEED_LIMIT = 2**31
MAX_TEMPERATURE = 10
MAX_GUIDANCE = 10
# Rows of a tile. On a CPU eight rows cost three times as much as one, and more rows
# save little; an accelerator draws 32 in the time of one.
_TILE_ROWS_CPU = 8
_TILE_ROWS_ACCELERATOR = 32
_CACHED_PROMPTS = 4096


class PromptError(ValueError):
    """A request that can't be drawn; the message names the value and the limits."""


class Round(NamedTuple):
    """Pictures of a tile, of which only those of the last round are final."""

    images: UInt8[np.ndarray, "n h w 3"]
    final: bool


class Sampler:
    """Draws pictures of one model."""

    def __init__(
        self, bundle: Bundle, encoder: TextEncoder, *, tile_rows: int | None = None
    ):
        """Use `Sampler.load` unless you hold both parts already.

        Args:
          bundle: the model.
          encoder: the text encoder that it was trained with.
          tile_rows: pictures drawn by one call of the device, 1 or more; None takes
            what suits the device. Samplers of different tiles agree in nearly all
            pixels, not in all.

        Raises:
          BundleError: the model was trained with another text encoder.
        """
        if encoder.identity != bundle.header.encoder:
            raise BundleError(
                f"the model was trained with text encoder {bundle.header.encoder};"
                f" this is {encoder.identity}"
            )
        self.bundle = bundle
        self.encoder = encoder
        on_cpu = jax.default_backend() == "cpu"
        self.tile_rows = tile_rows or (
            _TILE_ROWS_CPU if on_cpu else _TILE_ROWS_ACCELERATOR
        )
        self.embed = functools.lru_cache(_CACHED_PROMPTS)(self._embed)
        graphdef, self._params = nnx.split(bundle.model)
        latent_dim = bundle.header.config.model.latent_dim

        @jax.jit
        def draw(params, text_emb, attributes, seeds, knobs):
            model = nnx.merge(graphdef, params)
            mix, temperature, guidance = knobs[:, :1], knobs[:, 1:2], knobs[:, 2:]
            z = temperature * _blend_noise(seeds, mix, latent_dim)
            cond = _blend_conditions(model, text_emb, attributes, mix, guidance)
            image = model.decoder(z, cond, dropout_key=None)
            return jnp.clip(jnp.round((image + 1) * 127.5), 0, 255).astype(jnp.uint8)

        self._draw = draw

    @classmethod
    def load(cls, path: str | Path) -> "Sampler":
        """Load a bundle file, or the best checkpoint of a run's directory.

        Raises:
          BundleError: missing, broken, or for another text encoder.
          FileNotFoundError: the text encoder's weights are missing.
        """
        path = Path(path)
        if path.is_dir():
            # Only a training installation has Orbax.
            from pokejax.checkpoint import load_bundle

            bundle = load_bundle(path)
        else:
            bundle = read_bundle(path)
        return cls(bundle, load_text_encoder(bundle.header.config.text))

    @property
    def image_size(self) -> int:
        """Pixels a side of what is drawn."""
        return self.bundle.header.config.data.image_size

    def generate(
        self,
        prompt: str,
        *,
        num: int = 1,
        seed: int | None = None,
        attributes: Attributes | None = None,
        temperature: float = 1.0,
        guidance: float = 1.0,
    ) -> list[Sample]:
        """Draw `num` pictures of a prompt, which is read by rules.

        Args:
          prompt: 1 to 1000 characters.
          num: how many; picture i has seed `seed + i`, so each can be had alone.
          seed: of the first picture, from 0 to 2^31 - num; None draws one.
          attributes: what is known here overrides what the prompt is read as.
          temperature: scale of the latent noise, from 0 up; 0 draws the typical one.
          guidance: how strongly the attributes steer; 1 as in training.

        Raises:
          PromptError: a value is out of range; the message says which.
        """
        check_request(
            prompt, num=num, seed=seed, temperature=temperature, guidance=guidance
        )
        if seed is None:
            seed = secrets.randbelow(SEED_LIMIT - num)
        known = read_prompt(prompt).attributes.override(attributes or Attributes())
        return self.sample(
            [Recipe(prompt, known, seed + i, temperature, guidance) for i in range(num)]
        )

    def sample(self, recipes: Sequence[Recipe]) -> list[Sample]:
        """Draw a picture of each recipe, in order."""
        samples: list[Sample] = []
        for start in range(0, len(recipes), self.tile_rows):
            tile = recipes[start : start + self.tile_rows]
            *_, last = self.rounds(tile)
            samples += map(
                Sample, last.images, tile, itertools.repeat(self.bundle.model_id)
            )
        return samples

    def rounds(
        self, recipes: Sequence[Recipe], *, previews: bool = False
    ) -> Iterator[Round]:
        """Draw one tile, coarse pictures first; the last round is the final one.

        A VAE draws in a single step, so there is no half-drawn picture to show. What
        can be shown before is the typical picture of the same prompt and attributes,
        at temperature 0: the middle of what the seed picks from.

        Args:
          recipes: 1 to `tile_rows` of them.
          previews: whether rounds before the last one are wanted.
        """
        text_emb, attributes, seeds, knobs = self._tile(recipes)
        if previews:
            typical = knobs * np.array([1, 0, 1], np.float32)
            images = self._draw(self._params, text_emb, attributes, seeds, typical)
            yield Round(np.asarray(images)[: len(recipes)], final=False)
        images = self._draw(self._params, text_emb, attributes, seeds, knobs)
        yield Round(np.asarray(images)[: len(recipes)], final=True)

    def warm_up(self) -> None:
        """Compile all that drawing needs, so that no request waits for it."""
        self.sample([Recipe("a creature", Attributes(), 0)])

    def _embed(self, prompt: str) -> Float[np.ndarray, " d"]:
        # Training saw float16, too.
        half = self.encoder.encode([prompt])[0].astype(np.float16)
        return half.astype(np.float32)

    def _tile(self, recipes: Sequence[Recipe]):
        """The arrays of a padded tile: each row has two ends, mostly the same one."""
        rows = self.tile_rows
        text_emb = np.zeros((rows, 2, self.encoder.dim), np.float32)
        attributes = np.full((rows, 2, len(VOCABULARIES)), UNKNOWN_ID, np.int32)
        seeds = np.zeros((rows, 2), np.uint32)
        knobs = np.ones((rows, 3), np.float32)
        for i, recipe in enumerate(recipes):
            for j, end in enumerate((recipe, recipe.towards or recipe)):
                text_emb[i, j] = self.embed(end.prompt)
                attributes[i, j] = end.attributes.ids()
                seeds[i, j] = end.seed
            knobs[i] = recipe.mix, recipe.temperature, recipe.guidance
        return text_emb, attributes, seeds, knobs


def _blend_noise(
    seeds: Int[Array, "b 2"], mix: Float[Array, "b 1"], latent_dim: int
) -> Float[Array, "b z"]:
    """Standard normal z of two seeds each, blended along the arc between them.

    The straight line between two draws runs through latents far shorter than any draw;
    the arc keeps their length.
    """
    keys = jax.vmap(jax.vmap(jax.random.key))(seeds)
    ends = jax.vmap(jax.vmap(lambda key: jax.random.normal(key, (latent_dim,))))(keys)
    start, end = ends[:, 0], ends[:, 1]
    lengths = jnp.linalg.norm(start, axis=-1) * jnp.linalg.norm(end, axis=-1)
    cosine = jnp.sum(start * end, axis=-1) / lengths
    angle = jnp.arccos(jnp.clip(cosine, -1.0, 1.0))[:, None]
    blended = (
        jnp.sin((1 - mix) * angle) * start + jnp.sin(mix * angle) * end
    ) / jnp.sin(angle)
    # The same seed twice has no arc; and a row that isn't blended keeps its very bits.
    alone = (seeds[:, :1] == seeds[:, 1:]) | (mix == 0)
    return jnp.where(alone, start, blended)


def _blend_conditions(
    model: CVAE,
    text_emb: Float[Array, "b 2 t"],
    attributes: Int[Array, "b 2 10"],
    mix: Float[Array, "b 1"],
    guidance: Float[Array, "b 1"],
) -> Float[Array, "b c"]:
    """The condition between two ends, then `guidance` times as far from the open one.

    The open condition is that of the same text with no attribute known, which training
    shows the model now and then.
    """
    b = len(text_emb)
    unknown = jnp.full_like(attributes, UNKNOWN_ID)
    texts = jnp.concatenate([text_emb, text_emb], axis=1)
    ids = jnp.concatenate([attributes, unknown], axis=1)
    cond = model.condition(texts.reshape(4 * b, -1), ids.reshape(4 * b, -1))
    cond = cond.reshape(b, 4, -1)
    known = cond[:, 0] + mix * (cond[:, 1] - cond[:, 0])
    opened = cond[:, 2] + mix * (cond[:, 3] - cond[:, 2])
    return known + (guidance - 1) * (known - opened)


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
