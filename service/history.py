"""History: what was done to a block, by whom, and how to take it back.

Reading never stops an edit. Taking back is itself an edit: it goes through
Blocks.edit like any other, is announced, kept, and can be taken back again.

To undo one edit is to put back what it removed where what it wrote still
stands, whatever else has been written meanwhile; if that is no longer there
exactly once, nobody can say what would be meant, and CannotUndo carries both
texts. To restore a version is to make the block what it was then. Under an
`edit_id` each is done once, as an edit is: the first outcome is given again even
where it could not be done any more.

Elsewhere: how entries are made (store/lua/history.lua).
"""

import asyncio
from typing import Any

from service.blocks import Blocks
from service.diffs import unified_diff
from service.errors import CannotUndo, EditConflict, Invalid, ManyMatches, NoMatch
from service.records.base import Page
from service.records.blocks import Author, Block, BlockFields, Edit, EditOutcome
from service.records.history import BlockThen, HistoryEntry
from service.records.history import History as Entries
from service.store.client import StoreClient
from service.store.history import HistoryStore, fields_from

TRIES = 20
"""So often an edit that depends on the present value is made anew when others were faster."""
CONTEXT_CHARS = 64
"""Of what stood on either side of a deletion: by this much the place is found again."""
_RESTORED = ("label", "description", "limit", "read_only", "tags", "metadata")


class History:
    """The room of a block's past."""

    def __init__(self, store: StoreClient, blocks: Blocks) -> None:
        self._store = HistoryStore(store)
        self._blocks = blocks

    async def entries(self, ws: str, block_id: str, page: Page) -> Entries:
        """Some of the edits, and how far back they are kept; the page's cursors are versions."""
        return await self._store.page(ws, block_id, page)

    async def at(self, ws: str, block_id: str, version: int) -> BlockThen:
        """The block at a version, with the edit that made it. Raises NotFound, Invalid, VersionGone."""
        return await self._store.at(ws, block_id, version)

    async def diff(self, ws: str, block_id: str, from_version: int, to_version: int) -> str:
        """A unified diff of the values at two versions; empty if they are equal."""
        old, new = await asyncio.gather(
            self._store.at(ws, block_id, from_version), self._store.at(ws, block_id, to_version)
        )
        names = f"version {from_version}", f"version {to_version}"
        return await asyncio.to_thread(unified_diff, old.block.value, new.block.value, *names)

    async def undo(
        self,
        ws: str,
        block_id: str,
        version: int,
        by: Author,
        expected_version: int | None = None,
        edit_id: str | None = None,
    ) -> EditOutcome:
        """Takes back the one edit that made a version. Raises CannotUndo, and what an edit raises."""
        if version == 1:
            raise Invalid("version", "1 is the block's creation; delete the block instead")
        asked = f"undo {version} {expected_version}"
        if (before := await self._blocks.repeated(ws, block_id, edit_id, asked)) is not None:
            return before
        then = await self._store.at(ws, block_id, version)
        entry, by = then.entry, by.model_copy(update={"undoes": version})
        if entry.added and not entry.fields:
            edit = Edit(
                operation="replace",
                old=entry.added,
                text=entry.removed,
                expected_version=expected_version,
                edit_id=edit_id,
            )
            try:
                return await self._blocks.edit(ws, block_id, edit, by, asked=asked)
            except (NoMatch, ManyMatches) as refusal:
                present = await self._blocks.read(ws, block_id)
                raise _cannot(entry, present, _why(refusal)) from None
        for _ in range(TRIES):
            present = await self._blocks.read(ws, block_id)
            # After the reading: if nobody has done it yet, what was read does not show it done either.
            if (before := await self._blocks.repeated(ws, block_id, edit_id, asked)) is not None:
                return before
            value = _without(entry, then.block.value, present)
            fields = fields_from(_fields_before(entry, present)).model_copy(update={"value": value})
            made_from = present.version if expected_version is None else expected_version
            edit = Edit(operation="configure", fields=fields, expected_version=made_from, edit_id=edit_id)
            try:
                return await self._blocks.edit(ws, block_id, edit, by, asked=asked)
            except EditConflict:
                if expected_version is not None:
                    raise
        raise EditConflict(present.version, present.version + 1, present.value)

    async def restore(
        self,
        ws: str,
        block_id: str,
        version: int,
        by: Author,
        expected_version: int | None = None,
        edit_id: str | None = None,
    ) -> EditOutcome:
        """Makes a block what it was at a version: value, label, description, limit, tags and the rest."""
        asked = f"restore {version} {expected_version}"
        if (before := await self._blocks.repeated(ws, block_id, edit_id, asked)) is not None:
            return before
        then = (await self._store.at(ws, block_id, version)).block
        fields: dict[str, Any] = {name: getattr(then, name) for name in _RESTORED}
        if then.description is None and (await self._blocks.read(ws, block_id)).description:
            fields["description"] = ""  # nothing is made absent again; what still is, is left so
        whole = BlockFields(value=then.value, **fields)
        edit = Edit(operation="configure", fields=whole, expected_version=expected_version, edit_id=edit_id)
        by = by.model_copy(update={"restores": version})
        return await self._blocks.edit(ws, block_id, edit, by, asked=asked)


def _without(entry: HistoryEntry, then: str, present: Block) -> str:
    """The present value without what an edit did to it."""
    if entry.added:
        if (count := present.value.count(entry.added)) != 1:
            raise _cannot(entry, present, _times(count))
        return present.value.replace(entry.added, entry.removed)
    if not entry.removed:
        return present.value
    place = len(then.encode()[: entry.position].decode())
    left, right = then[max(0, place - CONTEXT_CHARS) : place], then[place : place + CONTEXT_CHARS]
    if (not left + right and present.value) or (left + right and present.value.count(left + right) != 1):
        raise _cannot(entry, present, "the place it deleted from has changed")
    at = present.value.find(left + right) + len(left)
    return present.value[:at] + entry.removed + present.value[at:]


def _fields_before(entry: HistoryEntry, present: Block) -> dict[str, str | None]:
    """What the edit configured, as it was before; CannotUndo if somebody configured it again since."""
    written = fields_from({name: entry.fields[name] for name in entry.were if name in entry.fields})
    for name in written.model_fields_set:
        if getattr(present, name) != getattr(written, name):
            raise _cannot(entry, present, f"{name} was changed again since")
    return entry.were


def _why(refusal: NoMatch | ManyMatches) -> str:
    if isinstance(refusal, NoMatch):
        return _times(0)
    return f"what it wrote stands there more than once (lines {', '.join(map(str, refusal.lines))})"


def _times(count: int) -> str:
    return "what it wrote is no longer there" if count == 0 else f"what it wrote stands there {count} times"


def _cannot(entry: HistoryEntry, present: Block, why: str) -> CannotUndo:
    return CannotUndo(entry.version, entry.added, entry.removed, present.version, present.value, why)
