"""What draws `thumbnail64_kin`'s thumbnails in four steps, guidance and all.

    python -m pokejax.train --config configs/thumbnail64_kin.py
    python -m pokejax.train --config configs/thumbnail64_quick.py
    python -m pokejax.export --checkpoint runs/thumbnail64_kin \\
        --quick runs/thumbnail64_quick --out model.safetensors

Most requests leave guidance as it is, and name neither a picture nor what to keep away
from: these get the quick prior. Each row of a batch is a whole way from noise.
"""

from dataclasses import replace

from pokejax.config import load

thumbnail64_prior = load("thumbnail64_prior")

config = replace(
    thumbnail64_prior,
    model=load("thumbnail64_kin").model,
    prior=replace(
        thumbnail64_prior.prior,
        base="runs/thumbnail64_kin/model.safetensors",
        distil=True,
        steps=4,
    ),
    train=replace(
        thumbnail64_prior.train,
        epochs=3,
        batch_size=64,
        learning_rate=4e-4,
        warmup_steps=20,
        schedule="cosine",
        most_copies=0.0,  # it draws what its teacher does
        ema_decay=0.998,
        sample_every=1,
        checkpoint_every=1,
        workdir="runs/thumbnail64_quick",
    ),
)
