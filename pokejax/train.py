"""The training command: config in; checkpoints, logs, pictures and a bundle out.

Order of side effects, each epoch: steps, validation, CSV row, curves, samples,
checkpoint. A checkpoint is saved last, so whatever it resumes has its logs complete.
"""

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Int
from tqdm import tqdm, trange

from pokejax import bundle as bundle_lib
from pokejax import config as config_lib
from pokejax import data as data_lib
from pokejax import losses, lpips, reports, steps
from pokejax.bundle import Bundle, Header
from pokejax.checkpoint import CheckpointError, Checkpoints, find
from pokejax.config import Config, ConfigError
from pokejax.grid import contact_sheet, to_uint8
from pokejax.models.cvae import CVAE

SAMPLE_ROWS = 8
SAMPLES_A_ROW = 6


class TrainingError(RuntimeError):
    """Training can't go on; the message says which quantity failed, and when."""


class Trainer:
    """One run: the compiled functions, the data on the device, and the state."""

    def __init__(self, config: Config, dataset: data_lib.Dataset):
        """Build the model, put the data on the device, and jit (nothing compiles yet).

        Raises:
          FileNotFoundError: LPIPS weights are wanted and missing.
        """
        self.dataset = dataset
        batch_size = min(config.train.batch_size, len(dataset.splits["train"]))
        self.config = dataclasses.replace(
            config, train=dataclasses.replace(config.train, batch_size=batch_size)
        )
        self.header = Header(
            self.config, dataset.text_dim, dataset.encoder, 0, float("inf")
        )
        rngs = nnx.Rngs(config.train.seed)
        self.model = bundle_lib.new_model(self.header, rngs=rngs)
        self.graphdef, params = nnx.split(self.model)
        self.lpips_weights, distance = (
            lpips.distance_function()
            if config.loss.perceptual_weight
            else (None, steps.no_distance)
        )
        self.steps_per_epoch = len(dataset.splits["train"]) // batch_size
        tx = steps.optimizer(self.config, config.train.epochs * self.steps_per_epoch)
        self.state = steps.initial_state(params, tx, self.config)
        self.step = steps.make_step(self.graphdef, tx, distance, self.config)
        self.evaluate = steps.make_evaluate(self.graphdef, distance, self.config)
        self.splits = {
            name: steps.to_device(split, dataset)
            for name, split in dataset.splits.items()
        }
        self.key = jax.random.key(config.train.seed)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Run one epoch (counted from 1); returns the mean of each loss part.

        Raises:
          TrainingError: a part of the loss is not finite.
        """
        beta = jnp.float32(losses.beta(epoch, self.config.loss))
        order = self.epoch_rows(epoch)
        sums: steps.Parts = {}
        progress = tqdm(order, f"epoch {epoch}", leave=False, unit="step")
        for i, rows in enumerate(progress):
            self.state, parts = self.step(
                self.state,
                self.lpips_weights,
                self.splits["train"],
                rows,
                beta,
                self.key,
            )
            sums = {name: sums.get(name, 0) + part for name, part in parts.items()}
            # Reading a value waits for the device: now and then is enough.
            if i % 20 == 0:
                progress.set_postfix(loss=f"{float(parts['Loss']):.3f}")
        means = {name: float(value) / len(order) for name, value in sums.items()}
        for name in ("L1", "KL", "Perceptual", "Loss"):
            if not np.isfinite(means[name]):
                raise TrainingError(
                    f"{name} became {means[name]} in epoch {epoch}: lower"
                    " --train.learning_rate or --loss.kl_weight"
                )
        return means

    def epoch_rows(self, epoch: int) -> Int[Array, "steps batch"]:
        """The rows of every step of an epoch (counted from 1)."""
        batch_size = self.config.train.batch_size
        first = (epoch - 1) * self.steps_per_epoch
        n = len(self.dataset.splits["train"])
        return jnp.stack(
            [
                data_lib.batch_rows(self.config.train.seed, first + i, n, batch_size)
                for i in range(self.steps_per_epoch)
            ]
        )

    def evaluate_split(self, name: str) -> dict[str, float]:
        """Mean of each loss part over a split, at beta = 1, always the same noise."""
        n, batch_size = len(self.dataset.splits[name]), self.config.train.batch_size
        if n == 0:
            return dict.fromkeys(reports.PARTS, float("nan"))
        sums = dict.fromkeys(reports.PARTS, 0.0)
        for start in range(0, n, batch_size):
            rows = np.arange(start, start + batch_size)
            parts = self.evaluate(
                self.state.eval_params,
                self.lpips_weights,
                self.splits[name],
                jnp.asarray(rows % n, jnp.int32),  # padded to one compiled shape
                jnp.asarray(rows < n, jnp.float32),
                jax.random.fold_in(self.key, start),
            )
            sums = {part: sums[part] + float(parts[part]) for part in sums}
        return {part: value / n for part, value in sums.items()}

    def save_samples(self, path: Path) -> None:
        """Draw held-out pictures beside what the model makes of them."""
        split = self.splits["val" if len(self.dataset.splits["val"]) else "train"]
        n = min(SAMPLE_ROWS, len(split.images))
        rows = np.random.default_rng(0).choice(len(split.images), n, replace=False)
        latent_dim = self.config.model.latent_dim
        z = jax.random.normal(jax.random.key(0), (SAMPLES_A_ROW, latent_dim))
        batch = steps.gather(
            split, jnp.asarray(rows, jnp.int32), jnp.zeros(n, jnp.int32)
        )
        recon, samples = _draw_rows(self.graphdef, self.state.eval_params, batch, z)
        reports.save_samples(
            path, *(np.asarray(x) for x in (batch.image, recon, samples))
        )


@jax.jit(static_argnums=0)
def _draw_rows(graphdef, params, batch: steps.Batch, z: Array) -> tuple[Array, Array]:
    """Reconstructions `n h w 3` and samples `n k h w 3` of a batch's conditions."""
    model: CVAE = nnx.merge(graphdef, params)
    noise = jnp.zeros((len(batch.image), z.shape[1]))
    recon, *_ = model(batch.image, batch.text_emb, batch.attributes, noise=noise)

    def draw(text_emb: Array, attributes: Array) -> Array:
        k = len(z)
        return model.decode(z, jnp.tile(text_emb, (k, 1)), jnp.tile(attributes, (k, 1)))

    return recon, jax.vmap(draw)(batch.text_emb, batch.attributes)


