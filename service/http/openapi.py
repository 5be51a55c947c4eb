"""OpenAPI: the document (3.1) that describes what is served, made from the same table that serves it."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from service.http.examples import example_of
from service.http.health import VERSION
from service.http.routing import EXAMPLE_UUID4, IDS, UUID4, Route
from service.http.schemas.errors import Conflict, Error, MalformedRequest
from service.records.tokens import SCOPES

Document = dict[str, Any]

_REF = "#/components/schemas/{model}"
_ABOUT = """\
Shared memory blocks for teams of AI agents. The routes, bodies and answers are those of the Letta V1 REST
API, so the `letta-client` SDKs work against this server; what Blockwire adds says so.

- Every path is served with and without a slash at its end, and under `/latest` as under `/v1`.
- Blocks carry a `version`, and an `ETag` of the same number. A change may name the version it was made
  from, as `expected_version` or in `If-Match`: it is then applied to that version or not at all.
- Once the server has tokens, every route but the two of health needs one, as `Authorization: Bearer …`. A
  token belongs to a workspace: what is in another one does not exist for it. Its scope is `read`, `write` or
  `admin`; each route says under 403 which one it needs.
- Lists are bare arrays; `after` and `before` are ids. A list parameter repeats its key: `?tags=a&tags=b`.
"""
_SECURITY_SCHEMES = {
    "token": {"type": "http", "scheme": "bearer"},
    "password": {
        "type": "apiKey",
        "in": "header",
        "name": "X-BARE-PASSWORD",
        "description": "`password <token>`",
    },
}
_SECURITY: list[dict[str, list[str]]] = [{"token": []}, {"password": []}, {}]
"""The last stands for a server that has no tokens."""
_PATH_WORDS = {
    "delivery_id": "as `GET …/deliveries` lists it, and as `webhook-id` carries it",
    "block_label": "the label the agent sees the block under; it may hold slashes, or %2F for them",
    "identity_id": "as `POST /v1/identities/` answered it",
    "run_id": "as `POST …/messages/async` answered it",
    "tool_name": "the name of a tool that is attached to the agent",
    "subscription_id": "as `POST …/subscriptions` answered it",
    "token_id": "as `GET /v1/tokens/` lists it",
    "webhook_id": "as `POST /v1/webhooks/` answered it",
}


_STRANGER = "a server without tokens was not called from, or by the name of, its own machine"
_FORBIDDEN = {"none": _STRANGER[0].upper() + _STRANGER[1:]} | {
    scope: f"The token's scope is too small, `{scope}` is needed; or {_STRANGER}" for scope in SCOPES
}


def openapi(routes: Sequence[Route]) -> Document:
    """The document for these routes."""
    schemas, components = _schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = route.path.replace(":path}", "}")
        operation = _operation(route, schemas)
        for told in operation["responses"].get("200", {}).get("content", {}).values():
            told["example"] = example_of(told["schema"], components)
        paths.setdefault(path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Blockwire", "version": VERSION, "description": _ABOUT},
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "security": _SECURITY,
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _SECURITY_SCHEMES},
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
    shapes += [(repr(shape), "serialization", shape) for _, shape in route.refuses.values()]
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
    if route.needs == "none":
        operation["security"] = []
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
    if "system-prompt" in route.path:
        return f"{name}_system_prompt"
    return name


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
    responses["400"] = _response("A value cannot be used; `detail` names the field", error)
    if route.needs != "none":
        responses["401"] = _response("No token, or one that is not known or does not hold any more", error)
        responses["429"] = _response("The token's rate is spent; `Retry-After` says for how long", error)
    responses["403"] = _response(_FORBIDDEN[route.needs], error)
    if route.parameters or route.body is not None:
        responses["404"] = _response("No such thing", error)
    if route.method != "GET":
        responses["409"] = _response("It cannot be applied as things are; do not just repeat it", conflict)
    if route.body is not None and "expected_version" in route.body.model_fields:
        responses["412"] = _response("The block is not at the version of `If-Match`", conflict)
    if route.body is not None:
        responses["413"] = _response("The body is too large", error)
        responses["415"] = _response("The body was not sent as JSON", error)
    responses["422"] = _response("The request cannot be read; `detail` names each field", malformed)
    responses["503"] = _response("The store cannot be reached, or the server starts or stops", error)
    for status, (description, shape) in route.refuses.items():
        responses[str(status)] = _response(description, schemas[repr(shape), "serialization"])
    if 405 in route.refuses:
        del responses["200"]
    return dict(sorted(responses.items()))


def _response(
    description: str, schema: dict[str, Any], media_type: str = "application/json"
) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": schema}}}
