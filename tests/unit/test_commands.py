"""`pokejax COMMAND`: which command it hands over to, and what it says if none."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pokejax import __version__
from pokejax.__main__ import main
from pokejax.commands import COMMANDS, call_of


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch):
    """What `main` and `load` change of the running Python is put back."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.mark.parametrize("words", [[], ["--help"], ["data"], ["data", "--help"]])
def test_help_names_every_command(words: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(words) == 0
    said = capsys.readouterr().out
    assert all(f"\n  {name} " in said for name in COMMANDS)


def test_version(capsys: pytest.CaptureFixture[str]):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"pokejax {__version__}\n"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["drow"], "'drow'; did you mean 'draw'?"),
        (["data", "create-dataset"], "did you mean 'data create_dataset'?"),
        (["fetch_sprites"], "did you mean 'data fetch_sprites'?"),
        (["?"], "'?'; pokejax --help lists them"),
    ],
)
def test_an_unknown_command_is_one_line(
    words: list[str], hint: str, capsys: pytest.CaptureFixture[str]
):
    assert main(words) == 2
    said = capsys.readouterr().err
    assert hint in said and said.count("\n") == 1


def test_every_command_has_its_module():
    for module, _ in COMMANDS.values():
        assert importlib.util.find_spec(module), module


def test_arguments_and_exit_code_are_handed_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["data", "claims", "--images-dir", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("started", "expected"),
    [
        ("/usr/bin/pokejax", "pokejax serve"),
        ("C:/Scripts/pokejax.exe", "pokejax serve"),
        (str(Path("pokejax/__main__.py").absolute()), "pokejax serve"),
        (str(Path("server/__main__.py").absolute()), "python -m server"),
    ],
)
def test_help_calls_a_command_as_it_was_called(
    started: str, expected: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "argv", [started])
    assert call_of("server.__main__") == expected


def test_a_file_in_the_working_directory_hides_nothing(tmp_path: Path):
    (tmp_path / "data_tools.py").write_text("raise SystemExit('not ours')")
    helped = subprocess.run(
        [sys.executable, "-m", "pokejax", "data", "claims", "--help"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
    )
    assert helped.returncode == 0, helped.stderr
    assert helped.stdout.startswith("usage: pokejax data claims ")
