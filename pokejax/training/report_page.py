"""`report.md`: a whole run on one page, with its pictures.

Owns the page's sections; the numbers are measured elsewhere and handed in.
"""

import platform
import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib import metadata
from itertools import pairwise
from pathlib import Path

from pokejax import config as config_lib
from pokejax.config import Config
from pokejax.files import whole_file
from pokejax.training import grids, plots
from pokejax.training.latents import Latents
from pokejax.training.log import COPIED

Row = Mapping[str, float]


@dataclass(frozen=True)
class RunSummary:
    """What is known of a run at its end.

    Attributes:
      config: of the run, as it ended.
      best_epoch: the one whose model is kept.
      best_val_loss: of that epoch.
      rows: the log's, one an epoch.
      test: loss parts on the test split; None without one.
      latents: of the best model, over validation pictures; None of a prior's run.
      skipped: steps that changed nothing, because they weren't finite.
      parameters: weights of each part of the model.
      pictures: of each split.
      device: how many of which, e.g. `1 x NVIDIA H100 (gpu)`.
      memory: whose peak the log's `Peak_MB` is, `"host"` or `"device"`.
      debug_samples: as the command's option.
    """

    config: Config
    best_epoch: int
    best_val_loss: float
    rows: Sequence[Row]
    test: Row | None
    latents: Latents | None
    skipped: int
    parameters: Mapping[str, int]
    pictures: Mapping[str, int]
    device: str
    memory: str
    debug_samples: int


def write(workdir: Path, summary: RunSummary) -> None:
    """Write `report.md` and `latent_kl.png` into a run's directory."""
    if summary.latents:
        plots.plot_latent_kl(summary.latents.kl, workdir / "latent_kl.png")
    sections = {
        f"Run {workdir.name}": _opening(summary),
        "Losses": _losses(summary),
        "Pictures": _pictures(workdir, len(summary.rows)),
        **(
            {"Latent code": _latents(summary, summary.latents)}
            if summary.latents
            else {}
        ),
        "Speed": _speed(summary),
        "Model": _table(
            ("part", "parameters"),
            [
                *((name, f"{n:,}") for name, n in summary.parameters.items()),
                ("total", f"{sum(summary.parameters.values()):,}"),
            ],
        ),
        "Data": _table(
            ("split", "pictures"),
            [(name, f"{n:,}") for name, n in summary.pictures.items()],
        ),
        "Settings": _settings(summary.config),
        "Again": _again(summary),
    }
    parts = [
        f"{'##' if i else '#'} {title}\n\n{text}"
        for i, (title, text) in enumerate(sections.items())
    ]
    with whole_file(workdir / "report.md") as partial:
        partial.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def command_line(config: Config, debug_samples: int = 0) -> str:
    """The command that trains with this config, whatever file it came from."""
    words = ["python", "-m", "pokejax.train"]
    for name, _, now in _changes(config):
        if isinstance(now, bool):
            words.append(f"--{name}" if now else f"--no-{name}")
        else:
            words.append(f"--{name}={_as_text(now)}")
    if debug_samples:
        words.append(f"--debug-samples={debug_samples}")
    return shlex.join(words)


def epoch_ranges(epochs: Sequence[int]) -> str:
    """Ascending epochs as ranges, e.g. `1-3, 7`."""
    starts = [b for a, b in pairwise([-1, *epochs]) if b != a + 1]
    ends = [a for a, b in pairwise([*epochs, -1]) if b != a + 1]
    return ", ".join(
        f"{a}" if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True)
    )


def _opening(summary: RunSummary) -> str:
    done, planned = len(summary.rows), summary.config.train.epochs
    text = (
        f"{done} of {planned} epochs; the best, with a validation loss of"
        f" {summary.best_val_loss:.4f}, was epoch {summary.best_epoch}."
    )
    if done < planned:
        text += f" Stopped early: {_reason(summary)}."
    if summary.skipped:
        text += f" {summary.skipped} steps were not finite and were skipped."
    return text


def _reason(summary: RunSummary) -> str:
    limit, copied = summary.config.train.most_copies, summary.rows[-1].get(COPIED, 0)
    if limit and copied > limit:
        return f"{copied:.1%} of drawings were nearly training pictures"
    return "the validation loss had stopped falling"


