"""What a million pictures take in the pipeline of `data_tools.beam_dataset`.

    pip install 'pokejax[beam,data]'
    PYTHONPATH=. python benchmarks/beam_dataset.py

draws sprites at random, runs the whole pipeline on two sizes of set with Beam's runner
for one machine, and extrapolates from what the larger one takes more: time and memory
a picture, and the bytes of the little that meets on one machine.
"""

# pyright: reportMissingImports=false

import argparse
import json
import pickle
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pokejax.attributes import COLORS, SHAPES, TYPES

_A_SPECIES = 20  # pictures of each
_MILLION = 1_000_000


def write_sprites(folder: Path, count: int) -> None:
    """`count` different sprites of 64x64 pixels, with the metadata that a row needs."""
    rng = np.random.default_rng(count)
    for i in range(count):
        name = f"Species{i // _A_SPECIES}"
        species = folder / name
        species.mkdir(parents=True, exist_ok=True)
        # Large squares of a palette of 16, in the way of pixel art.
        palette = rng.integers(0, 256, (16, 4), np.uint8) | (0, 0, 0, 255)
        squares = palette[rng.integers(0, 16, (16, 16))]
        pixels = squares.repeat(4, 0).repeat(4, 1)
        pixels[:8] = pixels[-8:] = 0
        Image.fromarray(pixels.astype(np.uint8)).save(species / f"{i}.png")
        color, shape, type1 = (
            str(rng.choice(words)) for words in (COLORS, SHAPES, TYPES)
        )
        told = {
            "species": name,
            "view": "front",
            "visual_attributes": {"primary_color": color, "body_shape": shape},
            "categorical_attributes": {"type1": type1},
            "prompts": [
                f"a {color} {type1} creature, sketch {n} of it" for n in "1234"
            ],
        }
        beside = species / f"{name.lower()}_{i}.json"
        beside.write_text(json.dumps(told))


def run(images: Path, data_dir: Path) -> tuple[float, float, int]:
    """Processor seconds and MB of a run in a process of its own; bytes it wrote."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    argv = ["--images-dir", str(images), "--data-dir", str(data_dir)]
    subprocess.run(
        [sys.executable, "-m", "data_tools.beam_dataset", *argv],
        check=True,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    peak = after.ru_maxrss / 1024
    size = sum(path.stat().st_size for path in data_dir.rglob("*.array_record*"))
    return seconds, peak, size


def shuffled_bytes(images: Path) -> tuple[int, int]:
    """Of a row on its way between machines, and of a species' line."""
    from data_tools.beam_pipeline import _load, _summed

    folder = images / "Species0"
    rows = [
        row
        for path in folder.glob("*.png")
        for row in _load(str(path), side=64, has_authors=False)
    ]
    line = _summed([(row.filename, {row.key: 1}) for row in rows])
    return len(pickle.dumps(rows[0])), len(pickle.dumps(("Species0", line)))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pictures", type=int, nargs=2, default=[1000, 4000])
    args = parser.parse_args(argv)
    print("| pictures | processor seconds | most memory, MB | shards, MB |")
    print("|---|---|---|---|")
    took: list[tuple[float, float, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        for count in sorted(args.pictures):  # the peak is that of the largest so far
            images = Path(folder) / f"images{count}"
            write_sprites(images, count)
            took.append(run(images, Path(folder) / f"data{count}"))
            seconds, peak, size = took[-1]
            print(
                f"| {count} | {seconds:.1f} | {peak:.0f} | {size / 1e6:.1f} |",
                flush=True,
            )
        row, line = shuffled_bytes(Path(folder) / f"images{max(args.pictures)}")
    more = max(args.pictures) - min(args.pictures)
    seconds, peak, size = (b - a for a, b in zip(*took, strict=True))
    print(
        f"\neach further picture: {1000 * seconds / more:.1f} ms of a core,"
        f" {1000 * peak / more:.1f} kB of memory on one machine, {row / 1000:.1f} kB"
        f" between machines, {size / more / 1000:.1f} kB in a shard\n"
        f"a million: {_MILLION * seconds / more / 3600:.1f} core hours,"
        f" {_MILLION * row / 1e9:.1f} GB between machines,"
        f" {_MILLION * size / more / 1e9:.1f} GB of shards; on one machine"
        f" {_MILLION / _A_SPECIES * line / 1e6:.0f} MB of"
        f" {_MILLION // _A_SPECIES} species' lines"
    )


if __name__ == "__main__":
    main()
