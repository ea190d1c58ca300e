"""Going on with a run: from which checkpoint, and whether it still is that run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pokejax import config as config_lib
from pokejax.inference.bundle import Header
from pokejax.training.checkpoint import (
    Checkpoint,
    CheckpointError,
    DamagedError,
    complete,
    find,
    has_complete,
    is_complete,
)
from pokejax.training.mesh import is_first, meet, say
from pokejax.training.saving import set_aside
from pokejax.training.step import learning_rate
from pokejax.training.trainer import Trainer

# Settings that a resumed run may change: they don't affect what is learned, or what
# they name is told apart by its content.
_FREE_TO_CHANGE = {
    "data.dir",
    "data.resident_mb",
    "text.weights",
    "prior.base",
    "train.epochs",
    "train.start_from",
    "train.workdir",
    "train.checkpoint_every",
    "train.keep_every",
    "train.test_pictures",
    "train.sample_every",
    "train.patience",
    "train.most_copies",
    "train.steps_per_call",
    "train.tensorboard",
    *(name for name, _, _ in config_lib.leaves() if name.startswith("mesh.")),
}


@dataclass(frozen=True)
class Source:
    """Where to go on from.

    Attributes:
      directory: of checkpoints.
      step: of one of them; None: of the newest that is whole.
    """

    directory: Path
    step: int | None = None

    def is_of(self, workdir: Path) -> bool:
        """Whether it is the run in this directory that goes on."""
        return self.directory.resolve() == (workdir / "checkpoints").resolve()


def locate(request: str, workdir: Path) -> Source | None:
    """What `--resume` names; None if that is the work directory, and it has no run.

    Args:
      request: `"auto"`, a step of the work directory's run, or a path: of a run, of its
        checkpoints, or of one of them.
      workdir: of the run that is to go on.

    Raises:
      CheckpointError: there is no such checkpoint.
    """
    path = Path(request)
    if request == "auto":
        own = workdir / "checkpoints"
        return Source(own) if has_complete(own) else None
    if request.isdigit() and not path.exists():
        path = workdir / "checkpoints" / request
        if not is_complete(path):
            kept = [str(saved.step) for saved in complete(path.parent)]
            raise CheckpointError(
                f"{workdir} has no checkpoint of step {request}; it has"
                f" {', '.join(kept) or 'none'}"
            )
    if is_complete(path):
        return Source(path.parent, int(path.name))
    return Source(find(path))


def resume(
    trainer: Trainer, source: Source, workdir: Path, *, anyway: bool = False
) -> list[dict[str, float]]:
    """Put a checkpoint's state into the trainer.

    If that is of the work directory's own run, newer checkpoints are set aside.

    Args:
      trainer: new.
      source: where to go on from.
      workdir: of the run that goes on.
      anyway: go on with other data or settings than the checkpoint's, too.

    Returns:
      The log up to there.

    Raises:
      CheckpointError: no checkpoint is whole, or it was trained otherwise.
    """
    step, history = _restore(trainer, source, anyway)
    if source.is_of(workdir):
        meet("resumed")  # nobody reads there any more
        if is_first():
            for saved in complete(source.directory):
                if saved.step > step:
                    set_aside(saved.path)
        meet("set aside")
    say(
        f"\nResumed {source.directory} at step {step}, after {len(history)} whole"
        " epochs."
    )
    return history


def _restore(
    trainer: Trainer, source: Source, anyway: bool
) -> tuple[int, list[dict[str, float]]]:
    found = complete(source.directory)[::-1]
    if source.step is not None:
        found = [Checkpoint(source.directory / str(source.step))]
    for saved in found:
        try:
            _check_same_run(saved.header, trainer.header, source, anyway)
            state, history = saved.restore(trainer.state), saved.history
        except DamagedError as error:
            if saved is found[-1]:
                if len(found) == 1:
                    raise
                raise DamagedError(
                    f"{error}, and so are the later ones in {source.directory}: begin"
                    " anew with another --train.workdir"
                ) from None
            say(f"\nwarning: {error}; going back to the one before it")
            continue
        trainer.go_on(state, len(history), saved.first_step)
        _mention_stretch(saved.header.config.train.epochs, trainer)
        _mention_nothing_left(len(history), trainer)
        return saved.step, history
    raise CheckpointError(f"no checkpoint in {source.directory}")


def _mention_nothing_left(done: int, trainer: Trainer) -> None:
    epochs = trainer.config.train.epochs
    if done >= epochs:
        say(
            f"\nnote: {done} epochs are done, and train.epochs is {epochs}: nothing is"
            " left to train"
        )


def _mention_stretch(epochs: int, trainer: Trainer) -> None:
    """Say how the learning rate jumps where a schedule gets another end."""
    train = trainer.config.train
    if train.schedule == "constant" or train.epochs == epochs:
        return
    was, now = (
        learning_rate(trainer.config, count * trainer.steps_per_epoch)(trainer.step)
        for count in (epochs, train.epochs)
    )
    say(
        f"\nnote: the {train.schedule} schedule was to end at epoch {epochs} and now"
        f" ends at epoch {train.epochs}: the learning rate continues at {now:.2g}"
        f" instead of {was:.2g}"
    )


def _check_same_run(
    saved: Header, wanted: Header, source: Source, anyway: bool
) -> None:
    """Refuse, or with `anyway` only mention, what would be learned otherwise."""
    path = source.directory
    if not saved.fingerprint:
        say(f"\nnote: {path} doesn't record its data, which can't be compared")
    found = differences(saved, wanted)
    if not found:
        return
    if not anyway:
        raise CheckpointError(
            f"{path} was trained with {'; '.join(found)} (--resume-anyway continues"
            " anyway)"
        )
    say(f"\nwarning: {path} was trained with {'; '.join(found)}: continuing anyway")


def differences(saved: Header, wanted: Header) -> list[str]:
    """What differs in what two runs learn, and from what; both values where short."""
    was, now = (config_lib.to_dict(header.config) for header in (saved, wanted))
    pairs: dict[str, tuple[object, object]] = {}
    for name, _, _ in config_lib.leaves():
        section, key = name.split(".")
        if name not in _FREE_TO_CHANGE:
            pairs[name] = (was[section][key], now[section][key])
    pairs["the text encoder"] = (saved.encoder, wanted.encoder)
    found = [f"{k} = {a} (now {b})" for k, (a, b) in pairs.items() if a != b]
    return found + _other_data(saved.fingerprint, wanted.fingerprint)


def _other_data(was: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    other = [name for name in now if name in was and was[name] != now[name]]
    found: list[str] = []
    if "counts" in other:
        found.append(f"pictures: {was['counts']} (now {now['counts']})")
        other.remove("counts")
    return [*found, f"other {', '.join(other)}"] if other else found
