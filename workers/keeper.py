"""Keeper: holds a worker's leases: renews them all in one go, and stops whoever lost his.

It also sweeps: agents whose worker is gone, or whose job never came, are queued
again, and requests that nobody answers are given up. Both happen three times in the
life of a lease.
"""

import asyncio
from typing import Any

import structlog

from service.bootstrap import Service
from service.errors import StoreUnreachable
from service.records.runs import Lease

log = structlog.get_logger()


class Keeper:
    """The leases of one process and the tasks that work under them."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._held: dict[tuple[str, str], tuple[Lease, asyncio.Task[Any]]] = {}
        self._lost: set[asyncio.Task[Any]] = set()

    def hold(self, lease: Lease, task: "asyncio.Task[Any]") -> None:
        self._held[lease.workspace, lease.agent_id] = (lease, task)

    def drop(self, lease: Lease, task: "asyncio.Task[Any]") -> None:
        """No more renewal; a lease that is still ours runs out by itself."""
        self._lost.discard(task)
        if self._held.get((lease.workspace, lease.agent_id)) == (lease, task):
            del self._held[lease.workspace, lease.agent_id]

    def has_lost(self, task: "asyncio.Task[Any] | None") -> bool:
        """Whether a task was stopped because its lease was lost, not because the worker stops."""
        return task in self._lost

    async def run(self) -> None:
        """Renews and sweeps until cancelled."""
        pause = self._service.settings.lease_ms / 3000
        while True:
            try:
                await self.renew()
                await self.sweep()
            except StoreUnreachable as failure:
                log.warning("leases.deferred", error=str(failure))
            await asyncio.sleep(pause)

    async def renew(self) -> None:
        held = list(self._held.values())
        if not held:
            return
        lost = await self._service.leases.renew([lease for lease, _ in held])
        for lease, task in held:
            if lease in lost and self._held.get((lease.workspace, lease.agent_id)) == (lease, task):
                log.warning("lease.lost", agent_id=lease.agent_id, generation=lease.generation)
                self._lost.add(task)
                self._service.metrics.leases_lost.add()
                task.cancel()

    async def sweep(self) -> None:
        swept = await self._service.leases.sweep()
        for ws, ready in swept:
            self._service.metrics.swept.add(ready.reason)
            if ready.reason == "overdue":
                await self._service.approvals.give_up(ws, ready.agent_id)
            else:
                log.info("agent.requeued", workspace=ws, agent_id=ready.agent_id, reason=ready.reason)
