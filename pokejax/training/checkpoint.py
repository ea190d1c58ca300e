"""Checkpoints as they lie on disk, to be read.

A checkpoint is a directory named by its step that holds the whole training state, with
the run's header as metadata. Nothing is changed in reading, so a training may be at
work in the same directory; `pokejax.training.saving` writes them. These two are the
only importers of Orbax.
"""

import functools
import hashlib
import json
import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import jax
from flax import nnx
from orbax.checkpoint import v1 as ocp

from pokejax.inference.bundle import (
    Bundle,
    BundleError,
    Header,
    from_arrays,
    named_leaves,
    read,
    weights_hash,
    with_prior,
)

SUMS = "checksums.json"
RANK = "rank"
_STATE = "state"
# How often, and after how many seconds, to look again if what was being read is gone.
_TRIES, _DELETING_SECONDS = 5, 0.2

# Orbax logs every decision at INFO, each restart's mesh at WARNING and, at ERROR, a
# thousand lines of what it raises anyway.
logging.getLogger("absl").setLevel(logging.CRITICAL)


class CheckpointError(ValueError):
    """A checkpoint that can't be used; the message names it and what is wrong."""


class DamagedError(CheckpointError):
    """A checkpoint whose files aren't as they were written."""


class Checkpoint:
    """One complete checkpoint.

    All that reads from it raises `DamagedError` if its files aren't as they were
    written, or are gone.

    Attributes:
      path: its directory.
      step: that the state had reached.
    """

    def __init__(self, path: Path):
        self.path = path
        self.step = int(path.name)
        self._is_checked = False

    def check(self) -> None:
        """Compare all files with their checksums, if there are any; done once.

        Those of earlier versions have none, nor has one that was just being finished
        when the run was killed.
        """
        if self._is_checked:
            return
        self.glance()
        if (self.path / SUMS).exists():
            try:
                expected = json.loads((self.path / SUMS).read_bytes())
                found = checksums(self.path)
                bad = [name for name in expected if found.get(name) != expected[name]]
            except (OSError, ValueError, TypeError):
                bad = [SUMS]
            if bad:
                raise self._damaged(f"{bad[0]} has changed")
        self._is_checked = True

    def glance(self) -> None:
        """Look for damage that shows without reading everything."""
        if not (self.path / _STATE).is_dir():
            raise self._damaged(f"{_STATE}/ is missing")
        _ = self.rank

    @property
    def rank(self) -> float | None:
        """The lowest is the best; None in the middle of an epoch, say."""
        file = self.path / "metrics" / "metrics"
        if not file.parent.is_dir():
            return None
        try:
            return rank_in(json.loads(file.read_bytes()))
        except (OSError, ValueError, TypeError, KeyError):
            raise self._damaged("metrics/metrics can't be read") from None

    @property
    def header(self) -> Header:
        """Of the run, as of the last whole epoch."""
        return Header.from_dict(self._metadata["header"], str(self.path))

    @property
    def history(self) -> list[dict[str, float]]:
        """The log's rows so far."""
        return self._metadata["history"]

    @property
    def first_step(self) -> int:
        """As of the trainer."""
        return self._metadata.get("first_step", 0)

    @functools.cached_property
    def _metadata(self) -> dict[str, Any]:
        self.check()  # Orbax looks at the arrays, too
        try:
            metadata = ocp.metadata(str(self.path.resolve())).custom_metadata
        except Exception as error:  # damage can make Orbax raise nearly anything
            raise self._damaged(_first_line(error)) from None
        if not isinstance(metadata, dict) or not {"header", "history"} <= set(metadata):
            raise self._damaged("its metadata is missing")
        return cast(dict, metadata)

    def restore(self, like: Any) -> Any:
        """The state.

        Args:
          like: a state of the same structure; shapes and placement are taken from it.

        Raises:
          CheckpointError: it is of another shape.
        """
        self.check()
        abstract = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like
        )
        try:
            return self._load(abstract)
        except Exception as error:  # as above
            why = f"doesn't fit this model: {_first_line(error)}"
            if (self.path / SUMS).exists():  # so it is whole
                raise CheckpointError(f"checkpoint {self.path} {why}") from None
            raise DamagedError(f"checkpoint {self.path} is damaged, or {why}") from None

    def load_params(self) -> dict[str, Any]:
        """The weights to use, as numpy arrays by dotted name."""
        self.check()
        sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        try:
            saved = ocp.metadata(str(self.path.resolve())).metadata
            kept = "params" if saved["ema_params"] is None else "ema_params"
            # The optimiser's state is as large again, twice: leave it on disk.
            abstract = {
                part: jax.tree.map(
                    lambda x, wanted=part == kept: (
                        jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)
                        if wanted
                        else ocp.PLACEHOLDER
                    ),
                    leaves,
                )
                for part, leaves in saved.items()
            }
            params = self._load(abstract)[kept]
        except Exception as error:  # as above
            raise self._damaged(_first_line(error)) from None
        return {
            name.removesuffix(".value"): jax.device_get(leaf)
            for name, leaf in named_leaves(params)
        }

    def _load(self, abstract: Any) -> Any:
        path = str(self.path.resolve())
        return ocp.load_checkpointables(path, {_STATE: abstract})[_STATE]

    def _damaged(self, what: str) -> DamagedError:
        return DamagedError(f"checkpoint {self.path} is damaged: {what}")


