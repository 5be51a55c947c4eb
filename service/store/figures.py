"""Figures in the store: what workers say of themselves, and who waits for a worker of which pool."""

from service.records.figures import PoolState, WorkerReport
from service.store.client import StoreClient
from service.store.keys import WORKERS_KEY, WORKSPACES_KEY, worker_key


class FigureStore:
    """Reports of workers, and the pools of all workspaces."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    async def put(self, report: WorkerReport, ms: int) -> None:
        """A report, until the next, or until it is too old."""
        await self._store.put(worker_key(report.id), report.model_dump_json(), ms)
        await self._store.add_member(WORKERS_KEY, report.id)

    async def reports(self) -> list[WorkerReport]:
        """The last of every worker that has reported lately, by id."""
        ids = sorted(await self._store.members(WORKERS_KEY))
        found = await self._store.together([("GET", worker_key(id)) for id in ids]) if ids else []
        return [WorkerReport.model_validate_json(text) for text in found if text]

    async def forget_the_gone(self) -> None:
        """Takes workers off the list whose last report is too old."""
        ids = sorted(await self._store.members(WORKERS_KEY))
        found = await self._store.together([("GET", worker_key(id)) for id in ids]) if ids else []
        for id, text in zip(ids, found, strict=True):
            if not text:
                await self._store.drop_member(WORKERS_KEY, id)

    async def waiting(self) -> dict[str, PoolState]:
        """By pool the agents that wait for a worker, in all workspaces."""
        pools: dict[str, PoolState] = {}
        for ws in sorted(await self._store.members(WORKSPACES_KEY)):
            reply = await self._store.run("pool_waits", ws)
            for pool, count, ms in zip(reply[::3], reply[1::3], reply[2::3], strict=True):
                before = pools.get(pool) or PoolState(pool=pool)
                pools[pool] = PoolState(
                    pool=pool, waiting=before.waiting + int(count), lag_ms=max(before.lag_ms, int(ms))
                )
        return pools
