"""Shrinking in the store: bites out of what is kept of the past, when memory is short."""

from service.records.shrinking import Bite
from service.store.client import StoreClient

BLOCKS_LOOKED_AT = 500
ENTRIES_DROPPED = 500
RUNS_LOOKED_AT = 100
"""Per bite, which holds the store up for a few milliseconds."""


class ShrinkingStore:
    """One door to the scripts that drop what is past."""

    def __init__(self, store: StoreClient, history_kept: str) -> None:
        self._store = store
        self._history_kept = history_kept

    async def histories(self, ws: str) -> Bite:
        reply = await self._store.run(
            "history_shrink", ws, self._history_kept, BLOCKS_LOOKED_AT, ENTRIES_DROPPED
        )
        return Bite(dropped=reply[1], done=reply[0] == "done", halvings=reply[2])

    async def runs(self, ws: str, ended_ms: int) -> Bite:
        reply = await self._store.run("run_shed", ws, ended_ms, RUNS_LOOKED_AT)
        return Bite(dropped=reply[1], done=reply[0] == "done")
