"""The model under test: what it draws from recipes, and what it makes of real pictures.

Draws through `Sampler` only, so whatever users see is what is measured.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float, UInt8
from tqdm import tqdm

from pokejax.data import dataset as data_lib
from pokejax.data.split import Dataset
from pokejax.evaluation.reference import KnownPrompts, Reference
from pokejax.images.pixels import to_float
from pokejax.inference.bundle import Bundle
from pokejax.inference.recipe import Recipe
from pokejax.inference.sampler import PriorName, Sampler, open_model
from pokejax.text import load_text_encoder

_BATCH = 64


class Rebuilt(NamedTuple):
    """What a model makes of `n` pictures.

    Attributes:
      images: `n h w 3` float32 in [-1, 1]; the posterior mean, decoded, with details
        if the model keeps any.
      mean: `n z`, the posterior's.
      logvar: `n z`, the posterior's.
    """

    images: Float[np.ndarray, "n h w 3"]
    mean: Float[np.ndarray, "n z"]
    logvar: Float[np.ndarray, "n z"]


def load(model: Path, data: Path) -> tuple[Bundle, Dataset]:
    """A model, and a dataset read as that model's training read its own.

    Raises:
      BundleError: a model that can't be used.
      DataError: a dataset that can't be used, or has pictures of another size.
      FileNotFoundError: a dataset directory needs the text encoder's weights.
    """
    bundle = open_model(model)
    config = bundle.header.config
    where = dataclasses.replace(config.data, dir=str(data), views=())
    return bundle, data_lib.load(where, config.text)


def sampler_for(
    bundle: Bundle, reference: Reference, *, prior: PriorName = "flow"
) -> Sampler:
    """A sampler that needs no text encoder for the dataset's own prompts.

    `prior` is as in `Sampler`.

    Raises:
      BundleError: the model was trained with another text encoder.
    """
    try:
        other = load_text_encoder(bundle.header.config.text)
    except FileNotFoundError:
        other = None
    return Sampler(bundle, KnownPrompts(reference, other), prior=prior)


def reads_any_prompt(sampler: Sampler) -> bool:
    """Whether the sampler can draw prompts that the dataset doesn't hold."""
    encoder = sampler.encoder
    return not isinstance(encoder, KnownPrompts) or encoder.other is not None


def draw(
    sampler: Sampler, recipes: Sequence[Recipe], progress: str
) -> UInt8[np.ndarray, "n h w 3"]:
    """A picture of each recipe, in order.

    Args:
      sampler: the model.
      recipes: one or more.
      progress: caption of the progress bar.
    """
    images: list[np.ndarray] = []
    with tqdm(total=len(recipes), desc=progress, unit="picture") as bar:
        for start in range(0, len(recipes), sampler.tile_rows):
            tile = recipes[start : start + sampler.tile_rows]
            images += [sample.image for sample in sampler.sample(tile)]
            bar.update(len(tile))
    return np.stack(images)


def rebuild(bundle: Bundle, reference: Reference, prompt_rows: np.ndarray) -> Rebuilt:
    """Encode and decode the held-out pictures, under their prompts and attributes."""
    graphdef, params = nnx.split(bundle.model)
    latent_dim = bundle.header.config.model.latent_dim

    @jax.jit
    def forward(params, images, text_emb, attributes):
        pixels = to_float(images)
        noise = jnp.zeros((len(images), latent_dim))
        model = nnx.merge(graphdef, params)
        recon, mean, logvar = model(pixels, text_emb, attributes, noise=noise)
        return recon[..., :3], mean, logvar

    heldout = reference.heldout
    text_emb = reference.dataset.text_emb[prompt_rows].astype(np.float32)
    parts: list[tuple[np.ndarray, ...]] = []
    starts = range(0, len(heldout), _BATCH)
    for start in tqdm(starts, "rebuilding pictures", unit="batch"):
        # The last batch is filled up with the last picture, or it'd compile anew.
        rows = np.minimum(np.arange(start, start + _BATCH), len(heldout) - 1)
        n = min(_BATCH, len(heldout) - start)
        made = forward(
            params, heldout.drawn(rows), text_emb[rows], heldout.attributes[rows]
        )
        parts.append(tuple(np.asarray(array)[:n] for array in made))
    return Rebuilt(*(np.concatenate(part) for part in zip(*parts, strict=True)))