def train(
    config: Config,
    *,
    resume: Path | None = None,
    debug_samples: int = 0,
    debug_images_dir: Path | None = None,
) -> Bundle:
    """Train a model as the config says.

    Args:
      config: all settings.
      resume: a run's (or its checkpoint) directory to go on from.
      debug_samples: train on so few pictures of each split; 0 uses all.
      debug_images_dir: write what the model is fed into this directory first.

    Returns:
      The best model by validation loss; it is at `<workdir>/model.safetensors`, too.

    Raises:
      DataError, CheckpointError, FileNotFoundError: before anything is trained.
      TrainingError: a loss is not finite.
    """
    workdir = Path(config.train.workdir)
    _refuse_silent_restart(workdir, resume)
    print(
        reports.banner(
            {
                "Dataset": config.data.dir,
                "Work dir": workdir,
                "Text encoder": config.text.encoder,
                "Epochs": config.train.epochs,
            }
        )
    )
    print(f"\nDevice: {jax.devices()[0].device_kind} ({jax.default_backend()})")
    print(f"\nLoading {config.data.dir} dataset...")
    dataset = data_lib.load(config.data, config.text, debug_samples=debug_samples)
    counts = {name: len(split) for name, split in dataset.splits.items()}
    print("Train: {train}, Val: {val}, Test: {test}\n".format(**counts))
    trainer = Trainer(config, dataset)
    print(reports.architecture(trainer.model, trainer.header), flush=True)
    if debug_images_dir:
        _save_debug_images(trainer, debug_images_dir)

    epochs_done = _resume(trainer, resume) if resume else 0
    workdir.mkdir(parents=True, exist_ok=True)
    log = reports.LossLog(workdir / "training_losses.csv", epochs_done=epochs_done)
    checkpoints = Checkpoints(workdir / "checkpoints")
    try:
        _run_epochs(trainer, checkpoints, log, first=epochs_done + 1)
        best = checkpoints.best
        if best is None:
            raise CheckpointError(f"{workdir} has no checkpoint, and no epoch was run")
        trainer.state = checkpoints.restore(best, trainer.state)
        header = checkpoints.header(best)
    finally:
        checkpoints.close()
    print(reports.summary("Test", trainer.evaluate_split("test")), f"(epoch {best})")
    model_path = workdir / "model.safetensors"
    bundle_lib.write(model_path, header, trainer.state.eval_params)
    print(f"\nbest model: {model_path}\nlogs and pictures: {workdir}")
    return bundle_lib.read(model_path)


