"""Pauses: an agent that is paused finishes the step under way and begins nothing until it is resumed.

A run under way stays open and goes on where it stood. Messages, jobs and wake-ups wait
in the inbox, and so do those who wait for an answer. What is cancelled meanwhile ends at
once. It is kept with the agent, so it outlives every process.

Elsewhere: who heeds it (store/lua/idle.lua and ready.lua); the loop that stops (workers/loop.py).
"""

import structlog

from service.queue import Queue
from service.store.client import StoreClient
from service.store.pauses import PauseStore

log = structlog.get_logger()


class Pauses:
    """The room of pausing and resuming."""

    def __init__(self, store: StoreClient, queue: Queue) -> None:
        self._store = PauseStore(store)
        self._queue = queue

    async def pause(self, ws: str, agent_id: str) -> None:
        """Raises NotFound. Pausing again changes nothing."""
        await self._store.pause(ws, agent_id)
        log.info("agent.paused", workspace=ws, agent_id=agent_id)

    async def resume(self, ws: str, agent_id: str) -> None:
        """Raises NotFound. Resuming an agent that works changes nothing."""
        await self._queue.nudge(ws, await self._store.resume(ws, agent_id))
        log.info("agent.resumed", workspace=ws, agent_id=agent_id)
