"""Shrinker: while the store's memory is short, takes bite after bite out of what is past.

Bites are small and far between, so that whoever edits is hardly held up; after each one
the memory is measured anew, and with enough of it free nothing more is dropped.
"""

import asyncio
from collections import Counter

import structlog

from service.bootstrap import Service
from service.errors import StoreUnreachable

log = structlog.get_logger()

PAUSE_S = 1.0
BITE_PAUSE_S = 0.02


class Shrinker:
    """Measures each second, until it is cancelled."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._was_short = False
        self._dropped: Counter[str] = Counter()

    async def run(self) -> None:
        while True:
            more = False
            try:
                more = await self.turn()
            except StoreUnreachable as failure:
                log.warning("shrinking.deferred", error=str(failure))
            await asyncio.sleep(BITE_PAUSE_S if more else PAUSE_S)

    async def turn(self) -> bool:
        """A bite out of each workspace if memory is short; whether there may be more to take."""
        filling = await self._service.pressure.measure()
        if filling.shrinks != self._was_short:
            self._was_short = filling.shrinks
            event = "memory.short" if filling.shrinks else "memory.enough"
            log.warning(event, used=filling.used, bound=filling.bound)
        more = False
        if filling.shrinks:
            for ws in await self._service.workspaces.all():
                more |= await self._bite(ws)
        if not more and self._dropped.total():
            log.warning("history.shrunk", entries=self._dropped["entries"], runs=self._dropped["runs"])
            self._dropped.clear()
        return more

    async def _bite(self, ws: str) -> bool:
        """The histories first; what else is past when they have nothing more to give."""
        histories = await self._service.shrinking.histories(ws)
        self._dropped.update(entries=histories.dropped)
        if not histories.done:
            return True
        runs = await self._service.shrinking.runs(ws)
        self._dropped.update(runs=runs.dropped)
        return not runs.done
