"""Where a stream is, as the id of each event says it: signed, and enough to go on.

Seeds decide pictures, so the rest of a broken stream can be drawn by any worker that
has the same model, and nothing needs to be kept for clients who may never come back.
"""

import base64
import hmac
import re
import secrets
import zlib

import msgspec

from .errors import ApiError
from .schemas import GenerateBody

_EVENT_ID = re.compile(
    r"[0-9a-f]{16}-[0-9]{1,6}(-(?P<token>[A-Za-z0-9_-]{1,16000}=*))?"
)
_SIGNATURE_BYTES = 16


class Bookmark(msgspec.Struct, array_like=True, frozen=True):
    """A place in a stream.

    Attributes:
      job: id of the stream.
      events: how many were sent.
      model: id of the model that draws.
      body: the request, with a seed.
      attributes: as the prompt was parsed; None before that was told.
      drawn: bit i is set if picture i was sent.
      finished: nothing is left.
    """

    job: str
    events: int
    model: str
    body: GenerateBody
    attributes: dict[str, str] | None = None
    drawn: int = 0
    finished: bool = False


class Bookmarks:
    """Writes bookmarks into the ids of events, and reads its own only."""

    def __init__(self, key: str):
        """Sign with `key`; an empty one stands for a random one."""
        self._key = key.encode() or secrets.token_bytes(32)

    def event_id(self, mark: Bookmark) -> str:
        """The id of the event that was sent last."""
        data = zlib.compress(msgspec.msgpack.encode(mark))
        token = base64.urlsafe_b64encode(self._sign(data) + data).decode()
        return f"{mark.job}-{mark.events}-{token}"

    def read(self, event_id: str) -> Bookmark:
        """The bookmark in an event's id.

        Raises:
          ApiError: 400, it isn't the id of an event; 404, it isn't one of ours.
        """
        match = _EVENT_ID.fullmatch(event_id)
        if match is None:
            raise ApiError(
                400,
                "invalid_request",
                f"Last-Event-ID {event_id[:60]!r} is not the id of an event of this"
                " server",
                param="Last-Event-ID",
            )
        try:
            signed = base64.urlsafe_b64decode(match["token"] or "")
        except ValueError:
            signed = b""
        signature, data = signed[:_SIGNATURE_BYTES], signed[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._sign(data)):
            raise unknown_job(event_id[:16])
        try:
            return msgspec.msgpack.decode(zlib.decompress(data), type=Bookmark)
        except (msgspec.DecodeError, zlib.error):  # by a server of another version
            raise unknown_job(event_id[:16]) from None

    def _sign(self, data: bytes) -> bytes:
        return hmac.digest(self._key, data, "sha256")[:_SIGNATURE_BYTES]


def unknown_job(job: str) -> ApiError:
    """A 404 for a stream that can't be gone on with."""
    return ApiError(
        404,
        "unknown_job",
        f"there is no job {job[:40]!r}: it is unknown, forgotten, or another server's",
        param="job",
    )
