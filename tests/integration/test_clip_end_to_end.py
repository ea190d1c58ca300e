"""Training and drawing with a CLIP directory in the text encoder's place."""

import shutil
from pathlib import Path

import pytest

from pokejax import generate, train
from pokejax.inference.bundle import BundleError
from pokejax.inference.sampler import Sampler
from tests.conftest import TINY
from tests.helpers.tiny_clip import write_tiny_clip


@pytest.fixture(scope="module")
def clip_run(drawn_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clip")
    write_tiny_clip(root / "tower", seed=0)
    argv = ["--data.dir", str(drawn_dataset), "--train.workdir", str(root / "run")]
    clip = ["--text.encoder", "clip", "--text.weights", str(root / "tower")]
    assert train.main([*TINY, *argv, *clip, "--train.epochs=1"]) == 0
    return root


def test_the_bundle_draws_with_its_encoder(clip_run: Path, tmp_path: Path):
    model = clip_run / "run" / "model.safetensors"
    options = ["--num=2", "--seed=1", "--model", str(model), "--out", str(tmp_path)]
    assert generate.main(["--prompt", "a blue turtle", *options]) == 0
    assert len(list(tmp_path.glob("a-blue-turtle_*.png"))) == 2
    sampler = Sampler.load(model)
    assert sampler.encoder.identity.startswith("clip-")
    assert sampler.bundle.header.text_dim == sampler.encoder.dim == 16


def test_other_weights_at_the_same_place_are_refused(clip_run: Path, tmp_path: Path):
    root = Path(shutil.copytree(clip_run, tmp_path / "moved"))
    write_tiny_clip(clip_run / "tower", seed=1)
    try:
        with pytest.raises(BundleError, match="was trained with text encoder clip-"):
            Sampler.load(root / "run" / "model.safetensors")
    finally:
        write_tiny_clip(clip_run / "tower", seed=0)
