"""The learned prior over the latents of a trained `pokemon64`.

    python -m pokejax.train --config configs/pokemon64.py
    python -m pokejax.train --config configs/pokemon64_prior.py

The bundle that it leaves holds both models, and is what to draw from.
"""

from dataclasses import replace

from configs.pokemon64 import config as pokemon64
from pokejax.config import PriorConfig

config = replace(
    pokemon64,
    prior=PriorConfig(base="runs/pokemon64/model.safetensors"),
    train=replace(
        pokemon64.train,
        epochs=1000,
        batch_size=128,
        sample_every=50,
        checkpoint_every=50,
        workdir="runs/pokemon64_prior",
    ),
)
