"""A prompt -> pictures: load a model once, then draw.

The same weights, prompt, attributes and seed give the same PNG bytes, whatever else is
drawn beside it: every picture is decoded on its own, from a latent that depends on its
seed alone.
"""

import io
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import UInt8
from PIL import Image, PngImagePlugin

from pokejax.attributes import Attributes
from pokejax.bundle import Bundle, BundleError
from pokejax.bundle import read as read_bundle
from pokejax.prompt_rules import read_prompt
from pokejax.text import TextEncoder, load_text_encoder

MAX_PROMPT_CHARS = 1000
MAX_NUM = 1024
SEED_LIMIT = 2**31


class PromptError(ValueError):
    """A request that can't be drawn; the message names the value and the limits."""


@dataclass(frozen=True)
class Sample:
    """One drawn picture and all that is needed to draw it again.

    Attributes:
      image: `h w 3` uint8.
      prompt: as it was given.
      seed: of this very picture.
      attributes: that the prompt was read as, with the caller's overrides.
      model_id: of the weights.
      temperature: scale of the latent noise.
    """

    image: UInt8[np.ndarray, "h w 3"]
    prompt: str
    seed: int
    attributes: Attributes
    model_id: str
    temperature: float

    def png(self) -> bytes:
        """The picture as PNG; its text chunks carry prompt, seed, attributes, model."""
        info = PngImagePlugin.PngInfo()
        info.add_itxt("prompt", self.prompt.encode("utf-8", "replace").decode())
        info.add_text("seed", str(self.seed))
        info.add_text("attributes", json.dumps(self.attributes.known()))
        info.add_text("model", self.model_id)
        info.add_text("temperature", repr(self.temperature))
        buffer = io.BytesIO()
        Image.fromarray(self.image).save(buffer, "PNG", pnginfo=info)
        return buffer.getvalue()


class Sampler:
    """Draws pictures of one model."""

    def __init__(self, bundle: Bundle, encoder: TextEncoder):
        """Use `Sampler.load` unless you hold both parts already.

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
        graphdef, self._params = nnx.split(bundle.model)
        latent_dim = bundle.header.config.model.latent_dim

        @jax.jit
        def draw(params, text_emb, attributes, seed, temperature):
            z = temperature * jax.random.normal(jax.random.key(seed), (1, latent_dim))
            image = nnx.merge(graphdef, params).decode(z, text_emb, attributes)[0]
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

    def generate(
        self,
        prompt: str,
        *,
        num: int = 1,
        seed: int | None = None,
        attributes: Attributes | None = None,
        temperature: float = 1.0,
    ) -> list[Sample]:
        """Draw `num` pictures of a prompt.

        Args:
          prompt: 1 to 1000 characters.
          num: how many; picture i has seed `seed + i`, so each can be had alone.
          seed: of the first picture, from 0 to 2^31 - num; None draws one.
          attributes: what is known here overrides what the prompt is read as.
          temperature: scale of the latent noise, from 0 up; 0 draws the typical one.

        Raises:
          PromptError: a value is out of range; the message says which.
        """
        check_request(prompt, num=num, seed=seed, temperature=temperature)
        if seed is None:
            seed = secrets.randbelow(SEED_LIMIT - num)
        known = read_prompt(prompt).attributes.override(attributes or Attributes())
        text_emb = jnp.asarray(self.encoder.encode([prompt]).astype(np.float16))
        text_emb = text_emb.astype(jnp.float32)  # training saw float16, too
        ids = jnp.asarray(known.ids())[None]
        return [
            Sample(
                image=np.asarray(
                    self._draw(self._params, text_emb, ids, seed + i, temperature)
                ),
                prompt=prompt,
                seed=seed + i,
                attributes=known,
                model_id=self.bundle.model_id,
                temperature=temperature,
            )
            for i in range(num)
        ]


def check_request(
    prompt: str, *, num: int, seed: int | None, temperature: float
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
    if not 0 <= temperature <= 10:
        raise PromptError(f"temperature is {temperature}; expected 0 to 10")
