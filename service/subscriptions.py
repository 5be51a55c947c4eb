"""Subscriptions: which changes wake which agent.

An agent subscribes to one block, to blocks by label, by a pattern of labels or by
tag, or to whatever is attached to agents with a tag; it need not have the blocks
attached itself. A subscription that was cut (its wake-ups followed from each other
too long, or were too many) says so until it is resumed, by setting it active.

Elsewhere: which of them a change concerns (service/matches.py); who tells it (workers/wakeups.py).
"""

from collections.abc import Callable, Sequence

from service.agents import Agents
from service.blocks import Blocks
from service.changes import Changes
from service.errors import Invalid, NotFound
from service.matches import Matches
from service.queue import Queue
from service.records.base import Micros
from service.records.blocks import Change
from service.records.ids import new_id
from service.records.runs import Run
from service.records.subscriptions import (
    DEBOUNCES_WAITED,
    TARGETS,
    Subscription,
    SubscriptionFields,
    WakeUp,
)
from service.store.client import StoreClient
from service.store.subscriptions import SubscriptionStore
from service.store.wakeups import WakeUpStore
from service.wake_words import check_template


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
        self._store = SubscriptionStore(store)
        self._wakeups = WakeUpStore(store)
        self._matches = Matches(self._store, blocks)
        self._agents = agents
        self._blocks = blocks
        self._changes = changes
        self._queue = queue
        self._clock = clock

    async def create(
        self, ws: str, agent_id: str, fields: SubscriptionFields, subscription_id: str | None = None
    ) -> Subscription:
        """Exactly one of TARGETS. Raises NotFound for the agent or the block, Invalid.

        With a `subscription_id` that exists already the subscription is given back as it is.
        """
        for found in await self._store.read_many(ws, [subscription_id] if subscription_id else []):
            return found
        id = subscription_id or new_id("subscription")
        blank = Subscription(id=id, agent_id=agent_id, created_at=self._clock())
        subscription = await self._with(ws, blank, fields)
        if await self._store.put(ws, subscription) is None:  # another was first
            return await self.read(ws, agent_id, id)
        return subscription

    async def find(self, ws: str, agent_id: str) -> list[Subscription]:
        """An agent's subscriptions, oldest first. Raises NotFound for the agent."""
        await self._agents.read(ws, agent_id)
        own = await self._store.of_agent(ws, agent_id)
        return sorted(own, key=lambda one: (one.created_at, one.id))

    async def read(self, ws: str, agent_id: str, subscription_id: str) -> Subscription:
        """One of an agent's. Raises NotFound for the agent or the subscription."""
        await self._agents.read(ws, agent_id)
        for found in await self._store.read_many(ws, [subscription_id]):
            if found.agent_id == agent_id:
                return found
        raise NotFound("subscription", subscription_id)

    async def update(
        self, ws: str, agent_id: str, subscription_id: str, fields: SubscriptionFields
    ) -> Subscription:
        """Another target begins anew, from now on, and so does one that was off. Raises as `create` does.

        `active` resumes one that was cut: its agent is woken at once by what was held back.
        """
        while True:
            text = await self._store.text(ws, subscription_id)  # before what it is compared with
            before = await self.read(ws, agent_id, subscription_id)
            after = await self._with(ws, before, fields)
            resumed = _resumed(after) if fields.active and before.cut is not None else None
            ready = await self._store.put(ws, after, text, resumed)
            if ready is not None:
                await self._queue.nudge(ws, ready)
                return after if resumed is None else after.model_copy(update={"cut": None})

    async def delete(self, ws: str, agent_id: str, subscription_id: str) -> None:
        await self._agents.read(ws, agent_id)
        if not await self._store.drop(ws, agent_id, subscription_id):
            raise NotFound("subscription", subscription_id)

    async def all(self, ws: str) -> list[Subscription]:
        return await self._store.all(ws)

    async def read_many(self, ws: str, ids: Sequence[str]) -> list[Subscription]:
        """Those of them that exist, in order."""
        return await self._store.read_many(ws, ids)

    async def concerned(self, ws: str, changes: Sequence[Change]) -> dict[str, list[Subscription]]:
        """By the id of a change, the subscriptions that it concerns."""
        return await self._matches.of(ws, changes)

    async def told(self, ws: str, ids: Sequence[str]) -> dict[str, dict[str, int]]:
        """By subscription and block, the version that was told last."""
        return await self._store.told(ws, ids)

    async def cursor(self, ws: str) -> str:
        """The id of the last change that subscribers were told of."""
        return await self._wakeups.cursor(ws)

    async def wake(
        self, ws: str, cursor: str, upto: str, wakes: Sequence[WakeUp], webhooks: Sequence[str] = ()
    ) -> bool:
        """Records wake-ups, and which webhooks may have something to tell, and moves the cursor in one act.

        False when another dispatcher was first.
        """
        woken = await self._wakeups.move(ws, cursor, upto, wakes, webhooks)
        if woken is None:
            return False
        await self._queue.nudge(ws, woken)
        return True

    async def wake_due(self, ws: str) -> float | None:
        """Wakes the agents whose burst of changes is over; seconds until others are, if any."""
        waiting = await self._wakeups.waiting(ws)
        if not waiting:
            return None
        runs = [wake_run(agent_id, new_id("run")) for agent_id in waiting]
        soonest, woken = await self._wakeups.due(ws, runs)
        await self._queue.nudge(ws, woken)
        return soonest

    async def _with(self, ws: str, before: Subscription, fields: SubscriptionFields) -> Subscription:
        """A subscription with other fields, checked."""
        given = fields.model_dump(exclude_none=True)
        targets = fields.targets()
        if len(targets) > 1 or not (targets or before.targets()):
            raise Invalid(next(iter(targets), TARGETS[0]), f"give exactly one of {', '.join(TARGETS)}")
        if targets:
            given = dict.fromkeys(TARGETS) | given
        if "block_id" in targets:
            await self._blocks.read(ws, targets["block_id"])
        if fields.template:
            check_template(fields.template)
        after = before.model_copy(update=given)
        if "debounce_ms" in given and "max_wait_ms" not in given:
            after = after.model_copy(update={"max_wait_ms": DEBOUNCES_WAITED * after.debounce_ms})
        if after.max_wait_ms < after.debounce_ms:
            raise Invalid("max_wait_ms", f"must not be less than debounce_ms, which is {after.debounce_ms}")
        if after.writers and after.except_writers:
            raise Invalid("except_writers", "give either writers or except_writers")
        if targets or (fields.active and not before.active):
            after = after.model_copy(update={"since": await self._changes.last_id(ws)})
        return after


def wake_run(agent_id: str, run_id: str, **metadata: object) -> Run:
    """A run that tells an agent what has changed; what that is, it learns when it begins."""
    return Run(
        id=run_id,
        agent_id=agent_id,
        kind="wakeup",
        background=True,
        metadata={"run_type": "wakeup", **metadata},
        created_at=0,
    )


def _resumed(subscription: Subscription) -> Run:
    return wake_run(subscription.agent_id, new_id("run"), resumed=subscription.id)
