"""Pages: a part of a list that is kept as a sorted set by creation, whatever the list's length.

A page costs the same wherever it lies: the cursor's own score is looked up and
the range starts there. Rows that a filter leaves out are made up for from the
rows behind, in chunks that grow, each chunk from the score where the last one ended,
so that rows added or removed meanwhile are neither shown twice nor skipped.

An unknown cursor starts the list over, as V1 does on every list but messages.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from service.records.base import Page
from service.store.client import StoreClient

CHUNK = 200
"""Rows looked at per round trip where a filter has to be asked of each."""

Row = TypeVar("Row")


class Walk:
    """One way through an index, from a page's cursor on, in pieces."""

    def __init__(
        self, store: StoreClient, index: str, page: Page, after: float | None, before: float | None
    ) -> None:
        self._store = store
        self._index = index
        self._low, self._high = "-inf", "+inf"
        if after is not None:
            self._bound(not page.descending, after)
        if before is not None:
            self._bound(page.descending, before)
        self.backward = before is not None and after is None
        """The page lies just before its cursor, and is walked from there."""
        self._descending = page.descending != self.backward

    @classmethod
    async def from_page(cls, store: StoreClient, index: str, page: Page) -> "Walk":
        after = await store.score(index, page.after) if page.after else None
        before = await store.score(index, page.before) if page.before else None
        return cls(store, index, page, after, before)

    def _bound(self, from_below: bool, score: float) -> None:
        if from_below:
            self._low = f"({score:.0f}"
        else:
            self._high = f"({score:.0f}"

    async def next(self, limit: int | None) -> list[str]:
        """The next ids, at most `limit`, in the order walked."""
        found = await self._store.range(
            self._index, self._low, self._high, descending=self._descending, limit=limit
        )
        if found:
            self._bound(not self._descending, found[-1][1])
        return [id for id, _ in found]


async def page_of(store: StoreClient, index: str, page: Page) -> list[str]:
    """Ids of one page of `index`."""
    walk = await Walk.from_page(store, index, page)
    found = await walk.next(page.limit)
    return found[::-1] if walk.backward else found


async def rows_of(
    store: StoreClient,
    index: str,
    page: Page,
    read: Callable[[Sequence[str]], Awaitable[list[Row]]],
) -> list[Row]:
    """One page of the rows that `read` makes of ids; it leaves out what a filter does not want."""
    walk = await Walk.from_page(store, index, page)
    rows: list[Row] = []
    size = CHUNK if page.limit is None else min(CHUNK, max(page.limit, 1))
    while True:
        ids = await walk.next(size)
        rows += await read(ids)
        if len(ids) < size or (page.limit is not None and len(rows) >= page.limit):
            rows = rows[: page.limit]
            return rows[::-1] if walk.backward else rows
        size = min(CHUNK, 2 * size)
