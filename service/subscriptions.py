"""Subscriptions: which changes wake which agent.

An agent subscribes to one block, or to every block with a label; it need not
have it attached. Elsewhere: who tells it (workers/wakeups.py).
"""

from collections.abc import Callable, Sequence

from service.agents import Agents
from service.blocks import Blocks
from service.changes import Changes
from service.errors import Invalid, NotFound
from service.queue import Queue
from service.records.agents import Subscription
from service.records.base import Micros
from service.records.blocks import Change
from service.records.ids import new_id
from service.records.runs import Run
from service.store.agents import SubscriptionStore
from service.store.client import StoreClient
from service.store.keys import WORKSPACES_KEY
from service.store.wakeups import WakeUpStore


class Subscriptions:
    """The room of subscriptions and of the cursor that says how far they were told."""

    def __init__(
        self,
        store: StoreClient,
        agents: Agents,
        blocks: Blocks,
        changes: Changes,
        queue: Queue,
        clock: Callable[[], Micros],
    ) -> None:
        self._client = store
        self._store = SubscriptionStore(store)
        self._wakeups = WakeUpStore(store)
        self._agents = agents
        self._blocks = blocks
        self._changes = changes
        self._queue = queue
        self._clock = clock

    async def create(
        self, ws: str, agent_id: str, *, block_id: str | None = None, label: str | None = None
    ) -> Subscription:
        """Exactly one of block and label. Raises NotFound for the agent or the block."""
        if (block_id is None) == (label is None):
            raise Invalid("block_id", "give either block_id or label, and only one of them")
        if block_id is not None:
            await self._blocks.read(ws, block_id)
        subscription = Subscription(
            id=new_id("subscription"),
            agent_id=agent_id,
            block_id=block_id,
            label=label,
            since=await self._changes.last_id(ws),
            created_at=self._clock(),
        )
        await self._store.put(ws, subscription)
        return subscription

    async def find(self, ws: str, agent_id: str) -> list[Subscription]:
        """An agent's subscriptions, oldest first. Raises NotFound for the agent."""
        await self._agents.read(ws, agent_id)
        own = [one for one in await self._store.all(ws) if one.agent_id == agent_id]
        return sorted(own, key=lambda one: (one.created_at, one.id))

    async def delete(self, ws: str, agent_id: str, subscription_id: str) -> None:
        if subscription_id not in {one.id for one in await self.find(ws, agent_id)}:
            raise NotFound("subscription", subscription_id)
        await self._store.drop(ws, subscription_id)

    async def all(self, ws: str) -> list[Subscription]:
        return await self._store.all(ws)

    async def workspaces(self) -> list[str]:
        return sorted(await self._client.members(WORKSPACES_KEY))

    async def cursor(self, ws: str) -> str:
        """The id of the last change that subscribers were told of."""
        return await self._wakeups.cursor(ws)

    async def changes_after(self, ws: str, cursor: str, limit: int) -> list[Change]:
        return await self._wakeups.changes_after(ws, cursor, limit)

    async def wake(
        self, ws: str, cursor: str, upto: str, wakes: Sequence[tuple[Run, Sequence[Change]]]
    ) -> bool:
        """Records wake-ups and moves the cursor in one act; False when another dispatcher was first."""
        woken = await self._wakeups.move(ws, cursor, upto, wakes)
        if woken is None:
            return False
        for ready in woken:
            await self._queue.put_step(ws, ready)
        return True
