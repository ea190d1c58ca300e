"""Who may call, and how often."""

import hmac
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from prometheus_client import Gauge

from server.errors import ApiError, busy

_MAX_CLIENTS = 10_000


class ApiKeys:
    """Keys, one of which a request must show; without any, all are let in."""

    def __init__(self, keys: Sequence[str]):
        self._keys = [key.encode() for key in keys]

    def check(self, headers: Mapping[bytes, bytes]) -> None:
        """Look for a key in `Authorization: Bearer …` or `X-API-Key: …`.

        Raises:
          ApiError: 401, the key is missing or unknown.
        """
        if not self._keys:
            return
        shown = headers.get(b"x-api-key", b"")
        scheme, _, credentials = headers.get(b"authorization", b"").partition(b" ")
        if not shown and scheme.lower() == b"bearer":
            shown = credentials.strip()
        # All are compared, each in constant time: neither which key matched nor how
        # much of one can be told from the time it took.
        matches = [hmac.compare_digest(shown, key) for key in self._keys]
        if not any(matches):
            raise ApiError(
                401,
                "invalid_api_key",
                "show an API key: Authorization: Bearer KEY, or X-API-Key: KEY",
                param="Authorization",
                headers={"WWW-Authenticate": "Bearer"},
            )


class RateLimit:
    """A token bucket per client, refilled evenly, that holds a minute's worth."""

    def __init__(self, per_minute: int):
        """Allow `per_minute` requests per minute and client; 0 allows all."""
        self._per_minute = per_minute
        # client -> (tokens, when); the client silent for longest is forgotten first.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, client: str) -> None:
        """Take one of the client's tokens.

        Raises:
          ApiError: 429, there is none; `Retry-After` says when there is one.
        """
        if not self._per_minute:
            return
        now = time.monotonic()
        tokens, then = self._buckets.pop(client, (float(self._per_minute), now))
        tokens += (now - then) * self._per_minute / 60
        tokens = min(tokens, float(self._per_minute))
        allowed = tokens >= 1
        self._buckets[client] = (tokens - allowed, now)
        if len(self._buckets) > _MAX_CLIENTS:
            self._buckets.popitem(last=False)
        if not allowed:
            seconds = (1 - tokens) * 60 / self._per_minute
            raise busy(
                f"more than {self._per_minute} requests a minute",
                "rate_limited",
                seconds + 0.5,
                status=429,
            )


class OpenStreams:
    """How many streams each client has open; those that ended don't count."""

    def __init__(self, most: int, gauge: Gauge):
        """Allow each client `most`; `gauge` shows how many there are in all."""
        self._most = most
        self._gauge = gauge
        self._open: Counter[str] = Counter()

    def check(self, client: str) -> None:
        """Refuse another stream of a client that has enough.

        Raises:
          ApiError: 429, it has.
        """
        if self._open[client] >= self._most:
            raise busy(
                f"{self._most} of your streams are open already",
                "too_many_streams",
                5,
                status=429,
            )

    @contextmanager
    def open(self, client: str) -> Iterator[None]:
        """Count a stream of a client while it lasts.

        Raises:
          ApiError: 429, the client has enough.
        """
        self.check(client)
        self._open[client] += 1
        self._gauge.inc()
        try:
            yield
        finally:
            self._gauge.dec()
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]
