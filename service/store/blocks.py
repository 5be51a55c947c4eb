"""Blocks in the store: hash fields <-> Block, and the scripts that write them.

The values of a hash are texts: lists and objects as JSON, truth as "1" or "0",
what is not there is null.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic_core import from_json

from service.errors import (
    BlockFull,
    BlockReadOnly,
    BlockwireError,
    EditConflict,
    IdReused,
    LabelTaken,
    LeaseLost,
    LineOutOfRange,
    ManyMatches,
    NoMatch,
    NotAttached,
    NotFound,
)
from service.records.base import unchecked
from service.records.blocks import Author, Block, BlockFields, Change, Edit, EditOutcome
from service.records.runs import Lease
from service.store.client import Reply, StoreClient, flat
from service.store.keys import key

AS_JSON = ("tags", "metadata", "identity_ids")
AS_TRUTH = ("read_only", "hidden", "is_template", "preserve_on_migration")
_AS_NUMBER = ("version", "chars", "limit", "created_at", "updated_at")
_UNSAID = {name: field.default for name, field in Block.model_fields.items() if not field.is_required()} | {
    "tags": "[]",
    "metadata": "{}",
    "identity_ids": "[]",
}
"""What a hash need not hold."""


def to_hash(fields: BlockFields) -> dict[str, str]:
    """The fields that were given, as the hash keeps them; `value` comes with its count of characters."""
    texts: dict[str, str] = {}
    for name, value in fields.model_dump(exclude_none=True).items():
        if name in AS_JSON:
            texts[name] = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        elif name in AS_TRUTH:
            texts[name] = "1" if value else "0"
        else:
            texts[name] = str(value)
    if fields.value is not None:
        texts["chars"] = str(len(fields.value))
    return texts


def to_block(hash: Mapping[str, str]) -> Block:
    """The block that a hash keeps. Whoever wrote it had checked it."""
    values: dict[str, Any] = {**_UNSAID, **hash}
    for name in _AS_NUMBER:
        values[name] = int(values[name])
    for name in AS_TRUTH:
        if name in hash:
            values[name] = hash[name] == "1"
    for name in AS_JSON:
        values[name] = from_json(values[name])
    return unchecked(Block, values)


@lru_cache(maxsize=256)
def _author(by: Author) -> str:
    return by.model_dump_json(exclude_none=True, exclude_defaults=True)


class BlockStore:
    """One door to the scripts on blocks. Names and limits were checked by the caller."""

    def __init__(self, store: StoreClient, history_kept: str, change_count: int) -> None:
        self._store = store
        self._history_kept = history_kept
        self._change_count = change_count

    async def edit(
        self, ws: str, block_id: str, edit: Edit, by: Author, fingerprint: str, lease: Lease | None
    ) -> EditOutcome:
        fields = to_hash(edit.fields) if edit.fields else {}
        value = fields.pop("value", None)
        fields.pop("chars", None)
        text = edit.text if value is None else value
        reply = await self._store.run(
            "block_edit",
            ws,
            block_id,
            edit.operation,
            text,
            len(text),
            edit.old,
            len(edit.old),
            "1" if edit.all else "",
            edit.line,
            "" if value is None else "1",
            json.dumps(fields, ensure_ascii=False) if fields else "{}",
            "" if edit.expected_version is None else edit.expected_version,
            edit.edit_id or "",
            fingerprint,
            _author(by),
            by.agent_id or by.name,
            lease.agent_id if lease else "",
            lease.generation if lease else "",
            (by.run_id or "") if lease else "",
            self._change_count,
            self._history_kept,
        )
        if reply[0] != "ok":
            raise _refusal(reply, block_id, edit, lease)
        outcome = {"version": int(reply[1]), "changed": bool(reply[2]), "repeated": bool(reply[3])}
        return unchecked(EditOutcome, {"block": to_block(flat(reply[4])), **outcome})

    async def outcome(self, ws: str, edit_id: str, fingerprint: str) -> tuple[int, bool] | None:
        """The version an edit from outside made, and whether it changed anything. Raises IdReused."""
        text = await self._store.get(key(ws, "edit", edit_id))
        if text is None:
            return None
        known = json.loads(text)
        if known["f"] != fingerprint:
            raise IdReused("edit_id", edit_id)
        return int(known["v"]), bool(known["c"])

    async def create(
        self,
        ws: str,
        block_id: str,
        fields: BlockFields,
        by: Author,
        agent_id: str | None,
        lease: Lease | None,
    ) -> Block:
        reply = await self._store.run(
            "block_create",
            ws,
            block_id,
            json.dumps(new_hash(fields), ensure_ascii=False),
            _author(by),
            by.agent_id or by.name,
            agent_id or "",
            lease.agent_id if lease else "",
            lease.generation if lease else "",
            self._change_count,
            self._history_kept,
        )
        if reply[0] != "ok":
            raise _refusal_of_attachment(reply, agent_id or "", block_id, lease)
        return to_block(flat(reply[1]))

    async def attach(
        self,
        ws: str,
        verb: str,
        agent_id: str,
        block_id: str,
        by: Author,
        lease: Lease | None,
        effect_id: str | None = None,
    ) -> None:
        """`verb` is attach or detach."""
        reply = await self._store.run(
            "block_attach",
            ws,
            verb,
            agent_id,
            block_id,
            _author(by),
            lease.agent_id if lease else "",
            lease.generation if lease else "",
            self._change_count,
            effect_id or "",
            by.run_id or "",
        )
        if reply[0] != "ok":
            raise _refusal_of_attachment(reply, agent_id, block_id, lease)

    async def delete(self, ws: str, block_id: str, by: Author) -> None:
        reply = await self._store.run("block_delete", ws, block_id, _author(by), self._change_count)
        if reply[0] != "ok":
            raise NotFound("block", block_id)

    async def read(self, ws: str, block_id: str) -> Block:
        hash = await self._store.hash(key(ws, "block", block_id))
        if not hash:
            raise NotFound("block", block_id)
        return to_block(hash)

    async def read_many(self, ws: str, block_ids: Sequence[str]) -> list[Block]:
        """Those of the blocks that exist, in order."""
        hashes = await self._store.hashes([key(ws, "block", id) for id in block_ids])
        return [to_block(hash) for hash in hashes if hash]

    async def attached(self, ws: str, agent_id: str) -> dict[str, str]:
        """label -> block id of what an agent has attached."""
        return await self._store.hash(key(ws, "agent_blocks", agent_id))

    async def of_agent(self, ws: str, agent_id: str) -> list[Block]:
        """The blocks that an agent has attached, by label, in one round trip."""
        reply = await self._store.run("blocks_attached", ws, agent_id)
        return sorted((to_block(flat(hash)) for hash in reply), key=lambda block: block.label)

    async def labelled(self, ws: str, agent_id: str, label: str) -> Block:
        """The block that an agent has under a label, in one round trip. Raises NotAttached."""
        reply = await self._store.run("block_labelled", ws, agent_id, label)
        if reply[0] != "ok":
            raise NotAttached(agent_id, label)
        return to_block(flat(reply[1]))

    async def attached_as(self, ws: str, agent_id: str, label: str) -> str | None:
        return await self._store.field(key(ws, "agent_blocks", agent_id), label)

    async def effects(self, ws: str, run_id: str) -> dict[str, str]:
        """effect id -> block id of what a run's agent has done to blocks."""
        found = await self._store.hash(key(ws, "run_effects", run_id))
        return {id: json.loads(outcome)["b"] for id, outcome in found.items()}

    async def versions(self, ws: str, agent_id: str) -> dict[str, int]:
        """block id -> version of everything attached to an agent, in one round trip."""
        reply = await self._store.run("block_versions", ws, agent_id)
        return {id: int(version) for id, version in flat(reply).items()}


