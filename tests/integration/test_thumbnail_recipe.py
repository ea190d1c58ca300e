"""The shipped model's recipe, made tiny: upsampler with a critic, then its prior."""

from pathlib import Path

import numpy as np

from pokejax import Sampler, export, train
from pokejax.inference import bundle

TINY = [
    "--data.image_size=32",
    "--data.styles=",
    "--model.channels=8,16",
    "--model.latent_dim=256",
    "--model.blocks=1",
    "--train.epochs=1",
    "--train.batch_size=8",
    "--debug-samples=16",
]


def test_both_stages_train_export_and_draw(drawn_dataset: Path, tmp_path: Path):
    base, prior = tmp_path / "base", tmp_path / "prior"
    data = ["--data.dir", str(drawn_dataset)]
    first = ["--config", "configs/thumbnail64.py", *TINY, *data]
    assert train.main([*first, "--train.workdir", str(base)]) == 0
    # A checkpoint holds the critic, too; what is exported doesn't.
    latest, best = tmp_path / "latest.safetensors", base / "model.safetensors"
    argv = ["--checkpoint", str(base), "--which", "latest", "--out", str(latest)]
    assert export.main(argv) == 0
    assert bundle.read(latest).model_id == bundle.read(best).model_id

    second = ["--config", "configs/thumbnail64_prior.py", *TINY, *data]
    second += ["--prior.base", str(best), "--train.workdir", str(prior)]
    second += ["--prior.width=16", "--prior.depth=1", "--prior.heads=2"]
    assert train.main([*second, "--prior.steps=2"]) == 0
    sampler = Sampler.load(prior / "model.safetensors")
    assert sampler.usual_colors and sampler.takes_pictures
    (sample,) = sampler.generate("a red fish", seed=1)
    assert sample.art is not None and sample.alpha is not None
    colors = {tuple(color) for color in np.asarray(sample.image).reshape(-1, 3)}
    assert len(colors) <= 1 + sampler.usual_colors
