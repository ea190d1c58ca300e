"""`original64` with the original's text encoder, so that its sizes are literal, too.

    python -m pokejax.train --config configs/original64_clip.py

CLIP's 768 numbers of text and 64 of attributes make the condition of 832 that the
original has, where the offline encoder's 256 make 320. It needs CLIP's weights
(`--text.weights`: a hub id, a directory or a safetensors file), or a set that was
packed with them.
"""

from dataclasses import replace

from pokejax.config import TextConfig, load

original64 = load("original64")

config = replace(
    original64,
    text=TextConfig(encoder="clip", weights="openai/clip-vit-large-patch14"),
    train=replace(original64.train, workdir="runs/original64_clip"),
)
