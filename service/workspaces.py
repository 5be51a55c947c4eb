"""Workspaces: which there are. One begins with its first agent or token, and the default one is always there.

Elsewhere: how they are named (access.py); who serves all of them (workers/workspaces.py).
"""

from service.store.client import StoreClient
from service.store.keys import WORKSPACES_KEY


class Workspaces:
    """The list of them."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    async def all(self) -> list[str]:
        """Their names, in order."""
        return sorted(await self._store.members(WORKSPACES_KEY))
