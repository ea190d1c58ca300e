"""Files and events as answers carry them: data URLs and server-sent events."""

import base64
from typing import Any, Literal

import msgspec

from .files import FileFormat

EVENT_STREAM = "text/event-stream"
# Proxies must neither cache an event stream nor buffer it.
SSE_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def data_url(file: bytes, format: FileFormat | Literal["gif", "apng"]) -> str:
    """`file` as a data URL."""
    return f"data:image/{format};base64,{base64.b64encode(file).decode()}"


def sse_event(name: str, data: Any, event_id: str | None = None) -> bytes:
    """One server-sent event whose data is JSON, which never has a line end."""
    head = f"id: {event_id}\n" if event_id else ""
    return f"{head}event: {name}\ndata: ".encode() + msgspec.json.encode(data) + b"\n\n"
