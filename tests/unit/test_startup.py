"""Commands that can't start say so in a line."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

# Stands in for a heavy package, before anything of ours can import the real one.
SHADOW = {
    "missing": "raise ModuleNotFoundError(name=__name__)",
    "interrupted": "import os, signal; os.kill(os.getpid(), signal.SIGINT)",
}


@pytest.mark.parametrize(
    ("module", "package", "what"),
    [
        ("pokejax.export", "orbax", "missing"),
        ("pokejax.export", "orbax", "interrupted"),
        ("server", "uvicorn", "missing"),
    ],
)
def test_an_early_end_is_one_line(module: str, package: str, what: str, tmp_path: Path):
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text(SHADOW[what])
    ended = subprocess.run(
        [sys.executable, "-m", module],
        env={"PYTHONPATH": f"{tmp_path}:{Path.cwd()}", "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in ended.stderr
    if what == "interrupted":
        assert ended.stderr == "\ninterrupted\n"
        assert ended.returncode == -signal.SIGINT
    else:
        extra = "server" if module == "server" else "train"
        assert ended.stderr.endswith(f"pip install 'pokejax[{extra}]'\n")
        assert ended.stderr.count("\n") == 1
        assert ended.returncode == 2
