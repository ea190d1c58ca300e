"""HTTP for clients that dawdle: headers must arrive in time.

uvicorn waits for ever for the rest of a request's headers, so a few thousand idle
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
    # From the environment, which a worker process inherits; an argument it wouldn't.
    return read_settings().read_timeout_s


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol, but 408 and a closed connection if headers take too long."""

    _headers_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request, too."""
        super().connection_made(transport)
        self._wait_for_headers()

    def on_message_begin(self) -> None:
        """Wait for a request's headers from its first byte on."""
        super().on_message_begin()
        if self._headers_due is None:
            self._wait_for_headers()

    def on_headers_complete(self) -> None:
        """The rest has its own limit, in the gate."""
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to wait for any more."""
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
