"""Tags: the words that blocks and agents carry, by name. One is there as long as anything carries it."""

from service.records.base import Page
from service.store.client import StoreClient
from service.store.tags import TagStore


class Tags:
    """Reading tags; they are written with the blocks and agents that carry them."""

    def __init__(self, store: StoreClient) -> None:
        self._store = TagStore(store)

    async def find(
        self, ws: str, page: Page, *, name: str | None = None, words: str | None = None
    ) -> list[str]:
        """One page of tags by name: those in which `words` occur, or the one called `name`."""
        if name is None:
            return await self._store.page(ws, page, words)
        lies = _beyond(name, page.after, page.descending) and _beyond(name, page.before, not page.descending)
        fits = (words or "").casefold() in name.casefold()
        return [name] if lies and fits and await self._store.has(ws, name) else []


def _beyond(name: str, cursor: str | None, down: bool) -> bool:
    """Whether a name lies behind a cursor, as the store orders texts."""
    if cursor is None or name == cursor:
        return cursor is None
    return (name.encode() < cursor.encode()) == down
