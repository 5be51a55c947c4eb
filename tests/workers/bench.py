"""Bench: an open service with one worker's loop, scripted agents, and a look at all that models are asked.

    agent = await bench.agent(blocks={"notes": "one"})
    run = await bench.tell(agent, calls(call("memory_insert", label="notes", new_string="two")))
    assert await bench.text("notes") == "one\\ntwo"

Entries are those of the scripted model; when they run out it says "done".
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from service.bootstrap import Service
from service.catalog import Catalog
from service.records.agents import Agent, NewAgent
from service.records.base import DEFAULT_WORKSPACE, Page
from service.records.blocks import Author, Block, BlockFields, Edit
from service.records.messages import Message, NewMessage, ToolReturn
from service.records.models import ModelEntry
from service.records.runs import Lease, ModelReply, Run, RunOptions
from service.records.subscriptions import Subscription, SubscriptionFields
from service.settings import Settings
from service.store.keys import key
from tests.store.team import taken
from workers.loop import Loop
from workers.main import tools
from workers.models.base import Emit, Model, ModelRequest, ignore
from workers.models.registry import Models

WS = DEFAULT_WORKSPACE
PERSON = Author(name="a person")

Entry = dict[str, Any]
Meanwhile = Callable[[], Awaitable[object]]


async def wait_until(fact: str, holds: Callable[[], Awaitable[bool]], deadline_s: float = 5) -> None:
    """Until it holds; after the deadline the failure names what was waited for."""
    end = time.monotonic() + deadline_s
    while not await holds():
        assert time.monotonic() < end, f"waited {deadline_s} s in vain until {fact}"
        await asyncio.sleep(0.01)


def call(name: str, **arguments: Any) -> Entry:
    return {"name": name, "arguments": arguments}


def calls(*made: Entry, **more: Any) -> Entry:
    """A turn with tool calls; `text` beside them, or what else an entry may have."""
    return {"calls": list(made), **more}


def says(text: str, **more: Any) -> Entry:
    return {"text": text, **more}


class WorkerKilled(BaseException):
    """What a test throws where a worker is to die: nothing of ours catches it."""


class RecordingModels(Models):
    """The real registry; what it hands out keeps every request, and lets others act during a call."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        super().__init__(settings, catalog)
        self.requests: list[ModelRequest] = []
        self.meanwhile: dict[int, Meanwhile] = {}
        """Number of the call, from 0 -> what happens while the model thinks."""

    async def for_handle(self, handle: str) -> tuple[ModelEntry, Model]:
        entry, model = await super().for_handle(handle)
        return entry, _Recording(model, self)


class _Recording:
    def __init__(self, model: Model, models: RecordingModels) -> None:
        self._model = model
        self._models = models

    async def answer(self, request: ModelRequest, emit: Emit = ignore) -> ModelReply:
        self._models.requests.append(request)
        happens = self._models.meanwhile.pop(len(self._models.requests) - 1, None)
        if happens is not None:
            await happens()
        return await self._model.answer(request, emit)

    def payload(self, request: ModelRequest) -> dict[str, Any]:
        return self._model.payload(request)


