"""The training command: config in; checkpoints, logs, pictures and a bundle out."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import jax
import numpy as np

from pokejax import config as config_lib
from pokejax import startup
from pokejax.commands import call_of
from pokejax.config import Config, ConfigError
from pokejax.data import dataset as data_lib
from pokejax.files import check_writable, locked, whole_file
from pokejax.images.pixels import to_uint8
from pokejax.images.sheets import contact_sheet
from pokejax.inference.bundle import BundleError
from pokejax.training import grids, log
from pokejax.training import resume as resume_lib
from pokejax.training.checkpoint import CheckpointError, has_complete
from pokejax.training.loop import Loop
from pokejax.training.mesh import (
    device_names,
    exit_with,
    is_first,
    join_processes,
    keep_freed_memory,
    meet,
    say,
)
from pokejax.training.saving import aside_in
from pokejax.training.signals import StopRequest
from pokejax.training.tensorboard import check_installed
from pokejax.training.trainer import Trainer, TrainingError

_BAD_INPUT = (ConfigError, data_lib.DataError, CheckpointError, BundleError)
# The original's options that have another name here.
_ORIGINAL = {
    "--dataset-dir": "--data.dir",
    "--epochs": "--train.epochs",
    "--batch-size": "--train.batch_size",
    "--use-preprocessing": "--data.use_preprocessing",
    "--checkpoint-dir": "--train.workdir (checkpoints are in its checkpoints/)",
    "--output-dir": "--train.workdir",
}


def train(
    config: Config,
    *,
    resume: str | None = None,
    resume_anyway: bool = False,
    debug_samples: int = 0,
    debug_images_dir: Path | None = None,
) -> int | None:
    """Train a model as the config says.

    Args:
      config: all settings.
      resume: where to go on from, as `pokejax.training.resume.locate` takes it.
      resume_anyway: go on with other data or settings than the checkpoint's, too.
      debug_samples: train on only this many pictures of each split; 0 uses all.
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
    source = resume_lib.locate(resume, workdir) if resume else None
    if not source or not source.is_of(workdir):
        _refuse_silent_restart(workdir)
    if resume and not source:
        say(f"no checkpoint in {workdir} yet: starting anew")
    if config.train.tensorboard:
        check_installed()
    check_writable(workdir, directory=True)
    if debug_images_dir:
        check_writable(debug_images_dir, directory=True)
    with StopRequest() as stop, ExitStack() as held:
        was_there = workdir.is_dir()
        if was_there and is_first():
            held.enter_context(locked(workdir))
        trainer = _prepare(config, debug_samples)
        if debug_images_dir:
            _save_debug_images(trainer, debug_images_dir)
        history = []
        if source:
            history = resume_lib.resume(trainer, source, workdir, anyway=resume_anyway)
        if not was_there and is_first():
            workdir.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(workdir))
        meet("work directory")
        if not source and is_first():
            # Left by a run that was lost; the animation would start with its pictures.
            for path in grids.picture_paths(workdir, "prompts", config.train.epochs):
                path.unlink()
        loop = Loop(trainer, history, stop)
        try:
            finished = loop.epochs()
            if finished:
                loop.finish(debug_samples)
        except BaseException:
            # Closing would wait for the other processes, which may be gone.
            if jax.process_count() == 1:
                loop.close()
            raise
        loop.close()
        if not finished:
            say(f"saved at step {trainer.step}; continue with --resume auto")
            # The signal may have come to another process.
            return stop.signal or signal.SIGTERM
    return None


def _prepare(config: Config, debug_samples: int) -> Trainer:
    """Load the data and build everything, announcing it as the original does."""
    values = {
        "Dataset": config.data.dir,
        "Work dir": config.train.workdir,
        "Text encoder": config.text.encoder,
        "Epochs": config.train.epochs,
    }
    say(log.banner(values))
    say(f"\nDevice: {device_names()}")
    say(f"\nLoading {config.data.dir} dataset...")
    dataset = data_lib.load(config.data, config.text, debug_samples=debug_samples)
    counts = {name: len(split) for name, split in dataset.splits.items()}
    say("Train: {train}, Val: {val}, Test: {test}\n".format(**counts))
    trainer = Trainer(config, dataset)
    if (cut := trainer.mesh.shape["fsdp"]) > 1:
        say(f"Weights: cut over {cut} devices\n")
    say(log.architecture(trainer.task.parameter_counts(), trainer.header))
    wanted, taken = config.train.batch_size, trainer.config.train.batch_size
    if taken < wanted:
        say(
            f"warning: train.batch_size is {wanted}, but there are only {taken}"
            " training pictures: each step takes all of them"
        )
    return trainer


