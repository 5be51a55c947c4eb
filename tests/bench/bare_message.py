"""Bare message: the floor of an answer: its scripts through the same client, one by one, and one doorbell.

Send, a push that wakes who waits for it, acquire, store the answer, finish: made from what a message was seen
to send to the store, under new ids each time, for agents of a workspace that nobody else looks at. A worker
acquires with its claim and finishes with the answer; here each is a script of its own, and does nothing else.
What the store answers is not decoded. All in one process: no other is waited for.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

from redis.asyncio import Redis

from service.queue import QUEUE
from service.store.connections import pool_of
from service.store.keys import key
from service.store.scripts import load
from tests.bench.machine import Machine
from tests.bench.timing import Timed
from tests.bench.watching import commands

FLOOR_IS = "its 4 scripts and a doorbell"
_BARE_WS, _BARE_QUEUE = "bare", "bare:jobs"
"""The queue of these jobs is one that no worker looks at."""
_BELL = "bare:bell"
_WAYS = ("message_send", "step_store")
_STORE_ALONE = 24
"""So many words of step_store tell of the step alone."""
_MESSAGES_EACH = 10
_REST_S = 0.3
"""After an answer its worker is still about to end the run."""
_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")

Words = list[bytes]


@contextlib.asynccontextmanager
async def bare_message(
    machine: Machine, agent_id: str, send: Callable[[], Awaitable[object]]
) -> AsyncIterator[Timed]:
    """What the floor takes, once. `send` sends the first message that its agent is ever sent."""
    async with commands(machine.socket) as heard:
        await send()
        await asyncio.sleep(_REST_S)
    for name in ("lease_take", "run_next"):
        await machine.redis.script_load(load(name).source)
    names = {load(name).sha.encode(): name for name in _WAYS}
    seen = {names[words[1]]: words for words in heard.scripts if words[1] in names}
    waiting: Redis = Redis(connection_pool=pool_of(machine.url, 1, texts=False))
    try:
        yield _Bare(machine, seen, agent_id, waiting).once
    finally:
        await waiting.aclose()
        await waiting.connection_pool.disconnect()


class _Bare:
    def __init__(self, machine: Machine, seen: dict[str, Words], agent_id: str, waiting: "Redis") -> None:
        self._machine = machine
        self._seen = seen
        self._seen_agent = agent_id.encode()
        self._waiting = waiting
        self._agent = b""
        self._sent = 0

    async def once(self) -> float:
        send, take, store, end = await self._ready()
        run: Any = self._machine.redis.execute_command
        bell = asyncio.create_task(_pop(self._waiting))
        await asyncio.sleep(0)
        began = time.perf_counter()
        sent = await run(*send)
        await run("RPUSH", _BELL, "1")
        await bell
        taken = await run(*take)
        stored = await run(*store)
        await run(*end)
        took = time.perf_counter() - began
        if (sent[0], taken[0], stored[0]) != (b"ok", b"ok", b"ok"):
            raise RuntimeError(f"a bare message was refused: {sent[0]}, {taken[0]}, {stored[0]}")
        return took

    async def _ready(self) -> list[Words]:
        """The commands of the next message. To be made before the clock is read."""
        if self._sent % _MESSAGES_EACH == 0:
            self._agent = (await self._machine.agent(ws=_BARE_WS)).id.encode()
        self._sent += 1
        generation = b"%d" % ((self._sent - 1) % _MESSAGES_EACH + 1)
        send, store = (self._renewed(way, self._seen[way], generation) for way in _WAYS)
        worker, ms, *limits = (str(term).encode() for term in self._machine.service.leases.terms("bare"))
        take = self._alone("lease_take", generation, worker, ms, *limits)
        return [
            send,
            take,
            [*store[:_STORE_ALONE], b"", b"", b""],
            self._alone("run_next", generation, *limits),
        ]

    def _alone(self, way: str, generation: bytes, *words: bytes) -> Words:
        meta = key(_BARE_WS, "meta").encode()
        return [b"EVALSHA", load(way).sha.encode(), b"1", meta, self._agent, generation, *words]

    def _renewed(self, way: str, words: Words, generation: bytes) -> Words:
        """The same command about another message: of another agent, and each id in it a new one."""
        texts = [_UUID.sub(self._other, word) for word in words]
        texts[3] = key(_BARE_WS, "meta").encode()
        if way == "message_send":
            return [_BARE_QUEUE.encode() if text == QUEUE.encode() else text for text in texts]
        texts[5] = generation
        return texts

    def _other(self, found: "re.Match[bytes]") -> bytes:
        if b"agent-" + found[0] == self._seen_agent:
            return self._agent.removeprefix(b"agent-")
        return b"%s%012x" % (found[0][:-12], (int(found[0][-12:], 16) + self._sent) % 16**12)


async def _pop(redis: "Redis") -> object:
    return await cast(Awaitable[Any], redis.blpop([_BELL], timeout=5))
