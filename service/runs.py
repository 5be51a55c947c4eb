"""Runs: tasks given to agents, as everybody reads them and waits for their end.

Elsewhere: how one begins (messages.py); how workers carry it (leases.py).
"""

import asyncio
from contextlib import suppress

from service.records.base import Page
from service.records.messages import Message
from service.records.runs import Run, Step
from service.store.bell import Bell
from service.store.client import StoreClient
from service.store.keys import key
from service.store.messages import MessageStore
from service.store.runs import RunStore

LOOK_AGAIN_S = 5.0
"""A waiter looks for itself this often, should a ring ever be lost."""


class Runs:
    """Reading and waiting; nothing here writes."""

    def __init__(self, store: StoreClient, bell: Bell) -> None:
        self._store = RunStore(store)
        self._messages = MessageStore(store)
        self._bell = bell

    async def read(self, ws: str, run_id: str) -> Run:
        return await self._store.read(ws, run_id)

    async def find(self, ws: str, agent_id: str | None, page: Page) -> list[Run]:
        """One page of an agent's runs, or of all, by creation."""
        return await self._store.page(ws, agent_id, page)

    async def steps(self, ws: str, run_id: str) -> list[Step]:
        """A run's steps, oldest first."""
        return await self._store.steps(ws, run_id)

    async def messages(self, ws: str, run_id: str) -> list[Message]:
        """What a run put into its agent's history: its input first, then what it produced."""
        run = await self._store.read(ws, run_id)
        return await self._messages.read_many(ws, run.agent_id, await self._store.message_ids(ws, run_id))

    async def wait(self, ws: str, run_id: str) -> Run:
        """The run, once it has ended. Listens before it looks, so that no end falls between."""
        async with self._bell.listen(key(ws, "output")) as rings:
            while True:
                run = await self._store.read(ws, run_id)
                if run.status not in ("created", "running"):
                    return run
                with suppress(TimeoutError):
                    # Not by wait_for: a ring may cost it a cancellation that comes just then.
                    async with asyncio.timeout(LOOK_AGAIN_S):
                        await self._rung(rings, run_id)

    @staticmethod
    async def _rung(rings: "asyncio.Queue[str | None]", run_id: str) -> None:
        while True:
            ring = await rings.get()
            if ring is None or (ring.startswith(run_id) and not ring.endswith(" running")):
                return
