"""Pages: a part of a list that is kept in sorted sets, whatever the list's length.

A list is what lies in all of some Terms, each of them a union of indexes. It is
walked along its smallest term and the others are asked for membership, so a page
costs the same wherever it lies, and rows that an index rules out are never loaded.
Rows that a filter leaves out are made up for from the rows behind, in chunks that
grow, each from where the last one ended: rows added or removed meanwhile are
neither shown twice nor skipped.

A cursor is a row's id and stands where the row stands, also when the row has left
the list or was deleted (places.py). An id that never was a row starts the list
over, as V1 does on every list but messages.

A request looks at a bounded number of rows. A page that is not full by then is
handed out as it is; only one with nothing to show is refused (TooWide), because
whoever pages on takes an empty page for the end.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from typing import Any, TypeVar

from service.errors import TooWide
from service.records.base import IDS_AT_MOST, ROWS_AT_MOST, Page
from service.store.client import StoreClient
from service.store.places import Axis, Place

CHUNK = 200
"""Rows looked at per round trip where a filter has to be asked of each."""
IDS_CHUNK = 1000
"""Ids per round trip where only indexes are asked."""
LEAST_PER_INDEX = 16

Row = TypeVar("Row")
Read = Callable[[Sequence[str]], Awaitable[list[Row]]]
Keep = Callable[[Sequence[str]], Awaitable[list[str]]]
Bounds = tuple[Place | None, Place | None]
"""Places that a list lies between, whatever the page."""


@dataclass(frozen=True)
class Term:
    """What lies in any of these indexes. `apart`: no row lies in two of them."""

    indexes: Sequence[str]
    apart: bool = True


class Budget:
    """How much one request may look at: rows that were read, and ids that indexes gave."""

    def __init__(self, rows: int | None = ROWS_AT_MOST) -> None:
        self._rows = rows
        self.looked = 0
        self.is_heavy = False
        """Set by who reads rows: those that were read last are as much as a page may hold, and end it."""

    def spend(self, rows: int) -> None:
        """Counts rows that were read; a long text counts as several."""
        self.looked += rows

    def left(self, ids: int) -> int | None:
        """How many more rows may be looked at, after so many ids; None for any number."""
        return None if self._rows is None else max(0, min(self._rows - self.looked, IDS_AT_MOST - ids))


class Walk:
    """One way through a list, from a page's cursor on, in pieces."""

    def __init__(
        self,
        store: StoreClient,
        axis: Axis,
        terms: Sequence[Term],
        page: Page,
        cursors: Sequence[Place | None],
        within: Bounds,
    ) -> None:
        self._store = store
        self._axis = axis
        self._driving, *self._others = terms
        after, before = cursors
        self.backward = before is not None and after is None
        """The page lies just before its cursor, and is walked from there."""
        self._descending = page.descending != self.backward
        low, high = (before, after) if page.descending else (after, before)
        lows = [place for place in (low, within[0]) if place is not None]
        highs = [place for place in (high, within[1]) if place is not None]
        self._low = axis.beyond(max(lows)) if lows else axis.lowest
        self._high = axis.beyond(min(highs)) if highs else axis.highest
        self.ended = not all(term.indexes for term in terms)
        self.looked = 0
        """Ids that the driving indexes gave."""
        self.at = ""
        """The last of them."""
        self.places: dict[str, Place] = {}
        """Where the ids of the last chunk stand."""

    @classmethod
    async def through(
        cls,
        store: StoreClient,
        axis: Axis,
        terms: Sequence[Term],
        page: Page,
        within: Bounds = (None, None),
    ) -> "Walk":
        """The walk of a page through all of the terms; along the smallest, if any gives the order."""
        cursors = [
            await axis.place(store, cursor) if cursor else None for cursor in (page.after, page.before)
        ]
        if axis.any_term and len(terms) > 1:
            sizes = {id(term): await size_of(store, term) for term in terms}
            terms = sorted(terms, key=lambda term: sizes[id(term)])
        return cls(store, axis, terms, page, cursors, within)

    async def next(self, limit: int) -> list[str]:
        """Of about the next `limit` ids along the driving term those that lie in all terms."""
        indexes = self._driving.indexes
        each = limit if len(indexes) == 1 else max(LEAST_PER_INDEX, 2 * limit // len(indexes))
        parts = await self._axis.ranges(
            self._store, indexes, self._low, self._high, descending=self._descending, limit=each
        )
        rows = self._known(parts, each) if len(parts) > 1 else parts[0]
        self.places = dict(islice(dict(rows).items(), limit))
        self.ended = len(self.places) == len(dict(rows)) and all(len(part) < each for part in parts)
        self.looked += len(self.places)
        if not self.places:
            return []
        self.at, place = next(reversed(self.places.items()))
        if self._descending:
            self._high = self._axis.beyond(place)
        else:
            self._low = self._axis.beyond(place)
        return await self._in_all(list(self.places))

    def _known(self, parts: Sequence[Sequence[tuple[str, Any]]], each: int) -> list[tuple[str, Any]]:
        """The parts as one, as far as all of them are known."""
        rows = list(merge(*parts, key=lambda row: row[1], reverse=self._descending))
        ends = [part[-1][1] for part in parts if len(part) == each]
        if not ends:
            return rows
        if self._descending:
            return [row for row in rows if row[1] >= max(ends)]
        return [row for row in rows if row[1] <= min(ends)]

    async def _in_all(self, ids: list[str]) -> list[str]:
        for term in self._others:
            if not ids:
                return []
            scores = await self._store.scores(term.indexes, ids)
            ids = [id for id, *found in zip(ids, *scores, strict=True) if any(s is not None for s in found)]
        return ids


async def size_of(store: StoreClient, term: Term) -> int:
    """How many rows a term has at the most: what lies in two of its indexes counts twice."""
    return sum(await store.together([("ZCARD", index) for index in term.indexes])) if term.indexes else 0


async def page_of(store: StoreClient, axis: Axis, terms: Sequence[Term], page: Page) -> list[str]:
    """Ids of one page of what lies in all of the terms."""

    async def same(ids: Sequence[str]) -> list[str]:
        return list(ids)

    return await rows_of(store, axis, terms, page, same)


async def rows_of(
    store: StoreClient,
    axis: Axis,
    terms: Sequence[Term],
    page: Page,
    read: "Read[Row]",
    keep: Keep | None = None,
    budget: Budget | None = None,
    within: Bounds = (None, None),
) -> list[Row]:
    """One page of the rows that `read` makes of the ids that `keep` gives back. Raises TooWide.

    Nothing is bounded where all rows are asked for (a limit of None, which nobody outside may).
    """
    if budget is None:
        budget = Budget(None if page.limit is None else ROWS_AT_MOST)
    walk = await Walk.through(store, axis, terms, page, within)
    rows: list[Row] = []
    shown: dict[str, Place] = {}
    most = IDS_CHUNK if keep is None else CHUNK
    size = CHUNK if page.limit is None else min(CHUNK, max(page.limit, 1))
    while not walk.ended and not budget.is_heavy and (page.limit is None or len(rows) < page.limit):
        left = budget.left(walk.looked)
        if left == 0:
            if rows:
                break
            raise TooWide(walk.looked, f"{'before' if walk.backward else 'after'}={walk.at}")
        ids = await walk.next(size if left is None else min(size, left))
        if keep is not None:
            budget.spend(len(ids))
            ids = await keep(ids)
        while ids and not budget.is_heavy and (page.limit is None or len(rows) < page.limit):
            some = CHUNK if page.limit is None else min(CHUNK, page.limit - len(rows))
            rows += await read(ids[:some])
            shown |= {id: walk.places[id] for id in ids[:some]}
            ids = ids[some:]
        size = min(most, 2 * size)
    await axis.remember(store, list(shown.items()))
    return rows[::-1] if walk.backward else rows


async def _counted_there(store: StoreClient, terms: Sequence[Term]) -> int | None:
    """The count of what the store itself can count in a moment; None for anything else."""
    if len(terms) == 1 and terms[0].apart:
        return await size_of(store, terms[0])
    indexes = [index for term in terms for index in term.indexes]
    in_all = all(len(term.indexes) == 1 for term in terms)
    if not in_all and (len(terms) > 1 or len(indexes) != 2):
        return None
    sizes = await store.together([("ZCARD", index) for index in indexes])
    if min(sizes) > IDS_AT_MOST:
        return None
    overlap = await store.overlap(indexes)
    return overlap if in_all else sum(sizes) - overlap


async def count_of(
    store: StoreClient,
    axis: Axis,
    terms: Sequence[Term],
    keep: Keep | None = None,
    budget: Budget | None = None,
) -> int:
    """How many rows lie in all of the terms; none is loaded unless `keep` looks at them. Raises TooWide."""
    if keep is None and (known := await _counted_there(store, terms)) is not None:
        return known
    budget = budget or Budget()
    walk = await Walk.through(store, axis, terms, Page())
    found = 0
    while not walk.ended:
        left = IDS_CHUNK if keep is None else budget.left(0)
        if left == 0:
            raise TooWide(walk.looked, None)
        ids = await walk.next(IDS_CHUNK if keep is None else min(CHUNK, left or CHUNK))
        if keep is not None:
            budget.spend(len(ids))
            ids = await keep(ids)
        found += len(ids)
    return found
