"""A run's plots. The only importer of matplotlib."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # a server or a container has no screen

import numpy as np
from jaxtyping import Float
from matplotlib import pyplot as plt

from pokejax.files import whole_file


def plot_losses(
    rows: Sequence[Mapping[str, float]], parts: Sequence[str], path: Path
) -> None:
    """Draw every loss over the epochs, training beside validation.

    Args:
      rows: of the log, one an epoch.
      parts: names of the loss's parts.
      path: of the picture.
    """
    epochs = [row["Epoch"] for row in rows]
    across = math.ceil(math.sqrt(len(parts)))
    figure, axes = plt.subplots(
        math.ceil(len(parts) / across),
        across,
        figsize=(10, 7),
        constrained_layout=True,
        squeeze=False,
    )
    for axis in axes.flat[len(parts) :]:
        axis.set_axis_off()
    for axis, part in zip(axes.flat, parts, strict=False):
        for split in ("Train", "Val"):
            values = [row[f"{split}_{part}"] for row in rows]
            axis.plot(epochs, values, label=split)
        axis.set_title(f"{part} (nats)" if part == "KL" else part)
        axis.set_xlabel("epoch")
        axis.legend()
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=100)
    plt.close(figure)


def plot_latent_kl(kl: Float[np.ndarray, " z"], path: Path) -> None:
    """Draw the KL of each latent dimension (nats, mean over pictures), sorted."""
    figure, axis = plt.subplots(figsize=(7, 3), constrained_layout=True)
    axis.bar(np.arange(1, len(kl) + 1), np.sort(kl)[::-1], width=1.0)
    axis.set_xlabel("latent dimension, sorted")
    axis.set_ylabel("KL (nats)")
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=100)
    plt.close(figure)
