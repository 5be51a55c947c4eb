"""Changes: every applied edit, as it is announced; the stream is the truth, pub/sub the doorbell.

A follower in step takes changes from the channel; one that missed something
reads the gap from the stream. `prev` chains the changes of a workspace, so a
gap is seen at once. A follower whose id the stream no longer knows, or never
knew, gets Resync and goes on from the present: never silence.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from service.records.blocks import Change
from service.store.bell import Bell
from service.store.blocks import change_of
from service.store.client import StoreClient
from service.store.keys import key

READ_MOST = 500
LOOK_AGAIN_S = 10.0
_ID = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")


@dataclass(frozen=True)
class Resync:
    """Changes up to `id` cannot all be told any more: read the blocks again."""

    id: str


@dataclass(frozen=True)
class StillHere:
    """Nothing happened for a while; `id` is the last change there is."""

    id: str


class Changes:
    """Reading and following; Blocks alone writes changes."""

    def __init__(self, store: StoreClient, bell: Bell) -> None:
        self._store = store
        self._bell = bell

    async def last_id(self, ws: str) -> str:
        """The id of the newest change, or 0-0."""
        return await self._store.newest(key(ws, "changes")) or "0-0"

    async def after(self, ws: str, id: str, limit: int = READ_MOST) -> list[Change]:
        """The changes after an id, oldest first, at most `limit`. What was trimmed is not among them."""
        found = await self._store.entries(key(ws, "changes"), after=f"({id}", limit=limit)
        return [change_of(fields["change"]) for _, fields in found]

    async def follow(self, ws: str, after: str | None = None) -> AsyncIterator[Change | Resync | StillHere]:
        """Every change after an id (None: from now on), each once and in order, without end."""
        async with self._bell.listen(key(ws, "changed")) as rings:
            last = await self.last_id(ws) if after is None else after
            behind = True
            while True:
                while behind:
                    changes = await self._following(ws, last)
                    if changes is None:
                        last = await self.last_id(ws)
                        yield Resync(last)
                        continue
                    for change in changes:
                        yield change
                        last = change.id
                    behind = len(changes) == READ_MOST
                try:
                    # Not by wait_for: a ring may cost it a cancellation that comes just then.
                    async with asyncio.timeout(LOOK_AGAIN_S):
                        ring = await rings.get()
                except TimeoutError:
                    yield StillHere(last)
                    behind = True
                    continue
                rung = None if ring is None else change_of(ring)
                if rung is not None and rung.prev == last:
                    yield rung
                    last = rung.id
                else:
                    behind = rung is None or _number(rung.id) > _number(last)

    def rings(self, ws: str) -> AbstractAsyncContextManager["asyncio.Queue[str | None]"]:
        """The bare doorbell, for those who read the stream by a cursor of their own."""
        return self._bell.listen(key(ws, "changed"))

    async def _following(self, ws: str, id: str) -> list[Change] | None:
        """What comes after an id, or None when not all of it is kept, or the id was never given."""
        newest = await self.last_id(ws)
        if not _ID.fullmatch(id) or _number(id) > _number(newest):
            return None
        changes = await self.after(ws, id)
        if changes:
            return changes if changes[0].prev == id else None
        return changes if id == newest else None


def _number(id: str) -> tuple[int, int]:
    epoch, _, n = id.partition("-")
    return int(epoch), int(n)
