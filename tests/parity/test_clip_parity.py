"""The text tower against goldens of `transformers`' CLIPTextModel.

Goldens: tests/parity/goldens/clip.npz, its origin in clip.json beside it.
"""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

from pokejax.text.clip import load_params
from pokejax.text.clip_files import open_checkpoint
from pokejax.text.clip_tower import ClipTextConfig

GOLDENS = Path(__file__).parent / "goldens"


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDENS / "clip.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def origin() -> dict[str, Any]:
    return json.loads((GOLDENS / "clip.json").read_text("utf-8"))


def relative_error(ours: np.ndarray, reference: np.ndarray) -> float:
    """Largest difference over the largest entry of its row, over all rows."""
    difference = np.abs(ours - reference).max(-1)
    return float((difference / np.abs(reference).max(-1)).max())


def pooled_by_us(
    folder: Path,
    golden: dict[str, np.ndarray],
    text_config: dict[str, Any],
    **kind: Any,
) -> np.ndarray:
    tensors = {k: v for k, v in golden.items() if k.startswith("text_model.")}
    # A whole CLIP holds more than text; none of it may be looked at.
    tensors["vision_model.class_embedding"] = np.zeros(3, np.float32)
    save_file(tensors, folder / "model.safetensors")
    config = {"model_type": "clip", "text_config": {**text_config, **kind}}
    (folder / "config.json").write_text(json.dumps(config))
    files = open_checkpoint(str(folder))
    graphdef, params, _ = load_params(
        files, ClipTextConfig.from_json(files.config), "float32"
    )
    with jax.default_matmul_precision("highest"):
        ids = golden["input_ids"].astype(np.int32)
        return np.asarray(nnx.merge(graphdef, params)(ids))


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
@pytest.mark.parametrize("eos_token_id", [2, 90])
def test_pooled_vector_matches_the_reference(
    tmp_path: Path,
    golden: dict[str, np.ndarray],
    origin: dict[str, Any],
    activation: str,
    eos_token_id: int,
):
    ours = pooled_by_us(
        tmp_path,
        golden,
        origin["text_config"],
        hidden_act=activation,
        eos_token_id=eos_token_id,
    )
    reference = golden[f"pooled/{activation}/{eos_token_id}"]
    assert relative_error(ours, reference) <= origin["max_relative_error"]


def test_goldens_tell_the_variants_apart(golden: dict[str, np.ndarray]):
    """Each variant is far from the others, so that no mix-up can pass."""
    variants = [v for k, v in golden.items() if k.startswith("pooled/")]
    assert len(variants) == 4
    for i, first in enumerate(variants):
        for second in variants[i + 1 :]:
            assert relative_error(first, second) > 1e-3
