"""HTTP with a time limit on headers.

uvicorn waits forever for the rest of a request's headers, so a few thousand idle
connections could use up all of a process's sockets.
"""

import asyncio
import functools
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.errors import ApiError
from server.settings import read_settings


@functools.cache
def _seconds() -> float:
    # From the environment, which worker processes inherit, unlike arguments.
    return read_settings().read_timeout_s


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol, but headers that take too long get 408 and a hang-up."""

    _headers_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Limit the time to the first request, too."""
        super().connection_made(transport)
        self._wait_for_headers()

    def on_message_begin(self) -> None:
        """Limit the time from a request's first byte to the end of its headers."""
        super().on_message_begin()
        if self._headers_due is None:
            self._wait_for_headers()

    def on_headers_complete(self) -> None:
        """The body has its own limit, in the gate."""
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_headers(self) -> None:
        self._headers_due = self.loop.call_later(_seconds(), self._hang_up)

    def _stop_waiting(self) -> None:
        if self._headers_due:
            self._headers_due.cancel()
            self._headers_due = None

    def _hang_up(self) -> None:
        if self.transport.is_closing():
            return
        told = f"the headers took over {_seconds():g} s"
        body = ApiError(408, "request_timeout", told).body("")
        self.transport.write(
            b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\n"
            b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        )
        self.transport.close()
