"""Limits on what an example may take; with FUZZ_SECONDS, examples until time is up."""

import faulthandler
import resource
import time
from collections.abc import Iterator

import pytest
from hypothesis import is_hypothesis_test

from tests.helpers.fuzzing import SECONDS

_HANG_S = 600.0  # busy machines included
_ROOM = 4 * 2**30  # bytes that no example may come near


@pytest.fixture(autouse=True)
def limits() -> Iterator[None]:
    """Refuse huge allocations; on a hang, end the process and say where."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + _ROOM, hard))
    faulthandler.dump_traceback_later(SECONDS + _HANG_S, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function):
    """With FUZZ_SECONDS: again, until this test's share of them is over."""
    start = time.monotonic()
    result = yield
    drawn = [
        item
        for item in pyfuncitem.session.items
        if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj)
    ]
    if pyfuncitem in drawn:
        names = pyfuncitem._fixtureinfo.argnames
        given = {name: pyfuncitem.funcargs[name] for name in names}
        while time.monotonic() < start + SECONDS / len(drawn):
            pyfuncitem.obj(**given)
    return result
