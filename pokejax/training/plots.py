"""A run's plots. The only importer of matplotlib."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # a server or a container has no screen

import numpy as np
from jaxtyping import Float
from matplotlib import figure as figure_lib
from matplotlib import pyplot as plt
from matplotlib import ticker

from pokejax.files import whole_file


def plot_losses(
    rows: Sequence[Mapping[str, float]], parts: Sequence[str], path: Path
) -> None:
    """Draw every loss over the epochs: training, validation and test.

    Args:
      rows: of the log, one an epoch.
      parts: names of the loss's parts; one that is always 0 isn't drawn.
      path: of the picture.
    """
    figure = loss_figure(rows, parts)
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=100)
    plt.close(figure)


def loss_figure(
    rows: Sequence[Mapping[str, float]], parts: Sequence[str]
) -> figure_lib.Figure:
    """The figure of `plot_losses`; its caller closes it."""
    parts = [p for p in parts if any(row[f"Train_{p}"] for row in rows)] or parts
    epochs = [row["Epoch"] for row in rows]
    best = min(rows, key=lambda row: row["Val_Loss"])["Epoch"]
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
        for split in ("Train", "Val", "Test"):
            values = [row.get(f"{split}_{part}", math.nan) for row in rows]
            if not all(map(math.isnan, values)):
                # A line of one point would not be seen.
                axis.plot(epochs, values, label=split, marker="." * (len(rows) < 20))
        axis.axvline(best, color="gray", linestyle=":", label=f"best: {best:.0f}")
        axis.set_title(f"{part} (nats)" if part == "KL" else part)
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))
        axis.legend()
    return figure


def plot_latent_kl(kl: Float[np.ndarray, " z"], path: Path) -> None:
    """Draw the KL of each latent dimension (nats, mean over pictures), sorted."""
    figure, axis = plt.subplots(figsize=(7, 3), constrained_layout=True)
    axis.bar(np.arange(1, len(kl) + 1), np.sort(kl)[::-1], width=1.0)
    axis.set_xlabel("latent dimension, sorted")
    axis.set_ylabel("KL (nats)")
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=100)
    plt.close(figure)
