"""What draws `thumbnail128`'s thumbnails; they are as large as `thumbnail64`'s.

python -m pokejax.train --config configs/thumbnail128.py
python -m pokejax.train --config configs/thumbnail128_prior.py
"""

from dataclasses import replace

from pokejax.config import load

thumbnail128, prior = load("thumbnail128"), load("thumbnail64_prior")

config = replace(
    prior,
    data=thumbnail128.data,
    model=replace(thumbnail128.model, compute_dtype="bfloat16"),
    prior=replace(prior.prior, base="runs/thumbnail128/model.safetensors"),
    train=replace(prior.train, workdir="runs/thumbnail128_prior"),
)
