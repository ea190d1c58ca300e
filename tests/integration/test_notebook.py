"""The notebook runs from top to bottom; only its settings are small ones."""

import hashlib
import os
import re
import shutil
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from pokejax.inference import shipped
from tests.helpers import drawn
from tests.helpers.proxy import replace_once
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


def test_it_installs_what_the_package_offers():
    source = "\n".join(cell.source for cell in read().cells)
    (asked,) = re.findall("^%env EXTRAS=(.+)$", source, flags=re.M)
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    assert set(asked.split(",")) < project["optional-dependencies"].keys()
    assert '"pokejax[$EXTRAS]"' in source


def checkout(path: Path, model: Path) -> None:
    """Make one of links to this one, with another model in the included one's place."""
    package, pinned = path / "pokejax", path / "pokejax/inference/shipped.py"
    leave_out = shutil.ignore_patterns("__pycache__", pinned.name, shipped.MODEL.name)
    shutil.copytree(
        Path("pokejax").absolute(), package, ignore=leave_out, copy_function=os.symlink
    )
    for name in ("server", "data_tools", "configs", "baml_client"):
        (path / name).symlink_to(Path(name).absolute())
    (package / "weights" / shipped.MODEL.name).symlink_to(model)
    text = Path("pokejax/inference/shipped.py").read_text()
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    pinned.write_text(replace_once(text, shipped.SHA256, digest))


@pytest.mark.slow  # each of its commands has tests of its own
@pytest.mark.weights
def test_it_runs_from_top_to_bottom(
    flow_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # The included model, whose tests are elsewhere, takes long to compile and to draw.
    checkout(tmp_path / "checkout", flow_model)
    # Creatures of our own, in the place of sprites that would be fetched.
    drawn.write_drawn_images(tmp_path / "creatures", species=24)
    for metadata in (tmp_path / "creatures").rglob("*.json"):
        metadata.unlink()
    small = {
        "EXTRAS": "train,data,server",
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
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "checkout"))
    monkeypatch.setenv("XLA_FLAGS", QUICK_XLA)
    client = NotebookClient(notebook, timeout=600)
    client.execute(cwd=str(tmp_path / "checkout"))
    outputs = {cell.id: cell.get("outputs", []) for cell in notebook.cells}
    for name in ("draw", "edited", "interpolate", "look", "curves", "sample"):
        assert outputs[name][-1]["data"].keys() & {"image/png", "image/gif"}, name
    assert (tmp_path / "OUT" / "model.safetensors").is_file()
    assert "KID" in "".join(out.get("text", "") for out in outputs["evaluate"])
