import json
from pathlib import Path

import pytest
from flax import nnx

from pokejax import config as config_lib
from pokejax.config import Config, ConfigError, DataConfig, TrainConfig
from pokejax.inference.bundle import Header, new_model
from pokejax.models.cvae import parameter_count
from pokejax.train import parse_arguments

CONFIGS = sorted(Path("configs").glob("[a-z]*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configs_survive_json(path: Path):
    config = config_lib.load(path)
    text = json.dumps(config_lib.to_dict(config))
    assert config_lib.from_dict(json.loads(text)) == config


@pytest.mark.parametrize(
    ("recipe", "text_dim", "counts"),
    [
        # The original's, by arithmetic on its layers: 10,597,059 in all.
        ("original64_clip", 768, (4_977_728, 4_925_539, 736, 693_056)),
        ("original64", 256, (4_715_584, 4_663_395, 736, 102_720)),
    ],
)
def test_the_originals_sizes(recipe: str, text_dim: int, counts: tuple[int, ...]):
    config = config_lib.load(f"configs/{recipe}.py")
    header = Header(config, text_dim, "", 0, 0.0)
    model = nnx.eval_shape(lambda: new_model(header, rngs=nnx.Rngs(0)))
    parts = (model.encoder, model.decoder)
    parts += (model.category_embedder, model.condition_gate)
    assert tuple(map(parameter_count, parts)) == counts
    assert parameter_count(model) == sum(counts)


def test_there_are_shipped_configs():
    names = {"original64", "pokemon64", "pokemon64_prior", "quickstart", "sprite_vae"}
    assert names <= {p.stem for p in CONFIGS}


def test_command_line_overrides_file():
    _, config = parse_arguments(
        [
            "--config",
            "configs/original64.py",
            "--train.epochs=3",
            "--data.views",
            "front,shiny",
            "--loss.kl_per_dimension",
            "--no-data.flip",
            "--model.channels",
            "8,16,32",
        ]
    )
    assert config.train.epochs == 3
    assert config.data == DataConfig(views=("front", "shiny"), flip=False)
    assert config.loss.kl_per_dimension
    assert config.model.channels == (8, 16, 32)
    assert config.train.workdir == "runs/original64"  # the file's, untouched


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--model.latent", "spatial", "--model.latent_dim", "100"], "8 x 8"),
        (["--model.latent=spatial", "--model.channels=8,12,16"], "multiples of 8"),
        (["--model.latent", "spatial", "--prior.patch", "3"], "divisor.*8"),
        (["--prior.heads", "3"], "divisor of prior.width"),
        (["--train.epoch", "3"], "unknown option '--train.epoch'.*'train.epochs'"),
        (["--train.batch_size", "-4"], "train.batch_size is -4; expected"),
        (["--model.dropout", "1"], "model.dropout is 1.0; expected"),
        (["--data.image_size", "60"], "data.image_size is 60; expected a multiple"),
        (["--model.channels", "8,16"], r"model.channels is \(8, 16\)"),
        (["--config", "configs/pokemon46.py"], "did you mean configs/pokemon64.py"),
        (["--debug-samples", "-1"], "--debug-samples is -1"),
        (["--epochs", "300"], "--epochs is called --train.epochs here"),
        (["--batch-size=64"], "--batch-size is called --train.batch_size here"),
        (["--dataset-dir", "x"], "--dataset-dir is called --data.dir here"),
        (["--use-preprocessing"], "is called --data.use_preprocessing here"),
        (["--checkpoint-dir", "x"], "--checkpoint-dir is called --train.workdir"),
        (["--output-dir", "x"], "--output-dir is called --train.workdir"),
        (["--train.epochs", "abc"], "--train.epochs: invalid int value: 'abc'"),
        (["--model.latent", "round"], "--model.latent: invalid choice: 'round'"),
        (["--train.seed", str(2**70)], "train.seed is 1180591620717411303424"),
        (["--train.learning_rate", "inf"], "learning_rate is inf; expected a finite"),
        (["--loss.kl_weight", "inf"], "kl_weight is inf; expected a finite"),
        (["--train.workdir", ""], "train.workdir is ''; expected a directory"),
        (["--model.channels", "8,abc,3"], "'8,abc,3'; expected whole numbers sep"),
    ],
)
def test_bad_settings_name_value_and_remedy(argv: list[str], message: str):
    with pytest.raises(ConfigError, match=message):
        parse_arguments(argv)


def test_shipped_configs_go_by_name_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    by_path = config_lib.load("configs/pokemon64_prior.py")
    monkeypatch.chdir(tmp_path)
    _, config = parse_arguments(["--config", "pokemon64_prior"])
    assert config == by_path and config.prior.base
    Path("own.py").write_text(
        "from pokejax.config import load, override\n"
        'config = override(load("quickstart"), {"train.epochs": 3})\n'
    )
    assert config_lib.load("own.py").train.epochs == 3
    for wrong in ("pokemon46", "configs/pokemon64.py"):
        with pytest.raises(ConfigError, match="did you mean pokemon64"):
            config_lib.load(wrong)


def test_unknown_key_in_json_names_the_nearest():
    with pytest.raises(ConfigError, match=r"'train\.lerning_rate'.*learning_rate"):
        config_lib.from_dict({"train": {"lerning_rate": 1.0}})


def test_config_file_without_config(tmp_path: Path):
    path = tmp_path / "empty.py"
    path.write_text("conf = 1\n")
    with pytest.raises(ConfigError, match="assigns no pokejax Config"):
        config_lib.load(path)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise RuntimeError('no\\nway')", r"own\.py: RuntimeError: no$"),
        ("config = Config(", r"own\.py: SyntaxError: '\(' was never closed"),
        ("raise SystemExit(3)", r"own\.py: SystemExit: 3$"),
        ("DataConfig(image_size=63)", "image_size is 63"),
        ("TextConfig(encoder='zzz')", "text.encoder is 'zzz'; expected 'static' or"),
        ("ModelConfig(latent='spacial')", "'thumbnail'; did you mean 'spatial'"),
        ("ModelConfig(latent=['vector'])", r"latent is \['vector'\]; expected 'vec"),
        ("TrainConfig(epochs=1.5)", "epochs is 1.5; expected a whole number"),
        ("TrainConfig(epochs=True)", "epochs is True; expected a whole number"),
        ("TrainConfig(learning_rate='1')", "learning_rate is '1'; expected a number"),
        ("DataConfig(flip=1)", "data.flip is 1; expected True or False"),
        ("DataConfig(dir=None)", "data.dir is None; expected a string"),
        ("DataConfig(views='front')", "'front'; expected a tuple of strings"),
        ("ModelConfig(channels=(8, 16., 3))", "expected a tuple of whole numbers"),
        ("ModelConfig(channels=[8, 16, 3])", "expected a tuple of whole numbers"),
        ("Config(train={})", "train is {}; expected a TrainConfig"),
        ("TrainConfig(epoch=3)", "argument 'epoch'; did you mean 'epochs'"),
    ],
)
def test_a_config_file_that_raises_is_one_line(
    source: str, message: str, tmp_path: Path
):
    path = tmp_path / "own.py"
    path.write_text(f"from pokejax.config import *\n{source}")
    with pytest.raises(ConfigError, match=message):
        config_lib.load(path)


def test_override_leaves_the_original_alone():
    config = Config()
    changed = config_lib.override(config, {"train.epochs": 7})
    assert (config.train.epochs, changed.train) == (300, TrainConfig(epochs=7))
