"""Callbacks: posts to whoever asked to be told that a run has ended.

One try of five seconds, to an address of this machine or its network only where the
run's server allowed it, and this worker still does.

Elsewhere: how anybody is called (posts.py).
"""

import asyncio
from contextlib import suppress

import structlog
from pydantic_core import to_json

from service.addresses import is_still_allowed
from service.bootstrap import Service
from service.callbacks import message_of
from service.errors import StoreUnreachable
from service.records.runs import Run
from workers.posts import Poster
from workers.workspaces import in_each

log = structlog.get_logger()

LOOK_AGAIN_S = 5.0
TIMEOUT_S = 5.0


class Caller:
    """Tells, for every workspace, until it is cancelled."""

    def __init__(self, service: Service, poster: Poster) -> None:
        self._service = service
        self._poster = poster

    async def run(self) -> None:
        await in_each(self._service, self._watch)

    async def _watch(self, ws: str) -> None:
        async with self._service.callbacks.rings(ws) as rings:
            while True:
                try:
                    while await self.tell(ws):
                        pass
                except StoreUnreachable as failure:
                    log.warning("callbacks.deferred", workspace=ws, error=str(failure))
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_AGAIN_S):
                        await rings.get()
                while not rings.empty():
                    rings.get_nowait()

    async def tell(self, ws: str) -> bool:
        """Tells those that are due; false when there were none."""
        due = await self._service.callbacks.take(ws)
        await asyncio.gather(*(self._tell(ws, run) for run in due))
        return bool(due)

    async def _tell(self, ws: str, run: Run) -> None:
        told = await self._poster.post(
            run.callback_url or "",
            to_json(message_of(run)),
            {},
            private=is_still_allowed(self._service.settings, run.callback_private),
            timeout_s=TIMEOUT_S,
        )
        log.info("callback.sent", workspace=ws, run_id=run.id, status=told.status, error=told.error)
        await self._service.callbacks.settle(ws, run.id, told.status, told.error)
