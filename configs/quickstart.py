"""A few minutes on two slow cores: a smaller model, no LPIPS, a heavy KL.

    python -m pokejax.train --config configs/quickstart.py

With so few steps, what the latent is allowed to carry, the condition is not asked for:
at a KL weight of 8 the latent took 25 nats, colour among them, and two pictures in five
had the colour asked for. A weight of 24 leaves it some ten, so colour has to come from
the prompt; the price is blur. `pokemon64` has time for better.
"""

from pokejax.config import Config, DataConfig, LossConfig, ModelConfig, TrainConfig

config = Config(
    data=DataConfig(max_shift=0.05, max_scale=0.1),
    model=ModelConfig(
        channels=(24, 48, 96), hidden_dim=384, latent_dim=32, dropout=0.0
    ),
    loss=LossConfig(
        perceptual_weight=0.0,
        kl_weight=24.0,
        kl_per_dimension=True,
        annealing="constant",
    ),
    train=TrainConfig(
        epochs=16,
        batch_size=32,
        learning_rate=2e-3,
        schedule="cosine",
        warmup_steps=100,
        ema_decay=0.99,
        attribute_drop_prob=0.1,
        workdir="runs/quickstart",
        sample_every=4,
    ),
)
