"""For 128x128 and a GPU: as `thumbnail64`, with one more doubling; not trained yet.

    python -m data_tools.create_dataset --image-size 128 --output-dir pokemon-cifar-128
    python -m pokejax.train --config configs/thumbnail128.py

z stays the picture at 16x16, so the prior costs what it costs for 64x64
(`thumbnail128_prior`). What is drawn at 64x64 has no more detail to learn from, so this
learns from artwork, which is drawn larger. `benchmarks/step_by_size.py` says what a
step costs.
"""

from dataclasses import replace

from pokejax.config import load

thumbnail64 = load("thumbnail64")

config = replace(
    thumbnail64,
    data=replace(
        thumbnail64.data,
        dir="pokemon-cifar-128",
        image_size=128,
        styles=("gen5", "vector"),
    ),
    model=replace(thumbnail64.model, channels=(24, 32, 72)),
    train=replace(thumbnail64.train, workdir="runs/thumbnail128"),
)
