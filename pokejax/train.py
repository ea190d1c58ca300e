"""The training command: config in; checkpoints, logs, pictures and a bundle out.

Order of side effects, each epoch: steps, validation, CSV row, curves, samples,
checkpoint. A checkpoint is saved last, so whatever it resumes has its logs complete.
"""

import argparse
import dataclasses
import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from tqdm import tqdm

from pokejax import bundle as bundle_lib
from pokejax import config as config_lib
from pokejax import data as data_lib
from pokejax import losses, reports
from pokejax.bundle import Header
from pokejax.checkpoint import CheckpointError, Checkpoints, find, has_complete
from pokejax.config import Config, ConfigError
from pokejax.grid import contact_sheet, to_uint8
from pokejax.stop import StopRequest
from pokejax.trainer import Trainer, TrainingError

SAMPLE_ROWS = 8
SAMPLES_A_ROW = 6

# Settings that a resumed run may change: they don't touch what is computed.
_FREE_TO_CHANGE = {
    "data.dir",
    "data.resident_mb",
    "train.epochs",
    "train.workdir",
    "train.checkpoint_every",
    "train.sample_every",
    "train.patience",
    "train.steps_per_call",
    *(name for name, _, _ in config_lib.leaves() if name.startswith("mesh.")),
}


def train(
    config: Config,
    *,
    resume: Path | None = None,
    debug_samples: int = 0,
    debug_images_dir: Path | None = None,
) -> int | None:
    """Train a model as the config says.

    Args:
      config: all settings.
      resume: a run's (or its checkpoint) directory to go on from.
      debug_samples: train on so few pictures of each split; 0 uses all.
      debug_images_dir: write what the model is fed into this directory first.

    Returns:
      None when done: the best model by validation loss is at
      `<workdir>/model.safetensors`. The number of the signal that ended it early, if
      one did: the state is saved.

    Raises:
      DataError, CheckpointError, ConfigError, FileNotFoundError: before training.
      TrainingError: a loss is not finite.
    """
    workdir = Path(config.train.workdir)
    _refuse_silent_restart(workdir, resume)
    with StopRequest() as stop:
        trainer = _prepare(config, debug_samples)
        if debug_images_dir:
            _save_debug_images(trainer, debug_images_dir)
        history = _resume(trainer, resume) if resume else []
        workdir.mkdir(parents=True, exist_ok=True)
        log = reports.LossLog(workdir / "training_losses.csv", history)
        checkpoints = Checkpoints(workdir / "checkpoints")
        try:
            run = _Run(trainer, checkpoints, log, stop)
            if not run.epochs():
                print(f"saved at step {trainer.step}; go on with --resume auto")
                return stop.signal
            _finish(trainer, checkpoints, workdir)
        finally:
            checkpoints.close()
    return None


def _prepare(config: Config, debug_samples: int) -> Trainer:
    """Load the data and build everything, with the original's announcements."""
    values = {
        "Dataset": config.data.dir,
        "Work dir": config.train.workdir,
        "Text encoder": config.text.encoder,
        "Epochs": config.train.epochs,
    }
    _say(reports.banner(values))
    device = f"{jax.devices()[0].device_kind} ({jax.default_backend()})"
    _say(f"\nDevice: {jax.device_count()} x {device}")
    _say(f"\nLoading {config.data.dir} dataset...")
    dataset = data_lib.load(config.data, config.text, debug_samples=debug_samples)
    counts = {name: len(split) for name, split in dataset.splits.items()}
    _say("Train: {train}, Val: {val}, Test: {test}\n".format(**counts))
    trainer = Trainer(config, dataset)
    _say(reports.architecture(trainer.model, trainer.header))
    return trainer


