"""Retries: requests from outside that are made again mean the same thing both times.

A caller who names a request (`Idempotency-Key`) may send it as often as it
likes: what it makes has an id that follows from the key. SDKs repeat requests
without naming them, but say that they do: the id that the first one got is
remembered for a while under what was asked, and found again by the second.

Elsewhere: which requests say what (http/retries.py).
"""

from service.errors import IdReused
from service.records.ids import derived_id
from service.store.client import StoreClient
from service.store.retries import RetryStore


class Retries:
    """The room of requests that may come twice."""

    def __init__(self, store: StoreClient) -> None:
        self._store = RetryStore(store)

    async def named(self, ws: str, key: str, asked: str, prefix: str) -> str:
        """The id of what the request of this key makes. IdReused if it asked for something else before.

        `asked` is a fingerprint of who asked for what.
        """
        before = await self._store.claim(ws, key, asked)
        if before not in (None, asked):
            raise IdReused("Idempotency-Key", key)
        return derived_id(prefix, "key", ws, key)

    async def remember(self, ws: str, asked: str, id: str) -> None:
        """Keeps which id a request got, should it come again."""
        await self._store.remember(ws, asked, id)

    async def recall(self, ws: str, asked: str) -> str | None:
        """The id that the same request got before, if it came within REMEMBERED_S."""
        return await self._store.recall(ws, asked)
