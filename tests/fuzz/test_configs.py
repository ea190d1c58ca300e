"""Configs: files, plain values as a bundle holds them, and the command line."""

import contextlib
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pokejax import config, train
from pokejax.config import Config, ConfigError
from tests.helpers.fuzzing import SCALARS, VALUES, attempt, fuzz, replaced

NAMES = [name for name, _, _ in config.leaves()]
WORDS = (
    st.text(max_size=8)
    | st.integers().map(str)
    | st.floats().map(str)
    | st.sampled_from(["", "1,2,3", "1,,2", "9" * 5000, "-", "--", "=", "a" * 300])
)


@fuzz
@given(data=st.data())
def test_plain_values(data: st.DataObject):
    values = data.draw(st.composite(replaced)(config.to_dict(Config()), VALUES))
    if isinstance(values, dict) and all(isinstance(v, dict) for v in values.values()):
        attempt(lambda: config.from_dict(values), ConfigError)


@fuzz
@given(
    st.dictionaries(
        st.sampled_from(NAMES) | st.text(max_size=20),
        SCALARS | st.lists(SCALARS, max_size=5).map(tuple),
        max_size=3,
    )
)
def test_overrides(changes: dict[str, Any]):
    attempt(lambda: config.override(Config(), changes), ConfigError)


@fuzz
@given(
    st.lists(
        st.tuples(st.sampled_from(NAMES), WORDS).map("--{0[0]}={0[1]}".format)
        | st.tuples(st.text(max_size=8), WORDS).map("--{0[0]}={0[1]}".format)
        | st.sampled_from([f"--no-{name}" for name in NAMES])
        | WORDS.map("--config={}".format)
        | WORDS,
        max_size=4,
    )
)
@example(["--config=" + "a" * 300])
@example(["--config=" + "9" * 5000])
@example(["--config=a\nb"])
@example(["--config=\0"])
def test_command_lines(words: list[str]):
    with (
        contextlib.redirect_stderr(io.StringIO()) as said,
        contextlib.redirect_stdout(said),
        contextlib.suppress(SystemExit),
    ):
        attempt(lambda: train.parse_arguments(words), ConfigError)
    assert "Traceback" not in said.getvalue()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config") / "odd.py"


@fuzz
@given(
    st.binary(max_size=40)
    | VALUES.map(lambda value: f"config = {value!r}".encode("utf-8", "replace"))
    | st.sampled_from(
        [
            b"raise SystemExit",
            b"raise ValueError('a\\nb' * 1000)",
            b"def f(): return f()\nf()",
            b"from pokejax.config import *\nconfig = Config(data=3)",
            b"from pokejax.config import *\nconfig = DataConfig(image_size='64')",
            b"config = " + b"(" * 500,
        ]
    )
)
def test_files(file: Path, content: bytes):
    file.write_bytes(content)
    attempt(lambda: config.load(file), ConfigError)
