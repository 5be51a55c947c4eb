"""Shrinking: giving up some of the past while the store's memory is short.

First the histories of blocks, all of them half as long, then half of that, and so on:
the longest and heaviest give first, of each the oldest edits; how far back a history
goes is told with it, as always. When every block has only its newest edit left, runs
that ended an hour ago go, oldest first, with their steps, outputs and traces; dead
letters stay. Never blocks, agents, their messages, nor what is under way.

How far this got lies in the store, so that any number of workers take turns.

Elsewhere: when it is done (workers/shrinker.py); how short memory is (pressure.py).
"""

from service.records.shrinking import Bite
from service.settings import Settings
from service.store.client import StoreClient
from service.store.shrinking import ShrinkingStore

ENDED_MS = 3_600_000
"""A run that ended later is left to whoever waits for it, or listens again."""


class Shrinking:
    """The room of what is dropped for want of memory."""

    def __init__(self, store: StoreClient, settings: Settings) -> None:
        self._store = ShrinkingStore(store, settings.history_kept)

    async def histories(self, ws: str) -> Bite:
        """A bounded number of the oldest entries of histories that are too long for now."""
        return await self._store.histories(ws)

    async def runs(self, ws: str, ended_ms: int = ENDED_MS) -> Bite:
        """A bounded number of the oldest runs that ended so long ago."""
        return await self._store.runs(ws, ended_ms)
