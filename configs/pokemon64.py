"""Our recipe for 64x64 sprites: the original's layers, a loss that adds up.

    python -m pokejax.train --config configs/pokemon64.py

The KL is divided by the number of pixel values (64 x 64 x 3), as the L1 is: both are
then per pixel value, and the total is the negative ELBO of a Laplace decoder whose
scale is `kl_weight` = 0.05 of the pixel range [-1, 1]. Beta warms up once instead of
cycling, which keeps validation losses comparable. Attributes are hidden at random, so
that a prompt may leave them open.
"""

from pokejax.config import Config, DataConfig, LossConfig, ModelConfig, TrainConfig

config = Config(
    data=DataConfig(flip=True),
    model=ModelConfig(dropout=0.1),
    loss=LossConfig(
        perceptual_weight=0.15,
        kl_weight=0.05,
        kl_per_dimension=True,
        annealing="monotonic",
        kl_warmup_epochs=20,
    ),
    train=TrainConfig(
        learning_rate=5e-4,
        attribute_drop_prob=0.2,
        workdir="runs/pokemon64",
    ),
)
