"""The original's literal recipe, kept so that what it does can be shown.

    python -m pokejax.train --config configs/original64.py

Its KL (8 nats-weighted, summed over 256 dimensions) stands beside a *mean* L1, which
weighs it some 98,000 times as much as a summed reconstruction would: expect the
posterior to collapse and every picture of a prompt to look alike. `pokemon64` mends it.
"""

from pokejax.config import Config, DataConfig, TrainConfig

config = Config(
    data=DataConfig(flip=False),
    train=TrainConfig(workdir="runs/original64"),
)
