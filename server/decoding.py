"""Bodies and query strings -> structs, or a 400 that names the field at fault.

Litestar's own decoding is lenient ("3" passes for 3), so bodies are decoded strictly
here; a query string has nothing but strings, so there leniency is right.
"""

import io
import json
import math
import re
import typing
import urllib.parse
from typing import Any, TypeVar

import msgspec
import multipart
from litestar import Request
from msgspec import UNSET, inspect

from pokejax.attributes import CONDITIONS, nearest_hint

from .errors import ApiError
from .schemas import (
    MAX_PROMPT_CHARS,
)

T = TypeVar("T", bound=msgspec.Struct)

_SLIDES = "slides."  # before the name of one in a query
_MOST_PARTS = 64  # of a form
_NULLS = {"null", "NULL", "Null"}

_PLACE = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_STEP = re.compile(r"[^.\[\]]+|\[[0-9]+\]")  # a name, or an index in a list
_FIELD = re.compile(r"(?P<what>missing required|contains unknown) field `(?P<name>.+)`")


async def read_body(request: Request[Any, Any, Any], kind: type[T]) -> T:
    """The JSON body as `kind`.

    Raises:
      ApiError: 415 for another content type, 400 for a body that doesn't fit.
    """
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise _unsupported(content_type, "application/json")
    body = await request.body()
    try:
        read = msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        read = _read_again(error, kind, body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _explain_syntax(str(error), body) from None
    try:
        json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:  # in a field that is ignored
        raise _bad(f"the body is not JSON: {error}") from None
    return read


async def read_form(request: Request[Any, Any, Any], kind: type[T]) -> T:
    """The `multipart/form-data` as `kind`, whose fields of bytes are files.

    Raises:
      ApiError: 415 for another content type, 400 for a form that doesn't fit.
    """
    given = request.headers.get("content-type", "")
    content_type, options = multipart.parse_options_header(given)
    if content_type != "multipart/form-data":
        raise _unsupported(given, "multipart/form-data")
    body = await request.body()
    try:
        parts = multipart.MultipartParser(
            io.BytesIO(body),
            options.get("boundary", ""),
            part_limit=_MOST_PARTS,
            spool_limit=len(body) + 1,  # it is in memory already
            memory_limit=len(body) + 1,
        ).parts()
    except (multipart.MultipartError, UnicodeError) as error:
        raise _bad(f"the body is no form: {error}") from None
    types = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for part in parts:
        name = (part.name or "").removesuffix("[]")  # as lists of pictures are named
        if name in values:
            raise _bad(f"{name[:50]} is given twice; expected one", name[:50])
        if bytes in (types.get(name), *typing.get_args(types.get(name))):
            values[name] = part.raw
            continue
        try:
            values[name] = part.raw.decode()
        except UnicodeDecodeError:
            raise _bad(f"{name[:50]} is no text in UTF-8", name[:50]) from None
    try:
        return msgspec.convert(values, kind, strict=False, builtin_types=(bytes,))
    except msgspec.ValidationError as error:
        raise _explain(error, kind, values) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, whose names must differ: programs don't agree on which one counts."""
    read = dict(pairs)
    if len(read) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))[:50]
        raise _bad(f"{twice} is given twice", twice)
    return read


def _read_again(error: msgspec.ValidationError, kind: type[T], body: bytes) -> T:
    """Accept 3.0 as 3, which are the same in JSON; otherwise explain `error`."""
    try:
        value = _whole(json.loads(body))
        msgspec.json.encode(value)  # which refuses half a surrogate pair
        return msgspec.convert(value, kind)
    except UnicodeEncodeError as again:
        raise _explain_syntax(str(again), body) from None
    except msgspec.ValidationError as again:
        # The first error is more specific, unless it was only about a 3.0.
        same = str(again).rpartition(" - at ")[2] == str(error).rpartition(" - at ")[2]
        raise _explain(error if same else again, kind, _loads(body)) from None
    except (ValueError, RecursionError):
        raise _explain(error, kind, _loads(body)) from None


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _whole(inner) for name, inner in value.items()}
    return value


def read_query(request: Request[Any, Any, Any], kind: type[T]) -> T:
    """The query string as `kind`; attributes are given by their own names, and slides
    by theirs after `slides.`.

    Raises:
      ApiError: 400 for a query that doesn't fit.
    """
    try:
        pairs = urllib.parse.parse_qsl(
            request.scope["query_string"].decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=100,
        )
    except ValueError:
        raise _bad("the query string is not percent-encoded UTF-8") from None
    values: dict[str, Any] = {}
    attributes: dict[str, str] = {}
    slides: dict[str, str] = {}
    for name, value in pairs:
        key, place = name, attributes if name in CONDITIONS else values
        if name.startswith(_SLIDES):
            key, place = name.removeprefix(_SLIDES), slides
        if key in place:
            raise _bad(f"{name[:50]} is given twice", name[:50])
        place[key] = value
    for name, given, example in (
        ("attributes", attributes, "size=Tiny"),
        ("slides", slides, f"{_SLIDES}size=2"),
    ):
        if name in values:
            raise _bad(f"give {name} by their names, e.g. {example}", name)
        if given:
            values[name] = given
    for name, value in pairs:
        # msgspec takes it for a missing value, which nobody writes into a query.
        if value in _NULLS and not name.endswith("prompt"):
            raise _bad(f"{name} is {value!r}; leave it out instead", name)
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _explain(error, kind, values, flat=True) from None


def _unsupported(content_type: str, expected: str) -> ApiError:
    return ApiError(
        415,
        "unsupported_media_type",
        f"the content type is {content_type[:100]!r}; expected {expected}",
        param="Content-Type",
    )


