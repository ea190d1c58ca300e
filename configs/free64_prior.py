"""What draws `free64`'s thumbnails, see there; as `thumbnail64_prior` does."""

from dataclasses import replace

from pokejax.config import load

thumbnail64_prior = load("thumbnail64_prior")

config = replace(
    thumbnail64_prior,
    data=replace(thumbnail64_prior.data, styles=("tuxemon",)),
    prior=replace(thumbnail64_prior.prior, base="runs/free64/model.safetensors"),
    train=replace(thumbnail64_prior.train, epochs=80, workdir="runs/free64_prior"),
)
