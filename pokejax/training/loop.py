"""The train loop: the epochs of a run, and what each leaves behind.

Order of side effects, each epoch: steps, validation, CSV row, curves, pictures,
TensorBoard, checkpoint. The checkpoint comes last, so whatever it resumes has its
logs complete.
"""

import dataclasses
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pokejax.inference import bundle as bundle_lib
from pokejax.training import grids, log, losses, plots, report_page
from pokejax.training.checkpoint import CheckpointError
from pokejax.training.mesh import (
    any_process,
    device_names,
    is_first,
    memory_kind,
    peak_memory_mb,
    say,
)
from pokejax.training.saving import Checkpoints
from pokejax.training.signals import StopRequest
from pokejax.training.tensorboard import TensorBoard
from pokejax.training.trainer import Trainer

SAMPLE_ROWS = 8
SAMPLES_A_ROW = 6


class Loop:
    """The epochs of a run, and what each leaves behind."""

    def __init__(
        self, trainer: Trainer, history: list[dict[str, float]], stop: StopRequest
    ):
        """Open a run's files in its directory, which must exist.

        Args:
          trainer: in the state that the run begins with.
          history: the log's rows of the epochs behind that state.
          stop: asked between calls and epochs.
        """
        self.trainer, self.stop = trainer, stop
        self.config = trainer.config.train
        self.workdir = Path(self.config.workdir)
        self.held_out = "val" if len(trainer.feed.dataset.splits["val"]) else "train"
        self.first = len(history) + 1
        self.started = time.monotonic()
        self.log = log.LossLog(
            self.workdir / "training_losses.csv", trainer.parts, history
        )
        self.checkpoints = Checkpoints(
            self.workdir / "checkpoints",
            keep=trainer.ends_epoch_of(self.config.keep_every),
        )
        self.board = None
        if self.config.tensorboard and is_first():
            self.board = TensorBoard(self.workdir / "tensorboard", self.first)

    def epochs(self) -> bool:
        """Train to the last epoch, or until patience ends; False if asked to stop."""
        say("Compiling the train step: up to a minute on a slow CPU, once.")
        with tqdm(
            total=self.config.epochs,
            initial=self.first - 1,
            desc="Epochs",
            unit="epoch",
            disable=None if is_first() else True,  # None: without a terminal
        ) as progress:
            for epoch in range(self.first, self.config.epochs + 1):
                if not self._epoch(epoch):
                    self._save(epoch - 1, None)
                    self.checkpoints.wait()
                    return False
                progress.update()
                row = self.log.rows[-1]
                if self._out_of_patience():
                    say(f"No better validation loss in {self.config.patience} epochs.")
                    break
                if self._copies(row):
                    say(
                        f"{row[log.COPIED]:.1%} of drawings are as near to a training"
                        " picture as hardly any held-out one; train.most_copies is"
                        f" {self.config.most_copies:.1%}."
                    )
                    break
                # Asked to stop while this epoch was being evaluated or saved.
                if epoch < self.config.epochs and any_process(
                    self.stop(), self.trainer.mesh
                ):
                    self._save(epoch, None)
                    self.checkpoints.wait()
                    return False
        return True

    def finish(self, debug_samples: int) -> None:
        """Test the best checkpoint; write its bundle, and the report."""
        trainer, checkpoints, workdir = self.trainer, self.checkpoints, self.workdir
        checkpoints.wait()
        best = checkpoints.best
        if best is None:
            raise CheckpointError(f"{workdir} has no checkpoint, and no epoch was run")
        skipped = int(trainer.state.skipped)  # of all steps, not of the best model's
        trainer.state, header = best.restore(trainer.state), best.header
        _, latents = trainer.evaluate(self.held_out)
        splits = trainer.feed.dataset.splits
        parts = None
        if len(splits["test"]):
            parts, _ = trainer.evaluate("test")
            say(f"{log.summary('Test', parts)} (best epoch: {header.epoch})")
        model_path = workdir / "model.safetensors"
        params, prior = trainer.whole_params()
        if is_first():
            bundle_lib.write(model_path, header, params, prior)
            summary = report_page.RunSummary(
                config=trainer.config,
                best_epoch=header.epoch,
                best_val_loss=header.val_loss,
                rows=self.log.rows,
                test=parts,
                latents=latents,
                skipped=skipped,
                parameters=trainer.task.parameter_counts(),
                pictures={name: len(split) for name, split in splits.items()},
                device=device_names(),
                memory=memory_kind(),
                debug_samples=debug_samples,
            )
            report_page.write(workdir, summary)
        say(f"\nbest model: {model_path}\nreport: {workdir / 'report.md'}")

    def close(self) -> None:
        """Wait for what is still being written."""
        if self.board:
            self.board.close()
        self.checkpoints.close()

    def _epoch(self, epoch: int) -> bool:
        """One epoch and everything after it; False if stopped before its end."""
        trainer, started = self.trainer, time.monotonic()
        first_step, compiled = trainer.step, trainer.compile_seconds
        with tqdm(
            total=trainer.steps_per_epoch,
            initial=trainer.steps_into(epoch),
            desc=f"epoch {epoch}",
            unit="step",
            leave=False,
            disable=None if is_first() else True,
        ) as progress:

            def report(count: int, loss: float) -> None:
                progress.update(count)
                if not math.isnan(loss):
                    progress.set_postfix(loss=f"{loss:.3f}")

            train_parts = trainer.train_epoch(epoch, stop=self.stop, report=report)
        if train_parts is None:
            return False
        costs = self._costs(epoch, trainer.step - first_step, started, compiled)
        val_parts, latents = trainer.evaluate(self.held_out)
        test_parts: dict[str, float] = {}
        if len(trainer.feed.dataset.splits["test"]) and self.config.test_pictures:
            test_parts, _ = trainer.evaluate("test", most=self.config.test_pictures)
        is_best = val_parts["Loss"] < self._best()
        row = {"Epoch": float(epoch)}
        row |= {f"Train_{k}": v for k, v in train_parts.items()}
        row |= {f"Val_{k}": v for k, v in val_parts.items()}
        row |= {f"Test_{k}": v for k, v in test_parts.items()}
        if latents:
            row["Beta"] = losses.beta(epoch, trainer.config.loss)
            row["Active_Units"] = float(latents.active)
            row["Collapsed"] = float(latents.collapsed)
        last = epoch == self.config.epochs or self._out_of_patience(row)
        shown = last or epoch % self.config.sample_every == 0
        if shown and self.config.most_copies:
            row[log.COPIED] = trainer.copied(self.held_out)
            last |= self._copies(row)
        row["Seconds"] = time.monotonic() - started
        row |= costs
        if is_first():
            self.log.add(row)
        else:
            self.log.rows.append(row)
        pictures = self._save_pictures(epoch) if shown else []
        if self.board:
            self.board.add(epoch, row, pictures)
        intervals = (self.config.checkpoint_every, self.config.keep_every or epoch + 1)
        # What was looked at for copies may be the last model to draw few enough.
        wanted = last or is_best or log.COPIED in row
        if wanted or any(epoch % interval == 0 for interval in intervals):
            self._save(epoch, row)
        if is_first():
            if sys.stdout.isatty():
                message = log.epoch_message(
                    row, trainer.parts, latents, is_best=is_best, memory=memory_kind()
                )
            else:
                message = log.epoch_line(
                    row, self.config.epochs, latents, is_best=is_best
                )
            tqdm.write(message)
        return True

    def _costs(
        self, epoch: int, steps: int, started: float, compiled_before: float
    ) -> dict[str, float]:
        """What an epoch's steps cost, in the log's columns, without compiling."""
        now, compiled = time.monotonic(), self.trainer.compile_seconds
        ran = now - started - (compiled - compiled_before)
        # Mean over the epochs so far, with their pictures and saves.
        mean = (now - self.started - compiled) / (epoch - self.first + 1)
        return {
            "Images_per_s": steps * self.config.batch_size / ran,
            "Step_ms": 1000 * ran / max(steps, 1),
            "Compile_s": compiled - compiled_before,
            "ETA_s": mean * (self.config.epochs - epoch),
            "Peak_MB": peak_memory_mb(),
        }

    def _save(self, epoch: int, row: Mapping[str, float] | None) -> None:
        """Save the state; `row` is the log's, at the end of an epoch."""
        header = dataclasses.replace(
            self.trainer.header, epoch=epoch, val_loss=self._best()
        )
        rank = None
        if row is not None:
            header = dataclasses.replace(header, val_loss=row["Val_Loss"])
            rank = self._rank(row)
        self.checkpoints.save(
            self.trainer.step,
            self.trainer.state,
            header,
            history=self.log.rows,
            rank=rank,
            first_step=self.trainer.first_step,
        )

    def _save_pictures(self, epoch: int) -> list[Path]:
        """Curves, and what the model makes of the same held-out pictures and prompts.

        Returns:
          The sample grids of this epoch.
        """
        dataset = self.trainer.feed.dataset
        split = dataset.splits[self.held_out]
        count = min(SAMPLE_ROWS, len(split))
        rows = np.random.default_rng(0).choice(len(split), count, replace=False)
        real, recon, samples = self.trainer.show(self.held_out, rows, SAMPLES_A_ROW)
        if not is_first():
            return []
        curves = self.workdir / "training_curves.png"
        plots.plot_losses(self.log.rows, self.log.parts, curves)
        captions = [""] * count
        if dataset.prompts and self.trainer.config.model.conditional:
            captions = [dataset.prompts[i] for i in split.prompt_ids[rows, 0]]
        grid = self.workdir / f"samples_epoch_{epoch}.png"
        grids.save_samples(grid, real, recon, samples, epoch=epoch, prompts=captions)
        # Each prompt has a latent of its own, always the same.
        which = np.arange(count)
        drawn = samples[which, which % SAMPLES_A_ROW]
        return [grid, grids.save_prompts(self.workdir, epoch, drawn, captions)]

    def _best(self) -> float:
        return min((row["Val_Loss"] for row in self.log.rows), default=float("inf"))

    def _rank(self, row: Mapping[str, float]) -> float | None:
        """An epoch's among the checkpoints, of which the lowest is the best.

        Where copies are watched, that is the latest that draws few enough; if none
        does, the first of all. Validation loss falls and rises for other reasons.
        """
        if not self.config.most_copies:
            return row["Val_Loss"]
        if log.COPIED not in row:
            return None
        return row["Epoch"] if self._copies(row) else -row["Epoch"]

    def _copies(self, row: Mapping[str, float]) -> bool:
        """Whether too many drawings were found to be training pictures, nearly."""
        limit = self.config.most_copies
        return bool(limit) and row.get(log.COPIED, 0) > limit

    def _out_of_patience(self, *row: Mapping[str, float]) -> bool:
        since_best = [row["Val_Loss"] for row in (*self.log.rows, *row)][::-1]
        return bool(self.config.patience) and (
            since_best.index(min(since_best)) >= self.config.patience
        )
