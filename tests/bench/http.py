"""HTTP: blocks read, changed and listed, and agents; beside a bare app on the same server.

What the bare app sends to the store is what the web process was seen to send: its first
script, or its first command where it runs none. What it answers are the same bytes.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from statistics import median

from service.records.agents import Agent
from service.records.blocks import Block
from service.store.keys import key
from tests.bench.figures import Figure
from tests.bench.load import Connection, Load, load, request
from tests.bench.machine import WS, Machine, Served
from tests.bench.pace import Pace
from tests.bench.timing import WARM_S
from tests.bench.watching import commands, reads

LISTED = 20
_WITHOUT, _WITH = 0.6, 0.5
_COUNTED = 50
_SHARE = 0.5
"""Twice the rounds, of half the time: other work on the machine then falls on both sides."""


@dataclass(frozen=True)
class Kind:
    """One kind of request; its bodies are sent in turn, so that each changes something."""

    name: str
    method: str
    path: str
    bodies: tuple[bytes, ...] = (b"",)
    fresh: bool = False
    held: bool = False
    """Whether a target is named for it."""

    def requests(self, token: str = "") -> list[bytes]:
        return [request(self.method, self.path, body, token) for body in self.bodies]

    @property
    def route(self) -> str:
        return f"{self.method} {self.path.partition('?')[0]}"


async def http(machine: Machine, pace: Pace) -> AsyncIterator[Figure]:
    """A block over HTTP, with few clients and many, with a token and without."""
    block = await machine.block()
    for number in range(LISTED):
        await machine.block(f"listed-{number}")
    async with both(machine, block_kinds(block)) as (web, bare):
        for secured in (False, True):
            token = await a_token(machine) if secured else ""
            for kind in block_kinds(block):
                for clients in pace.clients:
                    yield await compared(kind, web, bare, clients, pace, token)


async def agents(machine: Machine, pace: Pace) -> AsyncIterator[Figure]:
    """Agents and their memory over HTTP, with the round trips that each request makes."""
    blocks = [await machine.block(label) for label in ("persona", "human", "team")]
    agent = await machine.agent([block.id for block in blocks])
    async with both(machine, agent_kinds(agent)) as (web, bare):
        for kind in agent_kinds(agent):
            trips = await round_trips(machine, web, kind)
            yield await compared(kind, web, bare, 1, pace, "", {"round trips": trips})


def block_kinds(block: Block) -> list[Kind]:
    path = f"/v1/blocks/{block.id}"
    return [
        Kind("block get", "GET", path, held=True),
        Kind("block update", "PATCH", path, _values(), held=True),
        Kind(f"block list of {LISTED}", "GET", f"/v1/blocks/?limit={LISTED}"),
    ]


def agent_kinds(agent: Agent) -> list[Kind]:
    memory = [{"label": "persona", "value": "I am one."}, {"label": "human", "value": "They are many."}]
    new = {"name": "made", "model": "offline/scripted", "memory_blocks": memory}
    path = f"/v1/agents/{agent.id}"
    return [
        Kind("agent create", "POST", "/v1/agents/", (json.dumps(new).encode(),), fresh=True),
        Kind("agent get", "GET", path),
        Kind("core-memory list", "GET", f"{path}/core-memory/blocks"),
        Kind("core-memory update", "PATCH", f"{path}/core-memory/blocks/persona", _values()),
    ]


def _values() -> tuple[bytes, ...]:
    return tuple(json.dumps({"value": letter * 600}).encode() for letter in "ab")


async def a_token(machine: Machine) -> str:
    _, secret = await machine.service.tokens.create(WS, "write", name="bench")
    return secret


@contextlib.asynccontextmanager
async def both(machine: Machine, kinds: Sequence[Kind]) -> AsyncIterator[tuple[Served, Served]]:
    """The web process and the bare one."""
    async with machine.web() as web:
        routes = {kind.route: await _told(machine, web, kind) for kind in kinds}
        told = machine.folder / "bare.json"
        told.write_text(json.dumps({"routes": routes, "channel": key(WS, "changed")}))
        async with machine.serving("tests.bench.bare", str(told)) as bare:
            yield web, bare


async def _told(machine: Machine, web: Served, kind: Kind) -> dict[str, object]:
    connection = await Connection.open(web.port)
    for sent in kind.requests():
        await connection.ask(sent)
    ready, body = [], b""
    for sent in kind.requests():
        async with commands(machine.socket) as heard:
            body = await connection.ask(sent)
        first = _what_matters(heard.scripts, kind) or heard.seen[0]
        ready.append([word.decode() for word in first])
    connection.close()
    return {"commands": ready, "body": body.decode(), "fresh": kind.fresh}


def _what_matters(scripts: list[list[bytes]], kind: Kind) -> list[bytes] | None:
    """Of the scripts of one request the one with the most to say: what it reads before is not the floor."""
    return max(scripts, key=lambda words: sum(map(len, words)), default=None)


async def compared(
    kind: Kind,
    web: Served,
    bare: Served,
    clients: int,
    pace: Pace,
    token: str,
    beside: dict[str, float] | None = None,
) -> Figure:
    requests = kind.requests(token)
    seconds = pace.seconds * _SHARE
    for served in (web, bare) if seconds > WARM_S else ():
        await load(served, requests, clients, WARM_S)
    mine: list[Load] = []
    floor: list[Load] = []
    for number in range(round(pace.rounds / _SHARE)):
        sides = [(web, mine), (bare, floor)]
        for served, found in sides if number % 2 else reversed(sides):
            found.append(await load(served, requests, clients, seconds))
    cpu = {
        "CPU µs": median(one.cpu_s for one in mine) * 1e6,
        "bare µs": median(one.cpu_s for one in floor) * 1e6,
    }
    who = f"{clients} client{'s' if clients > 1 else ''}{', token' if token else ''}"
    target = (_WITH if token else _WITHOUT) if kind.held else None
    return Figure(
        "http",
        f"{kind.name}, {who}",
        [one.per_second for one in mine],
        [one.per_second for one in floor],
        "bare ASGI function, same script and bytes",
        "/s",
        target=target,
        beside=(beside or {}) | cpu,
    )


async def round_trips(machine: Machine, web: Served, kind: Kind) -> float:
    """Round trips to the store that one request makes."""
    connection = await Connection.open(web.port)
    requests = kind.requests()
    before = await reads(machine.redis)
    for number in range(_COUNTED):
        await connection.ask(requests[number % len(requests)])
    made = await reads(machine.redis) - before - 1
    connection.close()
    return made / _COUNTED