def new_hash(fields: BlockFields) -> dict[str, str]:
    """The texts of a new block's hash, defaults included."""
    given = BlockFields(value="", limit=100_000, read_only=False, tags=[], metadata={}, is_template=False)
    whole = given.model_copy(update=fields.model_dump(exclude_none=True))
    return to_hash(whole)


def change_of(text: str) -> Change:
    """A change as the stream and the channel carry it."""
    return Change.model_validate_json(text)


def _refusal(reply: Reply, block_id: str, edit: Edit, lease: Lease | None) -> BlockwireError:
    agent_id = lease.agent_id if lease else ""
    match reply:
        case ["missing"]:
            return NotFound("block", block_id)
        case ["conflict", version, value]:
            return EditConflict(edit.expected_version or 0, version, value)
        case ["readonly", label]:
            return BlockReadOnly(label)
        case ["full", length, limit]:
            return BlockFull(length, limit)
        case ["nomatch"]:
            return NoMatch()
        case ["many", *lines]:
            return ManyMatches(lines)
        case ["line", lines]:
            return LineOutOfRange(lines)
        case ["reused"]:
            return IdReused("edit_id", edit.edit_id or "")
    return _refusal_of_attachment(reply, agent_id, block_id, lease)


def _refusal_of_attachment(reply: Reply, agent_id: str, block_id: str, lease: Lease | None) -> BlockwireError:
    match reply:
        case ["fence"]:
            return LeaseLost(lease.agent_id if lease else agent_id)
        case ["label", label, holder]:
            return LabelTaken(label, holder)
        case ["noagent"]:
            return NotFound("agent", agent_id)
        case ["missing"]:
            return NotFound("block", block_id)
        case ["detached", *label]:
            return NotAttached(agent_id, label[0] if label else block_id)
    raise RuntimeError(f"a script on blocks gave an unknown reply: {reply[0]}")