def _refuse_silent_restart(workdir: Path) -> None:
    directory = workdir / "checkpoints"
    if has_complete(directory):
        raise CheckpointError(
            f"{workdir} already holds a run: continue with --resume auto, or choose"
            " another directory with --train.workdir"
        )
    if aside := aside_in(directory):
        raise CheckpointError(
            f"{directory} has no checkpoint but those that were set aside"
            f" ({', '.join(aside)}): rename one to its step to go on from it, or begin"
            " anew with another --train.workdir"
        )


def _save_debug_images(trainer: Trainer, directory: Path) -> None:
    """Write one training batch exactly as the model sees it, and one of each split."""
    directory.mkdir(parents=True, exist_ok=True)
    batch = trainer.first_batch()
    pictures = {"train_augmented": to_uint8(np.asarray(batch.image)[..., :3])}
    for name, split in trainer.feed.dataset.splits.items():
        if len(split):
            pictures[name] = split.images[:64]
    for name, images in pictures.items():
        grid = [list(images[i : i + 8]) for i in range(0, min(64, len(images)), 8)]
        with whole_file(directory / f"{name}.png") as partial:
            contact_sheet(grid, [""] * len(grid)).save(partial)
    say(f"\nDebug images: {directory}")


def use_compilation_cache() -> None:
    """Cache compiled programs on disk, so that compiling happens only once."""
    root = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    jax.config.update("jax_compilation_cache_dir", str(root / "pokejax" / "xla"))
    # By default only what took over a second to compile is kept.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def parse_arguments(
    argv: Sequence[str] | None,
) -> tuple[argparse.Namespace, Config]:
    """Parse the command line into run options and a config.

    Raises:
      ConfigError: an unknown or invalid setting.
    """
    names = ", ".join(config_lib.shipped())
    parser = argparse.ArgumentParser(
        prog=call_of("pokejax.train"),
        description="Train a conditional VAE on a dataset, or, with --prior.base, the"
        " prior over the latents of one that is trained.",
        epilog=(
            "example: %(prog)s --config pokemon64 --train.epochs 50"
            " --train.workdir runs/mine"
        ),
        allow_abbrev=False,
        exit_on_error=False,  # it would print all options, some eighty lines
    )
    parser.add_argument(
        "--config",
        type=Path,
        help=f"config file, or the name of an included one: {names}",
    )
    parser.add_argument(
        "--resume",
        metavar="WHERE",
        help="continue from a run's directory (its newest intact checkpoint), from a"
        " checkpoint's, or from a step of train.workdir; 'auto': from train.workdir,"
        " or from scratch if it has no checkpoint yet",
    )
    parser.add_argument(
        "--resume-anyway",
        action="store_true",
        help="continue even if data or settings differ from the checkpoint's",
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
    try:
        args, unknown = parser.parse_known_args(argv)
    except argparse.ArgumentError as error:
        raise ConfigError(str(error)) from None
    for word in unknown:
        if name := _ORIGINAL.get(word.split("=")[0]):
            raise ConfigError(f"{word.split('=')[0]} is called {name} here")
    if args.debug_samples < 0:
        raise ConfigError(
            f"--debug-samples is {args.debug_samples}; expected 0 or more"
        )
    return args, config_lib.from_arguments(args, unknown)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
      0 when trained, 2 on bad input or a file that can't be read or written, 1 if
      training failed or another process was lost, 128 + the signal's number if
      one ended it early (the state is saved then).
    """
    try:
        args, config = parse_arguments(argv)
        keep_freed_memory()
        use_compilation_cache()
        join_processes(config)
        number = train(
            config,
            resume=args.resume,
            resume_anyway=args.resume_anyway,
            debug_samples=args.debug_samples,
            debug_images_dir=args.debug_images_dir if args.save_debug_images else None,
        )
    except (*_BAD_INPUT, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" in str(error):
            print(
                "error: out of memory: lower --train.batch_size, or raise"
                " --train.accumulate",
                file=sys.stderr,
            )
            return 1
        if jax.process_count() == 1:
            raise
        first_line = str(error).splitlines()[0]
        print(f"error: another process may be lost: {first_line}", file=sys.stderr)
        return 1
    return 128 + number if number else 0


if __name__ == "__main__":
    startup.ready()
    exit_with(main)
