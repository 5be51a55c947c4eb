"""Endings: why an answer without an end of its own is ended, even one that never pauses."""

import asyncio
from collections.abc import AsyncGenerator

import httpx
import pytest

from service.bootstrap import Service
from service.http.app import create_app
from service.http.endings import NO_LEAVE, STOPPING, Ending
from service.http.streams import _until
from service.records.tokens import Permit
from tests.http.conftest import WS

DEADLINE_S = 5


async def test_it_comes_when_the_server_stops(service: Service) -> None:
    stopping = asyncio.Event()
    permit = await service.tokens.admit(None)
    for ending in (Ending(stopping), Ending(stopping, service.tokens, permit)):
        waiting = asyncio.ensure_future(ending.wait())
        stopping.set()
        async with asyncio.timeout(DEADLINE_S):
            assert await waiting == STOPPING
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
    waiting = asyncio.ensure_future(ending.wait())
    await service.tokens.revoke(token.id, even_last=True)
    async with asyncio.timeout(DEADLINE_S):
        assert await waiting == NO_LEAVE


async def test_one_that_is_given_up_leaves_nothing_behind(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking, left = asyncio.Event(), asyncio.Event()

    async def over(_: Permit) -> None:
        try:
            looking.set()
            await asyncio.Event().wait()
        finally:
            left.set()

    monkeypatch.setattr(service.tokens, "over", over)
    waiting = asyncio.ensure_future(Ending(asyncio.Event(), service.tokens, Permit()).wait())
    async with asyncio.timeout(DEADLINE_S):
        await looking.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert left.is_set()


async def test_a_stream_that_never_pauses_is_ended_too() -> None:
    stopping = asyncio.Event()

    async def endless() -> AsyncGenerator[bytes, None]:
        while True:
            yield b"more"

    said: list[bytes] = []
    async with asyncio.timeout(DEADLINE_S):
        async for event in _until(Ending(stopping), endless(), str.encode):
            said.append(event)
            if len(said) == 100:
                stopping.set()
    assert said[:100] == [b"more"] * 100
    assert said[-1] == STOPPING.encode()
