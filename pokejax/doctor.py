"""The command: what is installed, found and fast here, and what to install next.

It changes nothing, and starts no download.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from packaging.requirements import Requirement
from tqdm import tqdm

from pokejax.attributes import CONDITIONS
from pokejax.commands import call_of
from pokejax.config import TextConfig, load, override
from pokejax.data import cifar
from pokejax.data.split import Dataset, Split
from pokejax.inference import bundle, shipped
from pokejax.inference.sampler import Sampler
from pokejax.models import lpips
from pokejax.prompts.llm import LlmUnavailable, load_baml_client
from pokejax.text import clip_files
from pokejax.text.static import StaticTextEncoder
from pokejax.training.mesh import memory_bytes
from pokejax.training.trainer import Trainer

_PACKAGES = ("pokejax", "jax", "jaxlib", "flax", "numpy", "optax", "orbax-checkpoint")
# Extra -> what it is for; those of developers aren't looked at.
_EXTRAS = {
    "train": "to train with LPIPS and checkpoints",
    "data": "to make datasets, and to ask language models",
    "server": "to serve the studio and the API",
    "tensorboard": "to log for TensorBoard",
    "cuda": "for an NVIDIA GPU",
    "tpu": "for a TPU",
    "apple": "for the GPU of an Apple chip",
}
_CONFIG = "quickstart"
_BATCH = 32
_REPEATS = 3
TESTED = {
    "CPU, Linux x86-64, Python 3.11": "yes: all tests; the included model was trained"
    " there",
    "CPU, Linux x86-64, Python 3.12 and 3.13": "installed with all extras, it drew"
    " pictures; all tests by the workflow in .github/workflows, where it runs",
    "NVIDIA GPU, Linux": "training ran on an H100 once (docs/RESULTS.md); the tests and"
    " the service haven't",
    "TPU": "no: by design only",
    "Apple GPU (jax-mps)": "no: by design only",
}


class NoDevice(Exception):
    """JAX has nothing to compute on; the message says why."""


def examine(*, quick: bool = False) -> dict[str, Any]:
    """Look at everything.

    Args:
      quick: leave out the timings, which compile for a while.

    Returns:
      What `--json` prints. `"problems"` keeps pictures from being drawn, `"next"` is
      advice; both are lists of sentences.
    """
    findings: dict[str, Any] = {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "versions": {name: _version(name) for name in _PACKAGES},
        "extras": _extras(),
        "found": _found(),
        "tested": TESTED,
        "problems": [],
    }
    try:
        findings["devices"] = _devices()
        bundle.read(shipped.MODEL)
        StaticTextEncoder.load()
    except bundle.BundleError as error:
        findings["problems"].append(f"{error}; install pokejax anew")
    except (NoDevice, FileNotFoundError) as error:
        findings["problems"].append(str(error))
    if not quick and not findings["problems"]:
        parts = {"matmul": _matmul, "picture": _picture, "training": _training}
        findings |= {name: measure() for name, measure in tqdm(parts.items(), "timing")}
    findings["next"] = list(_advice(findings))
    return findings


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _extras() -> dict[str, dict[str, Any]]:
    """Which extras are for this machine, and what is missing of each."""
    known = metadata.metadata("pokejax").get_all("Provides-Extra") or []
    found = {}
    for extra in [extra for extra in _EXTRAS if extra in known]:
        wanted = _requirements("pokejax", extra)
        missing = [name for name, is_there in wanted if not is_there]
        found[extra] = {"fits": bool(wanted), "missing": missing}
    return found


def _requirements(package: str, extra: str) -> list[tuple[str, bool]]:
    """What an extra adds on this machine, and whether it is installed as it should."""
    found = []
    for text in metadata.requires(package) or []:
        wanted = Requirement(text)
        marker = wanted.marker
        if not marker or marker.evaluate() or not marker.evaluate({"extra": extra}):
            continue
        version = _version(wanted.name)
        fits = bool(version) and wanted.specifier.contains(version, prereleases=True)
        found.append((wanted.name, fits))
        if fits:
            for inner in sorted(wanted.extras):
                found += _requirements(wanted.name, inner)
    return found


def _found() -> dict[str, str | None]:
    """Weights, data and caches by what they are; None if absent."""

    def path_of(find: Callable[[], object]) -> str | None:
        try:
            found = find()
        except (FileNotFoundError, LlmUnavailable):
            return None
        return str(found) if found else None

    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    runs = sorted(Path("runs").glob("*/model.safetensors"))
    dataset = Path("pokemon-cifar-64")
    return {
        "included model": path_of(lambda: shipped.MODEL.exists() and shipped.MODEL),
        "text vectors": path_of(lambda: StaticTextEncoder.load().identity),
        "LPIPS weights": path_of(
            lambda: (path := lpips.package_weights("alexnet")).exists() and path
        ),
        "CLIP weights": path_of(lambda: clip_files.cached(TextConfig.weights)),
        "language models' client": path_of(lambda: load_baml_client().__file__),
        "dataset": str(dataset) if cifar.is_dataset(dataset) else None,
        "trained models": ", ".join(map(str, runs)) or None,
        "cache": path_of(lambda: _sizes(home / "pokejax")),
    }


def _sizes(folder: Path) -> str:
    """A cache's path, and how large its parts are."""
    if not folder.is_dir():
        return ""
    parts = []
    for path in sorted(folder.iterdir()):
        files = (p for p in (path, *path.rglob("*")) if p.is_file())
        parts.append(f"{path.name} {_bytes(sum(p.stat().st_size for p in files))}")
    return f"{folder} ({', '.join(parts) or 'empty'})"


