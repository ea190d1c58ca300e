"""Several worker processes under one parent, none of which can keep it from ending."""

import logging
import signal
import socket
import time

import uvicorn
from uvicorn.supervisors import Multiprocess

LOG = logging.getLogger("pokejax.server")
_LOOK_S = 0.1


class Workers(Multiprocess):
    """uvicorn's supervisor, which by itself waits for ever for a worker that hangs."""

    def __init__(
        self, config: uvicorn.Config, sockets: list[socket.socket], *, patience_s: float
    ):
        """Start `config.workers` on `run`; `patience_s` is what they get to end in."""
        super().__init__(config, sockets)
        self._patience_s = patience_s

    def join_all(self) -> None:
        """Wait for workers that were told to end; kill them if told so again."""
        end = time.monotonic() + self._patience_s
        while any(process.exitcode is None for process in self.processes):
            asked_again = {signal.SIGINT, signal.SIGTERM} & {*self.signal_queue}
            if asked_again or time.monotonic() > end:
                for process in self.processes:
                    if process.exitcode is None:
                        LOG.error('{"event":"hung","pid":%d}', process.pid)
                        process.process.kill()
                break
            time.sleep(_LOOK_S)
        super().join_all()
