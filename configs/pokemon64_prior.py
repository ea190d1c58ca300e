"""The learned prior over the latents of a trained `pokemon64`.

    python -m pokejax.train --config configs/pokemon64.py
    python -m pokejax.train --config configs/pokemon64_prior.py

The bundle that it leaves holds both models, and is what to draw from. Pictures are
mirrored, but neither shifted nor scaled: what the prior sees is what it draws.
"""

from dataclasses import replace

from pokejax.config import PriorConfig, load

pokemon64 = load("pokemon64")

config = replace(
    pokemon64,
    data=replace(pokemon64.data, max_shift=0.0, max_scale=0.0),
    prior=PriorConfig(
        base="runs/pokemon64/model.safetensors",
        width=192,
        depth=6,
        heads=6,
        guidance=3.5,  # of 1.25 to 7, near the lowest KID on val
    ),
    train=replace(
        pokemon64.train,
        epochs=180,
        attribute_drop_prob=0.0,  # the prior hides its own, and more of them
        batch_size=64,
        sample_every=45,
        checkpoint_every=15,
        workdir="runs/pokemon64_prior",
    ),
)
