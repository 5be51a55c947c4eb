"""Places: where the rows of a list stand, and how a cursor finds its place again.

Most lists are in the order of creation, which never changes: a row stands where its
number says, and a deleted row's number is kept for a while (lua/gone.lua), so that
whoever pages on from it does not start over. Lists by a time that moves are kept
as `<16 digits>:<id>` in an order of texts, so that rows of the same moment have
an order too; for these the place is remembered where a page ended, because the
row itself may have moved before the next page is asked for.
"""

from collections.abc import Sequence
from typing import Protocol

from service.store.client import StoreClient
from service.store.keys import key

Place = float | str
Entries = list[list[tuple[str, Place]]]

SHOWN_MS = 3_600_000


class Axis(Protocol):
    """An order of rows, as ranges of sorted sets."""

    lowest: str
    highest: str
    any_term: bool
    """Whether every index has the order, or the first term alone."""

    def beyond(self, place: Place) -> str:
        """The bound that leaves out this place and what lies on its other side."""

    async def place(self, store: StoreClient, cursor: str) -> Place | None:
        """Where a row stands or stood; None for what never was one."""

    async def ranges(
        self, store: StoreClient, indexes: Sequence[str], low: str, high: str, *, descending: bool, limit: int
    ) -> Entries:
        """The first `limit` entries of each index between two bounds."""

    async def remember(self, store: StoreClient, shown: Sequence[tuple[str, Place]]) -> None:
        """Notes where a page began and ended, if its rows may move."""


class Creation:
    """The order of creation: scores are numbers that were given once.

    `home` is an index that has every row of the kind; `gone` keeps the places of deleted ones.
    """

    lowest, highest, any_term = "-inf", "+inf", True

    def __init__(self, home: str, gone: str | None = None) -> None:
        self._home = home
        self._gone = gone

    def beyond(self, place: Place) -> str:
        return f"({place:.0f}"

    async def place(self, store: StoreClient, cursor: str) -> Place | None:
        found = await store.score(self._home, cursor)
        if found is None and self._gone is not None:
            left = await store.field(self._gone, cursor)
            return None if left is None else float(left)
        return found

    async def ranges(
        self, store: StoreClient, indexes: Sequence[str], low: str, high: str, *, descending: bool, limit: int
    ) -> Entries:
        found = await store.ranges(indexes, low, high, descending=descending, limit=limit)
        return [[(id, score) for id, score in part] for part in found]

    async def remember(self, store: StoreClient, shown: Sequence[tuple[str, Place]]) -> None:
        """Nothing: these places stay."""


def by_creation(ws: str, kind: str) -> Creation:
    """The order of `blocks`, `agents`, `runs`, `steps`, `identities` or `tools`."""
    return Creation(key(ws, kind), key(ws, "gone", kind))


class Moving:
    """The order of a time of agents that changes; `name` is the field of the hash that has it now."""

    lowest, highest, any_term = "-", "+", False

    def __init__(self, ws: str, name: str) -> None:
        self._ws = ws
        self.name = name

    def beyond(self, place: Place) -> str:
        return f"({place}"

    def standing(self, id: str, at: str | None) -> str:
        """The place of a row by its time, as lua/agent_places.lua writes it."""
        return f"{at or '0':0>16}:{id}"

    async def place(self, store: StoreClient, cursor: str) -> Place | None:
        shown = await store.get(key(self._ws, "shown_at", f"{self.name}:{cursor}"))
        if shown is not None:
            return shown
        found = await store.fields(key(self._ws, "agent", cursor), ["seq", self.name])
        return None if found[0] is None else self.standing(cursor, found[1])

    async def ranges(
        self, store: StoreClient, indexes: Sequence[str], low: str, high: str, *, descending: bool, limit: int
    ) -> Entries:
        found = await store.lex_ranges(indexes, low, high, descending=descending, limit=limit)
        return [[(member.partition(":")[2], member) for member in part] for part in found]

    async def remember(self, store: StoreClient, shown: Sequence[tuple[str, Place]]) -> None:
        ends = {id: str(place) for id, place in (*shown[:1], *shown[-1:])}
        for id, place in ends.items():
            await store.put(key(self._ws, "shown_at", f"{self.name}:{id}"), place, SHOWN_MS)
