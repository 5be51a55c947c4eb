"""Tool runs: one call of a tool that a person asks for, carried out by a worker.

The web runs no tools. It keeps the call under a key with an end, queues a job and
waits for the ring; the worker takes the call, once, and keeps what it gave. A call
that nobody took in time is taken back, so that it is not carried out behind its
caller's back; one that was taken is not carried out again, whatever becomes of its worker.

Elsewhere: what a worker does (workers/tool_jobs.py).
"""

import asyncio
import time

from service.errors import NoAnswerYet, NobodyCame
from service.queue import Queue
from service.records.base import DEFAULT_POOL
from service.records.tools import ToolOutcome, ToolRequest
from service.settings import Settings
from service.store.bell import Bell
from service.store.client import StoreClient
from service.store.keys import key
from service.store.tool_runs import ToolRunStore

TAKEN_WITHIN_S = 60.0
"""A call that no worker has taken by then is taken back."""
SPARE_S = 5
"""How much longer it is there to be taken back, should its caller still be there to do that."""
MARGIN_S = 10.0
"""How much longer than the tool itself its worker may need to answer."""
KEPT_S = 600
LOOK_AGAIN_S = 5.0


class ToolRuns:
    """Asking for a call and waiting for it; taking it and answering."""

    def __init__(self, store: StoreClient, settings: Settings, queue: Queue, bell: Bell) -> None:
        self._store = ToolRunStore(store)
        self._queue = queue
        self._bell = bell
        self._tool_s = settings.tool_seconds

    async def run(self, ws: str, request: ToolRequest, pool: str = DEFAULT_POOL) -> ToolOutcome:
        """What the call gave. Raises NobodyCame, NoAnswerYet."""
        await self._store.ask(ws, request, int(TAKEN_WITHIN_S) + SPARE_S)
        await self._queue.put_tool_run(ws, request.id, pool)
        outcome = await self._wait(ws, request.id, TAKEN_WITHIN_S)
        if outcome is not None:
            return outcome
        if await self._store.take(ws, request.id, KEPT_S) is not None:
            raise NobodyCame(
                f"no worker of pool {pool!r} took the call within {TAKEN_WITHIN_S:.0f} s, so it was not "
                "carried out; is one running?"
            )
        outcome = await self._wait(ws, request.id, self._tool_s + MARGIN_S)
        if outcome is None:
            raise NoAnswerYet("the worker that took the call has not answered; the tool may have run")
        return outcome

    async def take(self, ws: str, id: str) -> ToolRequest | None:
        """The call, for the worker that asks first."""
        return await self._store.take(ws, id, KEPT_S)

    async def answer(self, ws: str, id: str, outcome: ToolOutcome) -> None:
        """Keeps what the call gave for a while, and rings its caller."""
        await self._store.answer(ws, id, outcome, KEPT_S)

    async def _wait(self, ws: str, id: str, seconds: float) -> ToolOutcome | None:
        """The outcome, or None when the time is over. Listens before it looks."""
        end = time.monotonic() + seconds
        async with self._bell.listen(key(ws, "output"), id) as rings:
            while True:
                outcome = await self._store.outcome(ws, id)
                left = end - time.monotonic()
                if outcome is not None or left <= 0:
                    return outcome
                try:
                    async with asyncio.timeout(min(left, LOOK_AGAIN_S)):
                        await rings.get()
                except TimeoutError:
                    continue
