"""Steps: what a step costs with a short history and a long one: round trips, and CPU of our own.

One worker's loop in this process, and nobody else on the store. Of the CPU what the offline model takes
to read its prompt is left out, as a real one reads it elsewhere.
"""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from statistics import median

from service.bootstrap import Service
from service.records.agents import Agent
from service.records.messages import NewMessage
from service.records.models import ModelEntry
from service.records.runs import ModelReply
from service.store.keys import key
from tests.bench.figures import Figure
from tests.bench.growth import MOST
from tests.bench.machine import WS, Machine
from tests.bench.pace import Pace
from tests.bench.watching import reads
from workers.loop import Loop
from workers.main import tools
from workers.models.base import Emit, Model, ModelRequest, ignore
from workers.models.registry import Models

_TEXT = "What a message says that is neither long nor short. "
_AGENTS = 4
"""Of each length, per round: every step makes the history longer."""


@dataclass(frozen=True)
class Seen:
    """One step."""

    cpu_s: float
    trips: int
    prompt_bytes: int
    messages: int


class WatchedModels(Models):
    """The models, and what they were asked."""

    model_s = 0.0
    prompt_bytes = 0
    messages = 0

    async def for_handle(self, handle: str) -> tuple[ModelEntry, Model]:
        entry, model = await super().for_handle(handle)
        return entry, _Watched(model, self)


class _Watched:
    def __init__(self, model: Model, models: WatchedModels) -> None:
        self._model = model
        self._models = models

    async def answer(self, request: ModelRequest, emit: Emit = ignore) -> ModelReply:
        began = time.process_time()
        try:
            return await self._model.answer(request, emit)
        finally:
            said = [message.plain_text() for message in request.messages]
            self._models.messages = len(said)
            self._models.prompt_bytes = sum(len(text.encode()) for text in (request.system, *said))
            self._models.model_s = time.process_time() - began

    def payload(self, request: ModelRequest) -> dict[str, object]:
        return self._model.payload(request)


async def by_history(machine: Machine, pace: Pace) -> AsyncIterator[Figure]:
    service = machine.service
    models = WatchedModels(service.settings, service.catalog)
    loop = Loop(service, models, tools(service.settings))
    try:
        found: dict[int, list[list[Seen]]] = {size: [] for size in pace.history}
        for _ in range(pace.rounds):
            for size in pace.history:
                agents = [await _with_history(machine, size) for _ in range(_AGENTS)]
                found[size].append([await _step(machine, loop, models, agent) for agent in agents])
        for figure in _figures(pace.history, found):
            yield figure
    finally:
        await models.aclose()


async def _with_history(machine: Machine, size: int) -> Agent:
    kinds = ("user", "assistant")
    said = [{"role": kinds[number % 2], "content": f"{number}. {_TEXT}"} for number in range(size)]
    return await machine.agent(initial_message_sequence=said, message_buffer_autoclear=False)


async def generation_of(service: Service, agent: Agent) -> int:
    """The one that its job would name."""
    return int((await service.store.hash(key(WS, "agent_state", agent.id)))["generation"])


async def carry(service: Service, loop: Loop, agent: Agent, generation: int) -> None:
    """What a worker does with an agent that is ready, in this process."""
    begun = await service.leases.begin(WS, agent.id, generation, "bench")
    assert begun is not None
    await loop.carry(*begun)


async def _step(machine: Machine, loop: Loop, models: WatchedModels, agent: Agent) -> Seen:
    service = machine.service
    await service.messages.send(WS, agent.id, [NewMessage(content="And now?")])
    generation = await generation_of(service, agent)
    before, began = await reads(machine.redis), time.process_time()
    await carry(service, loop, agent, generation)
    cpu = time.process_time() - began - models.model_s
    return Seen(cpu, await reads(machine.redis) - before - 1, models.prompt_bytes, models.messages)


def _figures(sizes: tuple[int, ...], found: dict[int, list[list[Seen]]]) -> list[Figure]:
    smallest = found[sizes[0]]
    floor_is = f"the same with {sizes[0]:,}"
    figures = []
    for size in sizes[1:]:
        seen = found[size]
        name = f"step, messages {size:,}"
        beside = {"CPU ms": median(_cpu(seen)) * 1e3, "with few": median(_cpu(smallest)) * 1e3}
        figures += [
            Figure(
                "growth",
                f"{name}, round trips",
                [median(one.trips for one in some) for some in seen],
                [median(one.trips for one in some) for some in smallest],
                floor_is,
                "round trips",
                MOST,
            ),
            Figure(
                "growth",
                f"{name}, own CPU per byte of prompt",
                [median(one.cpu_s / one.prompt_bytes for one in some) for some in seen],
                [median(one.cpu_s / one.prompt_bytes for one in some) for some in smallest],
                floor_is,
                "s",
                1,
                beside,
            ),
            Figure(
                "growth",
                f"{name}, own CPU per message of prompt",
                [median(one.cpu_s / one.messages for one in some) for some in seen],
                [median(one.cpu_s / one.messages for one in some) for some in smallest],
                floor_is,
                "s",
                1,
            ),
        ]
    return figures


def _cpu(of_rounds: list[list[Seen]]) -> list[float]:
    return [median(one.cpu_s for one in some) for some in of_rounds]
