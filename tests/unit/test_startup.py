"""Commands that can't start say so in a line."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from data_tools import create_dataset
from pokejax import generate, pack

# Stands in for a heavy package, before anything of ours can import the real one.
SHADOW = {
    "missing": "raise ModuleNotFoundError(name=__name__)",
    "interrupted": "import os, signal; os.kill(os.getpid(), signal.SIGINT)",
}


@pytest.mark.parametrize(
    ("module", "package", "what"),
    [
        ("pokejax.export", "orbax", "missing"),
        ("data_tools.generate_metadata", "openai", "missing"),
        ("server", "uvicorn", "missing"),
        ("pokejax.export", "orbax", "interrupted"),
        ("pokejax.export", "zipfile", "interrupted"),  # within the first 0.1 s
    ],
)
def test_an_early_end_is_one_line(module: str, package: str, what: str, tmp_path: Path):
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text(SHADOW[what])
    options = []
    if module == "data_tools.generate_metadata":
        (tmp_path / "Fish").mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / "Fish" / "fish_front.png")
        options = ["--provider=baml", "--dry-run", f"--images-dir={tmp_path}"]
    ended = subprocess.run(
        [sys.executable, "-m", module, *options],
        env={"PYTHONPATH": f"{tmp_path}:{Path.cwd()}", "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in ended.stderr
    if what == "interrupted":
        assert ended.stderr == "\ninterrupted\n"
        assert ended.returncode == -signal.SIGINT
    else:
        extra = {"server": "server", "pokejax.export": "train"}.get(module, "data")
        assert ended.stderr.endswith(f"pip install 'pokejax[{extra}]'\n")
        assert ended.stderr.count("\n") == 1
        assert ended.returncode == 2


@pytest.mark.parametrize(
    ("main", "argv", "message"),
    [
        (generate.main, [], "arguments are required: --prompt"),
        (pack.main, ["--out=x", "--image-size=a"], "invalid int value: 'a'"),
        (pack.main, [], "nothing to write; expected --out, --index or both"),
        (create_dataset.main, ["--fit=round"], "invalid choice: 'round'"),
    ],
)
def test_a_wrong_option_is_one_line(
    main: Callable[[list[str]], int],
    argv: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
):
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error
    assert error.endswith("(--help shows all options)\n") and error.count("\n") == 1
