"""Ears: those who wait for an edit, each on its own: on a channel, on a stream of events, in a worker."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from redis.asyncio import Redis

from tests.bench.load import Connection, request
from tests.bench.machine import Machine, Served
from tests.bench.queues.clock import Clock

_LOST_S = 60.0
_LOOK_S = 0.0003
Next = Callable[[], Awaitable[bytes]]


class Ear:
    """Takes in everything that is said, and knows when it last heard a certain word."""

    def __init__(self, word: str) -> None:
        self._word = word.encode()
        self._heard = asyncio.Event()
        self._at = 0.0

    async def listen(self, next_one: Next) -> None:
        while True:
            if self._word in await next_one():
                self._at = time.perf_counter()
                self._heard.set()

    async def after(self, act: Callable[[], Awaitable[object]]) -> float:
        """Seconds from just before something is done until the word is heard."""
        self._heard.clear()
        began = time.perf_counter()
        await act()
        async with asyncio.timeout(_LOST_S):
            await self._heard.wait()
        return self._at - began


@contextlib.asynccontextmanager
async def on_channel(machine: Machine, channel: str, word: str) -> AsyncIterator[Ear]:
    """A raw subscriber."""
    redis: Redis = Redis.from_url(machine.url)  # not of the service's pool, which gives up what is silent
    pubsub: Any = redis.pubsub()
    await pubsub.subscribe(channel)
    await pubsub.get_message(timeout=5)

    async def next_one() -> bytes:
        while True:
            message = await pubsub.get_message(timeout=None)
            if message is not None and isinstance(message["data"], bytes):
                return bytes(message["data"])

    async with _listening(word, next_one) as ear:
        yield ear
    await pubsub.aclose()
    await redis.aclose()


@contextlib.asynccontextmanager
async def on_stream(served: Served, path: str, word: str) -> AsyncIterator[Ear]:
    """A client of server-sent events."""
    connection = await Connection.open(served.port)
    await connection.begin(request("GET", path))
    await connection.reader.readuntil(b"still here")

    async def next_one() -> bytes:
        return await connection.reader.readuntil(b"\n\n")

    async with _listening(word, next_one) as ear:
        yield ear
    connection.close()


@contextlib.asynccontextmanager
async def _listening(word: str, next_one: Next) -> AsyncIterator[Ear]:
    ear = Ear(word)
    async with asyncio.TaskGroup() as group:  # an ear that fails ends the row, and not in silence
        task = group.create_task(ear.listen(next_one))
        yield ear
        task.cancel()


async def on_clock(clock: Clock, act: Callable[[], Awaitable[object]]) -> float:
    """Seconds from just before something is done until a job notes that it begins."""
    before, began = clock.total(), time.monotonic_ns()
    await act()
    while clock.total() == before:
        await asyncio.sleep(_LOOK_S)
        if time.monotonic_ns() - began > _LOST_S * 1e9:
            raise RuntimeError(f"no step began within {_LOST_S:.0f} s")
    return (clock.last() - began) / 1e9
