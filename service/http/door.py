"""The door: every request comes in here and leaves as one response and one log event.

The door asks who is there, finds the route, reads the call, lets the handler answer
and turns what was raised into V1's shape (errors.py). No middleware stands before
it. Whoever may not come in is told nothing, and no body of theirs is read.
"""

import asyncio
import re
from time import perf_counter_ns
from typing import Any

import structlog
from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.bootstrap import Service
from service.errors import ScopeTooSmall, StoreUnreachable
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
    require_json,
    secret_of,
)
from service.http.endings import Ending
from service.http.errors import UNKNOWN, NoRoute, NotReady, WrongMethod, refusal_of
from service.http.guard import refuse_strangers
from service.http.routing import Route, Table, check_ids
from service.http.streams import EventStream
from service.records.base import DEFAULT_WORKSPACE
from service.records.ids import new_id
from service.records.tokens import ANYBODY, Permit
from service.records.tokens import Scope as TokenScope

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,100}")
_CLOSES = (b"connection", b"close")
_NOTHING = Nothing()

log = structlog.get_logger()


class Door:
    """Answers all HTTP requests from a table. `service` is None while it is not open."""

    def __init__(self, table: Table, *, guarded: bool, ending: asyncio.Event) -> None:
        self.service: Service | None = None
        self._log = log.bind()  # the lazy one asks for the configuration at every line
        self._ending = ending
        self._table = table
        self._guarded = guarded
        self._default_queries = {
            route.query: parse_query(route.query, b"") for route in table.routes if route.query is not None
        }
        for model in self._default_queries:
            list_fields(model)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = perf_counter_ns()
        headers: Headers = dict(scope["headers"])
        request_id = _request_id(headers)
        facts: dict[str, Any] = {"method": scope["method"], "route": None, "request_id": request_id}
        response = await self._answer(scope, receive, headers, facts)
        response.raw_headers.append((b"x-request-id", request_id.encode()))
        if self._ending.is_set():  # this connection takes no further request
            response.raw_headers.append(_CLOSES)
        streamed = isinstance(response, EventStream)
        if streamed:
            await self._stream(response, facts["route"], scope, receive, send)
        else:
            await response(scope, receive, send)
        took = perf_counter_ns() - began
        # In a moment: what was answered goes out with the end of this turn of the loop, and is to go first.
        asyncio.get_running_loop().call_soon(self._note, facts, response.status_code, took, streamed)

    def _note(self, facts: dict[str, Any], status: int, took_ns: int, streamed: bool) -> None:
        """The log event of a request that was answered, and its part in the figures."""
        if self.service is not None:
            self.service.metrics.answered(facts["method"], facts["route"], status, took_ns / 1e9, streamed)
        self._log.info("request.answered", status=status, ms=round(took_ns / 1e6, 2), **facts)

    async def _stream(
        self, response: Response, route: str | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """An answer that lasts, counted while it does."""
        if self.service is None:
            await response(scope, receive, send)
            return
        open_streams = self.service.metrics.streams
        open_streams.add(route or "unknown")
        try:
            await response(scope, receive, send)
        finally:
            open_streams.add(route or "unknown", by=-1)

    async def _answer(
        self, scope: Scope, receive: Receive, headers: Headers, facts: dict[str, Any]
    ) -> Response:
        try:
            if self.service is None:
                raise NotReady("the service is starting or stopping; try again in a moment")
            try:
                route, path = self._table.find(scope["method"], _sent_path(scope))
            except (NoRoute, WrongMethod):
                await self._enter(self.service, None, scope, headers)
                raise
            facts["route"] = route.path
            permit = await self._enter(self.service, route, scope, headers)
            check_ids(path)
            query = self._query(route, scope["query_string"])
            body = _NOTHING if route.body is None else await _body(route.body, receive, headers)
            by = author_of(headers, permit.token)
            ws = DEFAULT_WORKSPACE if permit.token is None else permit.token.workspace
            ending = Ending(self._ending, self.service.tokens, permit)
            call = Call(self.service, path, query, body, headers, receive, by, ws, ending)
            return await route.handler(call)
        except Exception as error:
            refusal = refusal_of(error)
            if refusal is None:
                log.exception("request.failed", **facts)
                refusal = UNKNOWN
            return json_answer(refusal.body, refusal.status, refusal.headers)

    async def _enter(self, service: Service, route: Route | None, scope: Scope, headers: Headers) -> Permit:
        """Leave to call this route. Raises Unauthorized, ScopeTooSmall, TooManyRequests or Stranger."""
        needs = "read" if route is None else route.needs
        if needs == "none":
            if not await _has_tokens(service):
                self._guard(scope, headers)
            return ANYBODY
        permit = await service.tokens.admit(secret_of(headers))
        if permit.token is None:
            self._guard(scope, headers)
        else:
            await service.tokens.count(permit.token)
        _check_scope(needs, permit)
        return permit

    def _guard(self, scope: Scope, headers: Headers) -> None:
        if self._guarded:
            client = scope.get("client")
            refuse_strangers(headers, None if client is None else client[0])

    def _query(self, route: Route, sent: bytes) -> BaseModel:
        if route.query is None:
            return _NOTHING
        return parse_query(route.query, sent) if sent else self._default_queries[route.query]


async def _body(model: type[BaseModel], receive: Receive, headers: Headers) -> BaseModel:
    require_json(headers)
    return parse_body(model, await read_body(receive, headers) or b"{}")


async def _has_tokens(service: Service) -> bool:
    """For routes that ask for none: they answer while the store is away, too."""
    try:
        return await service.tokens.exist()
    except StoreUnreachable:
        return True


def _check_scope(needed: TokenScope, permit: Permit) -> None:
    """Without tokens everybody who is let in may do everything but make tokens."""
    if permit.token is None:
        if needed == "admin":
            raise ScopeTooSmall(needed, None)
    elif not permit.token.allows(needed):
        raise ScopeTooSmall(needed, permit.token.scope)


def _sent_path(scope: Scope) -> str:
    """The path, still encoded if it carries percent signs, so that %2F can be told from a slash."""
    raw: bytes = scope.get("raw_path") or b""
    return raw.decode("latin-1") if b"%" in raw else scope["path"]


def _request_id(headers: Headers) -> str:
    """The caller's own id for the request if it is a sane one, else a new one."""
    given = headers.get(b"x-request-id")
    return given.decode() if given and _REQUEST_ID.fullmatch(given) else new_id("req")
