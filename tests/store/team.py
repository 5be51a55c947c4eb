"""Team: short ways to what tests need: blocks, agents, leases, and everything the store holds."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from service.bootstrap import Service
from service.records.agents import Agent, AgentFields, NewAgent
from service.records.base import DEFAULT_WORKSPACE
from service.records.blocks import Author, Block, BlockFields, Cause, Change, Edit, EditOutcome
from service.records.ids import new_id
from service.records.messages import Answer, CallAnswer, Message, NewMessage, ToolCall
from service.records.open_runs import OpenRun
from service.records.runs import Lease, Ready, Run, Step, Usage
from service.records.subscriptions import Subscription, SubscriptionFields, WakeUp
from service.store.client import StoreClient
from service.store.keys import key, workspace_prefix
from service.store.leases import LeaseStore

WS = DEFAULT_WORKSPACE
ALICE = Author(name="alice")
RUN_SECONDS = 86_400


async def wait_until(fact: str, holds: Callable[[], Awaitable[bool]], deadline_s: float = 20) -> None:
    """Until something is so; fails with the name of the fact."""
    end = time.monotonic() + deadline_s
    while not await holds():
        assert time.monotonic() < end, f"waited {deadline_s} s in vain until {fact}"
        await asyncio.sleep(0.005)


def raw(store: StoreClient) -> "Redis":
    """The connection below the store's door, for tests that look or break in."""
    return store._redis


async def contents(redis: "Redis") -> dict[str, Any]:
    """Every key with its type, its content and whether it ends by itself."""
    found: dict[str, Any] = {}
    for name in sorted(await redis.keys("*")):
        kind = await redis.type(name)
        found[name] = (kind, await _READ[kind](redis, name), await redis.ttl(name) >= 0)
    return found


_READ: dict[str, Callable[[Any, str], Awaitable[Any]]] = {
    "string": lambda redis, name: redis.get(name),
    "hash": lambda redis, name: redis.hgetall(name),
    "set": lambda redis, name: redis.smembers(name),
    "list": lambda redis, name: redis.lrange(name, 0, -1),
    "zset": lambda redis, name: redis.zrange(name, 0, -1, withscores=True),
    "stream": lambda redis, name: redis.xrange(name),
}


def word(*ids: str, approve: bool = True, **fields: Any) -> NewMessage:
    """The caller's word on calls of those ids."""
    given = [CallAnswer(tool_call_id=id, approve=approve) for id in ids]
    return NewMessage(role="approval", content="", answer=Answer(calls=given, **fields))


async def taken(service: Service, agent_id: str, generation: int, worker: str = "test") -> Lease | None:
    """The lease alone, without the run that comes with it where workers take one."""
    leases = LeaseStore(service.store, RUN_SECONDS)
    return await leases.take(WS, agent_id, generation, worker, service.settings.lease_ms)


def causes(changes: Sequence[Change], by: Subscription) -> list[Cause]:
    return [Cause(**vars(change), by=by.id) for change in changes]


