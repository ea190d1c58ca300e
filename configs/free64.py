"""`thumbnail64` on Tuxemon's free sprites alone, for whoever needs clean rights.

    python -m pokejax.train --config configs/free64.py
    python -m pokejax.train --config configs/free64_prior.py

Most of these are under CC BY-SA 4.0; the list of their authors lies beside the dataset.
A fifth as many creatures teach it as `thumbnail64`.
"""

from dataclasses import replace

from pokejax.config import load

thumbnail64 = load("thumbnail64")

config = replace(
    thumbnail64,
    data=replace(thumbnail64.data, styles=("tuxemon",)),
    train=replace(thumbnail64.train, epochs=12, workdir="runs/free64"),
)
