"""What draws `thumbnail64`'s thumbnails: a rectified flow under prompt and attributes.

    python -m pokejax.train --config configs/thumbnail64.py
    python -m pokejax.train --config configs/thumbnail64_prior.py

The bundle that it leaves holds both models, and is what to draw from. Matrix products
are rounded to bfloat16, which CPUs with AMX or AVX512-BF16 and all GPUs do faster.
"""

from dataclasses import replace

from pokejax.config import PriorConfig, load

thumbnail64 = load("thumbnail64")

config = replace(
    thumbnail64,
    # A thousand creatures are few: thumbnails may be shifted and scaled, for no outline
    # of a single pixel is lost at their size.
    data=replace(thumbnail64.data, max_shift=0.06, max_scale=0.2, color_jitter=0.15),
    model=replace(thumbnail64.model, compute_dtype="bfloat16"),
    prior=PriorConfig(
        base="runs/thumbnail64/model.safetensors",
        width=256,
        depth=6,
        heads=4,
        patch=4,
        attribute_drop_prob=0.6,
        guidance=2.25,
        color_guidance=1.0,
        tint=True,
        steps=8,
        time_power=1.5,
    ),
    loss=replace(thumbnail64.loss, adversarial_weight=0.0),
    train=replace(
        thumbnail64.train,
        epochs=75,
        batch_size=256,
        learning_rate=1e-3,
        optimizer="muon",
        warmup_steps=30,
        ema_decay=0.9995,
        attribute_drop_prob=0.0,  # the prior hides its own, and more of them
        most_copies=0.02,
        sample_every=4,
        checkpoint_every=2,
        workdir="runs/thumbnail64_prior",
    ),
)