class Team:
    """One workspace and the rooms around it."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.store = service.store
        self.leases = LeaseStore(service.store, RUN_SECONDS)

    @property
    def redis(self) -> "Redis":
        return raw(self.store)

    async def block(self, value: str = "", label: str = "notes", **fields: Any) -> Block:
        return await self.service.blocks.create(WS, BlockFields(label=label, value=value, **fields), ALICE)

    async def agent(self, *blocks: Block, **fields: Any) -> Agent:
        new = NewAgent(model="offline/extractive", block_ids=[block.id for block in blocks], **fields)
        return await self.service.agents.create(WS, new, ALICE)

    async def edit(
        self, block: Block, operation: Any, text: str = "", by: Author = ALICE, **more: Any
    ) -> EditOutcome:
        edit = Edit(operation=operation, text=text, **more)
        return await self.service.blocks.edit(WS, block.id, edit, by)

    async def configure(self, block: Block, **fields: Any) -> EditOutcome:
        return await self.edit(block, "configure", fields=BlockFields(**fields))

    async def update(self, agent: Agent, **fields: Any) -> Agent:
        return await self.service.agents.configure(WS, agent.id, AgentFields(**fields), ALICE)

    async def send(self, agent: Agent, text: str = "Hello.", **more: Any) -> str:
        return (await self.service.messages.send(WS, agent.id, [NewMessage(content=text)], **more)).id

    async def subscribe(self, agent: Agent, **fields: Any) -> Subscription:
        return await self.service.subscriptions.create(WS, agent.id, SubscriptionFields(**fields))

    async def wake(self, agent: Agent, run_id: str, changes: Sequence[Change]) -> WakeUp:
        """What a dispatcher records: the changes, told by a subscription of the agent."""
        found = await self.service.subscriptions.find(WS, agent.id)
        by = found[0] if found else await self.subscribe(agent, label="notes")
        run = Run(id=run_id, agent_id=agent.id, kind="wakeup", created_at=0)
        return WakeUp(run=run, causes=causes(changes, by), by=[by])

    async def ready(self, agent: Agent) -> Ready:
        """The agent, ready: what its next lease needs."""
        state = await self.state(agent)
        assert state["status"] == "ready"
        return Ready(agent_id=agent.id, generation=int(state["generation"]), pool=state["pool"])

    async def lease(self, agent: Agent, ms: int = 60_000, worker: str = "worker-1") -> Lease:
        """A lease on an agent that has a message."""
        if (await self.state(agent))["status"] == "idle":
            await self.send(agent)
        ready = await self.ready(agent)
        lease = await self.leases.take(WS, agent.id, ready.generation, worker, ms)
        assert lease is not None
        return lease

    async def working(self, agent: Agent) -> tuple[Lease, OpenRun]:
        """A lease, and the run that was begun under it."""
        lease = await self.lease(agent)
        run = await self.leases.next_run(lease)
        assert run is not None
        return lease, run

    async def asked(self, *ids: str) -> tuple[Agent, Message]:
        """An agent whose run stopped and asks for calls of those ids."""
        agent = await self.agent()
        lease, open_run = await self.working(agent)
        request = await self.ask(lease, open_run.run, *ids)
        assert await self.leases.next_run(lease) is None
        return agent, request

    async def ask(self, lease: Lease, run: Run, *ids: str, through: LeaseStore | None = None) -> Message:
        """A run ends with a request for its caller's word, which waits as long as settings say."""
        step = Step(id=new_id("step"), run_id=run.id, agent_id=run.agent_id, index=0, created_at=0)
        request = Message(
            id=new_id("message"),
            agent_id=run.agent_id,
            role="approval",
            created_at=0,
            tool_calls=[ToolCall(id=id, name="rm", arguments="{}") for id in ids],
            asked=list(ids),
            run_id=run.id,
            step_id=step.id,
        )
        whole: dict[str, Any] = {"usage": Usage(), "context_tokens": 1, "seen": {}}
        if isinstance(through, LeaseStore):
            whole["step_count"] = 1
            await through.store_step(lease, step, [request], **whole, stop_reason="requires_approval")
        else:
            leases = self.service.leases
            await leases.store_step(lease, run, step, [request], **whole, stop_reason="requires_approval")
        return request

    async def state(self, agent: Agent) -> Mapping[str, str]:
        return await self.store.hash(key(WS, "agent_state", agent.id))

    async def changes(self) -> list[Change]:
        return await self.service.changes.after(WS, "0-0", limit=10_000)

    async def history(self, block: Block) -> list[dict[str, str]]:
        entries = await self.store.entries(key(WS, "block_history", block.id))
        return [fields | {"id": id} for id, fields in entries]

    async def everything(self) -> dict[str, Any]:
        return await contents(self.redis)

    async def names(self) -> set[str]:
        """The keys of the workspace, without its prefix."""
        prefix = workspace_prefix(WS)
        return {name.removeprefix(prefix) for name in await self.redis.keys("*") if name.startswith(prefix)}
