"""Blocks: text that several agents read and any of them may edit.

Every edit arrives here, whether it began as a web request or as a model's
tool call, and leaves through one script, which applies the operation to the
value as it is at that moment: two appends never collide. A writer that names
the version it read gets EditConflict with the current one if that has moved;
losing a race is an answer, not a failure.

A new value, its history entry and the change that announces it appear
together or not at all. Who is woken by it: workers/wakeups.py.

Elsewhere: blocks that come with a new agent, or are given to one as a set, in one
act with it (agents.py); the operations (store/lua/block_edit.lua); key names (store/keys.py).
"""

import hashlib
from collections.abc import Iterable, Sequence

from service.errors import (
    BlockFull,
    BlockwireError,
    EditConflict,
    Invalid,
    LeaseLost,
    NotAttached,
    NotFound,
    StoreUnreachable,
)
from service.metrics.process import Metrics
from service.records.base import Page
from service.records.blocks import DEFAULT_LIMIT, Author, Block, BlockFields, BlockQuery, Edit, EditOutcome
from service.records.ids import new_id
from service.records.runs import Lease
from service.settings import Settings
from service.store.block_lists import BlockLists
from service.store.blocks import BlockStore
from service.store.client import StoreClient

LABEL_MOST = 500
"""Characters in a label. Any characters: V1 restricts labels in list filters only."""
EDIT_ID_MOST = 200
LIMIT_MOST = 1_000_000
"""Characters in the longest block: one edit of it keeps the store busy for a fraction of a second."""


