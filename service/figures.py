"""Figures: how all of Blockwire is doing, from one place: what every process counted, and who waits.

Workers have no port of their own. Each tells the store every few seconds what it
has counted, and any web process tells it on, beside what it counted itself. Who
waits for workers is asked of the store at that moment: by pool the agents that are
ready, tasks whose time has come, and jobs of other services.
"""

from service.errors import StoreUnreachable
from service.metrics.exposition import exposition
from service.metrics.process import Metrics
from service.queue import queue_of
from service.records.base import DEFAULT_POOL
from service.records.figures import Family, PoolState, WorkerReport
from service.store.client import StoreClient
from service.store.figures import FigureStore
from service.store.queue import QueueStore

REPORT_S = 3.0
"""How often a worker reports."""
KEPT_MS = 30_000
"""A worker that has not reported for so long is gone."""
_OF_POOLS = {
    "waiting": ("blockwire_queue_depth", "Agents and jobs that wait for a worker of the pool"),
    "lag_ms": ("blockwire_queue_lag_seconds", "How long the first of them has waited"),
    "workers": ("blockwire_workers", "Workers of the pool that report"),
    "slots": ("blockwire_worker_slots", "Jobs that they may run at once"),
    "busy": ("blockwire_worker_jobs", "Jobs that they run at the moment"),
}


class Figures:
    """The room of figures."""

    def __init__(self, store: StoreClient, queue: QueueStore, metrics: Metrics) -> None:
        self._store = FigureStore(store)
        self._queue = queue
        self._metrics = metrics

    async def report(self, id: str, pool: str, slots: int, busy: int) -> None:
        """What this worker says of itself."""
        families = self._metrics.families()
        report = WorkerReport(id=id, pool=pool, slots=slots, busy=busy, families=families)
        await self._store.put(report, KEPT_MS)

    async def forget_the_gone(self) -> None:
        """Takes workers that have gone off the list of those that report."""
        await self._store.forget_the_gone()

    async def pools(self) -> list[PoolState]:
        """Every pool that has workers, or somebody who waits or did so lately; the default pool always."""
        return await self._pools(await self._store.reports())

    async def text(self, *, own: bool = False) -> str:
        """All figures as Prometheus reads them; `own`: those of this process alone.

        While the store is away they are this process's too, and say so.
        """
        mine = ({"process": "web"}, self._metrics.families())
        if own:
            return exposition([mine])
        try:
            reports = await self._store.reports()
            pools = await self._pools(reports)
        except StoreUnreachable:
            return exposition([mine, ({}, [_store_up(0)])])
        workers = [({"process": f"worker {one.id}"}, one.families) for one in reports]
        return exposition([mine, *workers, ({}, [_store_up(1), *_of_pools(pools)])])

    async def _pools(self, reports: list[WorkerReport]) -> list[PoolState]:
        found = {DEFAULT_POOL: PoolState(pool=DEFAULT_POOL), **await self._store.waiting()}
        for report in reports:
            pool = found.get(report.pool) or PoolState(pool=report.pool)
            more = {"workers": pool.workers + 1, "slots": pool.slots + report.slots}
            found[report.pool] = pool.model_copy(update=more | {"busy": pool.busy + report.busy})
        for name, pool in found.items():
            count, ms = await self._queue.waiting(queue_of(name))
            more = {"waiting": pool.waiting + count, "lag_ms": max(pool.lag_ms, ms)}
            found[name] = pool.model_copy(update=more)
        return [found[name] for name in sorted(found)]


def _of_pools(pools: list[PoolState]) -> list[Family]:
    families = []
    for field, (name, told) in _OF_POOLS.items():
        scale = 1000 if field == "lag_ms" else 1
        samples = [(name, {"pool": pool.pool}, getattr(pool, field) / scale) for pool in pools]
        families.append(Family(name=name, help=told, kind="gauge", samples=samples))
    return families


def _store_up(up: int) -> Family:
    name = "blockwire_store_up"
    told = "Whether the store and the queue answered; without them workers and pools are not told of"
    return Family(name=name, help=told, kind="gauge", samples=[(name, {}, up)])
