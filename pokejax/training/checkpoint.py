"""Training checkpoints: the only importer of Orbax.

A checkpoint is a directory named by its step that holds the whole training state, with
the run's header as metadata. Orbax writes to a temporary name and commits by renaming,
so a killed save leaves the earlier checkpoints as they were.
"""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
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
    with_prior,
)

KEEP_LATEST = 3
# How long processes wait for one that can't write its share.
_SAVE_SECONDS = 300


class CheckpointError(ValueError):
    """A checkpoint that can't be used; the message names it and what is wrong."""


class Checkpoints:
    """The checkpoints of one run: the latest few and the best by validation loss."""

    def __init__(self, directory: Path):
        """Open, and if need be create, the checkpoint directory of a run."""
        # Orbax logs every decision at INFO, each restart's mesh at WARNING and, at
        # ERROR, a thousand lines of what it raises anyway.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        context = ocp.Context()
        context.async_options.timeout_secs = _SAVE_SECONDS
        keep = ocp.training.preservation_policies
        self._checkpointer = ocp.training.Checkpointer(
            str(directory.resolve()),
            # Orbax types its own policies against a protocol they don't quite match.
            save_decision_policy=(  # pyright: ignore[reportArgumentType]
                ocp.training.save_decision_policies.FixedIntervalPolicy(1)
            ),
            preservation_policy=keep.AnyPreservationPolicy(  # pyright: ignore[reportArgumentType]
                [
                    keep.LatestN(KEEP_LATEST),
                    # Sorted worst first; the last is kept.
                    keep.BestN(
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
    ) -> None:
        """Begin to save the state; training may go on while it is written.

        Args:
          step: that the state has reached; nothing happens if it is saved already.
          state: the whole training state.
          header: of the run, as of the last whole epoch.
          history: the log's rows so far.
          val_loss: at the end of an epoch; None in the middle of one.

        Raises:
          OSError: this save, or the one before, failed; earlier ones are as they were.
        """
        if any(c.step == step for c in self._checkpointer.checkpoints):
            return
        with self._telling_why():
            self._checkpointer.save_async(
                step,
                state,
                metrics=None if val_loss is None else {"val_loss": val_loss},
                custom_metadata=cast(
                    Any,
                    # A copy, since the log grows while this is written.
                    {"header": header.to_dict(), "history": list(history)},
                ),
            )

    def wait(self) -> None:
        """Wait until a save under way is complete.

        Raises:
          OSError: it failed; earlier ones are as they were.
        """
        with self._telling_why():
            self._checkpointer.wait()

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

    def _metadata(self, step: int) -> dict[str, Any]:
        return cast(dict, self._checkpointer.metadata(step).custom_metadata)

    def restore(self, step: int, like: Any) -> Any:
        """The state saved at a step.

        Args:
          step: of an existing checkpoint.
          like: a state of the same structure; shapes and placement are taken from it.

        Raises:
          CheckpointError: the checkpoint holds a state of another shape.
        """
        abstract = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like
        )
        try:
            return self._checkpointer.load(step, abstract)
        except (ValueError, KeyError) as error:
            first_line = str(error).splitlines()[0]
            raise CheckpointError(
                f"checkpoint {self._checkpointer.directory / str(step)} doesn't fit"
                f" this model: {first_line}"
            ) from None

    def load_params(self, step: int) -> dict[str, Any]:
        """The weights to use from a step's state, as numpy arrays by dotted name."""
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
    return any(
        # A save in progress has a longer name, with Orbax's mark at its end.
        found.parent.name.isdigit()
        for found in directory.glob("[0-9]*/_CHECKPOINT_METADATA")
    )


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
