"""Reading a call: the query, the body and its bound, who calls, and clients that leave."""

from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from pydantic import BaseModel, Field

from service.bootstrap import Service
from service.errors import Invalid
from service.http.calls import (
    BODY_LIMIT,
    Call,
    Nothing,
    author_of,
    parse_body,
    parse_query,
    read_body,
    require_json,
)
from service.http.errors import ClientGone, Malformed, NotJson, TooLarge
from service.records.blocks import Author
from service.records.tokens import Token

USER = b"user-00000000-0000-4000-8000-000000000000"


class Wanted(BaseModel):
    name: str | None = None
    tags: list[str] | None = None
    limit: int = Field(default=50, ge=0)
    deep: bool = False


class Events:
    """A client that sends these events, then leaves or stays silent."""

    def __init__(self, *events: dict[str, Any], leaves: bool = True) -> None:
        self._events: Iterator[dict[str, Any]] = iter(events)
        self._leaves = leaves

    async def __call__(self) -> dict[str, Any]:
        for event in self._events:
            return event
        if not self._leaves:
            await anyio.sleep_forever()
        return {"type": "http.disconnect"}


def piece(body: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_list_parameter_repeats_its_key_and_another_takes_the_last() -> None:
    query = parse_query(Wanted, b"tags=a&tags=b%2Cc&name=x&name=y&limit=3&deep=true&unknown=1")
    assert query == Wanted(tags=["a", "b,c"], name="y", limit=3, deep=True)


def test_a_wrong_parameter_is_named() -> None:
    with pytest.raises(Malformed, match=r"query\.limit: .*greater than or equal to 0"):
        parse_query(Wanted, b"limit=-1")


@pytest.mark.parametrize("body", [b"", b"[1]", b'"text"', b"null", b"{", b"7", b"\xff"])
def test_a_body_that_is_no_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed, match=r"^body: "):
        parse_body(Wanted, body)


def test_unknown_fields_of_a_body_are_ignored() -> None:
    assert parse_body(Wanted, b'{"name": "x", "colour": "red"}') == Wanted(name="x")


@pytest.mark.parametrize(
    "sent",
    [
        b"application/json",
        b"Application/JSON ; charset=utf-8",
        b"application/merge-patch+json",
        b"application/vnd.x+json;v=1",
    ],
)
def test_a_body_announced_as_json_is_let_in_from_a_browser_too(sent: bytes) -> None:
    require_json({b"content-type": sent, b"origin": b"http://localhost"})


@pytest.mark.parametrize(
    "sent",
    [
        b"text/plain",
        b"text/plain; application/json",
        b"text/plain;charset=application/json",
        b"application/x-www-form-urlencoded",
        b"multipart/form-data; boundary=x",
        b"application/jsonp",
        b"application/json, text/plain",
        b"text/plain, application/x+json",
    ],
)
def test_a_body_announced_as_anything_else_is_refused(sent: bytes) -> None:
    with pytest.raises(NotJson, match="application/json"):
        require_json({b"content-type": sent})


@pytest.mark.parametrize("nothing", [{}, {b"content-type": b" "}])
def test_a_body_without_a_type_is_let_in_unless_a_browser_sends_it(nothing: dict[bytes, bytes]) -> None:
    require_json(nothing)
    with pytest.raises(NotJson):
        require_json({**nothing, b"origin": b"null"})


async def test_a_body_in_pieces_is_put_together() -> None:
    events = Events(piece(b'{"a', more=True), piece(b'":1}'))
    assert await read_body(events, {}) == b'{"a":1}'


async def test_a_body_that_is_announced_too_large_is_not_even_read() -> None:
    with pytest.raises(TooLarge, match="10000000 bytes"):
        await read_body(Events(), {b"content-length": str(BODY_LIMIT + 1).encode()})


async def test_a_body_that_grows_too_large_is_cut_off() -> None:
    half = b"x" * (BODY_LIMIT // 2 + 1)
    with pytest.raises(TooLarge):
        await read_body(Events(piece(half, more=True), piece(half, more=True), leaves=False), {})


async def test_a_client_that_leaves_while_sending_is_gone() -> None:
    with pytest.raises(ClientGone):
        await read_body(Events(piece(b"{", more=True)), {})


def test_the_author_is_the_api_or_the_named_user() -> None:
    assert author_of({}).name == "api"
    assert author_of({b"user_id": USER}).name == USER.decode()


def test_the_author_is_the_token_unless_a_user_is_named_and_its_id_is_told_in_any_case() -> None:
    token = Token(id="token-1", name="import", workspace="a", scope="write", created_at=0, ends_with="abcd")
    assert author_of({}, token) == Author(name="import", token_id="token-1")
    assert author_of({b"user_id": USER}, token) == Author(name=USER.decode(), token_id="token-1")


def test_a_malformed_user_is_refused() -> None:
    with pytest.raises(Invalid, match="user_id"):
        author_of({b"user_id": b"root"})


def call_from(service: Service, client: Events) -> Call[Nothing, Nothing]:
    return Call(service, {}, Nothing(), Nothing(), {}, client)


async def test_waiting_gives_the_result_while_the_client_stays(service: Service) -> None:
    async def work() -> str:
        return "done"

    assert await call_from(service, Events(leaves=False)).while_connected(work()) == "done"


async def test_waiting_ends_and_is_cancelled_when_the_client_leaves(service: Service) -> None:
    cancelled = anyio.Event()

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    with anyio.fail_after(5), pytest.raises(ClientGone):
        await call_from(service, Events(piece(b""))).while_connected(work())
    assert cancelled.is_set()


async def test_an_error_of_the_work_is_raised_as_it_is(service: Service) -> None:
    async def work() -> None:
        raise Invalid("x", "no")

    with pytest.raises(Invalid):
        await call_from(service, Events(leaves=False)).while_connected(work())
