"""Answers: a message until the offline model's answer, beside the scripts that it cannot do without.

The floor: bare_message.py. One row stands beside less than that, too: four plain commands in the place of
its scripts, which store nothing that anybody could go on from.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable
from typing import Any, cast

from redis.asyncio import Redis

from service.store.connections import pool_of
from service.store.keys import key
from tests.bench.bare_message import FLOOR_IS, bare_message
from tests.bench.figures import Figure
from tests.bench.load import Connection, request
from tests.bench.machine import WS, Machine
from tests.bench.pace import Pace
from tests.bench.timing import Timed, medians, sampled
from tests.bench.watching import cpu_s, reads

_PLAIN_IS = "4 plain commands and a doorbell"
_TARGET = 2
_WARM = 20
_MESSAGES_EACH = 10
SEND = {"messages": [{"role": "user", "content": '{"script": [{"text": "ok"}]}'}]}


async def answers(machine: Machine, pace: Pace) -> AsyncIterator[Figure]:
    async with contextlib.AsyncExitStack() as stack:
        web = await stack.enter_async_context(machine.web())
        worker = stack.enter_context(machine.worker())
        connection = await Connection.open(web.port)
        stack.callback(connection.close)
        asked = Asked(machine, connection)
        await stack.enter_async_context(asked.listening())
        agent = await machine.agent()
        bare = await stack.enter_async_context(
            bare_message(machine, agent.id, lambda: asked.blocking(agent.id))
        )
        plain = await stack.enter_async_context(_plain(machine))
        sides: dict[str, Timed] = {
            "blocking": asked.blocking,
            "streamed, first event": asked.first_event,
            "streamed, all of it": asked.whole_stream,
            "async, its run has ended": asked.ended,
        }
        for _ in range(min(_WARM, pace.samples)):
            for side in sides.values():
                await side()
        idle = await _idle_reads(machine)
        for name, side in sides.items():
            before, cpu, began = await reads(machine.redis), cpu_s(web.pid, worker), time.perf_counter()
            for _ in range(pace.samples):
                await side()
            took = time.perf_counter() - began
            trips = await reads(machine.redis) - before - 1 - idle * took
            beside = {
                "round trips": max(0.0, trips) / pace.samples,
                "CPU ms": (cpu_s(web.pid, worker) - cpu) / pace.samples * 1e3,
            }
            mine, floor = await sampled(pace.rounds, pace.samples, side, bare)
            yield Figure(
                "message", name, medians(mine), medians(floor), FLOOR_IS, "s", target=_TARGET, beside=beside
            )
        mine, less = await sampled(pace.rounds, pace.samples, asked.blocking, plain)
        yield Figure(
            "message", "blocking, beside plain commands", medians(mine), medians(less), _PLAIN_IS, "s"
        )
        sent, one = await sampled(pace.rounds, pace.samples, asked.acknowledged, _one_write(machine))
        yield Figure("message", "async, acknowledged", medians(sent), medians(one), "1 round trip", "s")


class Asked:
    """An agent that is sent messages, one after the other, over one connection.

    Every few messages it is another one: what a long history costs is told by rows of their own (growth).
    """

    def __init__(self, machine: Machine, connection: Connection) -> None:
        self._machine = machine
        self._connection = connection
        self._path = ""
        self._sent = 0
        self._heard: Any = None

    async def _send(self, way: str = "", to: str | None = None, **more: object) -> bytes:
        """The next request. To be made before the clock is read."""
        if to is not None:
            return request("POST", f"/v1/agents/{to}/messages", json.dumps(SEND).encode())
        if self._sent % _MESSAGES_EACH == 0:
            self._path = f"/v1/agents/{(await self._machine.agent()).id}/messages"
        self._sent += 1
        return request("POST", self._path + way, json.dumps(SEND | more).encode())

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Hears how runs end, as a raw subscriber."""
        pubsub = self._machine.redis.pubsub()
        await pubsub.subscribe(key(WS, "output"))
        await pubsub.get_message(timeout=5)
        self._heard = pubsub
        yield
        await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def blocking(self, to: str | None = None) -> float:
        send = await self._send(to=to)
        began = time.perf_counter()
        await self._connection.ask(send)
        took = time.perf_counter() - began
        await self._end()
        return took

    async def first_event(self) -> float:
        return (await self._streamed())[0]

    async def whole_stream(self) -> float:
        return (await self._streamed())[1]

    async def _streamed(self) -> tuple[float, float]:
        send = await self._send("/stream", stream_tokens=True)
        began = time.perf_counter()
        await self._connection.begin(send)
        await self._connection.reader.readuntil(b"data: ")
        first = time.perf_counter() - began
        await self._connection.reader.readuntil(b"[DONE]")
        whole = time.perf_counter() - began
        await self._connection.reader.readuntil(b"\r\n0\r\n\r\n")
        await self._end()
        return first, whole

    async def ended(self) -> float:
        send = await self._send("/async")
        began = time.perf_counter()
        await self._connection.ask(send)
        await self._end()
        return time.perf_counter() - began

    async def acknowledged(self) -> float:
        send = await self._send("/async")
        began = time.perf_counter()
        await self._connection.ask(send)
        took = time.perf_counter() - began
        await self._end()
        return took

    async def _end(self) -> None:
        """Until the run has ended; the agent is idle then, or about to be."""
        while True:
            message = await self._heard.get_message(ignore_subscribe_messages=True, timeout=10)
            if message is None:
                raise RuntimeError("a run did not end within 10 s")
            if message["data"].split(b" ", 2)[1] in (b"completed", b"failed"):
                return


@contextlib.asynccontextmanager
async def _plain(machine: Machine) -> AsyncIterator[Timed]:
    """Four round trips that carry next to nothing, once."""
    waiting: Redis = Redis(connection_pool=pool_of(machine.url, 1, texts=False))
    redis, said = machine.redis, json.dumps(SEND)

    async def plain() -> float:
        bell = asyncio.create_task(_pop(waiting))
        await asyncio.sleep(0)
        began = time.perf_counter()
        await _int(redis.rpush("bench:inbox", said))
        await _int(redis.lpush("bench:bell", "1"))
        await bell
        await redis.set("bench:lease", "1", nx=True, px=3000)
        await redis.xadd("bench:history", {"answer": said}, maxlen=1000)
        await redis.delete("bench:lease")
        return time.perf_counter() - began

    try:
        yield plain
    finally:
        await waiting.aclose()
        await waiting.connection_pool.disconnect()


def _one_write(machine: Machine) -> Timed:
    async def once() -> float:
        began = time.perf_counter()
        await _int(machine.redis.rpush("bench:inbox", json.dumps(SEND)))
        return time.perf_counter() - began

    return once


async def _pop(redis: "Redis") -> object:
    return await cast(Awaitable[Any], redis.blpop(["bench:bell"], timeout=5))


async def _int(command: object) -> object:
    """A command that redis-py's types cannot tell from a finished one."""
    return await cast(Awaitable[Any], command)


async def _idle_reads(machine: Machine, seconds: float = 1.0) -> float:
    """What the store reads in a second while nobody asks for anything."""
    before = await reads(machine.redis)
    await asyncio.sleep(seconds)
    return (await reads(machine.redis) - before - 1) / seconds
