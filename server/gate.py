"""What every request passes on its way in, before Litestar, and every answer going out.

Owns request ids, keys, rate and size limits, slow bodies, CORS, security headers and
the access log. A plain ASGI application around another one.
"""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from .errors import ApiError, busy
from .lifecycle import Lifecycle
from .limits import SLOWEST_BYTES, ApiKeys, PicturePlaces, Quotas
from .service import Service
from .tracing import Trace
from .wire import EVENT_STREAM, sse_event

LOG = logging.getLogger("pokejax.server")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
# Open to probes and people; everything else asks for a key.
_OPEN_PATHS = {"/", "/docs", "/openapi.json", "/api/v1/health", "/api/v1/ready"}
_PROBES = {"/api/v1/health", "/api/v1/ready", "/metrics"}
# A millisecond's work, which the studio asks for while somebody types.
_UNMETERED = {*_PROBES, "/api/v1/parse"}
# Where bodies hold pictures: larger than others, and not a thing for the log.
_PICTURE_PATHS = {
    "/api/v1/edit",
    "/api/v1/relative",
    "/sdapi/v1/img2img",
    "/sdapi/v1/png-info",
    "/v1/images/edits",
    "/v1/images/variations",
}
# Read and discarded, so that a client that sends before it reads gets its answer.
_MOST_DISCARDED = 64 * 2**20
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none';"
        b" base-uri 'none'; form-action 'self'",
    ),
]
_ALLOWED = b"Authorization, Content-Type, Last-Event-ID, X-API-Key, X-Request-Id"
# What OpenAI's clients say of themselves.
_CLIENT_HEADER = re.compile(rb"(?:x-stainless|openai)-[a-z-]{1,40}")
_EXPOSED = (
    b"X-Request-Id, X-Seed, X-Job, Retry-After, X-RateLimit-Limit,"
    b" X-RateLimit-Remaining, X-RateLimit-Reset"
)

Scope = dict[str, Any]


class Exchange:
    """One request, and what is known of its answer so far."""

    def __init__(self, scope: Scope):
        self.start = time.perf_counter()
        self.headers: Mapping[bytes, bytes] = dict(scope["headers"])
        self.path: str = scope["path"]
        self.method: str = scope["method"]
        given = self.headers.get(b"x-request-id", b"")
        valid = _REQUEST_ID.fullmatch(given)
        self.id = given.decode() if valid else secrets.token_hex(8)
        self.address: str = (scope.get("client") or ("unknown",))[0]
        self.key: int | None = None  # which of the keys was shown
        self.quota: dict[str, str] = {}
        self.status = 0
        self.streams = False  # events, in an answer that hasn't ended
        self.body = b""
        self.holds_picture = False  # takes one of the places for these
        self.trace: Trace | None = None

    @property
    def client(self) -> str:
        """Whose limits and turns are meant; a key is never spelled out."""
        return self.address if self.key is None else f"key {self.key_label}"

    @property
    def key_label(self) -> str:
        """Number of the key that was shown, from 1, or empty."""
        return "" if self.key is None else str(self.key + 1)


