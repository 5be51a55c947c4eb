"""Extras: what a change is told with on request: the value that it made, or a diff.

Elsewhere: who asks for them (http/feeds.py, workers/payloads.py).
"""

import asyncio
from collections.abc import Collection
from typing import Any

from service.blocks import Blocks
from service.diffs import unified_diff
from service.errors import BlockwireError, StoreUnreachable
from service.history import History
from service.records.blocks import Change

MADE_A_VERSION = ("created", "edited", "configured")
"""Kinds of changes that make a version, so that a block shows whether it has them."""


class Extras:
    """Reads them from blocks and their history."""

    def __init__(self, blocks: Blocks, history: History) -> None:
        self._blocks = blocks
        self._history = history

    async def of(self, ws: str, change: Change, wanted: Collection[str]) -> dict[str, Any]:
        """`value` with `value_version`, and `diff`, as far as they are wanted and the change has them."""
        if not wanted or change.kind == "deleted":
            return {}
        value, version = await self._value(ws, change.block_id, change.version)
        extra: dict[str, Any] = {}
        if "value" in wanted:
            extra |= {"value": value, "value_version": version}
        if "diff" in wanted and change.kind in MADE_A_VERSION:
            extra |= {"diff": await self._diff(ws, change, value if version == change.version else None)}
        return extra

    async def _value(self, ws: str, block_id: str, version: int) -> tuple[str | None, int | None]:
        """The value at a version; else the present one; else none."""
        try:
            return (await self._history.at(ws, block_id, version)).block.value, version
        except StoreUnreachable:
            raise
        except BlockwireError:  # that version is no longer kept, or the block is gone
            found = await self._blocks.existing(ws, [block_id])
            return (found[0].value, found[0].version) if found else (None, None)

    async def _diff(self, ws: str, change: Change, value: str | None) -> str:
        """Between the versions before and after; of the texts in the change where one is no longer kept."""
        old, new = change.removed, change.added
        if value is not None:
            before, version = (
                ("", 0) if change.version == 1 else await self._value(ws, change.block_id, change.version - 1)
            )
            if before is not None and version == change.version - 1:
                old, new = before, value
        names = f"version {change.version - 1}", f"version {change.version}"
        return await asyncio.to_thread(unified_diff, old, new, *names)
