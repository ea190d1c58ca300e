"""Training checkpoints: the only importer of Orbax.

A checkpoint is a directory named by its step that holds the whole training state, with
the run's header as metadata. Orbax writes to a temporary name and commits by renaming,
so a killed save leaves the earlier checkpoints as they were.
"""

import hashlib
import json
import logging
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

import jax
from flax import nnx
from orbax.checkpoint import v1 as ocp

from pokejax.files import whole_file
from pokejax.inference.bundle import (
    Bundle,
    BundleError,
    Header,
    from_arrays,
    named_leaves,
    read,
    with_prior,
)
from pokejax.training.mesh import is_first

KEEP_LATEST = 3
_SUMS = "checksums.json"
# How long processes wait for one that can't write its share.
_SAVE_SECONDS = 300


class CheckpointError(ValueError):
    """A checkpoint that can't be used; the message names it and what is wrong."""


class DamagedError(CheckpointError):
    """A checkpoint whose files aren't as they were written."""


@dataclass(frozen=True)
class _KeepIf:
    """Orbax's interface to a choice of steps to keep."""

    keep: Callable[[int], bool]

    def should_preserve(
        self, checkpoints: Sequence[Any], *, context: Any
    ) -> list[bool]:
        return [self.keep(checkpoint.step) for checkpoint in checkpoints]


class Checkpoints:
    """The checkpoints of one run: the latest few and the best by validation loss."""

    def __init__(
        self, directory: Path, *, keep: Callable[[int], bool] = lambda step: False
    ):
        """Open, and if need be create, the checkpoint directory of a run.

        Checkpoints so damaged that none could be listed are set aside.

        Args:
          directory: of the checkpoints.
          keep: whether the checkpoint of a step is to be kept for good.
        """
        # Orbax logs every decision at INFO, each restart's mesh at WARNING and, at
        # ERROR, a thousand lines of what it raises anyway.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        for metrics in directory.glob("[0-9]*/metrics/metrics"):
            if not _is_json(metrics):
                set_aside(metrics.parents[1])
        self._checked: set[int] = set()
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
                        get_metric_fn=lambda metrics: metrics["val_loss"],
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
        val_loss: float | None,
        first_step: int,
    ) -> None:
        """Begin to save the state; training may go on while it is written.

        Args:
          step: that the state has reached; nothing happens if it is saved already.
          state: the whole training state.
          header: of the run, as of the last whole epoch.
          history: the log's rows so far.
          val_loss: at the end of an epoch; None in the middle of one.
          first_step: as of the trainer.

        Raises:
          OSError: this save, or the one before, failed; earlier ones are intact.
        """
        if any(c.step == step for c in self._checkpointer.checkpoints):
            return
        with self._telling_why():
            self._wait_for_seal()
            saving = self._checkpointer.save_async(
                step,
                state,
                metrics=None if val_loss is None else {"val_loss": val_loss},
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
            with whole_file(path / _SUMS) as partial:
                partial.write_text(json.dumps(_checksums(path), indent=1))
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
          OSError: it failed; earlier ones are intact.
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
                " earlier ones are intact"
            ) from None

    @property
    def steps(self) -> list[int]:
        """Steps of all complete checkpoints, the newest first."""
        return sorted((c.step for c in self._checkpointer.checkpoints), reverse=True)

    def check(self, step: int) -> None:
        """Compare a checkpoint's files with their checksums, if it has any.

        Those of earlier versions have none, nor has one that was just being finished
        when the run was killed.

        Raises:
          DamagedError: a file is missing, or isn't as it was written.
        """
        path = Path(self._checkpointer.directory) / str(step)
        if step in self._checked or not (path / _SUMS).exists():
            return
        try:
            expected = json.loads((path / _SUMS).read_bytes())
            found = _checksums(path)
            bad = [name for name in expected if found.get(name) != expected[name]]
        except (OSError, ValueError, TypeError):
            bad = [_SUMS]
        if bad:
            raise DamagedError(f"checkpoint {path} is damaged: {bad[0]} has changed")
        self._checked.add(step)

    @property
    def latest(self) -> int | None:
        """Step of the newest complete checkpoint, or None."""
        latest = self._checkpointer.latest
        return None if latest is None else latest.step

    @property
    def best(self) -> int | None:
        """Step of the checkpoint with the lowest validation loss, or None."""
        scored = [c for c in self._checkpointer.checkpoints if c.metrics]
        best = min(
            scored,
            key=lambda c: cast(dict[str, float], c.metrics)["val_loss"],
            default=None,
        )
        return None if best is None else best.step

    def header(self, step: int) -> Header:
        """The header saved with a step."""
        origin = self._checkpointer.directory / str(step)
        return Header.from_dict(self._metadata(step)["header"], str(origin))

    def history(self, step: int) -> list[dict[str, float]]:
        """The log's rows saved with a step."""
        return self._metadata(step)["history"]

    def first_step(self, step: int) -> int:
        """The trainer's `first_step` saved with a step."""
        return self._metadata(step).get("first_step", 0)

    def _metadata(self, step: int) -> dict[str, Any]:
        self.check(step)  # Orbax looks at the arrays, too
        metadata = self._checkpointer.metadata(step).custom_metadata
        if not isinstance(metadata, dict) or "history" not in metadata:
            path = self._checkpointer.directory / str(step)
            raise DamagedError(f"checkpoint {path} is damaged: its metadata is missing")
        return cast(dict, metadata)

    def restore(self, step: int, like: Any) -> Any:
        """The state saved at a step.

        Args:
          step: of an existing checkpoint.
          like: a state of the same structure; shapes and placement are taken from it.

        Raises:
          DamagedError: it isn't as it was written.
          CheckpointError: the checkpoint holds a state of another shape.
        """
        self.check(step)
        abstract = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like
        )
        try:
            return self._checkpointer.load(step, abstract)
        except Exception as error:  # damage can make Orbax raise nearly anything
            path = Path(self._checkpointer.directory) / str(step)
            first_line = (str(error).splitlines() or [repr(error)])[0]
            if (path / _SUMS).exists():  # so it is whole
                raise CheckpointError(
                    f"checkpoint {path} doesn't fit this model: {first_line}"
                ) from None
            raise DamagedError(
                f"checkpoint {path} is damaged, or doesn't fit this model: {first_line}"
            ) from None

    def load_params(self, step: int) -> dict[str, Any]:
        """The weights to use from a step's state, as numpy arrays by dotted name.

        Raises:
          DamagedError: the checkpoint isn't as it was written.
        """
        self.check(step)
        saved = self._checkpointer.metadata(step).metadata
        kept = "params" if saved["ema_params"] is None else "ema_params"
        sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
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
        state = self._checkpointer.load(step, abstract)
        return {
            name.removesuffix(".value"): jax.device_get(leaf)
            for name, leaf in named_leaves(state[kept])
        }

    def close(self) -> None:
        """Wait for saves under way and let go of the directory.

        Raises:
          OSError: a save under way failed.
        """
        with self._telling_why():
            self._checkpointer.close()
            self._wait_for_seal()


