"""From start to drain: what happens when the process starts, and when it must end.

Starting, the model is loaded and compiled, and a few requests are rehearsed. On SIGTERM
or SIGINT nothing new is let in, what is under way gets some time to finish, and then
the server's own handler closes its sockets.
"""

import asyncio
import contextlib
import functools
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from pokejax.images.training_index import IndexFileError
from pokejax.inference.bundle import BundleError

from .service import Service

LOG = logging.getLogger("pokejax.server")
# From the drain to the end, for connections to be closed and for threads to end.
LAST_S = 10
_REHEARSALS = 5
_REHEARSED = b'{"prompt": "a tiny red fire dragon with a blue shell"}'


class Lifecycle:
    """The life of one process.

    Attributes:
      under_way: tasks of the requests that a drain waits for.
    """

    def __init__(self, app: Any, service: Service):
        self._app, self._service = app, service
        self.under_way: set[asyncio.Task[Any]] = set()
        service.rehearse = self._rehearse

    async def run(self, receive: Any, send: Any) -> None:
        """Handle ASGI's lifespan: start and stop with the server."""
        await receive()
        try:
            await self._service.start()
        except (BundleError, IndexFileError, OSError) as error:
            await send(
                {"type": "lifespan.startup.failed", "message": f"error: {error}"}
            )
            return
        self._catch_signals()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._service.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _rehearse(self) -> None:
        """Answer a few requests of our own, so that the first real one is fast, too."""

        async def send(_message: Any) -> None:
            pass

        for _ in range(_REHEARSALS):
            messages = [{"type": "http.request", "body": _REHEARSED}]

            async def receive(messages: list[Any] = messages) -> Any:
                return messages.pop() if messages else await asyncio.Event().wait()

            await self._app(
                {
                    "type": "http",
                    "asgi": {"version": "3.0"},
                    "http_version": "1.1",
                    "method": "POST",
                    "scheme": "http",
                    "path": "/api/v1/generate",
                    "raw_path": b"/api/v1/generate",
                    "root_path": "",
                    "query_string": b"",
                    "headers": [(b"content-type", b"application/json")],
                    "client": None,
                    "server": None,
                    "state": {"request_id": "rehearsal", "client": "", "key": ""},
                },
                receive,
                send,
            )

    def _catch_signals(self) -> None:
        """Drain before the server's own handler closes its sockets."""
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            previous = signal.getsignal(number)
            if not callable(previous):
                continue

            def handle(signum: int, frame: Any, previous: Any = previous) -> None:
                then = functools.partial(previous, signum, frame)
                end = functools.partial(_end, then)
                if self._service.state == "draining":  # asked twice: at once
                    end()
                    return
                self._service.state = "draining"
                loop.call_soon_threadsafe(self._start_drain, end)

            signal.signal(number, handle)

    def _start_drain(self, then: Callable[[], None]) -> None:
        self._drain = asyncio.create_task(self._finish(then))

    async def _finish(self, then: Callable[[], None]) -> None:
        """Let what is under way finish, within the drain time, then continue."""
        end = time.monotonic() + self._service.settings.drain_s
        while self.under_way and time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(0.5, max(0, end - time.monotonic()))):
                    await asyncio.wait(self.under_way)
        LOG.info('{"event":"drained","left":%d}', len(self.under_way))
        for task in list(self.under_way):
            task.cancel()
        then()


def _end(then: Callable[[], None]) -> None:
    """Let the server end the process, which would wait for hung threads for ever."""
    giving_up = threading.Timer(LAST_S, _give_up)
    giving_up.daemon = True
    giving_up.start()
    then()


def _give_up() -> None:
    LOG.error('{"event":"hung","pid":%d}', os.getpid())
    os._exit(1)