class Blocks:
    """The room of block writes. `ws` is the workspace; with a lease an agent acts, and is fenced."""

    def __init__(self, store: StoreClient, settings: Settings, metrics: Metrics | None = None) -> None:
        self._metrics = metrics or Metrics()
        self._store = BlockStore(store, settings.history_kept, settings.change_count)
        self._lists = BlockLists(store)

    async def create(
        self,
        ws: str,
        fields: BlockFields,
        by: Author,
        *,
        block_id: str | None = None,
        attach_to: str | None = None,
        lease: Lease | None = None,
    ) -> Block:
        """A new block at version 1, attached to an agent if asked, in one act.

        With a `block_id` that exists already the block is given back as it is.
        Raises LabelTaken when the agent has another block of that label.
        """
        checked = checked_new(fields)
        return await self._store.create(ws, block_id or new_id("block"), checked, by, attach_to, lease)

    async def read(self, ws: str, block_id: str) -> Block:
        return await self._store.read(ws, block_id)

    async def read_many(self, ws: str, block_ids: Sequence[str]) -> list[Block]:
        """All of them, in order. Raises NotFound for the first that does not exist."""
        blocks = await self._store.read_many(ws, block_ids)
        found = {block.id for block in blocks}
        for id in block_ids:
            if id not in found:
                raise NotFound("block", id)
        return blocks

    async def existing(self, ws: str, block_ids: Sequence[str]) -> list[Block]:
        """Those of them that exist, in order."""
        return await self._store.read_many(ws, block_ids)

    async def edit(
        self,
        ws: str,
        block_id: str,
        edit: Edit,
        by: Author,
        lease: Lease | None = None,
        *,
        asked: str | None = None,
    ) -> EditOutcome:
        """Applies one operation to the value as it is now, or raises why not; nothing in between.

        EditConflict, BlockFull, NoMatch, ManyMatches, LineOutOfRange, LabelTaken, IdReused, NotFound; with a
        lease also LeaseLost, BlockReadOnly, NotAttached. The same `edit_id` again changes nothing more.
        `asked`: what its caller said, where the edit itself was made from the value at hand.
        """
        edit = _checked_edit(edit)
        fingerprint = ""
        if edit.edit_id is not None:
            fingerprint = _fingerprint(block_id, asked or edit.model_dump_json(exclude={"edit_id"}))
        try:
            done = await self._store.edit(ws, block_id, edit, by, fingerprint, lease)
        except BlockwireError as refusal:
            self._metrics.edits.add(edit.operation, _outcome_of(refusal))
            raise
        outcome = "repeated" if done.repeated else "applied" if done.changed else "unchanged"
        self._metrics.edits.add(edit.operation, outcome)
        return done

    async def repeated(self, ws: str, block_id: str, edit_id: str | None, asked: str) -> EditOutcome | None:
        """What an `edit_id` from outside gave before; None if nothing. IdReused for another request."""
        if edit_id is None:
            return None
        known = await self._store.outcome(ws, edit_id, _fingerprint(block_id, asked))
        if known is None:
            return None
        version, changed = known
        block = await self._store.read(ws, block_id)
        return EditOutcome(block=block, version=version, changed=changed, repeated=True)

    async def delete(self, ws: str, block_id: str, by: Author) -> None:
        """Gone for good, and detached from every agent."""
        await self._store.delete(ws, block_id, by)

    async def attach(
        self, ws: str, agent_id: str, block_id: str, by: Author, lease: Lease | None = None
    ) -> None:
        """Lets an agent see a block. Twice is no change; another block of that label is LabelTaken."""
        await self._store.attach(ws, "attach", agent_id, block_id, by, lease)

    async def detach(
        self,
        ws: str,
        agent_id: str,
        block_id: str,
        by: Author,
        lease: Lease | None = None,
        effect_id: str | None = None,
    ) -> None:
        """Takes a block from an agent; the block stays. Raises NotAttached."""
        await self._store.attach(ws, "detach", agent_id, block_id, by, lease, effect_id)

    async def of_agent(self, ws: str, agent_id: str) -> list[Block]:
        """The blocks an agent sees, by label."""
        return await self._store.of_agent(ws, agent_id)

    async def labelled(self, ws: str, agent_id: str, label: str) -> Block:
        """The block an agent sees under a label. Raises NotAttached."""
        return await self._store.labelled(ws, agent_id, label)

    async def labelled_id(self, ws: str, agent_id: str, label: str) -> str:
        """The id of that block. Raises NotAttached."""
        block_id = await self._store.attached_as(ws, agent_id, label)
        if block_id is None:
            raise NotAttached(agent_id, label)
        return block_id

    async def labels(self, ws: str, agent_id: str) -> dict[str, str]:
        """label -> block id of what an agent sees."""
        return await self._store.attached(ws, agent_id)

    async def effects(self, ws: str, run_id: str) -> dict[str, str]:
        """effect id -> block id of what a run has done to blocks so far; for a worker that takes it over."""
        return await self._store.effects(ws, run_id)

    async def versions(self, ws: str, agent_id: str) -> dict[str, int]:
        """block id -> version of what an agent sees, in one round trip."""
        return await self._store.versions(ws, agent_id)

    async def agents_of(self, ws: str, block_id: str, page: Page) -> list[str]:
        """Ids of the agents a block is attached to. Raises NotFound."""
        await self._store.read(ws, block_id)
        return await self._lists.agents_of(ws, block_id, page)

    async def attached_to(self, ws: str, pairs: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
        """Of pairs (block, tag) those whose block is attached to an agent with that tag."""
        return await self._lists.attached_to(ws, pairs)

    async def find(self, ws: str, query: BlockQuery, page: Page) -> list[Block]:
        """One page of the blocks that a query asks for, by creation. Raises TooWide."""
        return await self._lists.page(ws, query, page)

    async def count(self, ws: str, query: BlockQuery) -> int:
        """How many blocks a query asks for. Raises TooWide."""
        return await self._lists.count(ws, query)


def _outcome_of(refusal: BlockwireError) -> str:
    """A refusal as figures tell it."""
    match refusal:
        case EditConflict():
            return "conflict"
        case LeaseLost():
            return "fenced"
        case StoreUnreachable():
            return "failed"
    return "refused"


def checked_fields(fields: BlockFields) -> BlockFields:
    """The fields with NUL characters dropped from the value and each tag once, or Invalid."""
    if fields.label is not None and not 1 <= len(fields.label) <= LABEL_MOST:
        raise Invalid("label", f"must have 1 to {LABEL_MOST} characters, not {len(fields.label)}")
    if fields.limit is not None and not 0 <= fields.limit <= LIMIT_MOST:
        raise Invalid("limit", f"must lie between 0 and {LIMIT_MOST} characters, got {fields.limit}")
    if fields.value is not None and "\0" in fields.value:
        fields = fields.model_copy(update={"value": fields.value.replace("\0", "")})
    if fields.tags is not None:
        fields = fields.model_copy(update={"tags": list(dict.fromkeys(fields.tags))})
    return fields


def checked_new(fields: BlockFields) -> BlockFields:
    """The fields of a new block: labelled, and no longer than its own limit."""
    checked = checked_fields(fields)
    if checked.label is None:
        raise Invalid("label", "is missing; give the name under which agents see the block")
    limit = DEFAULT_LIMIT if checked.limit is None else checked.limit
    if len(checked.value or "") > limit:
        raise BlockFull(len(checked.value or ""), limit)
    return checked


def _fingerprint(block_id: str, asked: str) -> str:
    return hashlib.sha256((block_id + asked).encode()).hexdigest()[:32]


def _checked_edit(edit: Edit) -> Edit:
    if edit.edit_id is not None and not 1 <= len(edit.edit_id) <= EDIT_ID_MOST:
        raise Invalid("edit_id", f"must have 1 to {EDIT_ID_MOST} characters")
    if edit.operation == "replace" and not edit.old:
        raise Invalid("old", "must be the text to replace, not empty")
    if edit.operation == "configure":
        if edit.fields is None:
            raise Invalid("fields", "must name what to configure")
        return edit.model_copy(update={"fields": checked_fields(edit.fields)})
    if "\0" in edit.text:
        return edit.model_copy(update={"text": edit.text.replace("\0", "")})
    return edit
