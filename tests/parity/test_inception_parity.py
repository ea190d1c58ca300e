"""The Inception network against pytorch-fid's, on the same random weights."""

import hashlib
import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from pokejax import evaluate
from pokejax.evaluation import inception
from pokejax.evaluation.inception import DIM, Inception, pool3
from tests.parity.random_inception import random_pictures, random_weights

GOLDEN = json.loads((Path(__file__).parent / "goldens/inception.json").read_text())


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    return random_weights(GOLDEN["shapes"])


def test_features_are_the_references(weights: dict[str, np.ndarray]):
    found = jax.jit(pool3)(weights, jnp.asarray(random_pictures()))
    expected = np.array(GOLDEN["features"])
    scale = expected.std()
    assert found.shape == (2, DIM)
    assert np.abs(expected[0] - expected[1]).mean() > 0.1 * scale  # they see something
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * scale)


@pytest.mark.slow
def test_evaluation_repeats_its_rows_in_that_space(
    weights: dict[str, np.ndarray],
    tiny_run: Path,
    drawn_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    save_file(weights, tmp_path / "w")
    monkeypatch.setattr(inception, "_SIDE", 91)  # 299 takes a while
    argv = ["--model", str(tiny_run / "model.safetensors"), "--split", "val"]
    argv += ["--data", str(drawn_dataset), "--out", str(tmp_path / "results.json")]
    assert evaluate.main([*argv, "--inception", str(tmp_path / "w")]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    part, pinned = results["inception"], results["generation"]
    assert part["num"] == pinned["num"] and part["drawn"]["kid"] > 0
    assert part["drawn"]["kid"] != pinned["drawn"]["kid"]
    assert "| Inception: FID |" in (tmp_path / "results.md").read_text()
    digest = results["protocol"]["inception"].split()[1]
    assert digest == hashlib.sha256((tmp_path / "w").read_bytes()).hexdigest()
    assert evaluate.main([*argv, "--inception", str(tmp_path / "w"), "--quick"]) == 2


def test_a_file_with_a_weight_missing_is_refused_by_name(
    weights: dict[str, np.ndarray], tmp_path: Path
):
    missing = "Mixed_7c.branch3x3_2b.conv.weight"
    save_file({k: v for k, v in weights.items() if k != missing}, tmp_path / "w")
    with pytest.raises(ValueError, match=re.escape(missing)):
        Inception(tmp_path / "w")
    (tmp_path / "w").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="not a safetensors file"):
        Inception(tmp_path / "w")
