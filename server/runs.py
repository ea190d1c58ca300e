"""A directory of training runs, read-only: their logs, and the pictures they left.

Nothing outside it can be named: a run must be in the directory's own listing, and a
picture must be called as training calls its pictures.
"""

import json
import math
import re
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from .errors import ApiError

_LOG = "training_losses.jsonl"
_PICTURE = re.compile(
    r"(?P<kind>samples|prompts)_epoch_(?P<epoch>[0-9]{1,6})\.png"
    r"|latent_kl\.png|training_progression\.gif"
)


class RunSummary(Struct, kw_only=True):
    """One run in the list."""

    name: str
    epochs: Annotated[int, Meta(description="How many are in its log.")]
    updated: Annotated[float, Meta(description="When, in seconds since 1970.")]


class RunsAnswer(Struct, kw_only=True):
    """The runs that can be looked at, the latest first."""

    configured: Annotated[
        bool, Meta(description="Whether the server was given a directory of runs.")
    ]
    runs: list[RunSummary]


class RunPicture(Struct, kw_only=True):
    """A picture in a run's directory."""

    file: str
    kind: Annotated[str, Meta(description="samples, prompts, or the file's own name.")]
    epoch: int | None


class RunAnswer(Struct, kw_only=True):
    """A run's log, an entry for each epoch, and its pictures."""

    name: str
    updated: float
    rows: list[dict[str, float | None]]
    pictures: list[RunPicture]


def list_runs(root: Path | None) -> RunsAnswer:
    """What is in the directory; it may be missing, and runs may come and go."""
    if root is None:
        return RunsAnswer(configured=False, runs=[])
    runs = [
        RunSummary(
            name=name,
            epochs=log.read_bytes().count(b"\n"),
            updated=log.stat().st_mtime,
        )
        for name, log in _logs(root).items()
    ]
    runs.sort(key=lambda run: run.updated, reverse=True)
    return RunsAnswer(configured=True, runs=runs)


def read_run(root: Path | None, name: str) -> RunAnswer:
    """One run.

    Raises:
      ApiError: 404, there is no such run.
    """
    log = _log_of(root, name)
    pictures = []
    for path in log.parent.iterdir():
        match = _PICTURE.fullmatch(path.name)
        if match and path.is_file():
            epoch = int(match["epoch"]) if match["epoch"] else None
            kind = match["kind"] or path.stem
            pictures.append(RunPicture(file=path.name, kind=kind, epoch=epoch))
    pictures.sort(key=lambda picture: (picture.kind, picture.epoch or 0))
    return RunAnswer(
        name=name,
        updated=log.stat().st_mtime,
        rows=[_row(line) for line in log.read_text().splitlines()],
        pictures=pictures,
    )


def read_picture(root: Path | None, name: str, file: str) -> bytes:
    """A run's picture.

    Raises:
      ApiError: 404, there is no such run or picture.
    """
    path = _log_of(root, name).parent / file
    if not _PICTURE.fullmatch(file) or not path.is_file():
        raise ApiError(404, "not_found", f"the run has no picture {file[:60]!r}")
    return path.read_bytes()


def _logs(root: Path) -> dict[str, Path]:
    """The log of each run, by the run's name."""
    if not root.is_dir():
        return {}
    logs = {path.name: path / _LOG for path in root.iterdir()}
    return {name: log for name, log in logs.items() if log.is_file()}


def _log_of(root: Path | None, name: str) -> Path:
    logs = _logs(root) if root else {}
    if name not in logs:
        raise ApiError(404, "not_found", f"there is no run {name[:60]!r}", param="run")
    return logs[name]


def _row(line: str) -> dict[str, float | None]:
    """An epoch's values; JSON for others knows neither NaN nor infinity."""
    values: dict[str, float] = json.loads(line)
    return {name: x if math.isfinite(x) else None for name, x in values.items()}
