"""Endings: when and why an answer that has no end of its own is ended by us."""

import asyncio
from collections.abc import Coroutine
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

    def ways(self) -> list[Coroutine[Any, Any, str]]:
        """Each way in which it may come, to be waited for; why it came, in words."""
        ways = [self._stopped()] if self._stopping is not None else []
        if self._tokens is not None and self._permit is not None:
            ways.append(self._over(self._tokens, self._permit))
        return ways

    async def _stopped(self) -> str:
        assert self._stopping is not None
        await self._stopping.wait()
        return STOPPING

    @staticmethod
    async def _over(tokens: Tokens, permit: Permit) -> str:
        await tokens.over(permit)
        return NO_LEAVE
