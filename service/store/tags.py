"""Tags in the store: the names that blocks and agents carry, in the order of their texts."""

from service.errors import TooWide
from service.records.base import IDS_AT_MOST, Page
from service.store.client import StoreClient
from service.store.keys import key
from service.store.pages import IDS_CHUNK


class TagStore:
    """The list of tags. A tag is its own cursor, also when nobody carries it any more."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    async def page(self, ws: str, page: Page, words: str | None) -> list[str]:
        """One page of the tags in which the words occur, case ignored. Raises TooWide."""
        low, high = (page.before, page.after) if page.descending else (page.after, page.before)
        bounds = ["-" if low is None else f"({low}", "+" if high is None else f"({high}"]
        backward = page.before is not None and page.after is None
        descending = page.descending != backward
        word = (words or "").casefold()
        found: list[str] = []
        looked = 0
        while page.limit is None or len(found) < page.limit:
            (part,) = await self._store.lex_ranges(
                [key(ws, "tags")], *bounds, descending=descending, limit=IDS_CHUNK
            )
            found += [tag for tag in part if word in tag.casefold()]
            looked += len(part)
            if len(part) < IDS_CHUNK:
                break
            bounds[descending] = f"({part[-1]}"
            if looked >= IDS_AT_MOST:
                if found:
                    break
                raise TooWide(looked, f"{'before' if backward else 'after'}={part[-1]}")
        found = found[: page.limit]
        return found[::-1] if backward else found

    async def has(self, ws: str, tag: str) -> bool:
        return await self._store.score(key(ws, "tags"), tag) is not None
