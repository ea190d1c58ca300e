"""Strict JAX and checked shapes for all; the drawn dataset and a tiny trained run."""

import os
import signal
import sys

# A shell's background job, as this may be, ignores Ctrl-C, and so would the commands
# that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

from tests.helpers.tools import QUICK_XLA

# Two devices on one CPU, before JAX starts: sharded code is then really sharded.
os.environ.setdefault(
    "XLA_FLAGS", f"--xla_force_host_platform_device_count=2 {QUICK_XLA}"
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")

# Tests start a hundred processes, and load the same models over and over: whatever one
# of them compiles, Python's bytecode or XLA's programs, the others find on disk. The
# place is that of `pokejax.train`.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
_CACHE = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{_CACHE}/pokejax/xla")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

from jaxtyping import install_import_hook

# Where there are arrays, types and shapes are checked as annotated; in tests only. An
# int will do where a float is wanted, as type checkers have it.
install_import_hook(
    [f"pokejax.{name}" for name in ("data", "images", "models", "inference")]
    + ["pokejax.creatures"]
    + [f"pokejax.{name}" for name in ("training", "evaluation")],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)

from pathlib import Path

import jax
import pytest

from data_tools import create_dataset
from pokejax import train
from tests.helpers import drawn
from tests.helpers.flow import KIN, write_flow_model

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def key() -> jax.Array:
    """A key that every test may fold its own numbers into."""
    return jax.random.key(0)


# One for as many tests as possible: another size or rate is compiled anew.
TINY = [
    "--data.image_size=32",
    "--model.channels=8,16,32",
    "--model.hidden_dim=64",
    "--model.latent_dim=16",
    "--model.dropout=0.1",
    "--loss.perceptual_weight=0",
    "--loss.kl_per_dimension",
    "--train.batch_size=8",
    "--train.learning_rate=2e-3",
    "--train.ema_decay=0.9",
    "--train.attribute_drop_prob=0.1",
]


@pytest.fixture(scope="session")
def drawn_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 32x32 dataset directory of drawn creatures, made by the real command."""
    root = tmp_path_factory.mktemp("drawn")
    drawn.write_drawn_images(root / "images", species=16)
    argv = ["--images-dir", str(root / "images"), "--output-dir", str(root / "set")]
    flags = ["--image-size=32", "--quiet", "--workers=1", "--target-per-group=8"]
    assert create_dataset.main([*argv, *flags]) == 0
    return root / "set"


@pytest.fixture(scope="session")
def tiny_run(drawn_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run of two epochs, made by the real command."""
    workdir = tmp_path_factory.mktemp("run") / "tiny"
    argv = ["--data.dir", str(drawn_dataset), "--train.workdir", str(workdir)]
    assert train.main([*TINY, *argv, "--train.epochs=2"]) == 0
    return workdir


@pytest.fixture(scope="session")
def flow_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle with a learned prior, untrained."""
    path = tmp_path_factory.mktemp("flow") / "model.safetensors"
    write_flow_model(path)
    return path


@pytest.fixture(scope="session")
def kin_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `flow_model`, but one that draws beside relatives."""
    path = tmp_path_factory.mktemp("kin") / "model.safetensors"
    write_flow_model(path, KIN)
    return path
