"""A run's pictures: sample grids, and the same prompts over time, animated."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from pokejax.files import whole_file
from pokejax.images.pixels import to_uint8
from pokejax.images.sheets import animate, contact_sheet, gallery

# The animation is rewritten with each new frame, so its length is bounded.
_MAX_FRAMES = 100


def picture_paths(workdir: Path, kind: str, last: int) -> list[Path]:
    """A run's pictures of a kind, up to an epoch, in the order of their epochs.

    Args:
      workdir: of the run.
      kind: `samples` or `prompts`.
      last: epoch; later pictures belong to epochs that a killed run lost.
    """
    found: dict[int, Path] = {}
    for path in workdir.glob(f"{kind}_epoch_*.png"):
        match = re.fullmatch(r"[a-z]+_epoch_(\d+)", path.stem)
        if match and int(match[1]) <= last:
            found[int(match[1])] = path
    return [found[epoch] for epoch in sorted(found)]


def save_prompts(
    workdir: Path,
    epoch: int,
    images: Float[np.ndarray, "n h w 3"],
    prompts: Sequence[str],
) -> Path:
    """Draw what the same prompts and latents give now, and animate it so far.

    Returns:
      The path of this epoch's picture.
    """
    sheet = gallery([to_uint8(x) for x in images], prompts, title=f"epoch {epoch}")
    path = workdir / f"prompts_epoch_{epoch}.png"
    with whole_file(path) as partial:
        sheet.save(partial)
    # From the files, so that a resumed run's animation starts at its beginning.
    frames = picture_paths(workdir, "prompts", epoch)
    stride = -(-len(frames) // _MAX_FRAMES)
    with whole_file(workdir / "training_progression.gif") as partial:
        animate(frames[::-1][::stride][::-1], partial)
    return path


def save_samples(
    path: Path,
    real: Float[np.ndarray, "n h w 3"],
    recon: Float[np.ndarray, "n h w 3"],
    samples: Float[np.ndarray, "n k h w 3"],
    *,
    epoch: int,
    prompts: Sequence[str],
) -> None:
    """Draw a grid of held-out pictures: the picture, its reconstruction, samples.

    The samples know only the picture's prompt and attributes. All values in [-1, 1].
    Above each row stands its prompt.
    """
    rows = [
        [to_uint8(image) for image in (picture, rebuilt, *drawn)]
        for picture, rebuilt, drawn in zip(real, recon, samples, strict=True)
    ]
    title = f"epoch {epoch}: real | reconstruction | samples of its prompt"
    with whole_file(path) as partial:
        contact_sheet(rows, prompts, title=title).save(partial)
