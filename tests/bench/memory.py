"""Memory: what is kept takes in the store, beside its own bytes; what the processes take, and to start."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.metadata import Distribution, distribution
from statistics import median

from packaging.requirements import Requirement

from service.records.agents import Agent
from service.records.blocks import BlockFields
from service.records.messages import NewMessage
from service.store.keys import key
from tests.bench.figures import Figure, bound
from tests.bench.load import Connection, load, request
from tests.bench.machine import BENCH, WS, Machine
from tests.bench.pace import Pace
from tests.bench.steps import carry, generation_of
from tests.bench.timing import gathered, in_turn
from tests.bench.watching import cpu_s, resident_mb, store_bytes
from workers.loop import Loop
from workers.main import tools
from workers.models.registry import Models

_PAYLOAD = "its own bytes"
_IDLE_MB, _WEB_S, _WORKER_S, _PACKAGES, _INSTALLED_MB = 200, 2, 5, 60, 120
_VALUE = "A line of a block that is not very long.\n" * 20
_QUESTION, _ANSWER = "What do you make of it? " * 5, "Not much, as it stands. " * 10
_LOST_S = 30.0
_BUSY_CLIENTS = 16


async def kept(machine: Machine, pace: Pace) -> AsyncIterator[Figure]:
    """Bytes in the store per block, agent, and message that was answered, indexes and history included."""
    count, service = pace.kept, machine.service

    async def block(number: int) -> None:
        fields = BlockFields(label=f"label-{number % 50}", value=_VALUE)
        await service.blocks.create(WS, fields, BENCH)

    grown = await _growth(machine, lambda: gathered(block, count)) / count
    yield Figure("kept", "a block", [grown], [len(_VALUE)], _PAYLOAD, "bytes")

    agents: list[Agent] = []

    async def agent(_: int) -> None:
        agents.append(await machine.agent(message_buffer_autoclear=False))

    grown = await _growth(machine, lambda: gathered(agent, count)) / count
    size = len(agents[0].model_dump_json(exclude_defaults=True).encode())
    yield Figure("kept", "an agent", [grown], [size], _PAYLOAD, "bytes")

    models = Models(service.settings, service.catalog)
    loop = Loop(service, models, tools(service.settings))

    async def answered(number: int) -> None:
        said = json.dumps({"say": _QUESTION, "script": [{"text": _ANSWER}]})
        agent = agents[number % len(agents)]
        await service.messages.send(WS, agent.id, [NewMessage(content=said)])
        await carry(service, loop, agent, await generation_of(service, agent))

    whole = await _growth(machine, lambda: gathered(answered, min(count, len(agents)))) / count
    bodies = [await service.store.hash(key(WS, "agent_bodies", one.id)) for one in agents[:20]]
    texts = [text for one in bodies for text in list(one.values())[-2:]]
    message = sum(len(text.encode()) for text in texts) / len(texts)
    asked = len(json.dumps({"say": _QUESTION, "script": [{"text": _ANSWER}]}))
    yield Figure("kept", "a message", [message], [(asked + len(_ANSWER)) / 2], _PAYLOAD, "bytes")
    yield Figure("kept", "a run: two messages and a step", [whole], [asked + len(_ANSWER)], _PAYLOAD, "bytes")
    await models.aclose()


async def _growth(machine: Machine, act: Callable[[], Awaitable[object]]) -> float:
    before = await store_bytes(machine.redis)
    await act()
    return await store_bytes(machine.redis) - before


async def processes(machine: Machine, pace: Pace) -> AsyncIterator[Figure]:
    """Resident memory of web and worker, idle and after much work; the time until each is of use."""
    agent = await machine.agent()
    said = json.dumps({"messages": [{"role": "user", "content": "Well?"}]}).encode()
    send = request("POST", f"/v1/agents/{agent.id}/messages", said)
    async with machine.web() as web:
        with machine.worker() as worker:
            connection = await Connection.open(web.port)
            await connection.ask(send)
            idle = resident_mb(web.pid), resident_mb(worker)
            await load(web, [send], 1, 2 * pace.seconds)
            await load(web, [request("GET", "/v1/blocks/")], _BUSY_CLIENTS, 2 * pace.seconds)
            busy = resident_mb(web.pid), resident_mb(worker)
            connection.close()
    yield bound("processes", "web and worker, idle", [sum(idle)], _IDLE_MB, "MB")
    for name, before, after in zip(("web", "worker"), idle, busy, strict=True):
        yield Figure("processes", f"{name}, busy", [after], [before], "idle", "MB")
    starts = _Starts(machine)
    web_s, worker_s = await in_turn(pace.rounds, starts.web, starts.worker)
    cpu = [{"CPU s": median(one)} for one in (starts.web_cpu, starts.worker_cpu)]
    yield bound("processes", "web healthy after", web_s, _WEB_S, "s", cpu[0])
    yield bound("processes", "worker takes jobs after", worker_s, _WORKER_S, "s", cpu[1])
    closure = runtime()
    yield bound("processes", "packages of the runtime", [len(closure)], _PACKAGES, "packages")
    yield bound(
        "processes", "installed runtime, as du -m", [sum(map(_size, closure)) / 2**20], _INSTALLED_MB, "MB"
    )


class _Starts:
    """How long a process takes until it is of use, and what of that it worked."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.web_cpu: list[float] = []
        self.worker_cpu: list[float] = []

    async def web(self) -> float:
        """Until it says that it is healthy."""
        began = time.monotonic()
        async with self._machine.web() as web:
            connection = await Connection.open(web.port)
            await connection.ask(request("GET", "/v1/health/"))
            took = time.monotonic() - began
            self.web_cpu.append(cpu_s(web.pid))
            connection.close()
        return took

    async def worker(self) -> float:
        """Until a message that waits has been answered."""
        service = self._machine.service
        agent = await self._machine.agent()
        run = await service.messages.send(WS, agent.id, [NewMessage(content="Are you there?")])
        began = time.monotonic()
        with contextlib.ExitStack() as stack:
            worker = stack.enter_context(self._machine.worker())
            async with asyncio.timeout(_LOST_S):
                await service.runs.wait(WS, run.id)
            took = time.monotonic() - began
            self.worker_cpu.append(cpu_s(worker))
        return took


def runtime() -> list[Distribution]:
    """Blockwire's distributions and all that they need here, without what only its developers need."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    wanted = [Requirement("blockwire")]
    while wanted:
        one = wanted.pop()
        needs = distribution(one.name)
        found.setdefault(needs.metadata["Name"].lower().replace("_", "-"), needs)
        for extra in ("", *one.extras):
            if (one.name, extra) not in seen:
                seen.add((one.name, extra))
                texts = [Requirement(text) for text in needs.requires or ()]
                wanted += [next_ for next_ in texts if _is_needed(next_, extra)]
    return list(found.values())


def _is_needed(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _size(installed: Distribution) -> int:
    """Bytes of its files on disk; what pip compiled is among them."""
    paths = [installed.locate_file(file) for file in installed.files or ()]
    sizes = []
    for path in paths:
        with contextlib.suppress(OSError):
            sizes.append(-(-path.stat().st_size // 4096) * 4096)  # type: ignore[attr-defined]
    return sum(sizes)
