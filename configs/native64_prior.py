"""The learned prior over the latents of a trained `native64`.

    python -m pokejax.train --config configs/native64.py
    python -m pokejax.train --config configs/native64_prior.py

The bundle that it leaves holds both models, and is what to draw from.
"""

from dataclasses import replace

from pokejax.config import PriorConfig, load

native64 = load("native64")

config = replace(
    native64,
    prior=PriorConfig(
        base="runs/native64/model.safetensors",
        width=256,
        depth=8,
        heads=4,
        guidance=2.0,
    ),
    train=replace(
        native64.train,
        epochs=90,
        batch_size=256,
        learning_rate=1e-3,
        warmup_steps=500,
        ema_decay=0.9995,
        attribute_drop_prob=0.0,  # the prior hides its own, and more of them
        sample_every=30,
        checkpoint_every=30,
        workdir="runs/native64_prior",
    ),
)
