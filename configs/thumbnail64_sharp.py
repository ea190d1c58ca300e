"""`thumbnail64`'s upsampler again, now that there is a prior: it sees what that draws.

    python -m pokejax.train --config configs/thumbnail64_sharp.py

Drawn thumbnails are less certain than real ones, and an upsampler that never saw any
takes their haze for texture. There is no telling what it should make of them, but the
critic can say what looks real.
"""

from dataclasses import replace

from pokejax.config import load

thumbnail64 = load("thumbnail64")

config = replace(
    thumbnail64,
    loss=replace(
        thumbnail64.loss,
        adversarial_weight=0.03,
        drawn_by="runs/thumbnail64_prior/model.safetensors",
        kl_warmup_epochs=1,
    ),
    train=replace(
        thumbnail64.train,
        start_from="runs/thumbnail64/model.safetensors",
        epochs=3,
        learning_rate=7e-4,
        warmup_steps=50,
        workdir="runs/thumbnail64_sharp",
    ),
)
