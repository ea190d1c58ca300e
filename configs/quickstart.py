"""A few minutes on two slow cores: front views only, a small model, no LPIPS.

python -m pokejax.train --config configs/quickstart.py
"""

from pokejax.config import Config, DataConfig, LossConfig, ModelConfig, TrainConfig

config = Config(
    data=DataConfig(views=("front", "shiny")),
    model=ModelConfig(
        channels=(24, 48, 96), hidden_dim=384, latent_dim=64, dropout=0.0
    ),
    loss=LossConfig(
        perceptual_weight=0.0,
        kl_weight=0.1,
        kl_per_dimension=True,
        annealing="constant",
    ),
    train=TrainConfig(
        epochs=40,
        batch_size=32,
        learning_rate=1e-3,
        attribute_drop_prob=0.15,
        workdir="runs/quickstart",
    ),
)
