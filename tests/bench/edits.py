"""Edits: `Blocks.edit` in this process, beside the same script through the same client."""

import asyncio
from collections.abc import AsyncIterator
from itertools import cycle
from typing import Any

from service.records.blocks import Edit
from tests.bench.figures import Figure
from tests.bench.machine import BENCH, WS, Machine
from tests.bench.pace import Pace
from tests.bench.timing import WARM_S, in_turn, per_second
from tests.bench.watching import commands

TEXTS = ("one value\n" * 30, "another one\n" * 30)
ROUNDS = 5
"""The target names that many."""


async def edits(machine: Machine, pace: Pace) -> AsyncIterator[Figure]:
    block = await machine.block()
    wanted = [Edit(operation="set", text=text) for text in TEXTS]
    async with commands(machine.socket) as heard:
        for edit in [*wanted, *wanted]:
            await machine.service.blocks.edit(WS, block.id, edit, BENCH)
    ready, next_edit = cycle(heard.scripts[-2:]), cycle(wanted)

    redis: Any = machine.redis

    async def bare() -> None:
        await redis.execute_command(*next(ready))

    async def ours() -> None:
        await machine.service.blocks.edit(WS, block.id, next(next_edit), BENCH)

    for at_once in (1, 50):

        async def rate_ours(at_once: int = at_once) -> float:
            return await per_second(ours, at_once, pace.seconds)

        async def rate_bare(at_once: int = at_once) -> float:
            return await per_second(bare, at_once, pace.seconds)

        await asyncio.gather(per_second(bare, at_once, WARM_S), per_second(ours, at_once, WARM_S))
        mine, floor = await in_turn(max(pace.rounds, min(ROUNDS, 2 * pace.rounds)), rate_ours, rate_bare)
        name = f"Blocks.edit, {at_once} at a time"
        yield Figure("process", name, mine, floor, "block_edit.lua, arguments ready made", "/s", target=0.8)