def find(path: Path) -> Path:
    """The checkpoint directory meant by a path, which may be a run's directory.

    Raises:
      CheckpointError: there is no checkpoint.
    """
    for candidate in (path / "checkpoints", path):
        if has_complete(candidate):
            return candidate
    raise CheckpointError(f"no checkpoint in {path}")


def complete(directory: Path) -> list[Checkpoint]:
    """All complete checkpoints in a directory, the oldest first."""
    found = [Checkpoint(p) for p in directory.glob("[0-9]*") if is_complete(p)]
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def has_complete(directory: Path) -> bool:
    """Whether a checkpoint directory holds at least one complete checkpoint."""
    return any(map(is_complete, directory.glob("[0-9]*")))


def is_complete(path: Path) -> bool:
    """Whether a path is a checkpoint whose save came to its end."""
    # A save in progress has a longer name, with Orbax's mark at its end.
    return names_step(path) and holds_something(path)


def names_step(path: Path) -> bool:
    """Whether a path is called as the checkpoint of a step is."""
    return path.name.isascii() and path.name.isdigit()


def holds_something(path: Path) -> bool:
    """Whether a path is a directory that isn't empty."""
    try:
        return any(path.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return False


def rank_in(metrics: Mapping[str, float]) -> float:
    """A checkpoint's rank; before there were ranks, that was the validation loss."""
    return float(metrics[RANK] if RANK in metrics else metrics["val_loss"])


def checksums(path: Path) -> dict[str, str]:
    """SHA-256 of each file in a directory but the checksums themselves, by its name."""
    sums: dict[str, str] = {}
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.name != SUMS:
            with file.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
            sums[file.relative_to(path).as_posix()] = digest
    return sums


def load_bundle(path: Path, *, which: str = "best") -> Bundle:
    """The model of a run's best (or latest) checkpoint, ready for sampling.

    Raises:
      CheckpointError: there is no checkpoint, it is broken, or it is a prior's whose
        base is another one now.
    """
    for _ in range(_TRIES):
        found = complete(find(path))
        chosen = _best(found) if which == "best" else found[-1]
        if chosen is None:
            raise CheckpointError(
                f"no finished epoch in {path} yet; ask for the latest"
            )
        try:
            return _bundle_of(chosen, path)
        except BundleError as error:
            raise CheckpointError(str(error)) from None
        except DamagedError:
            time.sleep(_DELETING_SECONDS)
            if is_complete(chosen.path):
                raise
            # A training at work there has replaced it by another one.
    raise CheckpointError(f"{path} changes faster than it can be read: try again")


def _best(checkpoints: list[Checkpoint]) -> Checkpoint | None:
    """The one of the lowest rank."""
    ranked: list[tuple[float, Checkpoint]] = []
    for checkpoint in checkpoints:
        try:
            rank = checkpoint.rank
        except DamagedError as error:
            print(f"warning: {error}; left out", file=sys.stderr)
            continue
        if rank is not None:
            ranked.append((rank, checkpoint))
    return min(ranked, key=lambda pair: pair[0])[1] if ranked else None


def _bundle_of(checkpoint: Checkpoint, origin: Path) -> Bundle:
    header, arrays = checkpoint.header, checkpoint.load_params()
    of_model = {k: v for k, v in arrays.items() if k.startswith("model.")}
    if of_model:  # beside a critic, which nobody needs any more
        arrays = {k.removeprefix("model."): v for k, v in of_model.items()}
    if header.config.prior.base:
        # A prior's checkpoint holds the prior alone.
        base = Path(header.config.prior.base)
        given = read(base)
        frozen = nnx.state(given.model)
        looked_at = frozen
        if header.config.prior.distil and given.prior:
            looked_at = {"model": frozen, "prior": nnx.state(given.prior)}
        trained_over = header.fingerprint.get("frozen weights")
        if trained_over not in (None, weights_hash(looked_at)):
            raise CheckpointError(
                f"{origin} is a prior over {base}, which holds other weights now: put"
                " the earlier file back there, or train the prior anew"
            )
        arrays = with_prior(dict(named_leaves(jax.device_get(frozen))), arrays)
    return from_arrays(header, arrays, origin=origin)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [repr(error)])[0]