class _Run:
    """The epochs of a run, and what each leaves behind."""

    def __init__(
        self,
        trainer: Trainer,
        checkpoints: Checkpoints,
        log: reports.LossLog,
        stop: StopRequest,
    ):
        self.trainer, self.checkpoints = trainer, checkpoints
        self.log, self.stop = log, stop
        self.config = trainer.config.train
        self.workdir = Path(self.config.workdir)
        self.has_val = len(trainer.dataset.splits["val"]) > 0

    def epochs(self) -> bool:
        """Train to the last epoch, or until patience ends; False if asked to stop."""
        first = len(self.log.rows) + 1
        _say("Compiling the train step: up to a minute on a slow CPU, once.")
        with tqdm(
            total=self.config.epochs,
            initial=first - 1,
            desc="Epochs",
            unit="epoch",
            disable=not _is_first(),
        ) as progress:
            for epoch in range(first, self.config.epochs + 1):
                if not self._epoch(epoch):
                    self._save(epoch - 1, None)
                    self.checkpoints.wait()
                    return False
                progress.update()
                if self._out_of_patience():
                    _say(f"No better validation loss in {self.config.patience} epochs.")
                    break
                # A wish that came while this epoch was evaluated or saved.
                if self.stop() and epoch < self.config.epochs:
                    self._save(epoch, None)
                    self.checkpoints.wait()
                    return False
        return True

    def _epoch(self, epoch: int) -> bool:
        """One epoch with all that follows it; False if stopped before its end."""
        trainer, started = self.trainer, time.monotonic()
        first_step = trainer.step
        with tqdm(
            total=trainer.steps_per_epoch,
            initial=first_step - (epoch - 1) * trainer.steps_per_epoch,
            desc=f"epoch {epoch}",
            unit="step",
            leave=False,
            disable=not _is_first(),
        ) as progress:

            def report(count: int, loss: float) -> None:
                progress.update(count)
                if not math.isnan(loss):
                    progress.set_postfix(loss=f"{loss:.3f}")

            train_parts = trainer.train_epoch(epoch, stop=self.stop, report=report)
        if train_parts is None:
            return False
        images = (trainer.step - first_step) * self.config.batch_size
        seconds = time.monotonic() - started
        val_parts, latents = trainer.evaluate("val" if self.has_val else "train")
        best_before = self._best()
        row = {"Epoch": float(epoch)}
        row |= {f"Train_{k}": v for k, v in train_parts.items()}
        row |= {f"Val_{k}": v for k, v in val_parts.items()}
        row["Beta"] = losses.beta(epoch, trainer.config.loss)
        row["Active_Units"] = float(latents.active)
        row["Seconds"] = time.monotonic() - started
        row["Images_per_s"] = images / seconds
        is_best = val_parts["Loss"] < best_before
        last = epoch == self.config.epochs
        if _is_first():
            self.log.add(row)
        else:
            self.log.rows.append(row)
        if last or epoch % self.config.sample_every == 0:
            self._save_pictures(epoch)
        if last or is_best or epoch % self.config.checkpoint_every == 0:
            self._save(epoch, val_parts["Loss"])
        message = f"epoch {epoch}\n{reports.summary('Train', train_parts)}"
        message += f"\n{reports.summary('Val', val_parts)}"
        if is_best:
            message += f"\n✓ New best validation loss: {val_parts['Loss']:.4f}"
        if latents.collapsed:
            message += (
                f"\nwarning: the posterior has collapsed: {latents.active} of"
                f" {len(latents.kl)} latent dimensions are in use, KL"
                f" {latents.kl.sum():.2f} nats; lower --loss.kl_weight"
            )
        if _is_first():
            tqdm.write(message)
        return True

    def _save(self, epoch: int, val_loss: float | None) -> None:
        header = dataclasses.replace(
            self.trainer.header, epoch=epoch, val_loss=self._best()
        )
        if val_loss is not None:
            header = dataclasses.replace(header, val_loss=val_loss)
        self.checkpoints.save(
            self.trainer.step,
            self.trainer.state,
            header,
            history=self.log.rows,
            val_loss=val_loss,
        )

    def _save_pictures(self, epoch: int) -> None:
        """Curves, and held-out pictures beside what the model makes of them."""
        name = "val" if self.has_val else "train"
        n = len(self.trainer.dataset.splits[name])
        rows = np.random.default_rng(0).choice(n, min(SAMPLE_ROWS, n), replace=False)
        pictures = self.trainer.draw(name, rows, SAMPLES_A_ROW)
        if _is_first():
            self.log.plot(self.workdir / "training_curves.png")
            reports.save_samples(self.workdir / f"samples_epoch_{epoch}.png", *pictures)

    def _best(self) -> float:
        return min((row["Val_Loss"] for row in self.log.rows), default=float("inf"))

    def _out_of_patience(self) -> bool:
        since_best = [row["Val_Loss"] for row in self.log.rows][::-1]
        return bool(self.config.patience) and (
            since_best.index(min(since_best)) >= self.config.patience
        )


def _finish(trainer: Trainer, checkpoints: Checkpoints, workdir: Path) -> None:
    """Test the best checkpoint, and write its bundle."""
    checkpoints.wait()
    best = checkpoints.best
    if best is None:
        raise CheckpointError(f"{workdir} has no checkpoint, and no epoch was run")
    trainer.state = checkpoints.restore(best, trainer.state)
    header = checkpoints.header(best)
    if len(trainer.dataset.splits["test"]):
        parts, _ = trainer.evaluate("test")
        _say(f"{reports.summary('Test', parts)} (best epoch: {header.epoch})")
    model_path = workdir / "model.safetensors"
    if _is_first():
        bundle_lib.write(model_path, header, trainer.state.eval_params)
    _say(f"\nbest model: {model_path}\nlogs and pictures: {workdir}")


def _refuse_silent_restart(workdir: Path, resume: Path | None) -> None:
    if resume is None and has_complete(workdir / "checkpoints"):
        raise CheckpointError(
            f"{workdir} already holds a run: go on with --resume auto, or choose"
            " another directory with --train.workdir"
        )


