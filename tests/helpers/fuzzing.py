"""What tests/fuzz have in common."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

T = TypeVar("T")

# What `make fuzz` gives; without it, the same few examples each time.
SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
fuzz = settings(
    max_examples=200 if SECONDS else 30,
    derandomize=not SECONDS,
    database=None,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,  # that of the limits may stay
    ],
    print_blob=True,
)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 2**31, 2**63, 10**12, 10**400])
    | st.floats()
    | st.text(max_size=20)
)
# Whatever JSON can hold.
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


def attempt(call: Callable[[], T], *refusals: type[Exception]) -> T | None:
    """What `call` gives; None if it refuses in one of the documented ways."""
    try:
        return call()
    except refusals as error:
        assert 0 < len(str(error)) < 2000 and "\n" not in str(error)
        # To run out of memory, or of stack, isn't to refuse.
        cause: BaseException | None = error
        while cause:
            assert not isinstance(cause, MemoryError)
            cause = cause.__cause__ or cause.__context__
        return None


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """A file with some bytes changed, left out, doubled, or cut off."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        if not content:
            break
        # Where formats say what follows: at the beginning, mostly.
        most = draw(st.sampled_from([len(content), min(len(content), 64)])) - 1
        start = draw(st.integers(0, most))
        end = min(start + draw(st.integers(0, 8)), len(content))
        match draw(st.sampled_from(["change", "remove", "repeat", "cut"])):
            case "change":
                content[start:end] = draw(st.binary(min_size=1, max_size=8))
            case "remove":
                del content[start:end]
            case "repeat":
                content[start:start] = content[start:end] * draw(st.integers(1, 50))
            case _:
                del content[max(start, 1) :]
    return bytes(content)


def replaced(draw: st.DrawFn, value: Any, new: st.SearchStrategy[Any]) -> Any:
    """A copy of nested dicts and lists with one part replaced, renamed or left out."""
    if isinstance(value, dict) and value and draw(st.integers(0, 4)):
        name = draw(st.sampled_from(sorted(value)))
        copy = dict(value)
        match draw(st.sampled_from(["within", "within", "within", "remove", "rename"])):
            case "within":
                copy[name] = replaced(draw, value[name], new)
            case "remove":
                del copy[name]
            case _:
                copy[draw(st.text(max_size=8))] = copy.pop(name)
        return copy
    if isinstance(value, list) and value and draw(st.integers(0, 3)):
        index = draw(st.integers(0, len(value) - 1))
        return [*value[:index], replaced(draw, value[index], new), *value[index + 1 :]]
    return draw(new)
