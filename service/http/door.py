"""The door: every request comes in here and leaves as one response and one log event.

The door finds the route, reads the call, lets the handler answer and turns what
was raised into V1's shape (errors.py). No middleware stands before it.
"""

import re
import uuid
from time import perf_counter_ns
from typing import Any

import structlog
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from service.bootstrap import Service
from service.http.answers import json_answer
from service.http.calls import (
    Call,
    Headers,
    Nothing,
    author_of,
    list_fields,
    parse_body,
    parse_query,
    read_body,
)
from service.http.errors import UNKNOWN, NotReady, refusal_of
from service.http.guard import refuse_strangers
from service.http.routing import Route, Table, check_ids

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,100}")
_NOTHING = Nothing()

log = structlog.get_logger()


class Door(BaseRoute):
    """Answers all HTTP requests from a table. `service` is None while it is not open."""

    def __init__(self, table: Table, *, guarded: bool) -> None:
        self.service: Service | None = None
        self._table = table
        self._guarded = guarded
        self._default_queries = {
            route.query: parse_query(route.query, b"") for route in table.routes if route.query is not None
        }
        for model in self._default_queries:
            list_fields(model)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return (Match.FULL if scope["type"] == "http" else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = perf_counter_ns()
        headers: Headers = dict(scope["headers"])
        request_id = _request_id(headers)
        facts: dict[str, Any] = {"method": scope["method"], "route": None, "request_id": request_id}
        response = await self._answer(scope, receive, headers, facts)
        response.raw_headers.append((b"x-request-id", request_id.encode()))
        await response(scope, receive, send)
        ms = round((perf_counter_ns() - began) / 1e6, 2)
        log.info("request.answered", status=response.status_code, ms=ms, **facts)

    async def _answer(
        self, scope: Scope, receive: Receive, headers: Headers, facts: dict[str, Any]
    ) -> Response:
        try:
            if self._guarded:
                refuse_strangers(headers)
            route, path = self._table.find(scope["method"], _sent_path(scope))
            facts["route"] = route.path
            check_ids(path)
            return await route.handler(await self._call(route, path, scope, receive, headers))
        except Exception as error:
            refusal = refusal_of(error)
            if refusal is None:
                log.exception("request.failed", **facts)
                refusal = UNKNOWN
            return json_answer(refusal.body, refusal.status, refusal.headers)

    async def _call(
        self, route: Route, path: dict[str, str], scope: Scope, receive: Receive, headers: Headers
    ) -> Call[Any, Any]:
        if self.service is None:
            raise NotReady("the service is starting or stopping; try again in a moment")
        sent = scope["query_string"]
        query: Any = _NOTHING
        if route.query is not None:
            query = parse_query(route.query, sent) if sent else self._default_queries[route.query]
        body: Any = _NOTHING
        if route.body is not None:
            body = parse_body(route.body, await read_body(receive, headers) or b"{}")
        return Call(self.service, path, query, body, headers, receive, author_of(headers))


def _sent_path(scope: Scope) -> str:
    """The path, still encoded if it carries percent signs, so that %2F can be told from a slash."""
    raw: bytes = scope.get("raw_path") or b""
    return raw.decode("latin-1") if b"%" in raw else scope["path"]


def _request_id(headers: Headers) -> str:
    """The caller's own id for the request if it is a sane one, else a new one."""
    given = headers.get(b"x-request-id", b"")
    return given.decode() if _REQUEST_ID.fullmatch(given) else f"req-{uuid.uuid4()}"
