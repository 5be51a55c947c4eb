"""Callbacks: who asked to be told that a run has ended is told, once.

The end of a run puts it on a list, in the same act, whoever ended it. A worker
takes it off and posts; from the taking on it counts as tried, so that nobody is
told twice. A worker that is killed in between leaves the error it was taken with.

Elsewhere: the posting (workers/callbacks.py).
"""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

from service.records.base import iso
from service.records.runs import Run
from service.store.bell import Bell
from service.store.client import StoreClient
from service.store.keys import key
from service.store.runs import RunStore

TAKE_MOST = 50
UNKNOWN = "the worker that was sending it was lost before it knew the outcome"


class Callbacks:
    """The list of those to be told."""

    def __init__(self, store: StoreClient, bell: Bell) -> None:
        self._runs = RunStore(store)
        self._bell = bell

    def rings(self, ws: str) -> AbstractAsyncContextManager["asyncio.Queue[str | None]"]:
        """Rung when there is somebody to be told."""
        return self._bell.listen(key(ws, "summons"), "callbacks")

    async def take(self, ws: str) -> list[Run]:
        """Runs to be told of, for this worker alone."""
        return await self._runs.take_callbacks(ws, TAKE_MOST, UNKNOWN)

    async def settle(self, ws: str, run_id: str, status: int | None, error: str | None) -> None:
        """How it went."""
        await self._runs.settle_callback(ws, run_id, status, error)


def message_of(run: Run) -> dict[str, Any]:
    """What is posted."""
    error = {} if run.error is None else {"error": run.error.model_dump()}
    return {
        "run_id": run.id,
        "status": run.status,
        "completed_at": None if run.completed_at is None else iso(run.completed_at),
        "metadata": {**(run.metadata or {}), "run_type": run.kind, **error},
    }
