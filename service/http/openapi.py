"""OpenAPI: the document (3.1) that describes what is served, made from the same table that serves it."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from service.http.health import VERSION
from service.http.routing import EXAMPLE_UUID4, IDS, UUID4, Route

Document = dict[str, Any]

_REF = "#/components/schemas/{model}"
_ABOUT = """\
Shared memory blocks for teams of AI agents. The routes, bodies and answers are those of the Letta V1 REST
API, so the `letta-client` SDKs work against this server; what Blockwire adds says so.

- Every path is served with and without a slash at its end, and under `/latest` as under `/v1`.
- Blocks carry a `version`, and an `ETag` of the same number. A change may name the version it was made
  from, as `expected_version` or in `If-Match`: it is then applied to that version or not at all.
- Lists are bare arrays; `after` and `before` are ids. A list parameter repeats its key: `?tags=a&tags=b`.
"""
_PATH_WORDS = {
    "block_label": "the label the agent sees the block under; it may hold slashes, or %2F for them",
    "identity_id": "as `POST /v1/identities/` answered it",
    "run_id": "as `POST …/messages/async` answered it",
    "subscription_id": "as `POST …/subscriptions` answered it",
}


class Error(BaseModel):
    """What went wrong, in words that name the field and the remedy."""

    detail: str


class MalformedRequest(Error):
    trace_id: str = ""
    examples: list[str] | None = None


class CurrentBlock(BaseModel):
    version: int
    value: str


class Conflict(Error):
    """The block is at another version than the one named; this is the current one."""

    current: CurrentBlock | None = None


def openapi(routes: Sequence[Route]) -> Document:
    """The document for these routes."""
    schemas, components = _schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = route.path.replace(":path}", "}")
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Blockwire", "version": VERSION, "description": _ABOUT},
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {"schemas": components},
    }


_Schemas = dict[tuple[Any, JsonSchemaMode], dict[str, Any]]


def _schemas(routes: Sequence[Route]) -> tuple[_Schemas, dict[str, Any]]:
    """A schema for every query, body, answer and error, and the components they refer to."""
    wanted: dict[tuple[Any, JsonSchemaMode], TypeAdapter[Any]] = {}
    for route in routes:
        for key, mode, shape in _shapes(route):
            wanted.setdefault((key, mode), TypeAdapter(shape))
    made, rest = TypeAdapter.json_schemas(
        [(key, mode, adapter) for (key, mode), adapter in wanted.items()], ref_template=_REF
    )
    return dict(made), rest.get("$defs", {})


def _shapes(route: Route) -> list[tuple[Any, JsonSchemaMode, Any]]:
    shapes: list[tuple[Any, JsonSchemaMode, Any]] = [
        (repr(shape), "serialization", shape) for shape in (Error, MalformedRequest, Conflict)
    ]
    if route.body is not None:
        shapes.append((repr(route.body), "validation", route.body))
    if route.answers is not None:
        shapes.append((repr(route.answers), "serialization", route.answers))
    return shapes


def _operation(route: Route, schemas: _Schemas) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "tags": [route.tag],
        "summary": route.summary,
        "operationId": f"{route.handler.__module__.rpartition('.')[2]}.{_operation_name(route)}",
        "parameters": [_path_parameter(name) for name in route.parameters],
        "responses": _responses(route, schemas),
    }
    if route.description:
        operation["description"] = route.description
    if route.query is not None:
        operation["parameters"] += _query_parameters(route.query)
    if route.body is not None:
        content = {"schema": schemas[repr(route.body), "validation"], "example": route.example}
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": content},
        }
    return operation


def _operation_name(route: Route) -> str:
    """The handler's name, with the end of a path that another route of the handler does not have."""
    name = route.handler.__name__
    return f"{name}_system_prompt" if "system-prompt" in route.path else name


def _path_parameter(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if name in IDS:
        schema |= {"pattern": f"^{IDS[name]}-{UUID4}$", "examples": [f"{IDS[name]}-{EXAMPLE_UUID4}"]}
    parameter = {"name": name, "in": "path", "required": True, "schema": schema}
    return parameter | ({"description": _PATH_WORDS[name]} if name in _PATH_WORDS else {})


def _query_parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    parameters = []
    for name, told in model.model_json_schema()["properties"].items():
        options = [option for option in told.get("anyOf", []) if option.get("type") != "null"]
        schema = {**told, **options[0]} if options else dict(told)
        for key in ("title", "anyOf", "description"):
            schema.pop(key, None)
        if schema.get("default", ...) is None:
            del schema["default"]
        parameter = {"name": name, "in": "query", "required": False, "schema": schema}
        parameters.append(parameter | ({"description": told["description"]} if "description" in told else {}))
    return parameters


def _responses(route: Route, schemas: _Schemas) -> dict[str, Any]:
    error, malformed, conflict = (
        schemas[repr(shape), "serialization"] for shape in (Error, MalformedRequest, Conflict)
    )
    answers = {"type": "null"} if route.answers is None else schemas[repr(route.answers), "serialization"]
    responses = {"200": _response("Done", answers, route.media_type)}
    if route.body is not None:
        responses["400"] = _response("A value cannot be used; `detail` names the field", error)
    if route.parameters:
        responses["404"] = _response("No such thing", error)
    if route.body is not None:
        responses["409"] = _response("It cannot be applied as things are; do not just repeat it", conflict)
    if route.body is not None and "expected_version" in route.body.model_fields:
        responses["412"] = _response("The block is not at the version of `If-Match`", conflict)
    if route.body is not None:
        responses["415"] = _response("The body was not sent as JSON", error)
    responses["422"] = _response("The request cannot be read; `detail` names each field", malformed)
    return responses


def _response(
    description: str, schema: dict[str, Any], media_type: str = "application/json"
) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": schema}}}
