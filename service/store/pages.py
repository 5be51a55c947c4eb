"""Pages: a part of a list that is kept as a sorted set by creation, whatever the list's length.

A page costs the same wherever it lies: the cursor's own score is looked up and
the range starts there. An unknown cursor starts the list over, as V1 does on
every list but messages.
"""

from service.records.base import Page
from service.store.client import StoreClient

CHUNK = 200
"""Rows looked at per round trip when a filter has to be asked of each."""


async def page_of(store: StoreClient, index: str, page: Page, limit: int | None = None) -> list[str]:
    """Ids of one page of `index`; `limit` overrides the page's own (None: all)."""
    wanted = page.limit if limit is None else limit
    low, high = "-inf", "+inf"
    after = await store.score(index, page.after) if page.after else None
    before = await store.score(index, page.before) if page.before else None
    if after is not None:
        low, high = (low, f"({after:.0f}") if page.descending else (f"({after:.0f}", high)
    if before is not None:
        low, high = (f"({before:.0f}", high) if page.descending else (low, f"({before:.0f}")
    if before is not None and after is None:
        # The page that lies just before the cursor: taken from the cursor's end, then turned round.
        found = await store.range(index, low, high, descending=not page.descending, limit=wanted)
        return found[::-1]
    return await store.range(index, low, high, descending=page.descending, limit=wanted)
