"""Feeds: from just before an edit is sent until whoever waits for it has it, idle and beside other edits.

The floor of a raw subscriber and of a supervisor's step is a bare publication and its subscriber; that of
a client of server-sent events is the bare script, and a bare process that passes on what it hears.
"""

import contextlib
import json
from collections.abc import AsyncIterator
from itertools import count, cycle
from typing import Any

from service.records.blocks import Block, Edit
from service.records.subscriptions import SubscriptionFields
from service.store.keys import key
from tests.bench.ears import Ear, on_channel, on_clock, on_stream
from tests.bench.figures import Figure
from tests.bench.machine import BENCH, WS, Machine
from tests.bench.pace import Pace
from tests.bench.queues.clock import Clock
from tests.bench.timing import Timed, medians, sampled, slowest
from tests.bench.watching import commands

_SAMPLES = 3
"""Times the usual: a 99th percentile is shown."""
_TEXTS = ("x" * 200, "y" * 200)
_WARM = 20
_CHANNEL = "bench:published"


async def feeds(machine: Machine, pace: Pace) -> AsyncIterator[Figure]:
    watched, plain, pressed = [await machine.block(label) for label in ("watched", "plain", "pressed")]
    supervisor = await machine.agent()
    fields = SubscriptionFields(block_id=watched.id, wakes_per_minute=1_000_000)
    await machine.service.subscriptions.create(WS, supervisor.id, fields)
    ready = await _ready(machine, plain)
    told, press = machine.folder / "feed.json", machine.folder / "press.json"
    told.write_text(json.dumps({"routes": {}, "channel": key(WS, "changed")}))
    press.write_text(json.dumps(await _ready(machine, pressed)))
    clock = Clock.create(machine.folder / "steps.clock")
    async with contextlib.AsyncExitStack() as stack:
        web = await stack.enter_async_context(machine.web())
        bare = await stack.enter_async_context(machine.serving("tests.bench.bare", str(told)))
        stack.enter_context(machine.worker("tests.bench.stepping", str(machine.folder / "steps.clock")))
        raw = await stack.enter_async_context(on_channel(machine, key(WS, "changed"), plain.id))
        published = await stack.enter_async_context(on_channel(machine, _CHANNEL, "bench"))
        ended = await stack.enter_async_context(on_channel(machine, key(WS, "output"), " completed"))
        client = await stack.enter_async_context(on_stream(web, "/v1/changes", plain.id))
        relayed = await stack.enter_async_context(on_stream(bare, "/feed", plain.id))
        sides = _Sides(machine, watched, plain, cycle(ready), clock, ended)
        timed: list[Timed] = [
            lambda: published.after(sides.publish),
            lambda: raw.after(sides.edit),
            lambda: relayed.after(sides.run_script),
            lambda: client.after(sides.edit),
            sides.step,
        ]
        await sampled(1, min(_WARM, pace.samples), *timed)
        for name in ("idle", f"beside {pace.load} edits/s"):
            if name != "idle":
                stack.enter_context(machine.process("tests.bench.pressing", str(press), str(pace.load)))
                await sampled(1, min(_WARM, pace.samples), *timed)
            for figure in _figures(name, await sampled(pace.rounds, pace.samples * _SAMPLES, *timed)):
                yield figure


class _Sides:
    """What is done, once."""

    def __init__(
        self, machine: Machine, watched: Block, plain: Block, ready: Any, clock: Clock, ended: Ear
    ) -> None:
        self._machine = machine
        self._watched = watched
        self._plain = plain
        self._ready = ready
        self._clock = clock
        self._ended = ended
        self._count = count()

    async def publish(self) -> None:
        await self._machine.redis.publish(_CHANNEL, "bench" + _TEXTS[0] * 2)

    async def run_script(self) -> None:
        redis: Any = self._machine.redis
        await redis.execute_command(*next(self._ready))

    async def edit(self) -> None:
        await self._edit(self._plain)

    async def step(self) -> float:
        """Until the first line of the supervisor's step; then its run ends in peace."""
        took = 0.0

        async def woken() -> None:
            nonlocal took
            took = await on_clock(self._clock, lambda: self._edit(self._watched))

        await self._ended.after(woken)
        return took

    async def _edit(self, block: Block) -> None:
        edit = Edit(operation="set", text=f"{next(self._count):010}{_TEXTS[0]}")
        await self._machine.service.blocks.edit(WS, block.id, edit, BENCH)


async def _ready(machine: Machine, block: Block) -> list[list[str]]:
    """The commands of two edits of a block that each change it."""
    async with commands(machine.socket) as heard:
        for text in (*_TEXTS, *_TEXTS):
            await machine.service.blocks.edit(WS, block.id, Edit(operation="set", text=text), BENCH)
    return [[word.decode() for word in words] for words in heard.scripts[-2:]]


def _figures(when: str, found: list[list[list[float]]]) -> list[Figure]:
    published, raw, relayed, client, step = found
    to_publish, to_relay = "publication to subscriber", "script, subscriber, one HTTP write"
    figures = []
    for name, ours, floor, floor_is, target in (
        ("raw subscriber", raw, published, to_publish, None),
        ("SSE client", client, relayed, to_relay, 2),
        ("SSE client, beside a publication", client, published, to_publish, None),
        ("supervisor's step", step, published, to_publish, None),
    ):
        for of, value in (("median", medians), ("p99", slowest)):
            figures.append(
                Figure("edit to", f"{name}, {when}, {of}", value(ours), value(floor), floor_is, "s", target)
            )
    return figures
