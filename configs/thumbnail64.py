"""For sprites drawn at 64x64: thumbnails, and an upsampler that draws them large.

    python -m pokejax.train --config configs/thumbnail64.py

The shipped model's first stage: half an hour on two CPU cores.

z is the picture at 16x16, colour and alpha; what is trained here is the way back to
64x64 in flat colours, and a critic that keeps it from smearing. `thumbnail64_prior`
learns to draw the thumbnails.

There is no KL, since nothing is learned about z; the annealing is the critic's, whose
voice rises over the first epochs. Pictures are mirrored, but neither shifted nor
scaled: drawn pixel by pixel, they would lose their outlines.
"""

from pokejax.config import Config, DataConfig, LossConfig, ModelConfig, TrainConfig

config = Config(
    data=DataConfig(flip=True, styles=("native", "tuxemon")),
    model=ModelConfig(latent="thumbnail", channels=(32, 72), latent_dim=1024, blocks=3),
    loss=LossConfig(
        perceptual_weight=0.7,
        adversarial_weight=0.02,
        kl_weight=0.0,
        annealing="monotonic",
        kl_warmup_epochs=2,
    ),
    train=TrainConfig(
        epochs=6,
        batch_size=32,
        learning_rate=1e-3,
        schedule="cosine",
        warmup_steps=200,
        ema_decay=0.999,
        attribute_drop_prob=0.1,
        sample_every=1,
        checkpoint_every=1,
        workdir="runs/thumbnail64",
    ),
)
