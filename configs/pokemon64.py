"""Our recipe for 64x64 sprites: a latent that keeps its place, a loss that adds up.

    python -m pokejax.train --config configs/pokemon64.py

z is an 8x8 map of 8 channels: such a latent rebuilds species it never saw, which the
original's vector, through its linear layers, doesn't. What it lacks is a prior worth
sampling from; `pokemon64_prior` learns one.

The KL is divided by the number of pixel values (64 x 64 x 3), as the L1 is: both are
then per pixel value, and the total is the negative ELBO of a Laplace decoder whose
scale is `kl_weight`. That scale is set to the mean L1 that such a model reaches, which
is its most likely value. Attributes are hidden at random, so that a prompt may leave
them open.
"""

from pokejax.config import Config, DataConfig, LossConfig, ModelConfig, TrainConfig

config = Config(
    data=DataConfig(flip=True, max_shift=0.05, max_scale=0.1),
    model=ModelConfig(
        latent="spatial", channels=(32, 64, 128), latent_dim=512, blocks=1
    ),
    loss=LossConfig(
        perceptual_weight=0.4,
        kl_weight=0.06,
        kl_per_dimension=True,
        annealing="constant",
    ),
    train=TrainConfig(
        epochs=30,
        batch_size=32,
        learning_rate=1e-3,
        schedule="cosine",
        warmup_steps=200,
        ema_decay=0.999,
        attribute_drop_prob=0.1,
        sample_every=10,
        workdir="runs/pokemon64",
    ),
)
