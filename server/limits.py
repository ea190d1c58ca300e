"""Who may call, how often, and how slowly."""

import hashlib
import hmac
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from prometheus_client import Gauge

from .errors import ApiError, busy

# That a client must send of a body, or take of an answer, in `read_timeout_s` each.
SLOWEST_BYTES = 128 * 2**10
_MAX_CLIENTS = 10_000
_MOST_WRONG = 20  # keys a minute and address
_MOST_PICTURES = 48  # that clients sent, at a time
_MOST_PICTURES_OF_CLIENT = 8


class ApiKeys:
    """Keys, one of which a request must show; without any, all are let in."""

    def __init__(self, keys: Sequence[str]):
        # Hashes, since comparing texts tells the length of one from the time it takes.
        self._keys = [_hash(key.encode()) for key in keys]
        self._wrong = RateLimit(_MOST_WRONG)

    def number(self, headers: Mapping[bytes, bytes], address: str) -> int | None:
        """Which key is shown, in `Authorization: Bearer …` or `X-API-Key: …`.

        After many wrong ones even the right one is refused for a while, or keys could
        be guessed at any rate.

        Returns:
          Its place among the keys, from 0; None if there are no keys.

        Raises:
          ApiError: 401, the key is missing or unknown; 429, too many were unknown.
        """
        if not self._keys:
            return None
        shown = headers.get(b"x-api-key", b"")
        scheme, _, credentials = headers.get(b"authorization", b"").partition(b" ")
        if not shown and scheme.lower() == b"bearer":
            shown = credentials.strip()
        if shown:
            self._wrong.require(address, "too many wrong keys")
        # All are compared, each in constant time: neither which key matched nor how
        # much of one can be told from the time it took.
        given = _hash(shown)
        matches = [hmac.compare_digest(given, key) for key in self._keys]
        if any(matches):
            return matches.index(True)
        if shown:
            self._wrong.take(address, "too many wrong keys")
        raise ApiError(
            401,
            "invalid_api_key",
            "an API key is required: Authorization: Bearer KEY, or X-API-Key: KEY",
            param="Authorization",
            headers={"WWW-Authenticate": "Bearer"},
        )


def _hash(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


class RateLimit:
    """A token bucket per client, refilled evenly, that holds a minute's worth."""

    def __init__(self, per_minute: int):
        """Allow `per_minute` requests per minute and client, 1 or more."""
        self._per_minute = per_minute
        # client -> (tokens, when); the client silent for longest is forgotten first.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def require(self, client: str, told: str) -> float:
        """The client's tokens, of which there must be one.

        Raises:
          ApiError: 429 that says `told`, and in `Retry-After` when there is one.
        """
        now = time.monotonic()
        tokens, then = self._buckets.get(client, (float(self._per_minute), now))
        tokens += (now - then) * self._per_minute / 60
        tokens = min(tokens, float(self._per_minute))
        if tokens < 1:
            seconds = (1 - tokens) * 60 / self._per_minute
            error = busy(told, "rate_limited", seconds + 0.5, status=429)
            error.headers |= self._headers(tokens)
            raise error
        return tokens

    def take(self, client: str, told: str) -> dict[str, str]:
        """Take one of the client's tokens; returns headers that say what is left.

        Raises:
          ApiError: as in `require`.
        """
        tokens = self.require(client, told) - 1
        self._buckets[client] = (tokens, time.monotonic())
        self._buckets.move_to_end(client)
        if len(self._buckets) > _MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return self._headers(tokens)

    def _headers(self, tokens: float) -> dict[str, str]:
        full_in = (self._per_minute - tokens) * 60 / self._per_minute
        return {
            "X-RateLimit-Limit": str(self._per_minute),
            "X-RateLimit-Remaining": str(int(tokens)),
            "X-RateLimit-Reset": str(math.ceil(full_in)),
        }


class Quotas:
    """How often each client may call: a key by its own limit, if it has one."""

    def __init__(self, per_minute: int, of_keys: Sequence[int]):
        """Limits in requests a minute; 0 is none, and `of_keys` may be empty."""
        self._common = RateLimit(per_minute) if per_minute else None
        self._of_keys = [RateLimit(limit) if limit else None for limit in of_keys]

    def take(self, client: str, key: int | None) -> dict[str, str]:
        """Count a request of `client`, who showed a key or none.

        Returns:
          Headers that say what is left.

        Raises:
          ApiError: 429, it is one too many.
        """
        limit = self._common
        if key is not None and self._of_keys:
            limit = self._of_keys[key]
        return limit.take(client, "too many requests a minute") if limit else {}


class PicturePlaces:
    """How many requests with pictures are under way: each holds some megabytes."""

    def __init__(self):
        self._under_way: Counter[str] = Counter()

    def enter(self, client: str) -> None:
        """Count a request of a client until it leaves.

        Raises:
          ApiError: 429, there are enough of the client's, or in all.
        """
        own, all_ = self._under_way[client], self._under_way.total()
        if own >= _MOST_PICTURES_OF_CLIENT or all_ >= _MOST_PICTURES:
            told = f"{all_} requests with pictures are under way, {own} of them yours"
            raise busy(told, "queue_full", 1, status=429)
        self._under_way[client] += 1

    def leave(self, client: str) -> None:
        """End a request that was counted."""
        self._under_way[client] -= 1
        if not self._under_way[client]:
            del self._under_way[client]


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