def _run_epochs(
    trainer: Trainer, checkpoints: Checkpoints, log: reports.LossLog, *, first: int
) -> None:
    config = trainer.config.train
    workdir = Path(config.workdir)
    best_loss = min((row["Val_Loss"] for row in log.rows), default=float("inf"))
    print("Compiling the train step: about a minute on a slow CPU, once.", flush=True)
    for epoch in trange(first, config.epochs + 1, desc="Epochs", unit="epoch"):
        started = time.monotonic()
        train_parts = trainer.train_epoch(epoch)
        has_val = len(trainer.dataset.splits["val"]) > 0
        val_parts = trainer.evaluate_split("val") if has_val else train_parts
        row = {"Epoch": float(epoch), "Seconds": time.monotonic() - started}
        row["Beta"] = losses.beta(epoch, trainer.config.loss)
        row |= {f"Train_{k}": v for k, v in train_parts.items()}
        row |= {f"Val_{k}": v for k, v in val_parts.items()}
        log.add(row)
        last, is_best = epoch == config.epochs, val_parts["Loss"] < best_loss
        best_loss = min(best_loss, val_parts["Loss"])
        if last or epoch % config.sample_every == 0:
            log.plot(workdir / "training_curves.png")
            trainer.save_samples(workdir / f"samples_epoch_{epoch}.png")
        if last or is_best or epoch % config.checkpoint_every == 0:
            header = dataclasses.replace(
                trainer.header, epoch=epoch, val_loss=val_parts["Loss"]
            )
            checkpoints.save(trainer.state, header)
        tqdm.write(
            f"epoch {epoch}\n{reports.summary('Train', train_parts)}"
            f"\n{reports.summary('Val', val_parts)}"
            + (f"\n✓ New best validation loss: {best_loss:.4f}" if is_best else "")
        )


def _refuse_silent_restart(workdir: Path, resume: Path | None) -> None:
    if resume is None and any((workdir / "checkpoints").glob("[0-9]*")):
        raise CheckpointError(
            f"{workdir} already holds a run: go on with --resume auto, or choose"
            " another directory with --train.workdir"
        )


def _resume(trainer: Trainer, path: Path) -> int:
    """Put a checkpoint's state into the trainer; returns the epochs behind it."""
    source = Checkpoints(find(path))
    try:
        epoch = source.latest
        assert epoch is not None  # find() saw one
        saved = source.header(epoch)
        _check_same_model(saved, trainer.header, path)
        trainer.state = source.restore(epoch, trainer.state)
    finally:
        source.close()
    print(f"\nResumed {path} after epoch {epoch}.")
    return epoch


def _check_same_model(saved: Header, wanted: Header, path: Path) -> None:
    pairs = {
        "the text encoder": (saved.encoder, wanted.encoder),
        "data.image_size": (
            saved.config.data.image_size,
            wanted.config.data.image_size,
        ),
    }
    for field in dataclasses.fields(saved.config.model):
        pairs[f"model.{field.name}"] = (
            getattr(saved.config.model, field.name),
            getattr(wanted.config.model, field.name),
        )
    for name, (was, now) in pairs.items():
        if was != now:
            raise CheckpointError(
                f"{path} was trained with {name} = {was}; the config has {now}"
            )


def _save_debug_images(trainer: Trainer, directory: Path) -> None:
    """Write one training batch exactly as the model sees it, and one of each split."""
    directory.mkdir(parents=True, exist_ok=True)
    rows = trainer.epoch_rows(1)[0]
    batch = steps.augmented(trainer.splits["train"], rows, trainer.key, trainer.config)
    pictures = {"train_augmented": to_uint8(np.asarray(batch.image))}
    for name, split in trainer.dataset.splits.items():
        if len(split):
            pictures[name] = split.images
    for name, images in pictures.items():
        grid = [list(images[i : i + 8]) for i in range(0, min(64, len(images)), 8)]
        contact_sheet(grid, [""] * len(grid)).save(directory / f"{name}.png")
    print(f"\nDebug images: {directory}")


def use_compilation_cache() -> None:
    """Keep compiled programs on disk: a step that took a minute then loads at once."""
    root = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    jax.config.update("jax_compilation_cache_dir", str(root / "pokejax" / "xla"))


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
    """Run the command; 0 when trained, 2 on bad input, 1 if training failed."""
    try:
        args, config = parse_arguments(argv)
        use_compilation_cache()
        resume = args.resume and Path(
            config.train.workdir if args.resume == "auto" else args.resume
        )
        train(
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
    except KeyboardInterrupt:
        print("\ninterrupted; go on with --resume auto", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
