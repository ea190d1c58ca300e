"""For sprites drawn at 64x64: an autoencoder with a finer latent than `pokemon64`'s.

    python -m pokejax.train --config configs/native64.py

z is a 16x16 map of 4 channels, which keeps outlines that a map of 8x8 smears.
`native64_prior` learns what to sample.

The KL is divided by the number of pixel values (64 x 64 x 3), as the L1 is, so its
weight of 0.12 is 0.01 for each number of z. Pictures are mirrored, but neither shifted
nor scaled: drawn pixel by pixel, they would lose their outlines. Attributes are hidden
at random, so that a prompt may leave them open.
"""

from pokejax.config import Config, DataConfig, LossConfig, ModelConfig, TrainConfig

config = Config(
    data=DataConfig(flip=True, styles=("native", "tuxemon")),
    model=ModelConfig(latent="spatial", channels=(48, 96), latent_dim=1024, blocks=2),
    loss=LossConfig(
        perceptual_weight=0.5,
        kl_weight=0.12,
        kl_per_dimension=True,
        annealing="constant",
    ),
    train=TrainConfig(
        epochs=80,
        batch_size=128,
        learning_rate=2e-3,
        schedule="cosine",
        warmup_steps=200,
        ema_decay=0.999,
        attribute_drop_prob=0.1,
        sample_every=10,
        checkpoint_every=10,
        workdir="runs/native64",
    ),
)
