"""Routing: one table says which requests are answered, by whom and in which shape.

A Route names a method, a path and a handler. The handler's annotation
(`Call[Query, Body]`) gives the models of its query and body, its docstring the
words of the documentation; so the server (door.py) and the OpenAPI document
(openapi.py) cannot disagree.

A path under /v1 is served under /latest too, and each with or without a slash at
its end; nothing is redirected but `/`. `{name}` holds one segment, `{name:path}` the
rest, slashes included; a parameter named in IDS must be an id of that kind, one in
PLAIN_IDS is a plain string in V1: whatever is no such id is simply not found.
Among patterns that fit, the one listed first is taken.

A path that carries percent signs is matched as it was sent and decoded after:
a block label may hold slashes, written as %2F where they would mislead.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from inspect import cleandoc
from typing import Any, Literal, get_args, get_type_hints
from urllib.parse import unquote

from pydantic import BaseModel
from starlette.responses import Response

from service.errors import NotFound
from service.http.calls import Call, Nothing
from service.http.errors import Malformed, NoRoute, WrongMethod
from service.records.tokens import Scope

Handler = Callable[[Call[Any, Any]], Awaitable[Response]]

UUID4 = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
EXAMPLE_UUID4 = "123e4567-e89b-42d3-8456-426614174000"
IDS = {"agent_id": "agent", "block_id": "block", "message_id": "message", "tool_id": "tool"}
PLAIN_IDS = {
    "delivery_id": "delivery",
    "identity_id": "identity",
    "run_id": "run",
    "subscription_id": "subscription",
    "token_id": "token",
    "webhook_id": "webhook",
}
_ID_PATTERNS = {name: re.compile(f"{prefix}-{UUID4}") for name, prefix in (IDS | PLAIN_IDS).items()}
EVENT_STREAM = "text/event-stream"
_PARAMETER = re.compile(r"\{(\w+)(:path)?\}")


@dataclass(frozen=True)
class Route:
    """One request that is answered. `answers` is the type of the JSON it answers with."""

    method: str
    path: str
    handler: Handler
    tag: str
    answers: Any = None
    example: Mapping[str, Any] | list[Any] | None = None
    """A body that works, for the documentation."""
    media_type: str = "application/json"
    refuses: Mapping[int, tuple[str, Any]] = field(default_factory=dict)
    """Statuses of refusals that others do not have: what one means, and the type of its JSON."""
    scope: Scope | Literal["none"] | None = None
    """What a token must allow; None: `read` for a GET, else `write`. `none`: no token is asked for.

    A POST that keeps nothing and asks no model only reads."""

    @cached_property
    def needs(self) -> Scope | Literal["none"]:
        return self.scope or ("read" if self.method == "GET" else "write")

    @cached_property
    def _models(self) -> tuple[type[BaseModel], type[BaseModel]]:
        query, body = get_args(get_type_hints(self.handler)["call"])
        return query, body

    @cached_property
    def query(self) -> type[BaseModel] | None:
        model = self._models[0]
        return None if model is Nothing else model

    @cached_property
    def body(self) -> type[BaseModel] | None:
        model = self._models[1]
        return None if model is Nothing else model

    @property
    def summary(self) -> str:
        return cleandoc(self.handler.__doc__ or "").partition("\n")[0].rstrip(".")

    @property
    def description(self) -> str:
        return cleandoc(self.handler.__doc__ or "").partition("\n")[2].strip()

    @property
    def parameters(self) -> list[str]:
        """The names of the path's parameters, in order."""
        return [name for name, _ in _PARAMETER.findall(self.path)]


@dataclass(frozen=True, slots=True)
class _Place:
    """All that is served at one path."""

    pattern: re.Pattern[str]
    routes: dict[str, Route]
    slashes: int | None
    """So many a path must have that fits; None where a parameter may hold some."""


class Table:
    """Finds the route for a request: fixed paths at once, patterns by their first word under /v1."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = list(routes)
        self._fixed: dict[str, dict[str, Route]] = {}
        self._patterns: dict[str, list[_Place]] = {}
        places: dict[str, dict[str, Route]] = {}
        for route in self.routes:
            places.setdefault(route.path.rstrip("/"), {})[route.method] = route
        for path, methods in places.items():
            if (
                read := methods.get("GET")
            ) and read.media_type != EVENT_STREAM:  # HEAD of one would never end
                methods.setdefault("HEAD", read)
            if "{" in path:
                self._patterns.setdefault(_word(path), []).append(
                    _Place(_pattern(path), methods, None if ":path}" in path else path.count("/"))
                )
            else:
                self._fixed[path] = methods

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route and its path's parameters; raises NoRoute or WrongMethod."""
        path = path.removesuffix("/")
        if path.startswith("/latest/"):
            path = "/v1" + path[len("/latest") :]
        allowed = self._fixed.get(path, {})
        if route := allowed.get(method):
            return route, {}
        slashes = path.count("/")
        for place in self._patterns.get(_word(path), ()):
            if place.slashes is not None and place.slashes != slashes:  # asked first, as it costs least
                continue
            if match := place.pattern.fullmatch(path):
                if route := place.routes.get(method):
                    found = match.groupdict()
                    return route, {n: unquote(found[n]) for n in found} if "%" in path else found
                allowed = allowed | place.routes
        if allowed:
            raise WrongMethod(allowed)
        raise NoRoute


def check_ids(parameters: Mapping[str, str]) -> None:
    """Refuses a malformed id, showing what one looks like; one of PLAIN_IDS is simply not found."""
    for name, text in parameters.items():
        pattern = _ID_PATTERNS.get(name)
        if pattern is None or pattern.fullmatch(text):
            continue
        if name in PLAIN_IDS:
            raise NotFound(PLAIN_IDS[name], text)
        example = f"{IDS[name]}-{EXAMPLE_UUID4}"
        raise Malformed(f"path.{name}: must look like {example}, all in lower case", [example])


def _word(path: str) -> str:
    """`blocks` of `/v1/blocks/…`: the drawer its patterns are in."""
    parts = path.split("/", 3)
    return parts[2] if len(parts) > 2 else ""


def _pattern(path: str) -> re.Pattern[str]:
    expression = ""
    end = 0
    for parameter in _PARAMETER.finditer(path):
        name, rest = parameter.groups()
        expression += re.escape(path[end : parameter.start()])
        expression += f"(?P<{name}>{'.+' if rest else '[^/]+'})"
        end = parameter.end()
    return re.compile(expression + re.escape(path[end:]), re.DOTALL)