def find(path: Path) -> Path:
    """The checkpoint directory meant by a path, which may be a run's directory.

    Raises:
      CheckpointError: there is no checkpoint.
    """
    for candidate in (path / "checkpoints", path):
        if has_complete(candidate):
            return candidate
    raise CheckpointError(f"no checkpoint in {path}")


def has_complete(directory: Path) -> bool:
    """Whether a checkpoint directory holds at least one complete checkpoint."""
    return any(map(is_complete, directory.glob("[0-9]*")))


def is_complete(path: Path) -> bool:
    """Whether a path is a checkpoint whose save came to its end."""
    # A save in progress has a longer name, with Orbax's mark at its end.
    return path.name.isdigit() and path.is_dir()


def set_aside(path: Path) -> None:
    """Rename a checkpoint so that it is kept, but counts no more; says so.

    Raises:
      CheckpointError: it can't be renamed.
    """
    aside = path.with_name(f"set_aside_{path.name}")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
    except FileNotFoundError:
        return  # another process was faster
    except OSError as error:
        raise CheckpointError(f"{path} can't be set aside: {error.strerror}") from None
    print(f"note: {path} is now {aside.name}", file=sys.stderr)


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return True


def _checksums(path: Path) -> dict[str, str]:
    """SHA-256 of each file in a directory but the checksums themselves, by its name."""
    sums: dict[str, str] = {}
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.name != _SUMS:
            with file.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
            sums[file.relative_to(path).as_posix()] = digest
    return sums


def load_bundle(path: Path, *, which: str = "best") -> Bundle:
    """The model of a run's best (or latest) checkpoint, ready for sampling.

    Raises:
      CheckpointError: there is no checkpoint, or it is broken.
    """
    checkpoints = Checkpoints(find(path))
    try:
        step = checkpoints.best if which == "best" else checkpoints.latest
        if step is None:
            raise CheckpointError(
                f"no finished epoch in {path} yet; ask for the latest"
            )
        header = checkpoints.header(step)
        arrays = checkpoints.load_params(step)
        of_model = {k: v for k, v in arrays.items() if k.startswith("model.")}
        if of_model:  # beside a critic, which nobody needs any more
            arrays = {k.removeprefix("model."): v for k, v in of_model.items()}
        if header.config.prior.base:
            # A prior's checkpoint holds the prior alone.
            base = read(Path(header.config.prior.base))
            frozen = jax.device_get(nnx.state(base.model))
            arrays = with_prior(dict(named_leaves(frozen)), arrays)
        return from_arrays(header, arrays, origin=path)
    except BundleError as error:
        raise CheckpointError(str(error)) from None
    finally:
        checkpoints.close()
