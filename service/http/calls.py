"""Calls: one request as its handler sees it, and how it is read from the wire.

A body must be announced as JSON, has a bound and is parsed straight from its bytes;
a query parameter that holds a list repeats its key (`?tags=a&tags=b`). Whatever does
not fit raises Malformed, which names each field.
"""

import re
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import UnionType
from typing import Annotated, Any, Generic, TypeVar, Union, get_args, get_origin
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.types import Receive

from service.bootstrap import Service
from service.errors import Invalid
from service.http.endings import Ending
from service.http.errors import ClientGone, NotJson, TooLarge, malformed
from service.interruption import interrupted_by
from service.records.base import DEFAULT_WORKSPACE
from service.records.blocks import Author
from service.records.tokens import Token

BODY_LIMIT = 10_000_000

Headers = Mapping[bytes, bytes]
Query = TypeVar("Query", bound=BaseModel)
Body = TypeVar("Body", bound=BaseModel)
Result = TypeVar("Result")

_JSON = re.compile(rb"application/json|[^\s/;,]+/[^\s/;,]+\+json", re.IGNORECASE)
_USER = re.compile(r"user-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_API = Author()


class Nothing(BaseModel):
    """No query, or no body."""


@dataclass(frozen=True, slots=True)
class Call(Generic[Query, Body]):
    """One request, read and checked. `path` holds the path's parameters.

    `ending` comes when this server stops or the caller's token ends: streams end then.
    """

    service: Service
    path: Mapping[str, str]
    query: Query
    body: Body
    headers: Headers
    receive: Receive
    by: Author = _API
    ws: str = DEFAULT_WORKSPACE
    ending: Ending = field(default_factory=Ending)

    async def while_connected(self, work: Awaitable[Result]) -> Result:
        """The work's result; if the client leaves first, the waiting (never the run) is given up."""
        with interrupted_by(left(self.receive)):
            return await work
        raise ClientGone


async def left(receive: Receive) -> None:
    """Returns when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


def author_of(headers: Headers, token: Token | None = None) -> Author:
    """Who makes the call: V1's `user_id` header if there is one, else the token, whose id is always told."""
    if (header := headers.get(b"user_id")) is None:
        return _API if token is None else Author(name=token.name, token_id=token.id)
    name = header.decode("latin-1")
    if not _USER.fullmatch(name):
        raise Invalid("user_id", "the header must look like user-00000000-0000-4000-8000-000000000000")
    return Author(name=name, token_id=None if token is None else token.id)


def secret_of(headers: Headers) -> str | None:
    """The token that was sent, in either of V1's two ways."""
    for name, scheme in ((b"authorization", "bearer"), (b"x-bare-password", "password")):
        if (sent := headers.get(name)) is None:
            continue
        word, _, secret = sent.decode("latin-1").strip().partition(" ")
        if word.lower() == scheme and secret.strip():
            return secret.strip()
    return None


def require_json(headers: Headers) -> None:
    """Raises NotJson unless the body is announced as JSON.

    A web page may send text or a form to any server without asking it first; JSON it
    may not. Whoever names no type at all is let in, unless it is a browser.
    """
    given = headers.get(b"content-type", b"").partition(b";")[0].strip()
    if _JSON.fullmatch(given) or (not given and b"origin" not in headers):
        return
    raise NotJson("Content-Type: the body must be sent as application/json")


async def read_body(receive: Receive, headers: Headers) -> bytes:
    """All of the body; TooLarge as soon as it is known to pass the bound."""
    announced = headers.get(b"content-length", b"")
    if announced.isdigit() and int(announced) > BODY_LIMIT:
        raise TooLarge(BODY_LIMIT)
    pieces: list[bytes] = []
    length = 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise ClientGone
        pieces.append(event.get("body", b""))
        length += len(pieces[-1])
        if length > BODY_LIMIT:
            raise TooLarge(BODY_LIMIT)
        if not event.get("more_body", False):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def parse_body(model: type[Body], body: bytes) -> Body:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise malformed("body", error, model.model_fields) from None


def parse_query(model: type[Query], raw: bytes) -> Query:
    """The query string as the model; of a repeated key that is no list, the last counts."""
    lists = list_fields(model)
    values: dict[str, Any] = {}
    for name, value in parse_qsl(raw.decode("latin-1"), keep_blank_values=True):
        if name in lists:
            values.setdefault(name, []).append(value)
        else:
            values[name] = value
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise malformed("query", error, model.model_fields) from None


@cache
def list_fields(model: type[BaseModel]) -> frozenset[str]:
    """The parameters that may be repeated."""
    return frozenset(name for name, field in model.model_fields.items() if _holds_list(field.annotation))


def _holds_list(annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin in (Union, UnionType, Annotated):
        return any(_holds_list(part) for part in get_args(annotation))
    return origin is list
