"""Data flows one way: each package imports only what is listed for it here."""

import ast
import graphlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

GROUND = {
    "pokejax.arguments",
    "pokejax.attributes",
    "pokejax.commands",
    "pokejax.config",
    "pokejax.files",
    "pokejax.npz",
    "pokejax.safe_pickle",
    "pokejax.startup",
}
# Package -> the packages it may use beside the ground floor, from the bottom up.
MAY_USE: dict[str, set[str]] = {
    "pokejax.prompts": set(),
    "pokejax.images": set(),
    "pokejax.text": set(),
    "pokejax.data": {"images", "text"},
    "pokejax.models": set(),
    "pokejax.inference": {"prompts", "images", "text", "models"},
    "pokejax.creatures": {"prompts", "images", "inference"},
    "pokejax.training": {"images", "text", "data", "models", "inference"},
    "pokejax.evaluation": {
        *("prompts", "images", "text", "data", "models", "inference", "training")
    },
    "server": {"prompts", "images", "inference", "creatures"},
    "data_tools": {"prompts", "images", "data"},
}
COMMANDS = {"pokejax.__main__", "pokejax.doctor"} | {
    f"pokejax.{n}"
    for n in (
        "train",
        "generate",
        "creature",
        "evaluate",
        "export",
        "pack",
        "picker",
        "bulk",
    )
}
# Loaded only when it is asked for, from further up: a run's directory as a model.
LAZY = {("pokejax.inference", "pokejax.training.checkpoint")}


def name_of(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    name_of(path): path
    for root in ("pokejax", "server", "data_tools")
    for path in Path(root).rglob("*.py")
}


def own_imports(name: str) -> set[str]:
    """Modules of ours that one imports, at its top level or inside a function."""
    found: set[str] = set()
    path = MODULES[name]
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            relative = "." * node.level + (node.module or "")
            module = importlib.util.resolve_name(relative, package)
            inner = {f"{module}.{a.name}" for a in node.names} & MODULES.keys()
            found |= inner or {module}
    return {name for name in found if name.split(".")[0] in ("pokejax", *MAY_USE)}


def package_of(module: str) -> str:
    """The package that a module belongs to, or the module itself on the ground."""
    head = module.split(".")
    return head[0] if head[0] != "pokejax" else ".".join(head[:2])


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_go_downwards(name: str):
    package = package_of(name)
    if name == "pokejax" or package in COMMANDS:
        return  # the front door, which opens lazily, and what stands on top
    allowed = {"pokejax", package} | (GROUND if package not in GROUND else set())
    allowed |= {f"pokejax.{below}" for below in MAY_USE.get(package, ())}
    used = {
        module
        for module in own_imports(name)
        if package_of(module) not in allowed and (package, module) not in LAZY
    }
    assert not used, f"{name} must not import {used}"


def test_every_package_has_its_place():
    packages = {package_of(name) for name in MODULES} - {"pokejax"}
    assert packages == GROUND | MAY_USE.keys() | COMMANDS


def test_folders_that_a_wheel_moves_import_themselves_relatively():
    for name in MODULES:
        if (root := name.split(".")[0]) != "pokejax":
            absolute = rf"^\s*(from|import) {root}\b"
            assert not re.search(absolute, MODULES[name].read_text(), re.M), name


def test_no_module_imports_itself_in_a_circle():
    graph = {name: own_imports(name) for name in MODULES if name != "pokejax"}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, naming the circle


# As a script, and as TFDS loads it, a file isn't imported. One is of the extra `beam`.
EXTRA = (
    set() if importlib.util.find_spec("apache_beam") else {"data_tools.beam_pipeline"}
)
DATA_TOOLS = sorted(
    name
    for name in MODULES
    if package_of(name) == "data_tools" and "__main__" not in name and name not in EXTRA
)


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        (["pokejax", "pokejax.__main__"], ("jax", "flax", "numpy")),
        # flax itself imports optax.
        (["pokejax.generate"], ("orbax", "matplotlib", "tensorflow", "torch")),
        (["server.app"], ("orbax", "matplotlib", "tensorflow", "torch", "openai")),
        (["pokejax.train"], ("tensorflow", "torch", "transformers")),
        (DATA_TOOLS, ("jax", "tensorflow", "torch")),
    ],
    ids=lambda value: value[0],
)
def test_heavy_packages_stay_out(modules: list[str], heavy: tuple[str, ...]):
    code = f"""
import importlib, sys
for module in {modules!r}:
    importlib.import_module(module)
    assert not (found := {set(heavy)!r} & sys.modules.keys()), (module, found)
"""
    tried = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert tried.returncode == 0, tried.stderr
