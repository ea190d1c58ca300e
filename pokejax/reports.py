"""What a run leaves for people: the console summary, the CSV, curves, sample grids."""

import csv
import json
import os
from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # a server or a container has no screen

import numpy as np
from jaxtyping import Float
from matplotlib import pyplot as plt

from pokejax.bundle import Header
from pokejax.grid import contact_sheet, to_uint8
from pokejax.models.cvae import CATEGORY_DIM, CVAE, parameter_count
from pokejax.steps import PARTS

_RULE = "=" * 80
COLUMNS = (
    "Epoch",
    *(f"Train_{part}" for part in PARTS),
    *(f"Val_{part}" for part in PARTS),
    "Beta",
    "Active_Units",
    "Seconds",
    "Images_per_s",
)


def architecture(model: CVAE, header: Header) -> str:
    """The original's table of parameter counts."""
    counts = {
        "Encoder": parameter_count(model.encoder),
        "Decoder": parameter_count(model.decoder),
    }
    conditioning = "none (the prompt is ignored)"
    if model.conditional:
        counts["Embedder"] = parameter_count(model.category_embedder)
        counts["Gate"] = parameter_count(model.condition_gate)
        conditioning = (
            f"{header.text_dim + CATEGORY_DIM} dims"
            f" ({header.encoder} {header.text_dim} + categorical {CATEGORY_DIM})"
        )
    size = header.config.data.image_size
    lines = [_RULE, "MODEL ARCHITECTURE", _RULE]
    lines += [f"{name + ':':<16}{n:>14,} parameters" for name, n in counts.items()]
    lines += [
        "-" * 70,
        f"{'Total:':<16}{sum(counts.values()):>14,} parameters",
        "",
        f"Input: {size}×{size} RGB → Latent: {header.config.model.latent_dim} dims",
        f"Conditioning: {conditioning}",
        _RULE,
    ]
    return "\n".join(lines)


def banner(values: Mapping[str, object]) -> str:
    """The block that opens a run: names and values between two rules."""
    lines = [_RULE, "POKEMON CVAE TRAINING", _RULE]
    lines += [f"{name + ':':<17}{value}" for name, value in values.items()]
    return "\n".join([*lines, _RULE])


def summary(name: str, parts: Mapping[str, float]) -> str:
    """One line of losses, e.g. `Train - Loss: 0.2113, L1: 0.1630, …`."""
    values = ", ".join(f"{part}: {parts[part]:.4f}" for part in PARTS)
    return f"{name:<5} - {values}"


class LossLog:
    """`training_losses.csv`: a row an epoch, in the original's columns."""

    def __init__(self, path: Path, rows: list[dict[str, float]]):
        """Begin with the rows of the epochs behind a run.

        They come from its checkpoint: what the file says may be of epochs that were
        lost with a killed run, and those will be trained, and logged, again.
        """
        self.path = path
        self.rows = list(rows)

    def add(self, row: Mapping[str, float]) -> None:
        """Append an epoch's row and bring the file up to date."""
        self.rows.append(dict(row))
        partial = self.path.with_suffix(".tmp")
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            for values in self.rows:
                formatted = {name: f"{values[name]:.6g}" for name in COLUMNS}
                writer.writerow(formatted)
        os.replace(partial, self.path)
        lines = [json.dumps(values) for values in self.rows]
        partial.write_text("\n".join(lines) + "\n")
        os.replace(partial, self.path.with_suffix(".jsonl"))

    def plot(self, path: Path) -> None:
        """Draw every loss over the epochs, training beside validation."""
        epochs = [row["Epoch"] for row in self.rows]
        figure, axes = plt.subplots(2, 2, figsize=(10, 7), constrained_layout=True)
        for axis, part in zip(axes.flat, PARTS, strict=True):
            for split in ("Train", "Val"):
                values = [row[f"{split}_{part}"] for row in self.rows]
                axis.plot(epochs, values, label=split)
            axis.set_title(f"{part} (nats)" if part == "KL" else part)
            axis.set_xlabel("epoch")
            axis.legend()
        figure.savefig(path, dpi=100)
        plt.close(figure)


def save_samples(
    path: Path,
    real: Float[np.ndarray, "n h w 3"],
    recon: Float[np.ndarray, "n h w 3"],
    samples: Float[np.ndarray, "n k h w 3"],
) -> None:
    """Draw a grid of held-out pictures: the picture, its reconstruction, samples.

    The samples know only the picture's prompt and attributes. All values in [-1, 1].
    """
    rows = [
        [to_uint8(image) for image in (picture, rebuilt, *drawn)]
        for picture, rebuilt, drawn in zip(real, recon, samples, strict=True)
    ]
    captions = [
        "real | reconstruction | samples of its prompt",
        *[""] * (len(rows) - 1),
    ]
    contact_sheet(rows, captions).save(path)
