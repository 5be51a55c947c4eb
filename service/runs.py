"""Runs: tasks given to agents, as everybody reads them and waits for their end.

Elsewhere: how one begins (messages.py); how workers carry it (leases.py).
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from time import monotonic
from typing import Any, Literal

from service.errors import Invalid, NotBegun, StoreUnreachable
from service.queue import Queue
from service.records.base import Micros, Page
from service.records.messages import Message
from service.records.runs import OPEN, OutputEvent, Run, RunStatus, Step
from service.settings import Settings
from service.store.bell import Bell
from service.store.client import StoreClient
from service.store.keys import key
from service.store.messages import MessageStore
from service.store.run_lists import RunLists
from service.store.runs import RunStore

BEGUN_WITHIN_S = 600.0
"""A waiter gives up on a run that no worker has begun for so long; the run stays where it is."""
LOOK_AGAIN_S = 5.0
"""A waiter looks for itself this often, should a ring ever be lost."""
FIRST_LOOK_S = 0.05
"""How soon a worker looks whether a run was cancelled in the moment before it listened."""

Rings = asyncio.Queue[str | None]


class Runs:
    """Reading, waiting, and the ends that people bring about."""

    def __init__(self, store: StoreClient, settings: Settings, bell: Bell, queue: Queue) -> None:
        self._keep_seconds = settings.run_days * 86_400
        self._store = RunStore(store)
        self._lists = RunLists(store)
        self._messages = MessageStore(store)
        self._bell = bell
        self._queue = queue

    async def read(self, ws: str, run_id: str) -> Run:
        return await self._store.read(ws, run_id)

    async def find(
        self,
        ws: str,
        agent_id: str | None,
        page: Page,
        keep: Callable[[Run], bool] | None = None,
        *,
        agent_ids: Sequence[str] | None = None,
        statuses: Sequence[RunStatus] | None = None,
    ) -> list[Run]:
        """One page of those of an agent's runs, or of all, that `keep` says yes to, by creation.

        Agents and states come from indexes; `keep` is asked of a bounded number of runs (TooWide).
        """
        return await self._lists.runs(
            ws, page, keep, agent_id=agent_id, agent_ids=agent_ids, statuses=statuses
        )

    async def dead_letters(self, ws: str, agent_id: str, page: Page) -> list[Run]:
        """One page of an agent's runs that kept losing their workers, were given up and not tried again."""
        return await self._lists.runs(
            ws, page, None, agent_id=None, agent_ids=None, statuses=None, parked_of=agent_id
        )

    async def steps(self, ws: str, run_id: str) -> list[Step]:
        """A run's steps, oldest first."""
        return await self._store.steps(ws, run_id)

    async def messages(self, ws: str, run_id: str) -> list[Message]:
        """What a run put into its agent's history: its input first, then what it produced."""
        run = await self._store.read(ws, run_id)
        return await self._messages.read_many(ws, run.agent_id, await self._store.message_ids(ws, run_id))

    async def output(
        self, ws: str, run_id: str, after: int, limit: int, *, ended: bool
    ) -> tuple[list[OutputEvent], Run | None]:
        """What a run said behind an event; and the run, if it has `ended`, as it is then."""
        return await self._store.output(ws, run_id, after, limit, ended=ended)

    def said_with(self, ring: str) -> tuple[list[OutputEvent], Run] | None:
        """What came with a run's ring: what it said last, and the run, which has ended."""
        return self._store.said_with(ring)

    async def wait(self, ws: str, run_id: str) -> tuple[Run, list[Message]]:
        """The run, once it has ended, and what it put into its agent's history.

        Listens before it looks, so that no end falls between. Raises NotBegun for one that no worker takes.
        """
        async with self.listening(ws, run_id) as rings:
            return await self._ended(ws, run_id, rings)

    def listening(self, ws: str, run_id: str) -> AbstractAsyncContextManager[Rings]:
        """What rings for a run from now on; for `wait_on`."""
        return self._bell.listen(key(ws, "output"), run_id)

    async def wait_on(self, ws: str, begun: Run, rings: Rings) -> tuple[Run, list[Message]]:
        """As `wait`, for whoever was listening before the run was read: it is looked at when it has rung.

        Or after LOOK_AGAIN_S. Raises NotBegun.
        """
        ring = await self._rung(rings, is_over) if begun.status in OPEN else None
        return await self._ended(ws, begun.id, rings, ring)

    async def _ended(
        self, ws: str, run_id: str, rings: Rings, ring: str | None = None
    ) -> tuple[Run, list[Message]]:
        patient_until = monotonic() + BEGUN_WITHIN_S
        while True:
            told = None if ring is None else self._store.told_with(ring)
            run, messages = told or await self._store.told(ws, run_id)
            if run.status not in OPEN:
                return run, messages
            if run.status == "created" and monotonic() > patient_until:
                raise NotBegun(run_id, BEGUN_WITHIN_S)
            ring = await self._rung(rings, is_over)

    async def open_ids(self, ws: str, agent_id: str) -> list[str]:
        """The runs of an agent that have not ended, in the order they are carried."""
        return await self._store.open_ids(ws, agent_id)

    async def cancel(self, ws: str, run_id: str) -> bool:
        """Ends a run, at once or when its worker hears of it. False if it had ended."""
        open, woken = await self._store.cancel(ws, run_id, self._keep_seconds)
        await self._queue.nudge(ws, woken)
        return open

    async def cancelled(self, ws: str, run_id: str) -> None:
        """Returns when somebody has asked for the end of a run; for the worker that carries it.

        While the store is away nobody has: it is asked again when it is back. What was asked for before
        this listened is looked for a moment later, as many a run has ended by then. Whoever stops to listen,
        as at the end of each run, leaves a look under way to itself: cut off, it would cost its connection.
        """
        async with self._bell.listen(key(ws, "summons"), run_id) as rings:
            await self._rung(rings, _asks_for_its_end, FIRST_LOOK_S)
            while True:
                look = asyncio.ensure_future(self._store.is_cancelled(ws, run_id))
                look.add_done_callback(lambda done: done.cancelled() or done.exception())
                with suppress(StoreUnreachable):
                    if await asyncio.shield(look):
                        return
                await self._rung(rings, _asks_for_its_end)

    async def delete(self, ws: str, run_id: str) -> None:
        """Forgets a run that has ended. What it put into its agent's history stays."""
        if not await self._store.delete(ws, run_id):
            raise Invalid("run_id", "the run has not ended; cancel it first")

    async def step(self, ws: str, step_id: str) -> Step:
        return await self._store.step(ws, step_id)

    async def trace(self, ws: str, step_id: str) -> dict[str, Any] | None:
        """What a step's provider was asked and answered; None where that was not kept."""
        return await self._store.trace(ws, step_id)

    async def step_messages(self, ws: str, step_id: str) -> list[Message]:
        """What a step put into its agent's history, oldest first."""
        step = await self._store.step(ws, step_id)
        return [message for message in await self.messages(ws, step.run_id) if message.step_id == step.id]

    async def find_steps(
        self,
        ws: str,
        agent_id: str | None,
        page: Page,
        keep: Callable[[Step], bool] | None = None,
        *,
        since: Micros | None = None,
        until: Micros | None = None,
    ) -> list[Step]:
        """One page of the steps that `keep` says yes to, by creation; asked of a bounded number (TooWide)."""
        return await self._lists.steps(ws, page, keep, agent_id=agent_id, since=since, until=until)

    async def give_feedback(
        self,
        ws: str,
        step_id: str,
        feedback: Literal["positive", "negative"] | None,
        tags: Sequence[str] | None,
    ) -> Step:
        """What somebody thinks of a step that has ended; until then its worker writes it."""
        if (await self._store.step(ws, step_id)).status == "pending":
            raise Invalid("feedback", "the step is under way; say so when it has ended")
        more = {} if tags is None else {"tags": list(tags)}
        return await self._store.change_step(ws, step_id, feedback=feedback, **more)

    @staticmethod
    async def _rung(
        rings: Rings, matters: Callable[[str], bool], within_s: float | None = None
    ) -> str | None:
        """Until it is time to look; the ring that says so. Not by `wait_for`: a ring may cost it a
        cancellation that comes then."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AGAIN_S if within_s is None else within_s):
                while (ring := await rings.get()) is not None and not matters(ring):
                    pass
                return ring
        return None


def _asks_for_its_end(ring: str) -> bool:
    return ring.endswith(" cancelling")


def is_over(ring: str) -> bool:
    """Whether a ring says that a run has ended, or is about to."""
    return not ring.endswith(" running")  # which nothing else ends with: what follows a state is JSON
