"""Data flows one way: each room imports only from the rooms listed before it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

# From the bottom up; rooms of one line don't import each other's line-mates above.
ROOMS = [
    "pokejax.files",
    "pokejax.shipped",
    "pokejax.safe_pickle",
    "pokejax.attributes",
    "pokejax.llm",
    "pokejax.colors",
    "pokejax.preprocessing",
    "pokejax.lexicon",
    "pokejax.phrases",
    "pokejax.prompt_nouns",
    "pokejax.prompt_rules",
    "pokejax.prompt_parsing",
    "pokejax.config",
    "pokejax.grid",
    "pokejax.text.static",
    "pokejax.text.clip_tokenizer",
    "pokejax.text.clip_files",
    "pokejax.text.clip_tower",
    "pokejax.text.clip",
    "pokejax.text",
    "pokejax.models",
    "pokejax.models.convs",
    "pokejax.models.spatial",
    "pokejax.models.cvae",
    "pokejax.models.prior",
    "pokejax.lpips",
    "pokejax.losses",
    "pokejax.augment",
    "pokejax.tfds_reader",
    "pokejax.data",
    "pokejax.pack",
    "pokejax.stream",
    "pokejax.bundle",
    "pokejax.checkpoint",
    "pokejax.samples",
    "pokejax.programs",
    "pokejax.sampler",
    "pokejax.generate",
    "pokejax.evaluation",
    "pokejax.evaluation.metrics",
    "pokejax.evaluation.features",
    "pokejax.evaluation.inception",
    "pokejax.evaluation.nearest",
    "pokejax.evaluation.judge",
    "pokejax.evaluation.reference",
    "pokejax.evaluation.subject",
    "pokejax.evaluation.quality",
    "pokejax.evaluation.adherence",
    "pokejax.evaluation.report",
    "pokejax.evaluate",
    "pokejax.export",
    "pokejax.objectives",
    "pokejax.steps",
    "pokejax.mesh",
    "pokejax.stages",
    "pokejax.trainer",
    "pokejax.reports",
    "pokejax.run_report",
    "pokejax.tensorboard",
    "pokejax.stop",
    "pokejax.run",
    "pokejax.train",
]
SERVER_ROOMS = [
    "server",
    "server.settings",
    "server.schemas",
    "server.errors",
    "server.limits",
    "server.reading",
    "server.metrics",
    "server.batcher",
    "server.service",
    "server.animation",
    "server.jobs",
    "server.routes",
    "server.routes_openai",
    "server.openapi",
    "server.gate",
    "server.app",
    "server.protocol",
    "server.__main__",
]
# What the service may use of the library.
SERVER_MAY_USE = {
    "pokejax",
    "pokejax.attributes",
    "pokejax.bundle",
    "pokejax.prompt_parsing",
    "pokejax.sampler",
    "pokejax.samples",
    "pokejax.shipped",
}
# What the data commands may use of the library: they never load JAX.
DATA_TOOLS_MAY_USE = {
    "pokejax.attributes",
    "pokejax.files",
    "pokejax.llm",
    "pokejax.prompt_parsing",
    "pokejax.colors",
    "pokejax.lexicon",
    "pokejax.phrases",
    "pokejax.safe_pickle",
}


def name_of(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def own_imports(path: Path) -> set[str]:
    """Modules of ours that a file imports at its top level or inside a function."""
    roots = ("pokejax", "server")
    modules = {name_of(p) for root in roots for p in Path(root).rglob("*.py")}
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & modules
            found |= inner or {node.module}
    ours = ("pokejax", "data_tools", "server")
    return {name for name in found if name.split(".")[0] in ours}


@pytest.mark.parametrize("path", sorted(Path("pokejax").rglob("*.py")), ids=name_of)
def test_imports_go_downwards(path: Path):
    name = name_of(path)
    if name == "pokejax":  # the front door, which opens lazily
        return
    assert name in ROOMS, f"{name} has no place in the order of rooms yet"
    allowed = set(ROOMS[: ROOMS.index(name)])
    lazy = {
        # Chosen by config or path, loaded only then.
        "pokejax.text": {"pokejax.text.clip"},
        "pokejax.sampler": {"pokejax.checkpoint"},
    }
    assert own_imports(path) <= allowed | lazy.get(name, set())


@pytest.mark.parametrize("path", sorted(Path("server").glob("*.py")), ids=name_of)
def test_the_server_imports_downwards_and_little_of_the_library(path: Path):
    name = name_of(path)
    assert name in SERVER_ROOMS, f"{name} has no place in the order of rooms yet"
    allowed = set(SERVER_ROOMS[: SERVER_ROOMS.index(name)])
    assert own_imports(path) <= allowed | SERVER_MAY_USE


@pytest.mark.parametrize("path", sorted(Path("data_tools").glob("*.py")), ids=name_of)
def test_data_tools_use_little_of_the_library(path: Path):
    ours = {name for name in own_imports(path) if name.startswith("pokejax")}
    assert ours <= DATA_TOOLS_MAY_USE


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("pokejax", ("jax", "flax", "numpy")),
        # flax itself imports optax.
        ("pokejax.generate", ("orbax", "matplotlib", "tensorflow", "torch")),
        ("server.app", ("orbax", "matplotlib", "tensorflow", "torch", "openai")),
        ("pokejax.train", ("tensorflow", "torch", "transformers")),
        ("data_tools.create_dataset", ("jax", "tensorflow", "torch")),
        ("data_tools.generate_metadata", ("jax", "tensorflow", "torch")),
        ("data_tools.fetch_sprites", ("jax", "tensorflow", "torch")),
    ],
)
def test_heavy_packages_stay_out(module: str, heavy: tuple[str, ...]):
    code = f"import sys, {module}; print([m for m in {heavy!r} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
