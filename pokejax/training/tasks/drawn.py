"""Thumbnails that a prior draws, for an upsampler to be trained on.

An upsampler that has only seen real thumbnails takes what is uncertain in drawn ones
for texture. What it should make of them nobody knows, but a critic can say whether it
looks real. They are touched up as they will be when pictures are drawn.
"""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int
from tqdm import tqdm

from pokejax.attributes import CONDITIONS
from pokejax.config import Config, ConfigError
from pokejax.data.split import Dataset
from pokejax.inference import bundle
from pokejax.inference.eyes import smooth_face
from pokejax.inference.surfaces import even_out
from pokejax.models.prior import sample

_COUNT = 6144
_TOGETHER = 64
_EYES = (
    0.75  # share of fronts that get eyes: given pictures and relatives have their own
)
_VIEW = list(CONDITIONS).index("view")


class Drawn(NamedTuple):
    """Latents that were drawn, and under which conditions."""

    z: Float[Array, "n z"]
    text_emb: Float[Array, "n t"]
    attributes: Int[Array, "n 12"]

    def some(self, key: Array, count: int) -> "Drawn":
        """As many of them as asked, at random."""
        rows = jax.random.randint(key, (count,), 0, len(self.z))
        return Drawn(*(x[rows] for x in self))


def draw(config: Config, dataset: Dataset) -> Drawn:
    """Latents of the prior in `config.loss.drawn_by`, under training pictures' labels.

    Raises:
      BundleError: a broken bundle.
      ConfigError: no such bundle, no prior in it, or one of other latents.
    """
    path = Path(config.loss.drawn_by)
    if not path.is_file():
        raise ConfigError(f"loss.drawn_by is {str(path)!r}, but there is no bundle")
    given = bundle.read(path)
    if given.prior is None:
        raise ConfigError(f"loss.drawn_by is {str(path)!r}, which holds no prior")
    latent_dim = given.header.config.model.latent_dim
    if latent_dim != config.model.latent_dim:
        raise ConfigError(
            f"loss.drawn_by is {str(path)!r}, whose latents have {latent_dim} numbers;"
            f" the config's have {config.model.latent_dim}"
        )
    graphdef, params = nnx.split(given.prior)
    sampling = given.header.config.prior

    @jax.jit
    def flow(params, noise, text_emb, attributes):
        return sample(
            nnx.merge(graphdef, params),
            noise,
            text_emb,
            attributes,
            steps=sampling.steps,
            guidance=sampling.guidance,
            time_power=sampling.time_power,
            color_guidance=sampling.color_guidance,
        )

    side = config.model.latent_side(config.data.image_size)
    taken = jnp.zeros((_TOGETHER, side, side))
    split, rng = dataset.splits["train"], np.random.default_rng(config.train.seed)
    key = jax.random.key(config.train.seed)
    parts: list[Drawn] = []
    for start in tqdm(range(0, _COUNT, _TOGETHER), desc="drawing thumbnails"):
        rows = rng.integers(len(split), size=_TOGETHER)
        prompts = rng.integers(split.prompt_counts[rows])
        emb = dataset.text_emb[split.prompt_ids[rows, prompts]].astype(np.float32)
        noise = jax.random.normal(
            jax.random.fold_in(key, start), (len(rows), latent_dim)
        )
        z = flow(params, noise, emb, split.attributes[rows])
        front = split.attributes[rows, _VIEW] != CONDITIONS["view"].index("back")
        some = front & (rng.random(len(rows)) < _EYES)
        z, _ = smooth_face(even_out(z, np.ones(len(z), bool)), some, taken)
        parts.append(Drawn(z, jnp.asarray(emb), jnp.asarray(split.attributes[rows])))
    return Drawn(*(jnp.concatenate(x) for x in zip(*parts, strict=True)))
