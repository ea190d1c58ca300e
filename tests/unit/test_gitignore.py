"""Sprites, and what is drawn from them, can't be committed by accident."""

import shutil
import subprocess
from pathlib import Path

# What the commands write by default, or as the documents call them.
WRITTEN = [
    "images/Pikachu/pikachu_front.png",
    "pokemon-cifar-32/batches.meta",
    "pokemon-cifar-64/data_batch_1",
    "tfds/pokemon_cifar/64x64/1.0.0/dataset_info.json",
    "set.npz",
    "runs/pokemon64/samples_epoch_10.png",
    "debug_output/train.png",
    "outputs/contact_sheet.png",
    "creature/front.png",
    "outputs/evaluation/results.json",
    "results/shipped.json",
    "model.safetensors",
    "m.safetensors",
    "dragon.png",
    "pictures.zip",
]


def test_what_the_commands_write_is_ignored(tmp_path: Path):
    # Elsewhere, since here some of it may lie behind a link.
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    shutil.copy(".gitignore", tmp_path)
    asked = subprocess.run(
        ["git", "-C", tmp_path, "check-ignore", *WRITTEN],
        capture_output=True,
        text=True,
    )
    assert asked.stdout.splitlines() == WRITTEN
