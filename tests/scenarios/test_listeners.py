"""A thousand listeners on one web process; and one who takes nothing, who is nobody else's concern."""

import asyncio
import json
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis

from tests.scenarios.api import Api
from tests.scenarios.team import Team

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

FEW, MANY = 100, 1000
EDITS = 20
OPENED_AT_ONCE = 50
DEADLINE_S = 90
COMMANDS_BESIDE = 100
"""Of edits' own and of what every process asks by itself meanwhile; listeners may add none."""


@dataclass
class Listener:
    """A client on a plain socket; it reads when it is asked to."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    heard: list[int] = field(default_factory=list)

    async def hear(self, upto: int) -> None:
        """Until the change that made this version."""
        while not self.heard or self.heard[-1] < upto:
            line = await self.reader.readline()
            assert line, "the feed ended"
            if line.startswith(b"data: "):
                self.heard.append(json.loads(line[6:])["version"])


async def listen(team: Team, stack: AsyncExitStack, query: str = "", limit: int = 2**16) -> Listener:
    reader, writer = await asyncio.open_connection("127.0.0.1", team.settings.port, limit=limit)
    stack.callback(writer.close)
    writer.write(b"GET /v1/changes%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % query.encode())
    await reader.readuntil(b"still here")
    return Listener(reader, writer)


async def listen_many(team: Team, stack: AsyncExitStack, count: int) -> list[Listener]:
    found: list[Listener] = []
    while len(found) < count:
        opening = min(OPENED_AT_ONCE, count - len(found))
        found += await asyncio.gather(*(listen(team, stack) for _ in range(opening)))
    return found


@dataclass
class Cost:
    """What some listeners cost, per listener."""

    kilobytes: float
    cpu_us: float
    commands: int
    listening: int
    connections: int


async def cost_of(team: Team, api: Api, block: str, count: int) -> Cost:
    """So many listen to EDITS edits; each hears each once and in order."""
    pid = team.processes["web"].pid
    before = _kilobytes(pid)
    async with AsyncExitStack() as stack:
        listeners = await listen_many(team, stack, count)
        begin = await api.append(block, ".")
        await asyncio.gather(*(one.hear(begin) for one in listeners))
        kilobytes = (_kilobytes(pid) - before) / count
        with redis.Redis(unix_socket_path=f"{team.folder}/s") as hand:
            cpu, asked = _cpu_s(pid), hand.info("stats")["total_commands_processed"]
            for n in range(1, EDITS + 1):
                assert await api.append(block, ".") == begin + n
            async with asyncio.timeout(DEADLINE_S):
                await asyncio.gather(*(one.hear(begin + EDITS) for one in listeners))
            assert all(one.heard == list(range(begin, begin + EDITS + 1)) for one in listeners)
            commands = hand.info("stats")["total_commands_processed"] - asked
            listening = len(hand.client_list(_type="pubsub"))
            return Cost(
                kilobytes,
                (_cpu_s(pid) - cpu) / count / EDITS * 1e6,
                commands,
                listening,
                team.connections() - 1,
            )


async def test_a_thousand_listeners_cost_one_connection_and_their_share(
    team: Team, team_api: Api, report: Callable[[str], None]
) -> None:
    """The store is asked as much for a thousand as for a hundred; each costs what one of few does."""
    team.start()
    block = await team_api.block("board")
    await cost_of(team, team_api, block, FEW)
    few, many = [await cost_of(team, team_api, block, count) for count in (FEW, MANY)]
    report(
        f"{MANY} listeners: {many.kilobytes:.0f} kB each, {many.cpu_us:.0f} us of CPU per change and "
        f"listener ({few.cpu_us:.0f} with {FEW}); {many.connections} connections to the store, "
        f"{many.listening} of them listens; {many.commands} commands for {EDITS} edits ({few.commands})"
    )
    assert few.listening == many.listening == 1
    assert many.connections <= 8
    assert many.commands <= few.commands + COMMANDS_BESIDE
    assert many.kilobytes < 120
    assert many.cpu_us < 3 * few.cpu_us


async def test_who_takes_nothing_slows_nobody_and_misses_nothing(team: Team, team_api: Api) -> None:
    """It asks for values far longer than what lies between it and the server can hold."""
    edits, chars = 150, 90_000
    team.start()
    pid = team.processes["web"].pid
    block = await team_api.block("board")
    async with AsyncExitStack() as stack:
        slow = [await listen(team, stack, "?include=value", limit=2**20) for _ in range(20)]
        quick = await listen(team, stack)
        before = _kilobytes(pid)
        for n in range(edits):
            text = f"{n % 10}" * chars
            path = f"/v1/blocks/{block}/edits"
            version = (await team_api.post(path, {"operation": "set", "text": text}))["version"]
            async with asyncio.timeout(5):
                await quick.hear(version)
        held = _kilobytes(pid) - before
        assert held < 60_000, f"{held} kB are held for {len(slow)} who take nothing"
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.gather(*(one.hear(version) for one in slow))
    versions = list(range(2, edits + 2))
    assert quick.heard == versions
    assert all(one.heard == versions for one in slow)


def _kilobytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def _cpu_s(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
