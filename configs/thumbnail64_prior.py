"""What draws `thumbnail64`'s thumbnails: a rectified flow under prompt and attributes.

    python -m pokejax.train --config configs/thumbnail64.py
    python -m pokejax.train --config configs/thumbnail64_prior.py

The bundle that it leaves holds both models, and is what to draw from.
"""

from dataclasses import replace

from pokejax.config import PriorConfig, load

thumbnail64 = load("thumbnail64")

config = replace(
    thumbnail64,
    prior=PriorConfig(
        base="runs/thumbnail64/model.safetensors",
        width=128,
        depth=5,
        heads=4,
        guidance=2.0,
        steps=12,
    ),
    loss=replace(thumbnail64.loss, adversarial_weight=0.0),
    train=replace(
        thumbnail64.train,
        epochs=40,
        batch_size=64,
        learning_rate=1e-3,
        optimizer="muon",
        warmup_steps=300,
        ema_decay=0.9995,
        attribute_drop_prob=0.0,  # the prior hides its own, and more of them
        sample_every=4,
        checkpoint_every=1,
        workdir="runs/thumbnail64_prior",
    ),
)
