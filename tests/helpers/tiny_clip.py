"""A CLIP checkpoint small enough for tests: random weights, bytes for a vocabulary."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import pre_tokenizers

WIDTH, LAYERS = 16, 2


def tiny_clip_config(**changes: Any) -> dict[str, Any]:
    """Return the `config.json` of a whole CLIP around the tiny text tower."""
    text = {
        "vocab_size": 514,
        "hidden_size": WIDTH,
        "intermediate_size": 32,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "max_position_embeddings": 77,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
        "eos_token_id": 2,
    }
    return {"model_type": "clip", "text_config": {**text, **changes}}


def tiny_clip_tensors(seed: int = 0) -> dict[str, np.ndarray]:
    """Return random text tensors by their PyTorch names."""
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.token_embedding.weight": (514, WIDTH),
        "embeddings.position_embedding.weight": (77, WIDTH),
        "final_layer_norm.weight": (WIDTH,),
        "final_layer_norm.bias": (WIDTH,),
    }
    for layer in range(LAYERS):
        at = f"encoder.layers.{layer}."
        for norm in ("layer_norm1", "layer_norm2"):
            shapes |= {at + norm + ".weight": (WIDTH,), at + norm + ".bias": (WIDTH,)}
        for name, width_out, width_in in (
            *((f"self_attn.{p}_proj", WIDTH, WIDTH) for p in ("q", "k", "v", "out")),
            ("mlp.fc1", 32, WIDTH),
            ("mlp.fc2", WIDTH, 32),
        ):
            shapes[f"{at}{name}.weight"] = (width_out, width_in)
            shapes[f"{at}{name}.bias"] = (width_out,)
    rng = np.random.default_rng(seed)
    return {
        f"text_model.{name}": rng.normal(0, 0.3, shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def write_tiny_clip(folder: Path, seed: int = 0) -> Path:
    """Write a whole checkpoint folder in the Hugging Face layout, and return it.

    Args:
        folder: made if it isn't there.
        seed: same seed, same weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # A tensor of the image half, which nobody may ask for.
    tensors = {"logit_scale": np.zeros((), np.float32), **tiny_clip_tensors(seed)}
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(tiny_clip_config()), "utf-8")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*letters, *(letter + "</w>" for letter in letters)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {token: index for index, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocab), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", "utf-8")
    return folder
