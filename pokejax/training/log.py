"""What a run leaves for people: console lines, the CSV, curves, grids, animation."""

import csv
import json
import math
import re
import resource
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # a server or a container has no screen

import jax
import numpy as np
from jaxtyping import Float
from matplotlib import pyplot as plt

from pokejax.files import whole_file
from pokejax.images.pixels import to_uint8
from pokejax.images.sheets import animate, contact_sheet, gallery
from pokejax.inference.bundle import Header
from pokejax.models.cvae import CATEGORY_DIM, CVAE, parameter_count
from pokejax.models.prior import Prior

_RULE = "=" * 80
# An animation is written again at each of its frames: the work must have a bound.
_MAX_FRAMES = 100
# How long things took, and how much memory: these differ from run to run.
COST_COLUMNS = (
    "Seconds",
    "Images_per_s",
    "Step_ms",
    "Compile_s",
    "ETA_s",
    "Peak_MB",
)


def columns(parts: Sequence[str]) -> tuple[str, ...]:
    """The log's columns, of a loss with these parts; a KL has three of its own."""
    return (
        "Epoch",
        *(f"Train_{part}" for part in parts),
        *(f"Val_{part}" for part in parts),
        *(("Beta", "Active_Units", "Collapsed") if "KL" in parts else ()),
        *COST_COLUMNS,
    )


def parameter_counts(model: CVAE, prior: Prior | None) -> dict[str, int]:
    """Weights of each part of a model, by the part's name."""
    counts = {
        "Encoder": parameter_count(model.encoder),
        "Decoder": parameter_count(model.decoder),
    }
    if model.conditional:
        counts["Embedder"] = parameter_count(model.category_embedder)
        counts["Gate"] = parameter_count(model.condition_gate)
    if prior:
        counts["Prior"] = parameter_count(prior)
    return counts


def architecture(model: CVAE, prior: Prior | None, header: Header) -> str:
    """The original's table of parameter counts."""
    counts = parameter_counts(model, prior)
    conditioning = "none (the prompt is ignored)"
    if model.conditional:
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
    values = ", ".join(f"{part}: {value:.4f}" for part, value in parts.items())
    return f"{name:<5} - {values}"


def epoch_message(
    row: Mapping[str, float],
    parts: Sequence[str],
    latent_kl: Float[np.ndarray, " z"] | None,
    *,
    is_best: bool,
) -> str:
    """What an epoch says on the console: losses, costs, a record, a warning."""
    lines = [f"epoch {row['Epoch']:.0f}"]
    for name in ("Train", "Val"):
        lines.append(summary(name, {part: row[f"{name}_{part}"] for part in parts}))
    lines.append(costs(row))
    if is_best:
        lines.append(f"✓ New best validation loss: {row['Val_Loss']:.4f}")
    if latent_kl is not None and row["Collapsed"]:
        lines.append(
            f"warning: the posterior has collapsed: {row['Active_Units']:.0f} of"
            f" {len(latent_kl)} latent dimensions are in use, KL"
            f" {latent_kl.sum():.2f} nats; lower --loss.kl_weight"
        )
    return "\n".join(lines)


def costs(row: Mapping[str, float]) -> str:
    """One line of what an epoch cost, and how long the others will take."""
    left = timedelta(seconds=round(row["ETA_s"]))
    line = f"Speed - {row['Images_per_s']:,.1f} images/s, {row['Step_ms']:,.1f} ms/step"
    line += f", ETA {left}, peak {memory_kind()} memory {row['Peak_MB']:,.0f} MB"
    if row["Compile_s"]:
        line += f", compiled in {row['Compile_s']:.1f} s"
    return line


def memory_kind() -> str:
    """Whose memory `peak_memory_mb` is: the `device`'s, or this process's `host`."""
    return "device" if jax.local_devices()[0].memory_stats() else "host"


def peak_memory_mb() -> float:
    """The most memory in use so far on any device, in units of 2**20 bytes.

    JAX doesn't count on CPU: then it is what the whole process had resident at once.
    """
    if memory_kind() == "device":
        stats = [device.memory_stats() for device in jax.local_devices()]
        return max(s["peak_bytes_in_use"] for s in stats) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2 ** (20 if sys.platform == "darwin" else 10)  # bytes there, else KiB


class LossLog:
    """`training_losses.csv`: a row an epoch, in the original's columns, and more."""

    def __init__(self, path: Path, parts: Sequence[str], rows: list[dict[str, float]]):
        """Begin with the rows of the epochs behind a run, whose loss has these parts.

        They come from its checkpoint: what the file says may be of epochs that were
        lost with a killed run, and those will be trained, and logged, again.
        """
        self.path = path
        self.parts = parts
        self.rows = list(rows)

    def add(self, row: Mapping[str, float]) -> None:
        """Append an epoch's row and bring the file up to date."""
        self.rows.append(dict(row))
        with (
            whole_file(self.path) as partial,
            partial.open("w", newline="") as file,
        ):
            # A column that the run's checkpoint is too old for stays empty.
            writer = csv.DictWriter(file, columns(self.parts))
            writer.writeheader()
            for values in self.rows:
                writer.writerow({name: f"{x:.6g}" for name, x in values.items()})
        lines = [json.dumps(values) for values in self.rows]
        with whole_file(self.path.with_suffix(".jsonl")) as partial:
            partial.write_text("\n".join(lines) + "\n")

    def plot(self, path: Path) -> None:
        """Draw every loss over the epochs, training beside validation."""
        epochs = [row["Epoch"] for row in self.rows]
        side = math.ceil(math.sqrt(len(self.parts)))
        figure, axes = plt.subplots(
            side, side, figsize=(10, 7), constrained_layout=True, squeeze=False
        )
        for axis, part in zip(axes.flat, self.parts, strict=True):
            for split in ("Train", "Val"):
                values = [row[f"{split}_{part}"] for row in self.rows]
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


def picture_paths(workdir: Path, kind: str, last: int) -> list[Path]:
    """A run's pictures of a kind, up to an epoch, in the order of their epochs.

    Args:
      workdir: of the run.
      kind: `samples` or `prompts`.
      last: epoch; later pictures are of a future that was lost with a killed run.
    """
    found: dict[int, Path] = {}
    for path in workdir.glob(f"{kind}_epoch_*.png"):
        match = re.fullmatch(r"[a-z]+_epoch_(\d+)", path.stem)
        if match and int(match[1]) <= last:
            found[int(match[1])] = path
    return [found[epoch] for epoch in sorted(found)]


def save_prompts(
    workdir: Path,
    epoch: int,
    images: Float[np.ndarray, "n h w 3"],
    prompts: Sequence[str],
) -> Path:
    """Draw what became of the same prompts and latents, and animate it so far.

    Returns:
      The path of this epoch's picture.
    """
    sheet = gallery([to_uint8(x) for x in images], prompts, title=f"epoch {epoch}")
    path = workdir / f"prompts_epoch_{epoch}.png"
    with whole_file(path) as partial:
        sheet.save(partial)
    # From the files, so that a resumed run's animation has its beginning, too.
    frames = picture_paths(workdir, "prompts", epoch)
    stride = -(-len(frames) // _MAX_FRAMES)
    with whole_file(workdir / "training_progression.gif") as partial:
        animate(frames[::-1][::stride][::-1], partial)
    return path


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
    with whole_file(path) as partial:
        contact_sheet(rows, captions).save(partial)