def _losses(summary: RunSummary) -> str:
    best = summary.rows[summary.best_epoch - 1]
    names = [key.removeprefix("Val_") for key in best if key.startswith("Val_")]
    rows = [
        (
            f"{split}, epoch {summary.best_epoch}",
            *(best[f"{split}_{part}"] for part in names),
        )
        for split in ("Train", "Val")
    ]
    if summary.test is not None:
        rows.append(("Test, best model", *(summary.test[part] for part in names)))
    note = (
        "Means over pictures; KL in nats. Validation and test are at beta = 1, without"
        " dropout or augmentation."
    )
    cells = [(name, *(f"{x:.4f}" for x in values)) for name, *values in rows]
    return f"{_table(('', *names), cells)}\n\n{note}"


def _pictures(workdir: Path, last: int) -> str:
    found = [
        ("Losses over the epochs", workdir / "training_curves.png"),
        (
            "The same prompts and latents over the epochs",
            workdir / "training_progression.gif",
        ),
    ]
    for text, kind in (
        (
            "Held-out pictures, their reconstructions, samples of their prompts",
            "samples",
        ),
        ("What their prompts give at the end of training", "prompts"),
    ):
        found += [(text, p) for p in grids.picture_paths(workdir, kind, last)[-1:]]
    return "\n\n".join(
        f"{text}:\n\n![{text}]({path.name})" for text, path in found if path.exists()
    )


def _latents(summary: RunSummary, latents: Latents) -> str:
    warned = [int(row["Epoch"]) for row in summary.rows if row.get("Collapsed")]
    collapse = (
        f"**The posterior had collapsed in epochs {epoch_ranges(warned)}**: the decoder"
        " then learns almost nothing about the picture it should rebuild. Lower"
        " `loss.kl_weight`."
        if warned
        else "The warning of a collapsed posterior was never raised."
    )
    return (
        f"{latents.active} of {len(latents.kl)} dimensions in use; KL"
        f" {latents.kl.sum():.2f} nats per picture (best model, held-out"
        f" pictures).\n\n{collapse}\n\n![KL of each latent dimension](latent_kl.png)"
    )


def _speed(summary: RunSummary) -> str:
    def median(name: str) -> float:
        # Rows from an old checkpoint lack these columns.
        known = [row[name] for row in summary.rows if name in row]
        return statistics.median(known or [float("nan")])

    def total(name: str) -> timedelta:
        seconds = sum(row.get(name, 0.0) for row in summary.rows)
        return timedelta(seconds=round(seconds))

    peak = max(row.get("Peak_MB", 0.0) for row in summary.rows)
    cells = [
        ("device", summary.device),
        ("images/s, median of epochs", f"{median('Images_per_s'):,.1f}"),
        ("ms a step, median of epochs", f"{median('Step_ms'):,.1f}"),
        ("compiling the train step, h:mm:ss", total("Compile_s")),
        ("training and validation, h:mm:ss", total("Seconds")),
        (f"peak memory, {summary.memory}", f"{peak:,.0f} MB"),
    ]
    return _table(("", ""), cells)


def _settings(config: Config) -> str:
    changes = [
        (f"`{name}`", f"`{_as_text(before)}`", f"`{_as_text(now)}`")
        for name, before, now in _changes(config)
    ]
    table = _table(("setting", "default", "here"), changes)
    return f"{table}\n\nAll other settings have their defaults."


def _again(summary: RunSummary) -> str:
    packages = ("pokejax", "jax", "flax", "optax", "numpy")
    cells = [("python", platform.python_version())]
    cells += [(name, metadata.version(name)) for name in packages]
    command = command_line(summary.config, summary.debug_samples)
    return f"```sh\n{command}\n```\n\n{_table(('package', 'version'), cells)}"


def _changes(config: Config) -> list[tuple[str, object, object]]:
    """`(name, default, value)` of every setting that isn't the default."""
    before, now = config_lib.to_dict(Config()), config_lib.to_dict(config)
    return [
        (f"{section}.{key}", before[section][key], value)
        for section, values in now.items()
        for key, value in values.items()
        if value != before[section][key]
    ]


def _as_text(value: object) -> str:
    """A setting's value as the command line takes it."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |"
        for line in lines
    )
