"""`thumbnail64_prior`, which also learns to draw creatures beside their relatives.

    python -m pokejax.train --config configs/thumbnail64_kin.py \\
        --train.start_from runs/thumbnail64_prior/model.safetensors

The same creature from behind or from the front, as it evolves, or in the other frame of
its animation. It starts from a trained prior, since all that is new begins as zeros.
"""

from dataclasses import replace

from pokejax.config import load

base = load("thumbnail64_details")
thumbnail64_prior = load("thumbnail64_prior")

config = replace(
    thumbnail64_prior,
    model=replace(thumbnail64_prior.model, details=base.model.details),
    prior=replace(
        thumbnail64_prior.prior,
        base="runs/thumbnail64_details/model.safetensors",
        relative_prob=0.6,
    ),
    train=replace(
        thumbnail64_prior.train,
        epochs=16,
        learning_rate=6e-4,
        workdir="runs/thumbnail64_kin",
    ),
)
