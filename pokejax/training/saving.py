"""Saving checkpoints, and keeping the latest few and the best.

Orbax writes to a temporary name and commits by renaming, so a killed save leaves the
earlier checkpoints as they were.
"""

import json
import os
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from orbax.checkpoint import v1 as ocp

from pokejax.files import whole_file
from pokejax.inference.bundle import Header
from pokejax.training.checkpoint import (
    RANK,
    SUMS,
    Checkpoint,
    CheckpointError,
    DamagedError,
    checksums,
    holds_something,
    names_step,
    rank_in,
)
from pokejax.training.mesh import is_first, meet

KEEP_LATEST = 3
# How long processes wait for one that can't write its share.
_SAVE_SECONDS = 300
_ASIDE = "set_aside_"


@dataclass(frozen=True)
class _KeepIf:
    """Orbax's interface to a choice of steps to keep."""

    keep: Callable[[int], bool]

    def should_preserve(
        self, checkpoints: Sequence[Any], *, context: Any
    ) -> list[bool]:
        return [self.keep(checkpoint.step) for checkpoint in checkpoints]


class Checkpoints:
    """The checkpoints of one run: the latest few and the best."""

    def __init__(
        self, directory: Path, *, keep: Callable[[int], bool] = lambda step: False
    ):
        """Open, and if need be create, the checkpoint directory of a run.

        What a killed save left is deleted, and checkpoints so damaged that none could
        be listed are set aside: the directory must be this process's own.

        Args:
          directory: of the checkpoints.
          keep: whether the checkpoint of a step is to be kept for good.
        """
        if is_first():
            _set_aside_broken(directory)
        meet("checkpoints")
        self._sealing: threading.Thread | None = None
        self._sealing_failed: OSError | None = None
        context = ocp.Context()
        context.async_options.timeout_secs = _SAVE_SECONDS
        policies = ocp.training.preservation_policies
        self._checkpointer = ocp.training.Checkpointer(
            str(directory.resolve()),
            # Orbax types its own policies against a protocol they don't quite match.
            save_decision_policy=(  # pyright: ignore[reportArgumentType]
                ocp.training.save_decision_policies.FixedIntervalPolicy(1)
            ),
            preservation_policy=policies.AnyPreservationPolicy(  # pyright: ignore[reportArgumentType]
                [
                    policies.LatestN(KEEP_LATEST),
                    _KeepIf(keep),
                    # Sorted worst first; the last is kept.
                    policies.BestN(
                        get_metric_fn=rank_in,
                        reverse=True,
                        n=1,
                        keep_checkpoints_without_metrics=False,
                    ),
                ]
            ),
            cleanup_tmp_directories=True,
            context=context,
        )

    def save(
        self,
        step: int,
        state: Any,
        header: Header,
        *,
        history: list[dict[str, float]],
        rank: float | None,
        first_step: int,
    ) -> None:
        """Begin to save the state; training may go on while it is written.

        Args:
          step: that the state has reached; nothing happens if it is saved already.
          state: the whole training state.
          header: of the run, as of the last whole epoch.
          history: the log's rows so far.
          rank: the lowest is the best; None is no candidate.
          first_step: as of the trainer.

        Raises:
          OSError: this save, or the one before, failed; earlier ones are as they were.
        """
        if any(c.step == step for c in self._checkpointer.checkpoints):
            return
        with self._telling_why():
            self._wait_for_seal()
            saving = self._checkpointer.save_async(
                step,
                state,
                metrics=None if rank is None else {RANK: rank},
                custom_metadata=cast(
                    Any,
                    # A copy, since the log grows while this is written.
                    {
                        "header": header.to_dict(),
                        "history": list(history),
                        "first_step": first_step,
                    },
                ),
            )
        if saving and is_first():
            path = Path(self._checkpointer.directory) / str(step)
            self._sealing = threading.Thread(target=self._seal, args=(saving, path))
            self._sealing.start()

    def _seal(self, saving: Any, path: Path) -> None:
        """Write checksums of a checkpoint's files once it is complete."""
        try:
            saving.result()
        except Exception:
            return  # whoever waits for the save is told
        try:
            with whole_file(path / SUMS) as partial:
                partial.write_text(json.dumps(checksums(path), indent=1))
        except OSError as error:
            self._sealing_failed = error

    def _wait_for_seal(self) -> None:
        if self._sealing:
            self._sealing.join()
            self._sealing = None
        if self._sealing_failed:
            failed, self._sealing_failed = self._sealing_failed, None
            raise failed

    def wait(self) -> None:
        """Wait until a save under way is complete.

        Raises:
          OSError: it failed; earlier ones are as they were.
        """
        with self._telling_why():
            self._checkpointer.wait()
            self._wait_for_seal()

    @contextmanager
    def _telling_why(self) -> Iterator[None]:
        """Turn what Orbax and TensorStore raise while writing into one clear line."""
        try:
            yield
        except (OSError, ValueError) as error:
            code = re.search(r"os_error_code='(\d+)'", str(error))
            number = int(code[1]) if code else getattr(error, "errno", None)
            why = os.strerror(number) if number else str(error).splitlines()[0]
            raise OSError(
                f"can't save a checkpoint in {self._checkpointer.directory}: {why};"
                " earlier ones are as they were"
            ) from None

    @property
    def best(self) -> Checkpoint | None:
        """The one of the lowest rank, or None."""
        ranked = [c for c in self._checkpointer.checkpoints if c.metrics]
        best = min(
            ranked,
            key=lambda c: rank_in(cast(dict[str, float], c.metrics)),
            default=None,
        )
        if best is None:
            return None
        return Checkpoint(Path(self._checkpointer.directory) / str(best.step))

    def close(self) -> None:
        """Wait for saves under way and let go of the directory.

        Raises:
          OSError: a save under way failed.
        """
        with self._telling_why():
            self._checkpointer.close()
            self._wait_for_seal()


def set_aside(path: Path) -> None:
    """Rename a checkpoint so that it is kept, but counts no more; says so.

    Raises:
      CheckpointError: it can't be renamed.
    """
    aside = path.with_name(_ASIDE + path.name)
    try:
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
    except FileNotFoundError:
        return  # another process was faster
    except OSError as error:
        raise CheckpointError(f"{path} can't be set aside: {error.strerror}") from None
    print(f"note: {path} is now {aside.name}", file=sys.stderr)


def aside_in(directory: Path) -> list[str]:
    """Names of the checkpoints that are set aside in a directory."""
    return sorted(p.name for p in directory.glob(f"{_ASIDE}*") if holds_something(p))


def _set_aside_broken(directory: Path) -> None:
    """Set aside what would keep Orbax from listing the others."""
    for path in directory.glob("[0-9]*"):
        if not names_step(path) or not path.is_dir():
            continue
        if not holds_something(path):
            path.rmdir()
            continue
        try:
            Checkpoint(path).glance()
        except DamagedError:
            set_aside(path)