def _bad(message: str, param: str | None = "body") -> ApiError:
    return ApiError(400, "invalid_request", message, param=param)


def _loads(body: bytes) -> Any:
    """Decode `body` with a decoder that accepts more than JSON, to explain errors."""
    try:
        return json.loads(body, strict=False)
    except (ValueError, RecursionError):
        return UNSET


def _explain_syntax(message: str, body: bytes) -> ApiError:
    values = _loads(body)
    for name, value in values.items() if isinstance(values, dict) else ():
        if isinstance(value, float) and not math.isfinite(value):
            return _bad(f"{name} is {value}; JSON has only finite numbers", name)
        if isinstance(value, str) and (wrong := _unfit_character(value)):
            return _bad(f"{name} has {wrong}", name)
    return _bad(f"the body is not JSON: {message}")


def _unfit_character(text: str) -> str | None:
    for char in text:
        if "\ud800" <= char <= "\udfff":
            return "half of a surrogate pair"
        if (char < " " and char not in "\t\n\r") or "\x7f" <= char <= "\x9f":
            return f"the control character U+{ord(char):04X}"
    return None


def _explain(
    error: msgspec.ValidationError,
    kind: type[msgspec.Struct],
    values: Any,
    *,
    flat: bool = False,
) -> ApiError:
    """msgspec's message with the field, its value, and what was expected."""
    message = str(error)
    place = _PLACE.search(message)
    path = _STEP.findall(place["path"]) if place else []
    message = _PLACE.sub("", message)
    if field := _FIELD.search(message):
        path.append(field["name"][:100])
        if field["what"] == "contains unknown":
            found = inspect.type_info(kind)
            for name in path[:-1]:
                found = _type_within(found, name)
            assert isinstance(found, inspect.StructType)
            names = [field.encode_name for field in found.fields]
            hint = nearest_hint(path[-1], [*names, *(CONDITIONS if flat else ())])
            message = f"there is no field {_joined(path)}{hint}"
        else:
            message = f"{_joined(path)} is missing"
        return _bad(message, _joined(path))
    value, found = values, inspect.type_info(kind)
    for name in path:
        value = _value_within(value, name)
        found = _type_within(found, name)
    named = flat and path[:1] == ["attributes"]
    param = path[-1] if named else _joined(path) or "body"
    return _bad(_wrong_value(path, param, value, found), param)


def _wrong_value(path: list[str], param: str, value: Any, found: inspect.Type) -> str:
    if re.search(r"prompt(s\[[0-9]+\])?$", param) and isinstance(value, str):
        text = found.type if isinstance(found, inspect.Metadata) else found
        most = getattr(text, "max_length", None) or MAX_PROMPT_CHARS
        if len(value) > most:
            return f"{param} has {len(value):,} characters; at most {most}"
        if wrong := _unfit_character(value):
            return f"{param} has {wrong}"
        return f"{param} is empty; describe a creature"
    if isinstance(found, inspect.LiteralType):
        # In their own order, which msgspec doesn't keep.
        words = CONDITIONS.get(path[-1], [str(word) for word in found.values])
        expected = f"one of {', '.join(words)}"
        if isinstance(value, str):
            expected += nearest_hint(value[:100], words)
    else:
        expected = _in_words(found, value)
    shown = "can't be read" if value is UNSET else f"is {_short(value)}"
    return f"{param} {shown}; expected {expected}"


def _joined(path: list[str]) -> str:
    return ".".join(path).replace(".[", "[")


def _value_within(value: Any, name: str) -> Any:
    if isinstance(value, list) and name.startswith("["):
        return value[int(name[1:-1])]
    return value.get(name, UNSET) if isinstance(value, dict) else UNSET


def _type_within(found: inspect.Type, name: str) -> inspect.Type:
    """The type of a field or item, without the null that it may be instead."""
    if isinstance(found, inspect.Metadata):
        found = found.type
    if isinstance(found, inspect.ListType):
        kind = found.item_type
    else:
        assert isinstance(found, inspect.StructType)
        (kind,) = (field.type for field in found.fields if field.encode_name == name)
    if isinstance(kind, inspect.UnionType):
        (kind,) = (k for k in kind.types if not isinstance(k, inspect.NoneType))
    if isinstance(kind, inspect.Metadata) and isinstance(
        kind.type, inspect.LiteralType
    ):
        return kind.type
    return kind


def _in_words(kind: inspect.Type, value: Any) -> str:
    match kind:
        case inspect.IntType(ge=least, le=most):
            return f"a whole number from {least} to {most}"
        case inspect.FloatType(ge=least, le=most):
            return f"a number from {least:g} to {most:g}"
        case inspect.BoolType():
            return "true or false"
        case inspect.Metadata(type=inspect.StrType(), extra_json_schema=schema):
            # It is text, but not what its pattern, hard to read, asks for.
            return (schema or {})["description"] if isinstance(value, str) else "text"
        case inspect.Metadata(type=inner):
            return _in_words(inner, value)
        case inspect.StrType():
            return "text"
        case inspect.ListType(min_length=least, max_length=most) if least == most:
            return f"a list of {least}"
        case inspect.ListType(min_length=least, max_length=most):
            return f"a list of {least} to {most}"
        case _:
            return "an object"


def _short(value: Any) -> str:
    """A value as JSON, or what it is if that is long."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    try:
        text = repr(value) if isinstance(value, str) else json.dumps(value)
    except ValueError:  # a whole number of thousands of digits
        return "too large"
    return f"{text[:60]}{'…' if len(text) > 60 else ''}"
