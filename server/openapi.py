"""The API's description, made from the very structs that requests are checked by."""

import mimetypes
from pathlib import Path
from typing import Any

import msgspec
from litestar import MediaType, Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

import pokejax
from pokejax.attributes import VOCABULARIES
from server import schemas
from server.errors import ErrorBody

# Read once, and looked up by name: no request reaches the file system.
_PAGES = {
    path.name: path.read_bytes()
    for path in (Path(__file__).parent / "web").iterdir()
    if path.is_file()
}
_JSON = "application/json"
_STREAM = "text/event-stream"
# Of one event: the fields of its lines; `data` is JSON.
_EVENT = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
}
_TURTLE = "a small blue water turtle with a red shell"
# (method, path): summary, struct of the body, struct or content types of the answer,
# an example of the body.
_OPERATIONS: dict[tuple[str, str], tuple[str, Any, Any, Any]] = {
    ("post", "/api/v1/generate"): (
        "Draw pictures of a prompt",
        schemas.GenerateBody,
        schemas.GenerateAnswer,
        {"prompt": _TURTLE, "num_samples": 2, "seed": 42},
    ),
    ("get", "/api/v1/generate/stream"): (
        "Draw pictures and tell of each step as a server-sent event: queued, parsed,"
        " encoded, partial, image, done; error ends it",
        schemas.GenerateBody,
        [_STREAM],
        None,
    ),
    ("get", "/api/v1/jobs/{job_id}"): (
        "How far a stream is; 404 if its job is unknown",
        None,
        schemas.JobStatus,
        None,
    ),
    ("get", "/api/v1/download"): (
        "Draw one picture, as a file",
        schemas.DownloadQuery,
        ["image/png", "image/webp"],
        None,
    ),
    ("post", "/api/v1/interpolate"): (
        "Draw the way from one picture to another",
        schemas.InterpolateBody,
        schemas.InterpolateAnswer,
        {"prompt": _TURTLE, "to_prompt": "a red dragon", "frames": 8, "gif": True},
    ),
    ("post", "/api/v1/variations"): (
        "Draw pictures near one that is known by its seed",
        schemas.VariationsBody,
        schemas.VariationsAnswer,
        {"prompt": _TURTLE, "seed": 42, "num_samples": 4, "strength": 0.3},
    ),
    ("get", "/api/v1/attributes"): (
        "The words that each attribute can have",
        None,
        schemas.AttributesAnswer,
        None,
    ),
    ("get", "/api/v1/health"): ("That it lives", None, schemas.Health, None),
    ("get", "/api/v1/ready"): (
        "That it takes requests; 503 if not",
        None,
        schemas.Health,
        None,
    ),
    ("get", "/metrics"): ("Counters for Prometheus", None, ["text/plain"], None),
    ("post", "/v1/images/generations"): (
        "Draw pictures, in the shape of OpenAI's API",
        schemas.ImagesBody,
        schemas.ImagesAnswer,
        {"prompt": _TURTLE, "n": 1, "size": "256x256", "seed": 42},
    ),
}


def describe() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    structs = {
        part
        for _, body, answer, _ in _OPERATIONS.values()
        for part in (body, answer)
        if isinstance(part, type)
    }
    ordered = sorted([*structs, ErrorBody], key=lambda s: s.__name__)
    _, components = msgspec.json.schema_components(
        ordered, ref_template="#/components/schemas/{name}"
    )
    paths: dict[str, Any] = {}
    for (method, path), (summary, body, answer, example) in _OPERATIONS.items():
        operation = _operation(summary, answer, "{job_id}" in path)
        operation["operationId"] = f"{method}_{path.strip('/').replace('/', '_')}"
        if body and method == "post":
            content = {
                "schema": {"$ref": f"#/components/schemas/{body.__name__}"},
                "example": example,
            }
            operation["requestBody"] = {"required": True, "content": {_JSON: content}}
        elif body:
            operation["parameters"] += _query(components[body.__name__])
        paths.setdefault(path, {})[method] = operation
    keys = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pokejax",
            "version": pokejax.__version__,
            "description": "Type a sentence, get sprites of a new creature.",
        },
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": keys},
        # Needed only where the server was given keys.
        "security": [{}, {"bearer": []}, {"header": []}],
    }


def _operation(summary: str, answer: Any, has_job: bool) -> dict[str, Any]:
    if isinstance(answer, list):
        content = {kind: {"schema": {"type": "string"}} for kind in answer}
        if answer == [_STREAM]:
            content = {_STREAM: {"schema": _EVENT}}
    else:
        name = f"#/components/schemas/{answer.__name__}"
        content = {_JSON: {"schema": {"$ref": name}}}
    if answer is schemas.ImagesAnswer:
        content[_STREAM] = {"schema": _EVENT}
    error = {"$ref": "#/components/schemas/ErrorBody"}
    responses: dict[str, Any] = {
        "200": {"description": "Success", "content": content},
        "default": {
            "description": "What is wrong, and with which field",
            "content": {_JSON: {"schema": error}},
        },
    }
    parameters: list[dict[str, Any]] = []
    if answer is schemas.Health:
        responses["503"] = {"description": "Not now", "content": content}
    if answer == [_STREAM]:
        responses["204"] = {"description": "All was sent before"}
    if has_job:
        job = {"name": "job_id", "in": "path", "required": True}
        parameters.append({**job, "schema": {"type": "string", "minLength": 1}})
    return {"summary": summary, "parameters": parameters, "responses": responses}


def _query(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """A struct's fields as query parameters, each attribute by its own name."""
    parameters: list[dict[str, Any]] = []
    for name, field in schema["properties"].items():
        if name == "attributes":
            parameters += [
                {"name": word, "in": "query", "schema": {"enum": list(vocabulary)}}
                for word, vocabulary in VOCABULARIES.items()
            ]
            continue
        kinds = [kind for kind in field.get("anyOf", []) if kind != {"type": "null"}]
        parameters.append(
            {
                "name": name,
                "in": "query",
                "required": name in schema.get("required", ()),
                "schema": kinds[0] if kinds else field,
            }
        )
    return parameters


_DOCUMENT = msgspec.json.encode(describe())


@get("/openapi.json")
async def openapi_document() -> Response[bytes]:
    """The description."""
    return Response(_DOCUMENT, media_type=_JSON)


@get("/docs")
async def docs_page() -> Response[bytes]:
    """The description for people; nothing of it comes from another host."""
    return Response(_PAGES["docs.html"], media_type=MediaType.HTML)


@get("/")
async def index_page() -> Response[bytes]:
    """Where a person arrives."""
    return Response(_PAGES["index.html"], media_type=MediaType.HTML)


@get("/web/{name:str}")
async def page_file(name: FromPath[str]) -> Response[bytes]:
    """A script or style of the pages."""
    if name not in _PAGES:
        raise NotFoundException
    return Response(_PAGES[name], media_type=mimetypes.guess_type(name)[0])


DOCS_ROUTES = [openapi_document, docs_page, index_page, page_file]
