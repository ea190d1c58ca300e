import json
from pathlib import Path

import pytest

from pokejax import config as config_lib
from pokejax.config import Config, ConfigError, DataConfig, TrainConfig
from pokejax.train import parse_arguments

CONFIGS = sorted(Path("configs").glob("[a-z]*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configs_survive_json(path: Path):
    config = config_lib.load(path)
    text = json.dumps(config_lib.to_dict(config))
    assert config_lib.from_dict(json.loads(text)) == config


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
    ],
)
def test_bad_settings_name_value_and_remedy(argv: list[str], message: str):
    with pytest.raises(ConfigError, match=message):
        parse_arguments(argv)


def test_unknown_key_in_json_names_the_nearest():
    with pytest.raises(ConfigError, match=r"'train\.lerning_rate'.*learning_rate"):
        config_lib.from_dict({"train": {"lerning_rate": 1.0}})


def test_config_file_without_config(tmp_path: Path):
    path = tmp_path / "empty.py"
    path.write_text("conf = 1\n")
    with pytest.raises(ConfigError, match="assigns no pokejax Config"):
        config_lib.load(path)


def test_override_leaves_the_original_alone():
    config = Config()
    changed = config_lib.override(config, {"train.epochs": 7})
    assert (config.train.epochs, changed.train) == (300, TrainConfig(epochs=7))
