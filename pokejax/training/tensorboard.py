"""A run's log for TensorBoard, through tensorboardX: scalars and pictures by epoch.

The only importer of tensorboardX, which is loaded only when such a log is wanted.
"""

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from pokejax.config import ConfigError


def check_installed() -> None:
    """Refuse a run whose log could not be written.

    Raises:
      ConfigError: tensorboardX is not installed.
    """
    if importlib.util.find_spec("tensorboardX") is None:
        raise ConfigError(
            "train.tensorboard needs tensorboardX: pip install pokejax[tensorboard]"
        )


class TensorBoard:
    """An event file; a run that is resumed adds another beside it."""

    def __init__(self, directory: Path, first_epoch: int):
        """Open a log; it voids what an earlier file says of epochs still to come."""
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(directory), purge_step=first_epoch)

    def add(self, epoch: int, row: Mapping[str, float], pictures: list[Path]) -> None:
        """Log an epoch: every column of its row, and its pictures, if it has any."""
        for name, value in row.items():
            if name != "Epoch":
                self._writer.add_scalar(name, value, epoch)
        for path in pictures:
            with Image.open(path) as picture:
                pixels = np.asarray(picture.convert("RGB"))
            tag = path.stem.split("_")[0]
            self._writer.add_image(tag, pixels, epoch, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
