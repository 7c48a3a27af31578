"""The OpenAPI 3.1 document, made of what the routes say of themselves.

`pointsman schema openapi` writes it beside this module; a test fails when the copy is stale.
"""

import inspect
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler

from central.api.examples import EXAMPLES
from central.api.operation import ROLES, Operation, operation_of
from central.api.problems import MEDIA_TYPE, TYPE_PREFIX, Problem
from central.api.replies import TAGS_CHARS_MAX

DOCUMENT: Final = Path(__file__).with_name("openapi.json")
VERSION: Final = "1.0.0"

_TEMPLATE: Final = "#/components/schemas/{name}"
_COMMON: Final = (400, 406, 500, 503)
_DESCRIPTION: Final = (
    "What central knows of every order, from the ledger. Refusals are problem details (RFC 9457) "
    "with a stable `code`, the `place` of the fault and what was `expected`. Lists are keyset "
    "pages: give `next` as `cursor`. Parameters that are not named here are refused."
)
_REASONS: Final[dict[int, tuple[str, str, str]]] = {
    400: ("A parameter or header is wrong.", "invalid_parameter", "limit"),
    401: ("No token, or one that counts no more.", "no_token", "Authorization"),
    403: ("The token's role may not do this.", "wrong_role", "Authorization"),
    404: ("There is no such thing.", "not_found", "order_id"),
    406: ("The answer would be of another media type.", "not_acceptable", "Accept"),
    408: ("The body did not come in time.", "request_timeout", "body"),
    410: ("What was asked for is in archive files.", "archived", "after"),
    413: ("The body is too large.", "payload_too_large", "request"),
    415: ("The body is not JSON by its content type.", "wrong_content_type", "Content-Type"),
    422: ("The edge, or the schema, refuses the order.", "unknown_sku", "$.data.lines[0].sku"),
    429: ("Too much at once; `Retry-After` says when.", "overloaded", "request"),
    500: ("A fault of ours; the log has it.", "internal", "$"),
    503: ("Something that this needs is away; `Retry-After` says when.", "link", "api.lan"),
}
_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "RequestId": {
        "description": "Of this request: the one that was sent as X-Request-Id, or a new one.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$"},
    },
    "ETag": {
        "description": "Strong; give it as If-None-Match.",
        "schema": {"type": "string", "pattern": '^"[0-9a-f]{32}"$'},
    },
    "Location": {
        "description": "Where the order is, or will be.",
        "schema": {"type": "string", "pattern": "^/v1/orders/.+$"},
    },
    "RetryAfter": {
        "description": "Seconds.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "Authenticate": {
        "description": "Which kind of token is wanted.",
        "schema": {"type": "string"},
    },
}
_FIELD: Final = re.compile(r"^([a-z_, ]+): (.*(?:\n +.*)*)", re.MULTILINE)
_IF_NONE_MATCH: Final = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "ETags of what is known; 304 if it is still so.",
    "schema": {"type": "string", "maxLength": TAGS_CHARS_MAX},
}


def document_of(app: Litestar) -> str:
    """The document of an app, as text."""
    found = sorted(_operations(app), key=lambda x: (x[0], x[1]))
    kinds = sorted({x for _, _, op, _ in found for x in _types(op)} | {Problem}, key=_name)
    _, schemas = msgspec.json.schema_components(kinds, ref_template=_TEMPLATE)
    for schema in schemas.values():
        _describe(schema)
    for kind in kinds:
        if kind in EXAMPLES:
            example = _plain(EXAMPLES[kind])
            schemas[_name(kind)]["examples"] = [example]
    paths: dict[str, Any] = {}
    for path, method, operation, text in found:
        paths.setdefault(path, {})[method] = _described(path, operation, text)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Pointsman", "version": VERSION, "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "servers": [{"url": "/", "description": "Behind a proxy with TLS."}],
        "tags": [{"name": x} for x in sorted({op.tag for _, _, op, _ in found})],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "headers": _HEADERS,
            "responses": {f"Problem{x}": _problem(x) for x in sorted(_REASONS)},
            "securitySchemes": {
                "token": {
                    "type": "http", "scheme": "bearer",
                    "description": "Of `pointsman central token NAME --role ROLE`.",
                }
            },
        },
    }  # fmt: skip
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _operations(app: Litestar) -> Iterable[tuple[str, str, Operation, str]]:
    """Path, method, what the route says of itself, and its docstring."""
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            operation = operation_of(handler.opt)
            if operation is not None and isinstance(handler, HTTPRouteHandler):
                text = inspect.cleandoc(handler.fn.__doc__ or "")
                for method in handler.http_methods:
                    yield route.path_format, method.lower(), operation, text