class Bench:
    """One worker and everything around it, step by step under the test's hand."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.models = RecordingModels(service.settings, service.catalog)
        self.loop = self.new_loop()
        self.ids: dict[str, str] = {}
        """label -> id of the blocks that tests made here."""

    @property
    def requests(self) -> list[ModelRequest]:
        """What models were asked, oldest first."""
        return self.models.requests

    def new_loop(self) -> Loop:
        """Another worker's loop, with the same models."""
        return Loop(self.service, self.models, tools(self.service.settings))

    async def block(self, label: str, value: str = "", **fields: Any) -> Block:
        given = BlockFields(label=label, value=value, **fields)
        block = await self.service.blocks.create(WS, given, PERSON)
        self.ids[label] = block.id
        return block

    async def agent(
        self, blocks: dict[str, str] | None = None, share: list[Block] | None = None, **fields: Any
    ) -> Agent:
        """An agent of the scripted model, with new blocks (label -> value) and shared ones."""
        made = [await self.block(label, value) for label, value in (blocks or {}).items()]
        ids = [block.id for block in [*made, *(share or [])]]
        new = NewAgent.model_validate({"model": "offline/scripted", "block_ids": ids} | fields)
        return await self.service.agents.create(WS, new, PERSON)

    async def memgpt(self, **fields: Any) -> Agent:
        """One of the heartbeat kind, its history empty but for the system prompt."""
        return await self.agent(**{"agent_type": "memgpt_agent", "initial_message_sequence": []} | fields)

    async def send(self, agent: Agent, text: str, **options: Any) -> Run:
        message = NewMessage(content=text)
        return await self.service.messages.send(WS, agent.id, [message], RunOptions(**options))

    async def script(self, agent: Agent, *entries: Entry, **options: Any) -> Run:
        """A message that holds a script; nobody carries it yet."""
        return await self.send(agent, json.dumps({"script": entries}), **options)

    async def tell(self, agent: Agent, *entries: Entry, **options: Any) -> Run:
        """A message that holds a script, carried to its end."""
        run = await self.script(agent, *entries, **options)
        await self.carry(agent)
        return await self.service.runs.read(WS, run.id)

    async def lease(self, agent: Agent, worker: str = "one") -> Lease:
        generation = await self.generation(agent)
        lease = await taken(self.service, agent.id, generation, worker)
        assert lease is not None, "the agent is not ready to be taken"
        return lease

    async def generation(self, agent: Agent) -> int:
        return int((await self.state(agent))["generation"])

    async def state(self, agent: Agent) -> dict[str, str]:
        return await self.service.store.hash(key(WS, "agent_state", agent.id))

    async def carry(self, agent: Agent) -> None:
        await self.loop.carry(await self.lease(agent))

    async def take_over(self, agent: Agent) -> None:
        """What happens when the lease of a dead worker has run out: the next one carries on."""
        await self.lose(agent)
        await self.new_loop().carry(await self.lease(agent, "two"))

    async def lose(self, agent: Agent) -> None:
        """The lease runs out without anybody waiting for it, and a sweeper notices."""
        await self.service.store.run("lease_renew", WS, 0, agent.id, await self.generation(agent))
        assert agent.id in {ready.agent_id for _, ready in await self.service.leases.sweep()}

    async def watch(self, agent: Agent, label: str, **fields: Any) -> Subscription:
        """The agent subscribes to a block of this bench."""
        return await self.subscribe(agent, block_id=self.ids[label], **fields)

    async def watch_label(self, agent: Agent, label: str) -> None:
        await self.subscribe(agent, label=label)

    async def subscribe(self, agent: Agent, **fields: Any) -> Subscription:
        return await self.service.subscriptions.create(WS, agent.id, SubscriptionFields(**fields))

    async def wakeups(self, agent: Agent) -> list[Run]:
        runs = await self.service.runs.find(WS, agent.id, Page())
        return [run for run in runs if run.kind == "wakeup"]

    async def woken_text(self, agent: Agent) -> str:
        """What the agent's only wake-up says, once it was carried."""
        await self.carry(agent)
        [run] = await self.wakeups(agent)
        [message] = (await self.service.runs.read(WS, run.id)).messages
        return str(message.content)

    async def edit(self, label: str, operation: str, **fields: Any) -> Block:
        """An edit by a person."""
        edit = Edit.model_validate({"operation": operation} | fields)
        return (await self.service.blocks.edit(WS, self.ids[label], edit, PERSON)).block

    async def read(self, label: str) -> Block:
        return await self.service.blocks.read(WS, self.ids[label])

    async def text(self, label: str) -> str:
        return (await self.read(label)).value

    async def labels(self, agent: Agent) -> list[str]:
        return sorted(await self.service.blocks.labels(WS, agent.id))

    async def messages(self, run: Run) -> list[Message]:
        """What a run put into the history."""
        return await self.service.runs.messages(WS, run.id)

    async def results(self, run: Run) -> list[ToolReturn]:
        """The tool results of a run, oldest first."""
        return [result for message in await self.messages(run) for result in message.tool_returns]

    async def history(self, agent: Agent) -> list[Message]:
        return await self.service.messages.find(WS, agent.id, Page(limit=None))


def told(request: ModelRequest) -> list[str]:
    """The messages of a request as `role: text`; of tools their results."""
    lines = []
    for message in request.messages:
        text = message.plain_text()
        if message.tool_returns:
            text = "; ".join(one.text for one in message.tool_returns)
        lines.append(f"{message.role}: {text}")
    return lines


def notes_in(request: ModelRequest) -> list[str]:
    """The notes about others' edits among the messages of a request."""
    return [one.plain_text() for one in request.messages if one.plain_text().startswith("<changed_blocks>")]


def unpacked(request: ModelRequest) -> list[dict[str, Any]]:
    """The tool results in a request, read back from the JSON that the model receives."""
    return [json.loads(one.text) for message in request.messages for one in message.tool_returns]
