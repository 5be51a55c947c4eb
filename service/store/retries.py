"""Retries in the store: what was asked under a key, and which id a request got; both for a while only."""

from service.store.client import StoreClient
from service.store.keys import key

KEY_S = 86_400
REMEMBERED_S = 600
"""An SDK repeats a request twice, after a minute's wait each: this is more than that takes."""


class RetryStore:
    """Two kinds of short-lived marks."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    async def claim(self, ws: str, name: str, asked: str) -> str | None:
        """What was asked under this key before; None if nothing was, and then it is this."""
        return await self._store.put_or_get(key(ws, "request", name), asked, KEY_S * 1000)

    async def remember(self, ws: str, asked: str, id: str) -> None:
        await self._store.put(key(ws, "asked", asked), id, REMEMBERED_S * 1000)

    async def recall(self, ws: str, asked: str) -> str | None:
        return await self._store.get(key(ws, "asked", asked))
