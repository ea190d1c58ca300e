"""The API's description, generated from the routes and the structs they decode to.

Litestar's own generator would document its own, lenient reading of a request; ours is
strict (`server.decoding`). So the document is built here, from what the handlers
declare: method, path, summary, the struct in their signature, what they return.
"""

import re
import typing
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct

import pokejax
from pokejax.attributes import CONDITIONS, VOCABULARIES
from pokejax.inference.recipe import MAX_SLIDE, MIN_SLIDE

from .drawing import body_of
from .errors import ErrorBody
from .routes import ROUTES
from .routes_a1111 import A1111_ROUTES
from .routes_batch import BATCH_ROUTES
from .routes_creature import CREATURE_ROUTES
from .routes_openai import OPENAI_ROUTES
from .routes_studio import STUDIO_ROUTES
from .wire import EVENT_STREAM

API_ROUTES: Sequence[HTTPRouteHandler] = (
    *ROUTES,
    *STUDIO_ROUTES,
    *BATCH_ROUTES,
    *CREATURE_ROUTES,
    *OPENAI_ROUTES,
    *A1111_ROUTES,
)
_JSON = "application/json"
_FORM = "multipart/form-data"
# Of one event: the fields of its lines; `data` is JSON.
_EVENT = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
}


def describe() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    structs = {ErrorBody}
    for handler in API_ROUTES:
        structs |= {s for s in (_body(handler), _answer(handler)) if s}
    _, components = msgspec.json.schema_components(
        sorted(structs, key=lambda s: s.__name__),
        ref_template="#/components/schemas/{name}",
    )
    paths: dict[str, Any] = {}
    for handler in API_ROUTES:
        path = _path(handler)
        (method,) = (m.lower() for m in handler.http_methods if m != "HEAD")
        paths.setdefault(path, {})[method] = {
            "operationId": f"{method}_{path.strip('/').replace('/', '_')}",
            "summary": handler.summary,
            "parameters": list(_parameters(handler, components)),
            "responses": _responses(handler),
            **(_request_body(handler) if method == "post" else {}),
        }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pokejax",
            "version": pokejax.__version__,
            "description": "Type a sentence, get sprites of a new creature.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
        # Needed only where the server was given keys.
        "security": [{}, {"bearer": []}, {"header": []}],
    }


def _path(handler: HTTPRouteHandler) -> str:
    (path,) = handler.paths
    return path.replace(":str", "")


def _body(handler: HTTPRouteHandler) -> type[Struct] | None:
    """The struct that a request's body or query must fit."""
    opt = handler.opt
    return opt.get("query") or opt.get("body") or body_of(handler)


def _answer(handler: HTTPRouteHandler) -> type[Struct] | None:
    """The struct that a successful answer is, if it is JSON."""
    return next(_structs_in(typing.get_type_hints(handler.fn)["return"]), None)


def _structs_in(hint: Any) -> Iterator[type[Struct]]:
    """The structs in an annotation like `Response[Answer] | Stream`."""
    if isinstance(hint, type) and issubclass(hint, Struct):
        yield hint
    for inner in typing.get_args(hint):
        yield from _structs_in(inner)


def _ref(struct: Any) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{struct.__name__}"}}


def _request_body(handler: HTTPRouteHandler) -> dict[str, Any]:
    struct = _body(handler)
    if struct is None:
        return {}
    kind = _FORM if handler.opt.get("form") else _JSON
    content = {kind: {**_ref(struct), "example": handler.opt["example"]}}
    return {"requestBody": {"required": True, "content": content}}


def _parameters(
    handler: HTTPRouteHandler, components: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    path = _path(handler)
    for name in re.findall(r"{(\w+)}", path):
        schema = {"type": "string", "minLength": 1}
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    struct = _body(handler)
    if struct and "GET" in handler.http_methods:
        yield from _query(components[struct.__name__])


def _query(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A struct's fields as query parameters, attributes and slides by their names."""
    for name, field in schema["properties"].items():
        if name == "attributes":
            for word, vocabulary in CONDITIONS.items():
                yield {"name": word, "in": "query", "schema": {"enum": [*vocabulary]}}
            continue
        if name == "slides":
            number = {"type": "number", "minimum": MIN_SLIDE, "maximum": MAX_SLIDE}
            for word in VOCABULARIES:
                yield {"name": f"slides.{word}", "in": "query", "schema": number}
            continue
        kinds = [kind for kind in field.get("anyOf", []) if kind != {"type": "null"}]
        yield {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "schema": kinds[0] if kinds else field,
        }


def _responses(handler: HTTPRouteHandler) -> dict[str, Any]:
    struct = _answer(handler)
    content = {_JSON: _ref(struct)} if struct else {}
    if typing.get_origin(typing.get_type_hints(handler.fn)["return"]) is list:
        content = {
            _JSON: {"schema": {"type": "array", "items": _ref(struct)["schema"]}}
        }
    kinds = [] if struct else [str(handler.media_type)]
    for kind in (*kinds, *handler.opt.get("also_produces", ())):
        schemas = {EVENT_STREAM: _EVENT, _JSON: {}}
        content[kind] = {"schema": schemas.get(kind, {"type": "string"})}
    responses: dict[str, Any] = {"200": {"description": "Success", "content": content}}
    for status, spec in (handler.responses or {}).items():
        responses[str(status)] = {"description": spec.description}
        if spec.data_container:
            responses[str(status)]["content"] = {_JSON: _ref(spec.data_container)}
    return responses | {
        "default": {
            "description": "What is wrong, and with which field",
            "content": {_JSON: _ref(ErrorBody)},
        }
    }


_DOCUMENT = msgspec.json.encode(describe())


@get("/openapi.json")
async def openapi_document() -> Response[bytes]:
    """The description."""
    return Response(_DOCUMENT, media_type=_JSON)
