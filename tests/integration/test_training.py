"""Training through the command, on drawn creatures and a tiny model."""

import csv
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pokejax import Sampler, export, train
from pokejax.attributes import Attributes
from pokejax.config import override
from pokejax.data import dataset as data
from pokejax.files import locked
from pokejax.inference import bundle
from pokejax.inference.recipe import Recipe
from pokejax.training import log as loss_log
from pokejax.training import step as steps
from pokejax.training.checkpoint import load_bundle
from pokejax.training.trainer import Trainer, TrainingError
from tests.conftest import TINY
from tests.helpers.bundles import content, write


def tiny_config(dataset: Path, **changes):
    _, config = train.parse_arguments([*TINY, "--data.dir", str(dataset)])
    return override(config, changes)


def command(dataset: Path, workdir: Path, *more: str) -> int:
    places = ["--data.dir", str(dataset), "--train.workdir", str(workdir)]
    return train.main([*TINY, *places, *more])


def test_a_run_leaves_what_the_readme_promises(tiny_run: Path):
    assert {path.name for path in tiny_run.iterdir()} == {
        "checkpoints",
        "latent_kl.png",
        "model.safetensors",
        "prompts_epoch_2.png",
        "report.md",
        "samples_epoch_2.png",
        "training_curves.png",
        "training_losses.csv",
        "training_losses.jsonl",
        "training_progression.gif",
    }
    with (tiny_run / "training_losses.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == loss_log.columns(("Loss", "L1", "KL", "Perceptual"))
    assert [row["Epoch"] for row in rows] == ["1", "2"]
    assert all(np.isfinite(float(value)) for row in rows for value in row.values())


def test_overfitting_eight_sprites(drawn_dataset: Path):
    """An untrained model is far above the bound; a working one falls below it."""
    config = tiny_config(
        drawn_dataset,
        **{
            "data.flip": False,
            "model.dropout": 0.0,
            "train.attribute_drop_prob": 0.0,
            "loss.kl_weight": 0.01,
            "train.learning_rate": 3e-3,
        },
    )
    dataset = data.load(config.data, config.text, debug_samples=8)
    trainer = Trainer(config, dataset)
    untrained = trainer.evaluate("train")[0]["L1"]
    for epoch in range(1, 301):
        trainer.train_epoch(epoch)
    assert untrained > 0.3
    assert trainer.evaluate("train")[0]["L1"] < 0.08


def test_a_second_run_never_overwrites_silently(
    drawn_dataset: Path, tiny_run: Path, capsys: pytest.CaptureFixture[str]
):
    assert command(drawn_dataset, tiny_run, "--train.epochs=2") == 2
    assert "--resume auto" in capsys.readouterr().err
    with locked(tiny_run):
        assert command(drawn_dataset, tiny_run, "--resume=auto") == 2
    assert "another run is using" in capsys.readouterr().err


def test_a_checkpoint_of_another_shape_is_refused(
    drawn_dataset: Path,
    tiny_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    options = ("--resume", str(tiny_run), "--model.latent_dim=24")
    assert command(drawn_dataset, tmp_path, *options) == 2
    error = capsys.readouterr().err
    assert "model.latent_dim = 16 (now 24)" in error
    assert error.count("\n") == 1


def test_resume_from_nothing_is_refused(
    drawn_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert command(drawn_dataset, tmp_path, "--resume", "nowhere") == 2
    assert "no checkpoint in" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--train.batch_size=-8", "train.batch_size is -8"),
        ("--trian.epochs=3", "did you mean 'train.epochs'"),
        ("--data.dir=nowhere", "no dataset at nowhere"),
        ("--model.latent_dim=1000000000", "expected a whole number from 1 to 65536"),
        ("--model.latent_dim=65536 --model.hidden_dim=65536", "training it takes"),
        ("--prior.base=README.md", "README.md is not a readable bundle"),
        ("--train.workdir=README.md/run", "README.md is not a directory"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    option: str,
    message: str,
    drawn_dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    assert command(drawn_dataset, tmp_path / "run", *option.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "run").exists()


def test_non_finite_loss_stops_and_names_the_part(drawn_dataset: Path):
    config = tiny_config(drawn_dataset)
    trainer = Trainer(config, data.load(config.data, config.text))
    params = jax.tree.map(lambda x: x * jnp.nan, trainer.state.params)
    trainer.state = trainer.state._replace(params=params)
    with pytest.raises(TrainingError, match=r"L1 became nan at step 0 \(epoch 1\)"):
        trainer.train_epoch(1)


def test_debug_images_show_what_the_model_sees(
    drawn_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    config = tiny_config(drawn_dataset)
    dataset = data.load(config.data, config.text, debug_samples=8)
    trainer = Trainer(config, dataset)
    train._save_debug_images(trainer, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"train_augmented.png", "train.png", "val.png", "test.png"}
    (tmp_path / "val.png").unlink()
    (tmp_path / "val.png").mkdir()
    with pytest.raises(OSError, match=r"val\.png can't be written: Is a directory$"):
        train._save_debug_images(trainer, tmp_path)
    argv = ["--save-debug-images", "--debug-images-dir=README.md"]
    assert command(drawn_dataset, tmp_path / "run", *argv) == 2
    error = capsys.readouterr().err
    assert "README.md can't be written: README.md is not a directory" in error
    assert error.count("\n") == 1 and not (tmp_path / "run").exists()


SPATIAL = ["--model.latent=spatial", "--model.latent_dim=64", "--model.blocks=1"]
PRIOR = ["--prior.width=32", "--prior.depth=2", "--prior.steps=3"]


@pytest.fixture(
    scope="module",
    params=[pytest.param([], marks=pytest.mark.slow), SPATIAL],
    ids=["vector", "spatial"],
)
def prior_run(
    request: pytest.FixtureRequest,
    drawn_dataset: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The directory of a prior's run, with its CVAE's in `cvae` beside it."""
    root = tmp_path_factory.mktemp("prior")
    options = [*request.param, "--train.epochs=2"]
    assert command(drawn_dataset, root / "cvae", *options) == 0
    base = f"--prior.base={root / 'cvae' / 'model.safetensors'}"
    options += [*PRIOR, base]
    assert command(drawn_dataset, root / "prior", *options) == 0
    return root / "prior"


def test_a_prior_trains_on_frozen_latents(prior_run: Path):
    base = bundle.read(prior_run.parent / "cvae" / "model.safetensors")
    both = bundle.read(prior_run / "model.safetensors")
    assert base.prior is None and both.prior is not None
    jax.tree.map(
        np.testing.assert_array_equal, nnx.state(base.model), nnx.state(both.model)
    )
    assert not np.allclose(both.prior.scale[...], 1)  # measured
    assert np.abs(both.prior.token_out.kernel[...]).max() > 0  # trained
    with (prior_run / "training_losses.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == loss_log.columns(("Loss",))
    assert float(rows[1]["Train_Loss"]) < float(rows[0]["Train_Loss"])
    assert "Prior" in (prior_run / "report.md").read_text()
    # A directory means its best checkpoint, which holds the prior only.
    found = load_bundle(prior_run)
    assert found.model_id == both.model_id


def test_sampling_follows_the_flow_and_can_show_the_way(prior_run: Path):
    model = prior_run / "model.safetensors"
    sampler = Sampler.load(model)
    recipes = [Recipe("a red fish", Attributes(), seed) for seed in (1, 2)]
    together = sampler.sample(recipes)
    (alone,) = sampler.sample(recipes[1:])
    np.testing.assert_array_equal(together[1].image, alone.image)
    *before, last = sampler.rounds(recipes, previews=True)
    assert len(before) == 2 and not any(r.final for r in before) and last.final
    np.testing.assert_array_equal(last.images[1], alone.image)
    # The prior is what makes the difference, and the prompt what guides it.
    (normal,) = Sampler.load(model, prior="normal").sample(recipes[1:])
    assert (normal.image != alone.image).any()
    # Two epochs teach the prompt next to nothing: guidance has to be far off to show.
    far = [replace(recipe, guidance=1000.0) for recipe in recipes]
    first, *_, pushed = sampler.rounds(far, previews=True)
    assert (pushed.images[1] != alone.image).any()
    assert (first.images != pushed.images).any()


def test_sampling_is_tuned_when_exporting(
    prior_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    argv = ["--checkpoint", str(prior_run), "--out", str(tmp_path / "tuned")]
    assert export.main([*argv, "--steps=5", "--guidance=3.5"]) == 0
    tuned = bundle.read(tmp_path / "tuned")
    assert tuned.header.config.prior.steps == 5
    assert tuned.header.config.prior.guidance == 3.5
    plain = Recipe("a fish", Attributes(), 1)
    assert Sampler.load(tmp_path / "tuned").previews(plain) == 4
    assert export.main([*argv, "--steps=0"]) == 2
    assert "prior.steps is 0" in capsys.readouterr().err


def test_a_prior_is_not_drawn_over_a_base_that_has_changed(
    prior_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    base = prior_run.parent / "cvae" / "model.safetensors"
    original = base.read_bytes()
    header, arrays = content(base)
    arrays[min(arrays)] += 1
    write(base, header, arrays)
    try:
        out = tmp_path / "mixed.safetensors"
        argv = [f"--checkpoint={prior_run}", f"--out={out}"]
        assert export.main(argv) == 2
        with pytest.raises(bundle.BundleError, match="holds other weights now"):
            Sampler.load(prior_run)
    finally:
        base.write_bytes(original)
    error = capsys.readouterr().err
    assert f"a prior over {base}" in error and error.count("\n") == 1
    assert not out.exists()


def test_another_base_than_the_config_describes_is_refused(
    prior_run: Path, drawn_dataset: Path, capsys: pytest.CaptureFixture
):
    base = prior_run.parent / "cvae" / "model.safetensors"
    options = [f"--prior.base={base}", "--model.latent_dim=128"]
    assert command(drawn_dataset, prior_run.parent / "new", *options) == 2
    assert "latent_dim" in capsys.readouterr().err
    assert not (prior_run.parent / "new").exists()


@pytest.mark.parametrize(("recipe", "collapses"), [("original64", 1), ("pokemon64", 0)])
def test_the_collapse_alarm_tells_the_recipes_apart(
    recipe: str,
    collapses: int,
    drawn_dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    """The recipes' own losses, schedules in fewer epochs, on a tiny model."""
    tiny = [word for word in TINY if not word.startswith("--loss.kl")]
    short = ["--loss.kl_cycle_epochs=8", "--loss.kl_warmup_epochs=4"]
    places = [f"--data.dir={drawn_dataset}", f"--train.workdir={tmp_path}"]
    options = [f"--config=configs/{recipe}.py", *tiny, *short, *places]
    assert train.main([*options, "--train.epochs=8"]) == 0
    with (tmp_path / "training_losses.csv").open(newline="") as file:
        alarms = [int(row["Collapsed"]) for row in csv.DictReader(file)]
    assert alarms[-1] == collapses and any(alarms) == bool(collapses)
    warned = "the posterior has collapsed" in "".join(capsys.readouterr())
    assert warned == bool(collapses)
    report = (tmp_path / "report.md").read_text("utf-8")
    assert ("The posterior had collapsed" in report) == bool(collapses)


def test_the_debug_batch_is_the_one_that_is_trained_on(drawn_dataset: Path):
    """Prompts, mirroring and hidden attributes are that step's, not another draw."""
    config = tiny_config(drawn_dataset)
    trainer = Trainer(config, data.load(config.data, config.text))
    _, split, rows = next(trainer.feed.train_batches(0, 1))
    key = jax.random.split(jax.random.fold_in(jax.random.key(0), 0), 3)[0]
    trained_on = steps.augmented(split, rows[0], key, trainer.config)
    # One is compiled and the other isn't, so the last bit is the machine's to choose.
    close = partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-6)
    jax.tree.map(close, trainer.first_batch(), trained_on)


def test_a_run_begins_with_the_weights_of_another(
    drawn_dataset: Path,
    tiny_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    first = tiny_run / "model.safetensors"
    argv = [*TINY, "--data.dir", str(drawn_dataset), "--train.epochs=1"]
    argv += ["--train.start_from", str(first)]
    argv += ["--train.workdir", str(tmp_path / "run")]
    assert train.main(argv) == 0
    before, after = (
        bundle.read(path).model for path in (first, tmp_path / "run/model.safetensors")
    )
    for (name, old), (_, new) in zip(
        bundle.named_leaves(nnx.state(before)),
        bundle.named_leaves(nnx.state(after)),
        strict=True,
    ):
        # Four steps move a weight by up to 2e-3 each.
        np.testing.assert_allclose(old, new, atol=0.01, err_msg=name)
    capsys.readouterr()
    for changed, told in (
        ("--model.latent_dim=8", "the config makes it"),
        ("--prior.base=" + str(first), "holds no prior"),
        ("--train.start_from=nowhere", "no model at nowhere"),
    ):
        assert train.main([*argv, "--train.workdir", str(tmp_path / "b"), changed]) == 2
        error = capsys.readouterr().err
        assert told in error and "Traceback" not in error, error
