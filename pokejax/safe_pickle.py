"""Reading pickles that hold numpy arrays and built-in containers, and nothing else.

A pickle is a program: `pickle.load` runs what its author wrote. Two kinds of file that
this project reads are pickles all the same, the CIFAR layout and the LPIPS weights, and
both come from other people. Here no global of a file is ever looked up: each of the
handful of names that plain arrays need is answered by a stand-in of ours, which checks
its arguments, and any other name is refused before anything is called.
"""

import io
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# Booleans, integers, floats, complex numbers, byte strings and text; never objects
# ("O"), structured records, or dates.
_PLAIN_DTYPE = re.compile(r"[biufcSU]\d{1,9}")


class UnsafePickleError(ValueError):
    """The pickle asks for something that plain arrays don't need; nothing was run."""


def load(source: str | Path | bytes, *, encoding: str = "latin1") -> Any:
    """What the pickle holds: containers, text, bytes, numbers, plain arrays.

    Args:
      source: a file's path, or the pickle itself.
      encoding: what Python-2 strings become: `"latin1"` for text, `"bytes"` for bytes.

    Returns:
      The unpickled object; its arrays may be read-only.

    Raises:
      UnsafePickleError: names the file and the global or dtype that was refused.
      ValueError: the file is truncated or not a pickle; names the file.
      OSError: the file can't be read.
    """
    if isinstance(source, bytes):
        name, content = "<bytes>", source
    else:
        name, content = str(source), Path(source).read_bytes()
    try:
        loaded = _Unpickler(io.BytesIO(content), encoding=encoding).load()
        return _with_arrays(loaded, {})
    except UnsafePickleError as error:
        raise UnsafePickleError(f"{name}: {error}") from None
    except Exception as error:  # a malformed pickle can raise nearly anything
        raise ValueError(
            f"{name}: truncated, or not a pickle ({type(error).__name__}: {error})"
        ) from error


class _Dtype:
    """Stands in for `numpy.dtype`, whose own `__setstate__` trusts its argument."""

    __slots__ = ("value",)

    def __init__(self, code: str | bytes, *flags: object) -> None:
        code = _text(code)
        if not _PLAIN_DTYPE.fullmatch(code):
            raise UnsafePickleError(f"refused an array of dtype {code!r}")
        self.value = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        _, byte_order, *structure = state[:5]
        if any(part is not None for part in structure):
            raise UnsafePickleError("refused an array of a structured dtype")
        self.value = np.dtype(_text(byte_order) + self.value.str[1:])


class _Array:
    """Stands in for `numpy.ndarray` and its `_reconstruct`, until its state arrives."""

    __slots__ = ("value",)
    # So none can hide in a set or a key, where it would stay.
    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __init__(self, *unused: object) -> None:
        self.value = np.empty(0)

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, raw = state
        self.fill(raw, dtype, shape, "F" if fortran else "C")

    def fill(
        self, raw: Any, dtype: _Dtype, shape: tuple, order: str | bytes
    ) -> "_Array":
        # A Python-2 string read as latin1 text holds the bytes one to one.
        data = raw.encode("latin1") if isinstance(raw, str) else raw
        by_column = _text(order) == "F"
        flat = np.frombuffer(data, dtype.value)
        self.value = flat.reshape(shape, order="F" if by_column else "C")
        return self


class _Unpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Callable[..., Any]:
        # A pickle may set attributes on what it is handed. Our two classes refuse that
        # by their `__setstate__`; the functions are new each time.
        match module_name.replace("numpy.core", "numpy._core"), global_name:
            case "numpy", "dtype":
                return _Dtype
            case ("numpy", "ndarray") | ("numpy._core.multiarray", "_reconstruct"):
                return _Array
            case "numpy._core.numeric", "_frombuffer":  # protocol 5
                return lambda raw, dtype, shape, order: _Array().fill(
                    raw, dtype, shape, order
                )
            case "numpy._core.multiarray", "scalar":
                return lambda dtype, raw: _Array().fill(raw, dtype, (), "C").value[()]
            # How protocols 0 to 2 spell bytes, and bytes of no length.
            case "_codecs", "encode":
                return lambda text, _: text.encode("latin1")
            case (("__builtin__" | "builtins"), "bytes"):
                return lambda: b""
        raise UnsafePickleError(
            f"refused the global {module_name}.{global_name}: only plain numpy arrays "
            "are read from a pickle"
        )


def _with_arrays(value: Any, done: dict[int, tuple[Any, Any]]) -> Any:
    """`value` with arrays for their stand-ins.

    `done` holds what has been seen, beside its result: containers may be shared, or
    hold themselves, so each is visited once.
    """
    if isinstance(value, _Array | _Dtype):
        return value.value
    if id(value) in done:
        return done[id(value)][1]
    if isinstance(value, list):
        done[id(value)] = value, value
        value[:] = [_with_arrays(item, done) for item in value]
    elif isinstance(value, dict):
        done[id(value)] = value, value
        for key, item in value.items():
            value[key] = _with_arrays(item, done)
    elif isinstance(value, tuple):
        items = tuple([_with_arrays(item, done) for item in value])
        done[id(value)] = value, items
        return items
    return value


def _text(value: str | bytes) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else value
