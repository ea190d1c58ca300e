"""A picker: what it learns, the command that trains it, and the best of several."""

import base64
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file

from pokejax import Sampler, generate, picker
from pokejax.attributes import CONDITIONS, UNKNOWN_ID
from pokejax.inference import bundle
from pokejax.inference.recipe import PromptError
from pokejax.training import picking
from server.settings import Settings
from tests.helpers.live_server import serve


@pytest.fixture(scope="module")
def picked_model(
    flow_model: Path, drawn_dataset: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("picked") / "model.safetensors"
    argv = ["--model", str(flow_model), "--data", str(drawn_dataset)]
    flags = ["--out", str(path), "--drawn=24", "--epochs=1"]
    assert picker.main([*argv, *flags]) == 0
    return path


def test_it_learns_what_is_real_and_what_real_pictures_show():
    rng = np.random.default_rng(0)
    colors = rng.integers(0, 2, 320)
    real = np.full((320, 32, 32, 3), 255, np.uint8)
    red_and_blue = np.array([[230, 30, 30], [30, 30, 230]])
    real[:, 8:24, 8:24] = red_and_blue[colors][:, None, None]
    attributes = np.full((320, len(CONDITIONS)), UNKNOWN_ID, np.int32)
    attributes[:, list(CONDITIONS).index("primary_color")] = colors
    noise = rng.integers(0, 256, (320, 32, 32, 3), np.uint8)
    shown = picking.Shown(real, attributes)
    judge, right = picking.fit(shown, noise, epochs=8, seed=0)
    assert right == {"real": 1.0, "primary_color": 1.0}
    asked = np.tile(attributes[:1] * 0 + UNKNOWN_ID, (3, 1))
    asked[:, list(CONDITIONS).index("primary_color")] = colors[0]
    other = real[colors != colors[0]][0]
    some = np.stack([real[0], other, noise[0]]).astype(np.float32) / 127.5 - 1
    liked = judge.liking(jnp.asarray(some), jnp.asarray(asked))
    assert liked[0] > max(liked[1:])


def test_a_picker_changes_no_picture(flow_model: Path, picked_model: Path):
    plain, picked = bundle.read(flow_model), bundle.read(picked_model)
    assert plain.picker is None and picked.picker is not None
    assert plain.model_id == picked.model_id
    again = picked_model.with_name("again.safetensors")
    bundle.write_picker(picked_model, again, nnx.state(picked.picker))
    ours, theirs = load_file(picked_model), load_file(again)
    assert ours.keys() == theirs.keys()
    assert all((ours[name] == theirs[name]).all() for name in ours)


def test_the_best_of_several_is_one_that_its_seed_draws_alone(
    flow_model: Path, picked_model: Path
):
    sampler = Sampler.load(picked_model)
    best = sampler.generate("a red fish", num=3, seed=5, best_of=4)
    assert all(5 + 4 * i <= s.seed < 9 + 4 * i for i, s in enumerate(best))
    for sample in best:
        (alone,) = Sampler.load(flow_model).sample([sample.recipe])
        assert alone.png() == sample.png()
    # Another order, the same choice: no score depends on what is rated beside it.
    drawn = sampler.generate("a red fish", num=12, seed=5)
    assert sampler.best(drawn[4:], 4) == [drawn[s.seed - 5] for s in best[1:]]
    with pytest.raises(PromptError, match="best_of is 17; expected 1 to 16"):
        sampler.generate("a red fish", best_of=17)
    with pytest.raises(PromptError, match="has no picker"):
        Sampler.load(flow_model).generate("a red fish", best_of=2)


def test_command_and_service_pick_the_same(
    flow_model: Path, picked_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    argv = ["--prompt=a red fish", "--num=2", "--seed=5", "--out", str(tmp_path)]
    flags = ["--model", str(picked_model), "--json", "--best-of=3"]
    assert generate.main([*argv, *flags]) == 0
    told = json.loads(capsys.readouterr().out)
    seeds = [sample["seed"] for sample in told["samples"]]
    files = [Path(sample["path"]).read_bytes() for sample in told["samples"]]
    body = {"prompt": "a red fish", "num_samples": 2, "seed": 5, "best_of": 3}
    body["background"] = "transparent"
    with serve(Settings(model=picked_model)) as running, running.client() as client:
        answer = client.post("/api/v1/generate", json=body).json()
        assert answer["seeds"] == seeds
        drawn = [base64.b64decode(i.rpartition(",")[2]) for i in answer["images"]]
        assert drawn == files
        bad = client.post("/api/v1/generate", json=body | {"best_of": 9})
        assert bad.status_code == 400 and "best_of" in bad.text
    with serve(Settings(model=flow_model)) as running, running.client() as client:
        answer = client.post("/api/v1/generate", json=body).json()
        assert answer["seeds"] == [5, 6] and "no picker" in answer["warning"]
    assert generate.main([*argv, "--model", str(flow_model), "--best-of=2"]) == 2
    assert "has no picker; python -m pokejax.picker gives" in capsys.readouterr().err
    assert generate.main([*argv, *flags, "--sweep=size"]) == 2
    assert "leave one" in capsys.readouterr().err


def test_bad_input_is_one_line(
    flow_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    out = tmp_path / "out.safetensors"
    argv = ["--model", str(flow_model), "--data", str(tmp_path / "none")]
    assert picker.main([*argv, "--out", str(out)]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and not out.exists()
    with pytest.raises(SystemExit):
        picker.main([*argv, "--out", str(out), "--epochs=0"])
    assert "--epochs is 0; expected 1 or more" in capsys.readouterr().err
