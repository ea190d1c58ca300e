"""Requests whose replica was lost: asked again once, or answered with a clear 503.

Runs in the proxy of Ray Serve, which by itself answers 500 without a word to these, and
refuses in words of its own. Drawing changes nothing but the counters, so whatever was
asked may be asked again. A stream that had begun is cut: its client goes on with the id
of the last event, at any replica.
"""

# Starlette is of the extra `ray`, which is in no lock file.
# pyright: reportMissingImports=false

from typing import Any

from .errors import ApiError, busy

_REFUSALS = (408, 429, 503)


class AskAgain:
    """An ASGI application around the proxy's own."""

    def __init__(self, app: Any):
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one ASGI scope."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        first = _Attempt(receive, send, [])
        await self._app(scope, first.receive, first.send)
        if first.started or first.left:
            return
        second = _Attempt(receive, send, first.given)
        await self._app(scope, second.receive, second.send)
        if second.started or second.left:
            return
        lost = busy("the replica that had this request was lost", "replica_lost", 1)
        await _answer(send, lost, _id_of(scope["headers"]))


class _Attempt:
    """What one try has read of the request, and whether it answered."""

    def __init__(self, receive: Any, send: Any, given: list[Any]):
        self._receive, self._send = receive, send
        self._again = list(given)
        self.given: list[Any] = []
        self.started = self.left = self._refused = False

    async def receive(self) -> Any:
        message = self._again.pop(0) if self._again else await self._receive()
        self.left |= message["type"] == "http.disconnect"
        self.given.append(message)
        return message

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = _once(message.get("headers", ()))
            if message["status"] in _REFUSALS and not _is_json(headers):
                self._refused = True
                status, told = message["status"], "no replica can take this now"
                error = busy(told, "overloaded", 1, status=status)
                await _answer(self._send, error, _id_of(headers))
                return
            message = {**message, "headers": headers}
        if not self._refused:
            await self._send(message)


def _once(headers: Any) -> list[tuple[bytes, bytes]]:
    """Headers with one request id, the first: proxy and replica tell the same one."""
    kept: list[tuple[bytes, bytes]] = []
    for name, value in headers:
        if name.lower() != b"x-request-id" or not _id_of(kept):
            kept.append((name, value))
    return kept


def _id_of(headers: Any) -> str:
    ids = (value for name, value in headers if name.lower() == b"x-request-id")
    return next(ids, b"").decode("latin-1")


def _is_json(headers: list[tuple[bytes, bytes]]) -> bool:
    return (b"content-type", b"application/json") in [
        (name.lower(), value.partition(b";")[0]) for name, value in headers
    ]


async def _answer(send: Any, error: ApiError, request_id: str) -> None:
    body = error.body(request_id)
    given = error.headers | {"x-request-id": request_id}
    headers = [(n.lower().encode(), v.encode("latin-1")) for n, v in given.items()]
    headers += [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    start = {"type": "http.response.start", "status": error.status}
    await send({**start, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def middlewares() -> list[Any]:
    """For a cluster's proxies: RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH names this."""
    from starlette.middleware import Middleware  # which Ray Serve brings

    return [Middleware(AskAgain)]
