"""Endings: when and why an answer that has no end of its own is ended by us."""

import asyncio
from typing import Any

from service.access import Tokens
from service.records.tokens import Permit

STOPPING = "this server is being stopped"
NO_LEAVE = "the token that it was asked for with does not hold any more"


class Ending:
    """Comes when this server stops, or when the caller may not listen any more."""

    def __init__(
        self,
        stopping: asyncio.Event | None = None,
        tokens: Tokens | None = None,
        permit: Permit | None = None,
    ) -> None:
        self._stopping = stopping
        self._tokens = tokens
        self._permit = permit

    async def wait(self) -> str:
        """Until it comes; why, in words."""
        stopping = asyncio.ensure_future((self._stopping or asyncio.Event()).wait())
        waited: list[asyncio.Future[Any]] = [stopping]
        if self._tokens is not None and self._permit is not None:
            waited.append(asyncio.ensure_future(self._tokens.over(self._permit)))
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            return STOPPING if stopping.done() else NO_LEAVE
        finally:
            for future in waited:
                future.cancel()
            await asyncio.gather(*waited, return_exceptions=True)