def _describe(schema: dict[str, Any]) -> None:
    """Give the fields that a docstring tells of their own descriptions."""
    if "description" not in schema:
        return
    text, _, fields = inspect.cleandoc(schema["description"]).partition("\n\nAttributes:\n")
    schema["description"] = text
    for names, told in _FIELD.findall(inspect.cleandoc(fields)):
        for name in names.split(", "):
            if name in schema["properties"]:
                schema["properties"][name].setdefault("description", " ".join(told.split()))


def _types(operation: Operation) -> list[Any]:
    kinds = [*operation.answers.values(), operation.body]
    return [x for x in kinds if isinstance(x, type) and issubclass(x, msgspec.Struct)]


def _name(kind: Any) -> str:
    return str(kind.__name__)


def _described(path: str, operation: Operation, text: str) -> dict[str, Any]:
    summary, _, more = text.partition("\n\n")
    roles = [role for role, rights in ROLES.items() if operation.right in rights]
    who = f"Roles: {', '.join(roles)}." if operation.right else "Without a token."
    found: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": " ".join(summary.split()).rstrip("."),
        "description": "\n\n".join(filter(None, (" ".join(more.split()), who))),
        "security": [{"token": []}] if operation.right else [],
        "parameters": [*_parameters(path, operation)],
    }
    if operation.body is not None:
        found["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _reference(operation.body)}},
        }
    problems = {*_COMMON, *operation.problems, *((401, 403) if operation.right else ())}
    answers = {status: _answer(operation, status) for status in operation.answers}
    if operation.single:
        answers[304] = {
            "description": "It is still as the ETag says.",
            "headers": _links("RequestId", "ETag"),
        }
    answers |= {x: {"$ref": f"#/components/responses/Problem{x}"} for x in problems}
    found["responses"] = {str(status): answers[status] for status in sorted(answers)}
    return found


def _parameters(path: str, operation: Operation) -> Iterable[dict[str, Any]]:
    schema = msgspec.json.schema(operation.asked, ref_template=_TEMPLATE)
    schema = schema["$defs"][_name(operation.asked)] if "$defs" in schema else schema
    if "$ref" in schema:
        (_, parts) = msgspec.json.schema_components([operation.asked])
        schema = parts[_name(operation.asked)]
    for name, value in schema.get("properties", {}).items():
        place = "path" if f"{{{name}}}" in path else "query"
        required = place == "path" or name in schema.get("required", ())
        yield _parameter(name, place, dict(value), required=required)
    for name, (required, value) in operation.headers.items():
        yield _parameter(name, "header", dict(value), required=required)
    if operation.single:
        yield _IF_NONE_MATCH


def _parameter(name: str, place: str, schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
    described = {"description": schema.pop("description")} if "description" in schema else {}
    return {"name": name, "in": place, "required": required, **described, "schema": schema}


def _answer(operation: Operation, status: int) -> dict[str, Any]:
    kind = operation.answers[status]
    links = ["RequestId", *(["ETag"] if operation.single else [])]
    if status in (201, 202):
        links.append("Location")
    if _types(operation):
        schema, text = _reference(kind), inspect.cleandoc(kind.__doc__ or "")
    elif kind is str:
        schema, text = {"type": "string"}, "Events, as they come."
    else:
        schema, text = {"type": "object"}, "The document."
    return {
        "description": " ".join(text.split()),
        "headers": _links(*links),
        "content": {operation.media_type: {"schema": schema}},
    }


def _links(*names: str) -> dict[str, Any]:
    wire = {
        "RequestId": "X-Request-Id", "RetryAfter": "Retry-After",
        "Authenticate": "WWW-Authenticate",
    }  # fmt: skip
    return {wire.get(x, x): {"$ref": f"#/components/headers/{x}"} for x in names}


def _problem(status: int) -> dict[str, Any]:
    text, code, place = _REASONS[status]
    links = ["RequestId"]
    if status in (429, 503):
        links.append("RetryAfter")
    if status in (401, 403):
        links.append("Authenticate")
    example = msgspec.structs.replace(
        EXAMPLES[Problem], type=TYPE_PREFIX + code, status=status, code=code, place=place,
        detail=text,
    )  # fmt: skip
    return {
        "description": text,
        "headers": _links(*links),
        "content": {MEDIA_TYPE: {"schema": _reference(Problem), "example": _plain(example)}},
    }


def _reference(kind: Any) -> dict[str, Any]:
    return {"$ref": _TEMPLATE.format(name=_name(kind))}


def _plain(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))
