"""Changes: every applied edit, as it is announced; the stream is the truth, pub/sub the doorbell.

A follower in step takes changes from the channel; one that missed something
reads the gap from the stream. `prev` chains the changes of a workspace, so a
gap is seen at once. A follower whose id the stream no longer knows, or never
knew, gets Resync and goes on from the present: never silence.
"""

import asyncio
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
        meta = await self._store.hash(key(ws, "meta"))
        return f"{meta['epoch']}-{meta.get('n', '0')}" if "epoch" in meta else "0-0"

    async def after(self, ws: str, id: str, limit: int = READ_MOST) -> list[Change]:
        """The changes after an id, oldest first, at most `limit`. What was trimmed is not among them."""
        found = await self._store.entries(key(ws, "changes"), after=f"({id}", limit=limit)
        return [change_of(fields["change"]) for _, fields in found]

    async def follow(self, ws: str, after: str | None = None) -> AsyncIterator[Change | Resync | StillHere]:
        """Every change after an id (None: from now on), each once and in order, without end."""
        async with self._bell.listen(key(ws, "changed")) as rings:
            last = await self.last_id(ws) if after is None else after
            if after is not None and not await self._is_kept(ws, after):
                last = await self.last_id(ws)
                yield Resync(last)
            behind = True
            while True:
                while behind:
                    changes = await self.after(ws, last)
                    for change in changes:
                        yield change
                        last = change.id
                    behind = len(changes) == READ_MOST
                try:
                    ring = await asyncio.wait_for(rings.get(), LOOK_AGAIN_S)
                except TimeoutError:
                    yield StillHere(last)
                    behind = True
                    continue
                change_rung = None if ring is None else change_of(ring)
                if change_rung is None:
                    behind = True
                elif _number(change_rung.id) > _number(last):
                    behind = change_rung.prev != last
                    if not behind:
                        yield change_rung
                        last = change_rung.id

    def rings(self, ws: str) -> AbstractAsyncContextManager["asyncio.Queue[str | None]"]:
        """The bare doorbell, for those who read the stream by a cursor of their own."""
        return self._bell.listen(key(ws, "changed"))

    async def _is_kept(self, ws: str, id: str) -> bool:
        """Whether everything after an id can still be told."""
        newest = await self.last_id(ws)
        if id == newest:
            return True
        if _number(id) > _number(newest):
            return False
        following = await self.after(ws, id, limit=1)
        return bool(following) and following[0].prev == id


def _number(id: str) -> tuple[int, int]:
    epoch, _, n = id.partition("-")
    return int(epoch), int(n or 0)