class Gate:
    """The application that a server runs."""

    def __init__(self, app: Any, service: Service):
        self.app = app
        self.service = service
        settings = service.settings
        self._keys = ApiKeys(settings.api_keys)
        self._quotas = Quotas(settings.rate_limit, settings.key_limits)
        self._pictures = PicturePlaces()
        self._origins = {origin.encode() for origin in settings.cors_origins}
        self._lifecycle = Lifecycle(app, service)

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Handle one ASGI scope."""
        if scope["type"] == "lifespan":
            await self._lifecycle.run(receive, send)
        elif scope["type"] == "http":
            await self._exchange(scope, receive, send)

    async def _exchange(self, scope: Scope, receive: Any, send: Any) -> None:
        exchange = Exchange(scope)
        scope.setdefault("state", {})["request_id"] = exchange.id
        if exchange.path not in _PROBES:
            exchange.trace = self.service.traces.begin(exchange.headers)
            scope["state"]["trace"] = exchange.trace
        head_only = exchange.method == "HEAD"
        if head_only:
            scope = {**scope, "method": "GET"}
        cors = self._cors(exchange)

        async def send_marked(message: Any) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                given = message.get("headers", ())
                exchange.streams = (b"content-type", EVENT_STREAM.encode()) in [
                    (name.lower(), value.partition(b";")[0]) for name, value in given
                ]
                own = {"x-request-id": exchange.id} | exchange.quota
                message["headers"] = [*given, *_encode(own), *_HEADERS, *cors]
            elif not message.get("more_body"):
                exchange.streams = False
            if not head_only:
                await send(message)
            elif message["type"] == "http.response.start":
                # The answer ends here; who draws or streams a body sees nobody left.
                exchange.streams = False
                await send(message)
                await send(_body(b""))

        task = asyncio.current_task()
        assert task
        counted = exchange.path not in _PROBES
        if counted:
            self._lifecycle.under_way.add(task)
            self.service.metrics.under_way.inc()
        try:
            if self._preflight(exchange, cors):
                await _answer(send_marked, 204, b"", [])
                return
            try:
                replay = await self._admit(exchange, scope, receive)
            except ApiError as error:
                await self._refuse(send_marked, exchange, error)
                return
            await self.app(scope, replay, send_marked)
        except asyncio.CancelledError:
            # The drain time is over. If the server cancelled for another reason,
            # it must be told.
            if self.service.state != "draining":
                raise
            late = busy("the server has shut down", "draining", 5)
            if not exchange.status:
                await self._refuse(send_marked, exchange, late)
            elif exchange.streams:
                # Without an id: whoever comes back goes on where the stream was.
                last = sse_event("error", msgspec.Raw(late.body(exchange.id)))
                await send(_body(last))
        finally:
            if exchange.holds_picture:
                self._pictures.leave(exchange.client)
            if counted:
                self._lifecycle.under_way.discard(task)
                self.service.metrics.under_way.dec()
            self._log(exchange, scope)

    async def _admit(self, exchange: Exchange, scope: Scope, receive: Any) -> Any:
        """Check what can be checked here; returns a `receive` that replays the body.

        Raises:
          ApiError: the request isn't let in.
        """
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) > 1 or (not hosts and scope["http_version"] != "1.0"):
            told = f"there are {len(hosts)} Host headers; expected one"
            raise ApiError(400, "invalid_request", told, param="Host")
        if self.service.state == "draining" and exchange.path not in _PROBES:
            raise busy("the server is shutting down", "draining", 5)
        if exchange.path not in _OPEN_PATHS and not exchange.path.startswith("/web/"):
            exchange.key = self._keys.number(exchange.headers, exchange.address)
            if exchange.path not in _UNMETERED:
                exchange.quota = self._quotas.take(exchange.client, exchange.key)
        scope["state"] |= {"client": exchange.client, "key": exchange.key_label}
        if exchange.method in ("GET", "HEAD"):
            return receive
        if exchange.path in _PICTURE_PATHS:
            self._pictures.enter(exchange.client)
            exchange.holds_picture = True
            body = await self._read_body(
                exchange, receive, self.service.settings.max_picture_body_bytes
            )
        else:
            most = self.service.settings.max_body_bytes
            body = exchange.body = await self._read_body(exchange, receive, most)
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Any:
            return messages.pop() if messages else await receive()

        return replay

    async def _read_body(self, exchange: Exchange, receive: Any, most: int) -> bytes:
        settings = self.service.settings
        announced = exchange.headers.get(b"content-length", b"0")
        too_large = ApiError(
            413, "body_too_large", f"the body is over {most:,} bytes", param="body"
        )
        expects = b"expect" in exchange.headers  # asks before it sends
        if expects and announced.isdigit() and int(announced) > most:
            raise too_large
        parts: list[bytes] = []
        size, due = 0, SLOWEST_BYTES
        try:
            async with asyncio.timeout(settings.read_timeout_s) as limit:
                more = True
                while more and size <= _MOST_DISCARDED:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ApiError(499, "client_left", "the client left")
                    size += len(message.get("body", b""))
                    if size <= most:
                        parts.append(message.get("body", b""))
                        if size >= due:  # enough for some more time
                            due = size + SLOWEST_BYTES
                            now = asyncio.get_running_loop().time()
                            limit.reschedule(now + settings.read_timeout_s)
                    more = message.get("more_body", False)
        except TimeoutError:
            if size > most:
                raise too_large from None
            raise ApiError(
                408,
                "request_timeout",
                f"the body is too slow: {SLOWEST_BYTES // 2**10} KiB, or its rest, must"
                f" arrive in {settings.read_timeout_s:g} s",
                param="body",
            ) from None
        if size > most:
            raise too_large
        return b"".join(parts)

    async def _refuse(self, send: Any, exchange: Exchange, error: ApiError) -> None:
        headers = [*_encode(error.headers), (b"content-type", b"application/json")]
        if error.status in (408, 413, 503):
            headers.append((b"connection", b"close"))
        await _answer(send, error.status, error.body(exchange.id), headers)

    def _cors(self, exchange: Exchange) -> list[tuple[bytes, bytes]]:
        origin = exchange.headers.get(b"origin")
        if origin is None or not self._origins & {origin, b"*"}:
            return []
        return [
            (b"access-control-allow-origin", b"*" if b"*" in self._origins else origin),
            (b"access-control-expose-headers", _EXPOSED),
            (b"vary", b"Origin"),
        ]

    def _preflight(self, exchange: Exchange, cors: list[tuple[bytes, bytes]]) -> bool:
        if (
            exchange.method != "OPTIONS"
            or b"access-control-request-method" not in exchange.headers
            or not cors
        ):
            return False
        asked = exchange.headers.get(b"access-control-request-headers", b"")
        extra = _CLIENT_HEADER.findall(asked.lower())
        allowed = b", ".join([_ALLOWED, *extra])
        cors += [
            (b"access-control-allow-methods", b"GET, POST"),
            (b"access-control-allow-headers", allowed),
            (b"access-control-max-age", b"600"),
        ]
        return True

    def _log(self, exchange: Exchange, scope: Scope) -> None:
        seconds = time.perf_counter() - exchange.start
        # Only known routes, or every path ever requested would be its own series.
        handler = scope.get("route_handler")
        paths = getattr(handler, "paths", None)
        route = min(paths) if paths else "none"
        metrics = self.service.metrics
        key = exchange.key_label
        metrics.requests.labels(route, key, str(exchange.status)).inc()
        if exchange.path in _PROBES:
            return
        metrics.request_seconds.labels(route, key).observe(seconds)
        entry: dict[str, Any] = {
            "event": "request",
            "request_id": exchange.id,
            "client": exchange.address,
            **({"key": exchange.key_label} if exchange.key_label else {}),
            "method": exchange.method,
            "path": exchange.path[:200],
            "status": exchange.status,
            "ms": round(1000 * seconds, 1),
        }
        if exchange.trace:
            exchange.trace.end(exchange.method, route, exchange.status, exchange.id)
            entry["trace_id"] = exchange.trace.id
        if self.service.settings.log_prompts:
            asked = exchange.body or scope["query_string"]
            entry["asked"] = asked.decode("utf-8", "replace")
        LOG.info(msgspec.json.encode(entry).decode())


def _encode(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


async def _answer(
    send: Any, status: int, body: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    length = (b"content-length", str(len(body)).encode())
    start = {"type": "http.response.start", "status": status}
    await send({**start, "headers": [*headers, *([length] if body else [])]})
    await send(_body(body))


def _body(last: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": last, "more_body": False}
