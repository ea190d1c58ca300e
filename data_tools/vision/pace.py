"""When the next question may be sent: pauses that a server asks for, and stopping.

Owns the reading of Retry-After. All who ask share one `Pace`, so that a server that is
busy for one of them is left alone by all.
"""

import asyncio
import contextlib
import email.utils
import math
import time
from collections.abc import Mapping


class Stopped(Exception):
    """Nothing more may be sent."""


class Pace:
    """The clock shared by all who ask a server."""

    def __init__(self, per_minute: float | None = None) -> None:
        """A pace without pauses so far.

        Args:
          per_minute: the most questions a minute, evenly spread; None for no limit.
        """
        self._interval_s = 60 / per_minute if per_minute else 0.0
        self._next_at = 0.0
        self._stop = asyncio.Event()
        self.stop_reason = ""

    def pause(self, seconds: float) -> None:
        """Send nothing for the next `seconds`."""
        self._next_at = max(self._next_at, time.monotonic() + seconds)

    def stop(self, reason: str) -> None:
        """Send nothing any more; the first reason is kept."""
        self.stop_reason = self.stop_reason or reason
        self._stop.set()

    async def sleep(self, seconds: float) -> None:
        """Wait.

        Raises:
          Stopped: at once when `stop` is called.
        """
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), max(seconds, 0))
        if self._stop.is_set():
            raise Stopped

    async def turn(self) -> None:
        """Return when a question may be sent.

        Raises:
          Stopped: no more may.
        """
        while True:
            now = time.monotonic()
            if self._stop.is_set():
                raise Stopped
            if now >= self._next_at:
                self._next_at = max(self._next_at, now) + self._interval_s
                return
            # The pause may have been extended meanwhile.
            await self.sleep(self._next_at - now)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long a response asks to wait, seconds; None if it doesn't say.

    Args:
      headers: looked up in lower case: `retry-after-ms`, or `retry-after` in seconds or
        as a date.
    """
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        with contextlib.suppress(ValueError):
            seconds = float(headers.get(name, "")) * unit_s
            if math.isfinite(seconds):
                return max(seconds, 0.0)
    with contextlib.suppress(ValueError, TypeError):
        until = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
        return max(until.timestamp() - time.time(), 0.0)
    return None
