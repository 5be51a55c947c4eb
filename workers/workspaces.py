"""Workspaces: all of them are watched, also those that begin while we run."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from service.bootstrap import Service
from service.errors import StoreUnreachable

PAUSE_S = 1.0
"""So long a new workspace goes unnoticed at the most."""


async def in_each(service: Service, watch: Callable[[str], Coroutine[Any, Any, None]]) -> None:
    """A watcher for each workspace, until it is cancelled. What one of them raises ends all."""
    async with asyncio.TaskGroup() as group:
        known: set[str] = set()
        while True:
            with suppress(StoreUnreachable):
                for ws in await service.workspaces.all():
                    if ws not in known:
                        known.add(ws)
                        group.create_task(watch(ws))
            await asyncio.sleep(PAUSE_S)
