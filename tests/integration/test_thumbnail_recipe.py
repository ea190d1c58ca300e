"""The shipped model's recipe, made tiny: upsampler, details, then its priors."""

from pathlib import Path

import numpy as np
import pytest

from pokejax import Sampler, export, train
from pokejax.attributes import Attributes
from pokejax.inference import bundle
from pokejax.inference.bundle import BundleError
from pokejax.inference.recipe import Recipe
from pokejax.training.checkpoint import complete, load_bundle
from pokejax.training.tasks import drawn
from tests.helpers.runs import weights

TINY = [
    "--data.image_size=32",
    "--data.styles=",
    "--model.channels=8,16",
    "--model.latent_dim=256",
    "--model.blocks=1",
    "--train.epochs=1",
    "--train.batch_size=8",
    "--debug-samples=16",
    "--train.most_copies=0",
]
DETAILS = ["--model.details=2"]
SMALL = ["--prior.width=16", "--prior.depth=1", "--prior.heads=2", "--prior.steps=2"]


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_all_stages_train_export_and_draw(
    whole: bool,
    drawn_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(drawn, "_COUNT", 64)  # thumbnails for the sharp stage
    base, prior = tmp_path / "base", tmp_path / "prior"
    data = ["--data.dir", str(drawn_dataset)]
    first = ["--config", "configs/thumbnail64.py", *TINY, *data]
    assert train.main([*first, "--train.workdir", str(base)]) == 0
    # A checkpoint holds the critic, too; what is exported doesn't.
    latest, best = tmp_path / "latest.safetensors", base / "model.safetensors"
    argv = ["--checkpoint", str(base), "--which", "latest", "--out", str(latest)]
    assert export.main(argv) == 0
    assert bundle.read(latest).model_id == bundle.read(best).model_id

    second = ["--config", "configs/thumbnail64_prior.py", *TINY, *data]
    second += ["--prior.base", str(best), "--train.workdir", str(prior)]
    assert train.main([*second, *SMALL]) == 0
    sampler = Sampler.load(prior / "model.safetensors")
    assert sampler.usual_colors and sampler.takes_pictures
    (sample,) = sampler.generate("a red fish", seed=1)
    assert sample.art is not None and sample.alpha is not None
    colors = {tuple(color) for color in np.asarray(sample.image).reshape(-1, 3)}
    assert len(colors) <= 1 + sampler.usual_colors
    assert not sampler.relations

    # Details are all that is learned then: drawings stay as they were.
    detailed = tmp_path / "details"
    more = ["--config", "configs/thumbnail64_details.py", *TINY, *data, *DETAILS]
    more += ["--train.start_from", str(best), "--train.workdir", str(detailed)]
    more += ["--loss.perceptual_weight=0"]  # the first stage has had it
    assert train.main(more) == 0
    before, after = weights(base), weights(detailed)
    new = after.keys() - before.keys()
    assert new and all(".details." in name for name in new)
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)

    # What was trained without relatives goes on with them, from where it was.
    kin = tmp_path / "kin"
    third = ["--config", "configs/thumbnail64_kin.py", *TINY[:-1], *SMALL, *data]
    third += ["--prior.base", str(detailed / "model.safetensors"), *DETAILS]
    third += ["--train.epochs=2"]
    third += ["--train.start_from", str(prior / "model.safetensors")]
    third += ["--train.learning_rate=1e-5", "--train.checkpoint_every=1"]
    assert train.main([*third, "--train.workdir", str(kin)]) == 0
    assert Sampler.load(kin / "model.safetensors").relations == {"front", "back"}
    before, after = weights(prior), weights(kin)
    assert after.keys() - before.keys() - new == {
        "prior.relative_in.kernel",
        "prior.relations.embedding",
    }
    for name, value in before.items():
        np.testing.assert_allclose(after[name], value, atol=0.01, err_msg=name)
    # In one step, as it would be guided; but not without it.
    quick, out = tmp_path / "quick", tmp_path / "quick.safetensors"
    fourth = ["--config", "configs/thumbnail64_quick.py", *TINY[:-1], *SMALL, *data]
    fourth += ["--prior.base", str(kin / "model.safetensors"), "--train.epochs=1"]
    fourth += ["--prior.steps=1", *DETAILS]
    assert train.main([*fourth, "--train.workdir", str(quick)]) == 0
    with pytest.raises(BundleError, match="without the one that it was distilled from"):
        Sampler.load(quick)
    argv = ["--checkpoint", str(kin), "--quick", str(quick), "--out", str(out)]
    assert export.main(argv) == 0
    sampler = Sampler.load(out)
    plain, guided = (Recipe("a fish", Attributes(), 1, guidance=g) for g in (1, 2))
    assert sampler.previews(plain) == 0 and sampler.previews(guided) == 1
    assert sampler.bundle.quick is not None
    argv[argv.index(str(quick))] = str(kin)
    assert export.main(argv) == 2 and "holds no quick prior" in capsys.readouterr().err

    if not whole:
        return
    # The critic sees drawn thumbnails, too; a middle is where it goes on from.
    sharp = tmp_path / "sharp"
    drawn_by = ["--loss.drawn_by", str(prior / "model.safetensors")]
    more = ["--config", "configs/thumbnail64_sharp.py", *TINY, *data, *drawn_by]
    more += ["--train.start_from", str(best), "--train.learning_rate=1e-4"]
    assert train.main([*more, "--train.workdir", str(sharp)]) == 0
    before, after = weights(base), weights(sharp)
    assert before.keys() == after.keys()
    moved = {name: np.abs(after[name] - before[name]).max() for name in before}
    assert 0 < max(moved.values()) < 0.01

    # From its middle it goes the same way again.
    again, first_epoch = tmp_path / "again", complete(kin / "checkpoints")[0].path
    argv = ["--train.workdir", str(again), "--resume", str(first_epoch)]
    assert train.main([*third, *argv]) == 0
    one, other = (load_bundle(run, which="latest") for run in (kin, again))
    assert one.model_id == other.model_id