def _resume(trainer: Trainer, path: Path) -> list[dict[str, float]]:
    """Put the newest checkpoint's state into the trainer; returns the log so far."""
    source = Checkpoints(find(path))
    try:
        step = source.latest
        assert step is not None  # find() saw one
        _check_same_run(source.header(step), trainer.header, path)
        trainer.state = source.restore(step, trainer.state)
        history = source.history(step)
    finally:
        source.close()
    _say(f"\nResumed {path} at step {step}, after {len(history)} whole epochs.")
    return history


def _check_same_run(saved: Header, wanted: Header, path: Path) -> None:
    """Refuse to go on with another computation than the checkpoint's."""
    free = set(_FREE_TO_CHANGE)
    if saved.config.train.schedule == "cosine":
        free -= {"train.epochs"}  # the schedule ends with the last epoch
    was, now = (config_lib.to_dict(header.config) for header in (saved, wanted))
    pairs = {"the text encoder": (saved.encoder, wanted.encoder)}
    for name, _, _ in config_lib.leaves():
        section, key = name.split(".")
        if name not in free:
            pairs[name] = (was[section][key], now[section][key])
    for name, (before, after) in pairs.items():
        if before != after:
            raise CheckpointError(
                f"{path} was trained with {name} = {before}; the config has {after}"
            )


def _save_debug_images(trainer: Trainer, directory: Path) -> None:
    """Write one training batch exactly as the model sees it, and one of each split."""
    directory.mkdir(parents=True, exist_ok=True)
    batch = trainer.first_batch()
    pictures = {"train_augmented": to_uint8(np.asarray(batch.image))}
    for name, split in trainer.dataset.splits.items():
        if len(split):
            pictures[name] = split.images[:64]
    for name, images in pictures.items():
        grid = [list(images[i : i + 8]) for i in range(0, min(64, len(images)), 8)]
        contact_sheet(grid, [""] * len(grid)).save(directory / f"{name}.png")
    _say(f"\nDebug images: {directory}")


def _is_first() -> bool:
    """Whether this process writes logs, pictures and messages."""
    return jax.process_index() == 0


def _say(text: str) -> None:
    if _is_first():
        print(text, flush=True)


def use_compilation_cache() -> None:
    """Keep compiled programs on disk: a step that took a minute then loads at once."""
    root = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    jax.config.update("jax_compilation_cache_dir", str(root / "pokejax" / "xla"))
    # By default only what took over a second to compile is kept.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def join_processes(config: Config) -> None:
    """Meet the run's other processes, if there are any, before JAX starts."""
    mesh = config.mesh
    if mesh.coordinator == "auto":
        jax.distributed.initialize()
    elif mesh.coordinator:
        jax.distributed.initialize(mesh.coordinator, mesh.processes, mesh.process_id)


def parse_arguments(
    argv: Sequence[str] | None,
) -> tuple[argparse.Namespace, Config]:
    """Parse the command line into run options and a config.

    Raises:
      ConfigError: an unknown or invalid setting.
    """
    parser = argparse.ArgumentParser(
        prog="python -m pokejax.train",
        description="Train a conditional VAE on a dataset directory.",
        epilog=(
            "example: python -m pokejax.train --config configs/pokemon64.py"
            " --train.epochs 50 --train.workdir runs/mine"
        ),
        allow_abbrev=False,
    )
    parser.add_argument("--config", type=Path, help="config file, see configs/")
    parser.add_argument(
        "--resume",
        metavar="DIR",
        help="go on from the newest checkpoint of a run; 'auto': of train.workdir",
    )
    parser.add_argument(
        "--debug-samples",
        type=int,
        default=0,
        metavar="N",
        help="use only N pictures of each split",
    )
    parser.add_argument(
        "--save-debug-images",
        action="store_true",
        help="write what the model is fed before training",
    )
    parser.add_argument(
        "--debug-images-dir",
        type=Path,
        default=Path("debug_output"),
        help="where --save-debug-images writes (default: debug_output)",
    )
    config_lib.add_arguments(parser)
    args, unknown = parser.parse_known_args(argv)
    if args.debug_samples < 0:
        raise ConfigError(
            f"--debug-samples is {args.debug_samples}; expected 0 or more"
        )
    return args, config_lib.from_arguments(args, unknown)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
      0 when trained, 2 on bad input, 1 if training failed, 128 + the signal's number if
      one ended it early (the state is saved then).
    """
    try:
        args, config = parse_arguments(argv)
        use_compilation_cache()
        join_processes(config)
        resume = args.resume and Path(
            config.train.workdir if args.resume == "auto" else args.resume
        )
        signal = train(
            config,
            resume=resume,
            debug_samples=args.debug_samples,
            debug_images_dir=args.debug_images_dir if args.save_debug_images else None,
        )
    except (ConfigError, data_lib.DataError, CheckpointError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 128 + signal if signal else 0


if __name__ == "__main__":
    sys.exit(main())
