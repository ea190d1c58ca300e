"""HTTP with limits: on headers' time, number and size, and on how slowly clients read.

uvicorn waits forever for the rest of a request's headers, and keeps all of them, so a
few clients could use up a process's sockets or its memory before any key is looked at.
So could clients that ask for much and take nothing: it keeps that forever, too.
(Its option `h11_max_incomplete_event_size` bounds the size with another parser, written
in Python, that takes twenty times as long, and bounds neither count nor time.)
"""

import asyncio
import functools
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .errors import ApiError
from .limits import SLOWEST_BYTES
from .settings import read_settings

_MOST_HEADERS = 100
_LONGEST_HEADER = 16384  # bytes, of one name and value
_LONGEST_HEAD = 65536  # bytes, of the address and all headers, trailers included


@functools.cache
def _seconds() -> float:
    # From the environment, which worker processes inherit, unlike arguments.
    return read_settings().read_timeout_s


class StrictProtocol(HttpToolsProtocol):
    """uvicorn's protocol, but what is wrong with headers gets 4xx and a hang-up."""

    _headers_due: asyncio.TimerHandle | None = None
    _taking_due: asyncio.TimerHandle | None = None
    _head_bytes = 0
    # Bytes since the parser last gave something away: it may be collecting a header.
    _collecting = 0
    _refusal: ApiError | None = None

    def connection_made(self, transport: Any) -> None:
        """Limit the time to the first request, too."""
        super().connection_made(transport)
        # `pause_writing` is called whenever the system can't take all at once.
        transport.set_write_buffer_limits(0)
        self._wait_for_headers()

    def pause_writing(self) -> None:
        """Watch how fast the client takes what was written."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """It has taken all."""
        super().resume_writing()
        self._stop_watching()

    def data_received(self, data: bytes) -> None:
        """Refuse a header that doesn't end."""
        self._collecting += len(data)
        super().data_received(data)
        if self._collecting > _LONGEST_HEAD:
            self._refuse(_too_large(f"a header is over {_LONGEST_HEADER:,} bytes"))

    def on_message_begin(self) -> None:
        """Limit the time from a request's first byte to the end of its headers."""
        super().on_message_begin()
        self._head_bytes = self._collecting = 0
        if self._headers_due is None:
            self._wait_for_headers()

    def on_url(self, url: bytes) -> None:
        """Count the address, of which this is a part."""
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header; also those after a chunked body, which nobody reads."""
        if len(self.headers) >= _MOST_HEADERS:
            self._stop(_too_large(f"there are over {_MOST_HEADERS} headers"))
        if len(name) + len(value) > _LONGEST_HEADER:
            self._stop(_too_large(f"a header is over {_LONGEST_HEADER:,} bytes"))
        self._count(name, value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The body has its own limit, in the gate."""
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A body is no header."""
        self._collecting = 0
        super().on_body(body)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        self._stop_waiting()
        self._stop_watching()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refused, or stopped at because we did."""
        self._refuse(
            self._refusal or ApiError(400, "invalid_request", "this isn't HTTP")
        )

    def _count(self, *parts: bytes) -> None:
        self._collecting = 0
        self._head_bytes += sum(map(len, parts))
        if self._head_bytes > _LONGEST_HEAD:
            self._stop(_too_large(f"the headers are over {_LONGEST_HEAD:,} bytes"))

    def _stop(self, error: ApiError) -> None:
        """Leave the parser, which calls any exception of ours a bad request."""
        self._refusal = error
        raise error

    def _wait_for_headers(self) -> None:
        self._headers_due = self.loop.call_later(_seconds(), self._hang_up)

    def _stop_waiting(self) -> None:
        if self._headers_due:
            self._headers_due.cancel()
            self._headers_due = None

    def _watch(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._taking_due = self.loop.call_later(_seconds(), self._look, left)

    def _look(self, before: int) -> None:
        if before - self.transport.get_write_buffer_size() < SLOWEST_BYTES:
            self.transport.abort()
        else:
            self._watch()

    def _stop_watching(self) -> None:
        if self._taking_due:
            self._taking_due.cancel()
            self._taking_due = None

    def _hang_up(self) -> None:
        told = f"the headers took over {_seconds():g} s"
        self._refuse(ApiError(408, "request_timeout", told))

    def _refuse(self, error: ApiError) -> None:
        """Answer and hang up; without an answer if another one is under way."""
        if self.transport.is_closing():
            return
        body, cycle = error.body(""), self.cycle
        about_this = cycle and cycle.more_body and not cycle.response_started
        if cycle is None or cycle.response_complete or about_this:
            status = HTTPStatus(error.status)
            self.transport.write(
                f"HTTP/1.1 {error.status} {status.phrase}\r\n"
                "content-type: application/json\r\nconnection: close\r\n"
                f"content-length: {len(body)}\r\n\r\n".encode()
                + body
            )
        if cycle:
            cycle.disconnected = True
        self.transport.close()


def _too_large(message: str) -> ApiError:
    return ApiError(431, "headers_too_large", message)
