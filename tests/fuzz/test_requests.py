"""What clients send: ids of events, and settings in AUTOMATIC1111's form."""

import base64
import zlib
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.msgpack import encode as msgpack

from server.bookmarks import Bookmark, Bookmarks
from server.errors import ApiError
from server.schemas import GenerateBody
from tests.helpers.fuzzing import VALUES, attempt, damaged, fuzz

BOOKMARKS = Bookmarks("key")
MARK = Bookmark("0" * 16, 3, "pokejax-0", GenerateBody(prompt="a red dragon", seed=1))
PREFIX = "0" * 16 + "-3-"


def signed(data: bytes) -> str:
    """An event's id as another version of the server, with our key, may write it."""
    token = base64.urlsafe_b64encode(BOOKMARKS._sign(data) + data).decode()
    return PREFIX + token


@fuzz
@given(
    st.text(max_size=60)
    | st.from_regex(r"[0-9a-f]{16}-[0-9]{1,6}(-[A-Za-z0-9_-]{1,50}=*)?", fullmatch=True)
    | damaged(BOOKMARKS.event_id(MARK).encode()).map(lambda b: b.decode("latin1"))
)
def test_any_event_id(event_id: str):
    mark = attempt(lambda: BOOKMARKS.read(event_id), ApiError)
    # Whatever was changed in an id of ours but its readable beginning is noticed.
    assert mark in (None, MARK)


@fuzz
@given(
    st.binary(max_size=60)
    | st.binary(max_size=60).map(zlib.compress)
    | VALUES.map(lambda v: zlib.compress(repr(v).encode("utf-8", "replace")))
    | damaged(msgpack(MARK)).map(zlib.compress)
)
@example(b"no zlib")
@example(zlib.compress(b"no msgpack"))
@example(zlib.compress(msgpack({"another": "version"})))
def test_signed_ids_of_other_versions(data: bytes):
    def read() -> Any:
        mark = BOOKMARKS.read(signed(data))
        assert isinstance(mark, Bookmark)

    attempt(read, ApiError)
