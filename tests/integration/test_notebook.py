"""The notebook runs from top to bottom; only its settings are small ones."""

import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.helpers import drawn
from tests.helpers.tools import QUICK_XLA

NOTEBOOK = Path("notebooks/pokejax.ipynb")


def read() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_holds_neither_outputs_nor_logic():
    for cell in read().cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None
            for word in ("def ", "class ", "lambda", "while ", "if "):
                assert word not in cell.source, "that belongs into the package"
    assert str(NOTEBOOK) in read().cells[0].source  # the badge opens this very file


@pytest.mark.weights
def test_it_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # Creatures of our own, in the place of sprites that would be fetched.
    drawn.write_drawn_images(tmp_path / "creatures", species=24)
    for metadata in (tmp_path / "creatures").rglob("*.json"):
        metadata.unlink()
    small = {
        "JAX": "jax",
        "SOURCE": str(tmp_path / "creatures"),
        **{n: str(tmp_path / n) for n in ("IMAGES", "DATASET", "RUN", "OUT")},
        "EPOCHS": "1",
        "OPTIONS": "--model.channels=4,8,16 --model.hidden_dim=32 --train.batch_size=8",
        "HELD_OUT": "8",
    }
    notebook = read()
    kept = []
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "settings" in tags:
            given = [line.split("=")[0] for line in cell.source.splitlines()]
            assert given == [f"%env {name}" for name in small]
            cell.source = "\n".join(f"%env {n}={value}" for n, value in small.items())
        if "install" not in tags:  # that is `make setup`'s here
            kept.append(cell)
    notebook.cells = kept
    folder = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", folder + os.pathsep + os.environ["PATH"])
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    monkeypatch.setenv("XLA_FLAGS", QUICK_XLA)
    NotebookClient(notebook, timeout=600).execute(cwd=".")
    outputs = {cell.id: cell.get("outputs", []) for cell in notebook.cells}
    for name in ("draw", "edited", "interpolate", "look", "curves", "sample"):
        assert outputs[name][-1]["data"].keys() & {"image/png", "image/gif"}, name
    assert (tmp_path / "OUT" / "model.safetensors").is_file()
    assert "KID" in "".join(out.get("text", "") for out in outputs["evaluate"])
