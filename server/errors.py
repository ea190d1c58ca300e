"""One shape for every error, which OpenAI's clients understand as well.

    {"error": {"message": …, "type": …, "param": …, "code": …, "request_id": …}}

`param` names the field at fault; `code` is for programs, `message` for people.
"""

import logging
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

LOG = logging.getLogger("pokejax.server")

_TYPES = {401: "authentication_error", 429: "rate_limit_error"}
_CODES = {
    400: "invalid_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
}


class ErrorDetail(msgspec.Struct):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str
    request_id: str


class ErrorBody(msgspec.Struct):
    """The body of every answer that isn't a success."""

    error: ErrorDetail


class ApiError(Exception):
    """An answer that isn't a success.

    Attributes:
      status: the HTTP status.
      code: a stable word for programs.
      message: a sentence for people.
      param: the field at fault, dotted, if one is.
      headers: extra headers of the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ):
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.headers = dict(headers or {})

    def body(self, request_id: str) -> bytes:
        """The error as JSON."""
        if self.status >= 500:
            kind = "server_error"
        else:
            kind = _TYPES.get(self.status, "invalid_request_error")
        detail = ErrorDetail(self.message, kind, self.param, self.code, request_id)
        return msgspec.json.encode(ErrorBody(detail))


def busy(message: str, code: str, seconds: float, status: int = 503) -> ApiError:
    """An error that says when to try again."""
    return ApiError(
        status, code, message, headers={"Retry-After": str(max(1, round(seconds)))}
    )


def as_api_error(exc: Exception) -> ApiError:
    """Any exception as an answer; unexpected ones reveal nothing internal."""
    if isinstance(exc, ApiError):
        return exc
    if isinstance(exc, HTTPException) and exc.status_code < 500:
        status = exc.status_code
        code = _CODES.get(status, "invalid_request")
        return ApiError(status, code, exc.detail, headers=exc.headers)
    LOG.error("unforeseen", exc_info=exc)
    return ApiError(500, "internal", "the server failed; its log says why")


def answer_error(request: Request[Any, Any, Any], exc: Exception) -> Response[bytes]:
    """Litestar's handler for every exception."""
    error = as_api_error(exc)
    return Response(
        error.body(request.scope["state"].get("request_id", "")),
        status_code=error.status,
        headers=error.headers,
        media_type="application/json",
    )
