"""Endings: why an answer without an end of its own is ended, even one that never pauses."""

import asyncio
from collections.abc import AsyncGenerator

import httpx
from starlette.types import Message

from service.bootstrap import Service
from service.http.app import create_app
from service.http.endings import NO_LEAVE, STOPPING, Ending
from service.http.streams import EventStream
from service.interruption import interrupted_by
from tests.http.conftest import WS

DEADLINE_S = 5


async def test_it_comes_when_the_server_stops(service: Service) -> None:
    stopping = asyncio.Event()
    permit = await service.tokens.admit(None)
    for ending in (Ending(stopping), Ending(stopping, service.tokens, permit)):
        coming = asyncio.ensure_future(comes(ending))
        stopping.set()
        async with asyncio.timeout(DEADLINE_S):
            assert await coming == STOPPING
        stopping.clear()


async def test_an_answer_that_is_given_while_the_server_stops_closes_its_connection(service: Service) -> None:
    """Or a client would send its next request to a server that is gone."""
    stopping = asyncio.Event()
    app = create_app(service.settings, service, stopping)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://localhost", trust_env=False
    ) as client:
        for path in ("/v1/health/", "/v1/blocks/", "/v1/nothing/"):
            stopping.clear()
            assert "connection" not in (await client.get(path)).headers
            stopping.set()
            assert (await client.get(path)).headers["connection"] == "close"


async def test_it_comes_when_the_permit_holds_no_more(service: Service) -> None:
    token, secret = await service.tokens.create(WS, "read")
    ending = Ending(asyncio.Event(), service.tokens, await service.tokens.admit(secret))
    coming = asyncio.ensure_future(comes(ending))
    await service.tokens.revoke(token.id, even_last=True)
    async with asyncio.timeout(DEADLINE_S):
        assert await coming == NO_LEAVE


async def test_a_stream_that_never_pauses_is_ended_too() -> None:
    stopping = asyncio.Event()
    said: list[Message] = []

    async def endless() -> AsyncGenerator[bytes, None]:
        while True:
            yield b"more"

    async def send(message: Message) -> None:
        said.append(message)
        if len(said) == 100:
            stopping.set()

    async with asyncio.timeout(DEADLINE_S):
        await EventStream(endless(), Ending(stopping), str.encode)({"path": "/"}, never, send)
    assert [one["body"] for one in said[1:100]] == [b"more"] * 99
    assert [one["body"] for one in said[-2:]] == [STOPPING.encode(), b""]
    assert [one["more_body"] for one in said[-2:]] == [True, False]


async def test_a_stream_whose_client_leaves_is_closed_and_says_no_more() -> None:
    closed, said, leaves = asyncio.Event(), list[Message](), asyncio.Event()

    async def silent() -> AsyncGenerator[bytes, None]:
        try:
            yield b"one"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def receive() -> Message:
        await leaves.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        said.append(message)
        if message.get("body"):
            leaves.set()

    async with asyncio.timeout(DEADLINE_S):
        await EventStream(silent(), Ending(asyncio.Event()), str.encode)({"path": "/"}, receive, send)
    assert closed.is_set()
    assert [one.get("body") for one in said] == [None, b"one"]


async def comes(ending: Ending) -> object:
    """Why what has no end of its own was ended."""
    with interrupted_by(*ending.ways()) as interruption:
        await asyncio.Event().wait()
    return interruption.why


async def never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError
