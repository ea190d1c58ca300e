"""The commands: what each is called after `pokejax`, and the module that does it.

In a checkout, `server` and `data_tools` stand beside `pokejax`. A wheel holds them
inside it: it installs one name only, and nobody's `server.py` can hide ours.
"""

import importlib
import sys
from pathlib import Path
from types import ModuleType

# Name -> its module, as a checkout calls it, and what it does.
COMMANDS = {
    "draw": ("pokejax.generate", "pictures from prompts"),
    "creature": ("pokejax.creature", "one creature as all the files that a game takes"),
    "bulk": ("pokejax.bulk", "a table of prompts as shards of pictures, by Ray"),
    "serve": ("server.__main__", "the studio and the API on http://127.0.0.1:8000"),
    "train": ("pokejax.train", "a model from a dataset"),
    "evaluate": ("pokejax.evaluate", "a model's pictures against real ones"),
    "export": ("pokejax.export", "a training run's checkpoint as one file"),
    "picker": ("pokejax.picker", "a model's judge of its drawings, for --best-of"),
    "doctor": ("pokejax.doctor", "what is here, how fast it is, what to install next"),
    "data fetch_sprites": ("data_tools.fetch_sprites", "sprites into images/"),
    "data generate_metadata": (
        "data_tools.generate_metadata",
        "their prompts and attributes beside them",
    ),
    "data create_dataset": ("data_tools.create_dataset", "a dataset from these"),
    "data pokemon_cifar": (
        "data_tools.pokemon_cifar.__main__",
        "the dataset as TFDS's files",
    ),
    "data beam_dataset": (
        "data_tools.beam_dataset",
        "such files straight from the pictures, on many machines",
    ),
    "data pack": ("pokejax.pack", "the dataset and its embeddings as one .npz"),
    "data claims": ("data_tools.claims", "prompts that say what isn't so"),
}

_HERE = Path(__file__).parent


def load(module: str) -> ModuleType:
    """Import a module by the name that it has in a checkout, in a wheel as well."""
    top = module.split(".")[0]
    if (_HERE / top).is_dir():
        return importlib.import_module(f"pokejax.{module}")
    checkout = str(_HERE.parent)
    if top != "pokejax" and sys.path[0] != checkout:
        # Before the working directory, which may hold a `server.py` of its own.
        sys.path.insert(0, checkout)
    return importlib.import_module(module)


def call_of(module: str) -> str:
    """How to call the command of a module here, for its help and for hints to it.

    `"pokejax data claims"` in a wheel, and below the command `pokejax`; otherwise
    `"python -m data_tools.claims"`.
    """
    started = Path(sys.argv[0])
    if (
        (_HERE / "server").is_dir()
        or started.stem == "pokejax"
        or started == _HERE / "__main__.py"
    ):
        name = next(name for name, (m, _) in COMMANDS.items() if m == module)
        return f"pokejax {name}"
    return f"python -m {module.removesuffix('.__main__')}"
