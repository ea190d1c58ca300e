"""Reading pickles that hold numpy arrays and built-in containers, and nothing else.

A pickle is a program: `pickle.load` runs what its author wrote. Two kinds of file that
this project reads are pickles all the same, the CIFAR layout and the LPIPS weights, and
both come from other people. Here no global of a file is ever looked up: each of the
handful of names that plain arrays need is answered by a stand-in of ours, which checks
its arguments, and any other name is refused before anything is called. Nor can a file
take more memory, or more time, than its own size accounts for.
"""

import io
import pickle
import re
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

# Booleans, integers, floats, complex numbers, byte strings and text; never objects
# ("O"), structured records, or dates.
_PLAIN_DTYPE = re.compile(r"[biufcSU]\d{1,9}")
_BYTE_ORDERS = ("<", ">", "|", "=")


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
        loaded = _Unpickler(_Whole(content), encoding=encoding).load()
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
            raise UnsafePickleError(f"refused an array of dtype {_short(code)!r}")
        self.value = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        _, byte_order, *structure = state[:5]
        order = _text(byte_order)
        # More than a byte order, such as "O,", would make it another dtype.
        if order not in _BYTE_ORDERS or any(part is not None for part in structure):
            raise UnsafePickleError("refused an array of a structured dtype")
        self.value = np.dtype(order + self.value.str[1:])


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


# Python's unpickler in Python. That in C makes room for 2 ** 31 remembered objects if
# a file claims to have them, and has hashed a key before anybody can look at it, which
# takes forever if it is a tuple of the same tuple twice, sixty levels deep.
_Plain: Any = pickle._Unpickler


def _with_keys(opcode: bytes, keys: slice) -> Callable[[Any], None]:
    """What an instruction does, once these on its stack are known to be good keys."""

    def load(unpickler: Any) -> None:
        for key in unpickler.stack[keys]:
            # Hashes of these can't be foreseen, so nobody can make many the same.
            if type(key) not in (str, bytes):
                kind = type(key).__name__
                raise UnsafePickleError(f"refused a {kind} as a key or in a set")
        _Plain.dispatch[opcode[0]](unpickler)

    return load


class _Whole(io.BytesIO):
    """A file that gives what is asked for, or says that it has ended."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if size and len(data) < size:
            raise EOFError("it ends in the middle of something")
        return data

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        # Or half a name would be taken for a name.
        if not line.endswith(b"\n"):
            raise EOFError("it ends in the middle of a line")
        return line


def _bytearray(unpickler: Any) -> None:
    # Read, and not made room for, since the length may be untrue.
    (length,) = struct.unpack("<Q", unpickler.read(8))
    unpickler.append(bytearray(unpickler.read(min(length, sys.maxsize))))


class _Unpickler(_Plain):
    dispatch: ClassVar = {
        **_Plain.dispatch,
        pickle.BYTEARRAY8[0]: _bytearray,
        pickle.SETITEM[0]: _with_keys(pickle.SETITEM, slice(-2, -1)),
        pickle.SETITEMS[0]: _with_keys(pickle.SETITEMS, slice(None, None, 2)),
        pickle.DICT[0]: _with_keys(pickle.DICT, slice(None, None, 2)),
        pickle.ADDITEMS[0]: _with_keys(pickle.ADDITEMS, slice(None)),
        pickle.FROZENSET[0]: _with_keys(pickle.FROZENSET, slice(None)),
    }

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
            f"refused the global {_short(f'{module_name}.{global_name}')}: only plain"
            " numpy arrays are read from a pickle"
        )


def _short(text: str) -> str:
    """A name that a file gives, fit for a line."""
    return repr(text)[1:-1][:100]


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
