"""A run's log: `training_losses.csv`, and the lines that the console shows.

What it reports is measured elsewhere.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from pokejax.files import whole_file
from pokejax.inference.bundle import Header
from pokejax.models.cvae import CATEGORY_DIM
from pokejax.training.latents import Latents

_RULE = "=" * 80
# Time and memory, which differ between otherwise equal runs.
COST_COLUMNS = (
    "Seconds",
    "Images_per_s",
    "Step_ms",
    "Compile_s",
    "ETA_s",
    "Peak_MB",
)

# Share of drawings, at epochs that were looked at, with `train.most_copies`.
COPIED = "Copied"


def columns(parts: Sequence[str], *, copies: bool = False) -> tuple[str, ...]:
    """The log's columns for a loss with these parts; a KL adds three, `copies` one."""
    return (
        "Epoch",
        *(f"Train_{part}" for part in parts),
        *(f"Val_{part}" for part in parts),
        *(f"Test_{part}" for part in parts),  # of `train.test_pictures`
        *(("Beta", "Active_Units", "Collapsed") if "KL" in parts else ()),
        *((COPIED,) if copies else ()),
        *COST_COLUMNS,
    )


def architecture(counts: Mapping[str, int], header: Header) -> str:
    """The original's table of parameter counts, by the part's name."""
    conditioning = "none (the prompt is ignored)"
    if header.config.model.conditional:
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
    """The block printed at the start: names and values between two rules."""
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
    latents: Latents | None,
    *,
    is_best: bool,
    memory: str,
) -> str:
    """What the console shows after an epoch: losses, costs, records, warnings."""
    lines = [f"epoch {row['Epoch']:.0f}"]
    for name in ("Train", "Val"):
        lines.append(summary(name, {part: row[f"{name}_{part}"] for part in parts}))
    lines.append(costs(row, memory))
    if is_best:
        lines.append(f"✓ New best validation loss: {row['Val_Loss']:.4f}")
    return "\n".join([*lines, *_warnings(latents)])


def epoch_line(
    row: Mapping[str, float], epochs: int, latents: Latents | None, *, is_best: bool
) -> str:
    """What a log file shows after an epoch: a line, and one for each warning.

    Args:
      row: of the log.
      epochs: of the whole run.
      latents: of a CVAE.
      is_best: mark it as the best so far.
    """
    left = timedelta(seconds=round(row["ETA_s"]))
    line = f"epoch {row['Epoch']:.0f}/{epochs}: train {row['Train_Loss']:.4f}, val"
    line += f" {row['Val_Loss']:.4f}{' (best)' if is_best else ''},"
    line += f" {row['Images_per_s']:,.1f} images/s, ETA {left}"
    return "\n".join([line, *_warnings(latents)])


def _warnings(latents: Latents | None) -> list[str]:
    if not latents or not latents.collapsed:
        return []
    return [
        f"warning: the posterior has collapsed: {latents.active} of"
        f" {len(latents.kl)} latent dimensions are in use, KL"
        f" {latents.kl.sum():.2f} nats; lower --loss.kl_weight"
    ]


def costs(row: Mapping[str, float], memory: str) -> str:
    """One line of what an epoch cost, and how long the rest will take.

    Args:
      row: of the log.
      memory: whose `Peak_MB` is, `"host"` or `"device"`.
    """
    left = timedelta(seconds=round(row["ETA_s"]))
    line = f"Speed - {row['Images_per_s']:,.1f} images/s, {row['Step_ms']:,.1f} ms/step"
    line += f", ETA {left}, peak {memory} memory {row['Peak_MB']:,.0f} MB"
    if row["Compile_s"]:
        line += f", compiled in {row['Compile_s']:.1f} s"
    return line


class LossLog:
    """`training_losses.csv`: one row per epoch, the original's columns and more."""

    def __init__(self, path: Path, parts: Sequence[str], rows: list[dict[str, float]]):
        """Start a log whose loss has these parts, with the rows of earlier epochs.

        Those come from the checkpoint. The file may hold rows of later epochs that were
        lost with a killed run; they will be trained, and logged, again.
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
            # A column that an old checkpoint doesn't have stays empty.
            copies = any(COPIED in values for values in self.rows)
            writer = csv.DictWriter(file, columns(self.parts, copies=copies))
            writer.writeheader()
            for values in self.rows:
                writer.writerow({name: f"{x:.6g}" for name, x in values.items()})
        lines = [json.dumps(values) for values in self.rows]
        with whole_file(self.path.with_suffix(".jsonl")) as partial:
            partial.write_text("\n".join(lines) + "\n")