def _devices() -> dict[str, Any]:
    try:
        devices = jax.devices()
    except (RuntimeError, AssertionError) as error:  # it may say no word
        asked = os.environ.get("JAX_PLATFORMS", "")
        why = str(error).partition("\n")[0] or f"JAX_PLATFORMS is {asked!r}"
        raise NoDevice(f"JAX finds no device: {why}") from None
    return {
        "platform": devices[0].platform,
        "kind": devices[0].device_kind,
        "count": len(devices),
        "memory_bytes": memory_bytes(),
        "cores": os.cpu_count(),
    }


def _seconds(call: Callable[[], Any]) -> tuple[float, float]:
    """Of the first call, which compiles, and the median of some more."""
    taken = []
    for _ in range(1 + _REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(call())
        taken.append(time.perf_counter() - start)
    return taken[0], statistics.median(taken[1:])


def _matmul() -> dict[str, float]:
    """TFLOP/s of square matrix products, by type, at JAX's default precision."""
    side = 512 if jax.default_backend() == "cpu" else 4096
    speeds = {}
    for dtype in ("float32", "bfloat16"):
        factor = jnp.full((side, side), 1 / side, jnp.dtype(dtype))
        product = jax.jit(lambda a: a @ a)
        _, seconds = _seconds(lambda f=factor, p=product: p(f))
        speeds[f"{dtype}_tflops"] = 2 * side**3 / seconds / 1e12
    return speeds


def _picture() -> dict[str, float]:
    """Seconds until a picture of the included model, and pictures/s of whole tiles."""
    start = time.perf_counter()
    sampler = Sampler.load()
    loading = time.perf_counter() - start

    def draw(count: int) -> Callable[[], Any]:
        return lambda: sampler.generate("a red dragon", num=count, seed=0)

    compiling, one = _seconds(draw(1))
    _, tile = _seconds(draw(sampler.tile_rows))
    return {
        "load_s": loading,
        "first_s": compiling,
        "next_s": one,
        "pictures_per_s": sampler.tile_rows / tile,
    }


def _training() -> dict[str, float]:
    """Seconds of a step of the small recipe on made-up pictures."""
    changes = {"train.batch_size": _BATCH, "train.steps_per_call": 1, "mesh.devices": 1}
    config = override(load(_CONFIG), changes)
    trainer = Trainer(config, _noise(config.data.image_size))
    _, split, rows = next(trainer.feed.train_batches(0, 1))
    beta = jnp.float32(1)
    first, step = _seconds(lambda: trainer.call(split, rows, beta))
    return {"first_s": first, "step_s": step, "pictures_per_s": _BATCH / step}


def _noise(side: int) -> Dataset:
    """One batch of noise, of which nothing is known, with one prompt."""
    shape = (_BATCH, side, side)
    random = np.random.default_rng(0)
    split = Split(
        random.integers(0, 256, (*shape, 3), np.uint8),
        np.full(shape, 255, np.uint8),
        np.full((_BATCH, len(CONDITIONS)), -1, np.int32),
        np.zeros((_BATCH, 1), np.int32),
        np.ones(_BATCH, np.int32),
        np.ones(_BATCH, np.float32),
    )
    splits = {"train": split, "val": split, "test": split}
    return Dataset(splits, np.zeros((1, 256), np.float16), "noise", TextConfig())


def _advice(findings: dict[str, Any]) -> Iterator[str]:
    on_cpu = findings.get("devices", {}).get("platform") == "cpu"
    hardware = {
        "cuda": shutil.which("nvidia-smi"),
        "tpu": any(Path("/dev").glob("accel[0-9]*")),
        "apple": sys.platform == "darwin" and platform.machine() == "arm64",
    }
    for extra, state in findings["extras"].items():
        if hardware.get(extra, True) and state["fits"] and state["missing"]:
            lacks = ", ".join(state["missing"])
            yield f"pip install 'pokejax[{extra}]' {_EXTRAS[extra]} (lacks {lacks})"
        elif hardware.get(extra) and state["fits"] and on_cpu:
            yield f"see JAX_PLATFORMS: JAX uses the CPU, though {extra} is installed"
    if not findings["problems"]:
        yield f'{call_of("pokejax.generate")} --prompt "a red dragon"'
        if not findings["found"]["dataset"]:
            yield f"{call_of('data_tools.fetch_sprites')}, for a dataset to train on"
        elif not findings["found"]["trained models"]:
            yield f"{call_of('pokejax.train')} --config {_CONFIG}"


def _bytes(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


def _text(findings: dict[str, Any]) -> str:
    """The findings for people."""
    sections = {"Here": {"Python": f"{findings['python']}, {findings['machine']}"}}
    if devices := findings.get("devices"):
        sections["Here"] |= {
            "devices": "{count} x {kind} ({platform})".format(**devices),
            "memory": _bytes(devices["memory_bytes"]),
            "cores": devices["cores"],
        }
    sections["Versions"] = {k: v or "absent" for k, v in findings["versions"].items()}
    sections["Extras"] = {
        extra: ("lacks " + ", ".join(state["missing"]) if state["missing"] else "there")
        if state["fits"]
        else "not for this machine"
        for extra, state in findings["extras"].items()
    }
    sections["Found"] = {k: v or "none" for k, v in findings["found"].items()}
    if "matmul" in findings:
        sections["Speed"] = _speed(findings)
    sections["Tested"] = findings["tested"]
    lines = []
    for title, rows in sections.items():
        width = 2 + max(map(len, rows))
        lines += [title, *(f"  {name:{width}}{v}" for name, v in rows.items()), ""]
    for title in ("problems", "next"):
        if findings[title]:
            lines += [title.title(), *(f"  {line}" for line in findings[title]), ""]
    return "\n".join(lines).rstrip()


def _speed(findings: dict[str, Any]) -> dict[str, str]:
    single, half = (
        findings["matmul"][f"{dtype}_tflops"] for dtype in ("float32", "bfloat16")
    )
    pays = "--model.compute_dtype bfloat16 may pay"
    verdict = pays if half > 1.2 * single else "stay with float32"
    picture, training = findings["picture"], findings["training"]
    return {
        "precision": f"matrix products at {single:.3g} TFLOP/s in float32,"
        f" {half:.3g} in bfloat16: {verdict}",
        "a picture": "{first_s:.1f} s at first, which compiles, then {next_s:.3f} s;"
        " {pictures_per_s:.0f} pictures/s in whole tiles".format(**picture),
        "a training step": f"{_CONFIG}, {_BATCH} pictures: "
        + "{first_s:.1f} s at first, then {step_s:.3f} s; {pictures_per_s:.0f}"
        " pictures/s".format(**training),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Print the findings; 0 if pictures can be drawn, 1 if not."""
    parser = argparse.ArgumentParser(
        prog=call_of("pokejax.doctor"),
        description="Say what is installed, found and fast here, and what to install"
        " next. Nothing is changed or downloaded.",
        epilog="example: %(prog)s --quick --json",
    )
    parser.add_argument(
        "--quick", action="store_true", help="leave out the timings, about a minute"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(argv)
    findings = examine(quick=args.quick)
    print(json.dumps(findings, indent=2) if args.json else _text(findings))
    return 1 if findings["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
