"""`thumbnail64_sharp`, which also learns to keep what a given picture has: its details.

    python -m pokejax.train --config configs/thumbnail64_details.py

A thumbnail holds 1,024 numbers, and an upsampler makes up the rest: that is what
drawing needs, and what editing a picture can't have. Thirty-two numbers more for each
place bring a sprite's own eyes and outlines back. The upsampler itself isn't touched,
so drawings from noise stay as they are.
"""

from dataclasses import replace

from pokejax.config import load

thumbnail64 = load("thumbnail64")

config = replace(
    thumbnail64,
    model=replace(thumbnail64.model, details=32),
    loss=replace(thumbnail64.loss, adversarial_weight=0.0),
    train=replace(
        thumbnail64.train,
        start_from="runs/thumbnail64_sharp/model.safetensors",
        epochs=5,
        learning_rate=2e-3,
        warmup_steps=100,
        workdir="runs/thumbnail64_details",
    ),
)
