"""A tiny untrained model with a learned prior, so one that starts from pictures."""

from dataclasses import replace
from pathlib import Path

import jax
from flax import nnx

from pokejax.config import Config, DataConfig, ModelConfig, PriorConfig
from pokejax.inference import bundle
from pokejax.inference.bundle import Header, new_model, new_prior
from pokejax.text import load_text_encoder

CONFIG = Config(
    data=DataConfig(image_size=32),
    model=ModelConfig(latent="thumbnail", channels=(8, 16), latent_dim=256, blocks=1),
    prior=PriorConfig(
        width=16, depth=1, heads=2, patch=4, steps=3, time_power=1.5, color_guidance=1.0
    ),
)
# As if it had learned to draw beside relatives, too.
KIN = replace(CONFIG, prior=replace(CONFIG.prior, relative_prob=0.5))


def write_flow_model(path: Path, config: Config = CONFIG, *, quick: int = 0) -> None:
    """Write its bundle; the prior's weights are random where they begin as zeros.

    With `quick` steps, it has a quick prior, which draws something else.
    """
    encoder = load_text_encoder(config.text)
    header = Header(config, encoder.dim, encoder.identity, 0, 0.0)
    model = nnx.state(new_model(header, rngs=nnx.Rngs(0)))
    prior = nnx.state(new_prior(header, rngs=nnx.Rngs(1)))
    keys = iter(jax.random.split(jax.random.key(2), 100))
    prior = jax.tree.map(
        lambda x: x + 0.1 * jax.random.normal(next(keys), x.shape), prior
    )
    steps = replace(config.prior, steps=quick) if quick else None
    header = replace(header, quick=steps)
    other = jax.tree.map(lambda x: 0.9 * x, prior) if quick else None
    bundle.write(path, header, model, prior, quick=other)
