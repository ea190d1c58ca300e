"""The second original: an unconditional convolutional VAE of sprites.

    python -m pokejax.train --config configs/sprite_vae.py

No prompt, no attributes, no LPIPS: reconstruction and KL, Adam at its usual step size,
and early stopping on validation loss. Its document leaves layer sizes and the KL's
weight open; the sizes are the CVAE's, and the KL is divided as in `pokemon64`, whose
docstring says why.
"""

from pokejax.config import Config, DataConfig, LossConfig, ModelConfig, TrainConfig

config = Config(
    data=DataConfig(flip=True),
    model=ModelConfig(conditional=False),
    loss=LossConfig(
        perceptual_weight=0.0,
        kl_weight=0.05,
        kl_per_dimension=True,
        annealing="constant",
    ),
    train=TrainConfig(
        learning_rate=1e-3,
        patience=20,
        workdir="runs/sprite_vae",
    ),
)
