"""Changes: every applied edit, as it is announced; the stream is the truth, pub/sub the doorbell.

A follower in step takes changes from the channel; one that missed something
reads the gap from the stream. `prev` chains the changes of a workspace, so a
gap is seen at once. A follower whose id the stream no longer knows, or never
knew, gets Resync and goes on from the present: never silence.

What a thousand followers need at the same moment is read and parsed once (shared.py).
"""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from functools import lru_cache, partial

from service.records.blocks import Change, order
from service.shared import Asking, Made
from service.store.bell import Bell
from service.store.blocks import change_of
from service.store.client import StoreClient
from service.store.keys import key

READ_MOST = 500
LOOK_AGAIN_S = 10.0
READERS = 1
"""Connections to the store that all followers of a process read gaps by."""
RUNG_MOST = 250
"""Of the newest changes that rang; shared by all followers of a process."""
TOLD_BYTES = 8_000_000
"""Of the newest changes as they are told to many; shared by all followers of a process."""
_ID = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")


@dataclass(frozen=True)
class Resync:
    """Changes up to `id` cannot all be told any more: read the blocks again."""

    id: str


@dataclass(frozen=True)
class StillHere:
    """Nothing happened for a while; `id` is the last change there is."""

    id: str


News = Change | Resync | StillHere


class Changes:
    """Reading and following; Blocks alone writes changes."""

    def __init__(self, store: StoreClient, bell: Bell) -> None:
        self._store = store
        self._bell = bell
        self._reading = Asking(READERS)
        self._parsed = lru_cache(RUNG_MOST)(change_of)
        self.texts = Made(TOLD_BYTES)
        """Changes as they are written to followers, each made once for all of them."""

    async def last_id(self, ws: str) -> str:
        """The id of the newest change, or 0-0."""
        return await self._reading.ask(("newest", ws), partial(self._newest, ws))

    async def _newest(self, ws: str) -> str:
        return await self._store.newest(key(ws, "changes")) or "0-0"

    async def after(self, ws: str, id: str, limit: int = READ_MOST) -> list[Change]:
        """The changes after an id, oldest first, at most `limit`. What was trimmed is not among them."""
        found = await self._store.entries(key(ws, "changes"), after=f"({id}", limit=limit)
        return [change_of(fields["change"]) for _, fields in found]

    async def follow(self, ws: str, after: str | None = None) -> AsyncGenerator[News, None]:
        """Every change after an id (None: from now on), each once and in order, without end."""
        async with aclosing(self.batches(ws, after)) as batches:
            async for batch in batches:
                for one in batch:
                    yield one

    async def batches(self, ws: str, after: str | None = None) -> AsyncGenerator[list[News], None]:
        """The same, as much at a time as is there: a follower that is slow is told more at once."""
        async with self._bell.listen(key(ws, "changed")) as rings, _Ticking(rings) as clock:
            last = await self.last_id(ws) if after is None else after
            behind = True
            while True:
                while behind:
                    changes = await self._reading.ask((ws, last), partial(self._following, ws, last))
                    if changes is None:
                        last = await self.last_id(ws)
                        yield [Resync(last)]
                        continue
                    behind = len(changes) == READ_MOST
                    if changes:
                        last = changes[-1].id
                        yield list(changes)
                if clock.ticked():
                    yield [StillHere(last)]
                ring = await rings.get()
                rung: list[News] = []
                while not behind:
                    change = None if ring is None else self._parsed(ring)
                    if change is not None and change.prev == last:
                        rung.append(change)
                        last = change.id
                    else:
                        behind = change is None or order(change.id) > order(last)
                    if behind or rings.empty():
                        break
                    ring = rings.get_nowait()
                if rung:
                    yield rung

    def rings(self, ws: str) -> AbstractAsyncContextManager["asyncio.Queue[str | None]"]:
        """The bare doorbell, for those who read the stream by a cursor of their own."""
        return self._bell.listen(key(ws, "changed"))

    async def _following(self, ws: str, id: str) -> list[Change] | None:
        """What comes after an id, or None when not all of it is kept, or the id was never given."""
        newest = await self._newest(ws)
        if id == newest:
            return []
        if not _ID.fullmatch(id) or order(id) > order(newest):
            return None
        changes = await self.after(ws, id)
        if changes:
            return changes if changes[0].prev == id else None
        return None


class _Ticking:
    """Rings a follower's own bell when it is time to look again: one timer, not one for each change."""

    def __init__(self, rings: "asyncio.Queue[str | None]") -> None:
        self._rings = rings
        self._due = False

    async def __aenter__(self) -> "_Ticking":
        self._wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._timer.cancel()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_AGAIN_S, self._tick)

    def _tick(self) -> None:
        self._due = True
        if self._rings.empty():
            self._rings.put_nowait(None)
        self._wait()

    def ticked(self) -> bool:
        """Whether it was time since this was asked last."""
        due, self._due = self._due, False
        return due
