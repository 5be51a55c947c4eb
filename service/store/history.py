"""History in the store: entries of a block's stream; its value at a version, by taking splices back."""

import asyncio
import json
from collections.abc import Mapping, Sequence

from service.errors import Invalid, NotFound, VersionGone
from service.records.base import Page
from service.records.blocks import Author, Block, BlockFields
from service.records.history import BlockThen, History, HistoryEntry
from service.store.blocks import AS_JSON, AS_TRUTH, to_block
from service.store.client import StoreClient, flat
from service.store.keys import key


class HistoryStore:
    """What was kept of a block's edits."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    async def page(self, ws: str, block_id: str, page: Page) -> History:
        """Some of a block's entries; the page's cursors are versions."""
        name = key(ws, "block_history", block_id)
        newest = await self._store.field(key(ws, "block", block_id), "version")
        if newest is None:
            raise NotFound("block", block_id)
        first = await self._store.entries(name, limit=1)
        after, before = (page.before, page.after) if page.descending else (page.after, page.before)
        found = await self._store.entries(
            name,
            f"({after}-0" if after else "-",
            _below(before) if before else "+",
            limit=page.limit,
            descending=page.descending,
        )
        return History(
            entries=[to_entry(id, fields) for id, fields in found],
            oldest=_version(first[0][0]) if first else int(newest) + 1,
            newest=int(newest),
        )

    async def entry(self, ws: str, block_id: str, version: int) -> HistoryEntry:
        """One entry. Raises as `at` does."""
        return (await self.at(ws, block_id, version)).entry

    async def at(self, ws: str, block_id: str, version: int) -> BlockThen:
        """The block at a version. Raises NotFound, Invalid for one that is to come, VersionGone."""
        reply = await self._store.run("block_version", ws, block_id, version)
        match reply:
            case ["ok", now, has_whole, whole, splices, were, entry]:
                hash = flat(now)
                value = whole if has_whole else hash["value"]
                value = await asyncio.to_thread(_taken_back, value, splices)
                then = to_entry(f"{version}-0", flat(entry))
                return BlockThen(block=_then(hash, value, were, then), entry=then)
            case ["unknown", newest]:
                raise Invalid("version", f"the block has versions 1 to {newest}")
            case ["gone", oldest]:
                raise VersionGone(block_id, version, int(oldest))
        raise NotFound("block", block_id)


def _below(version: str) -> str:
    """The end of a range up to this version, exclusive; the store takes no `(0-0`, and nothing lies there."""
    return "0-0" if int(version) == 0 else f"({version}-0"


def to_entry(id: str, fields: Mapping[str, str]) -> HistoryEntry:
    return HistoryEntry(
        version=_version(id),
        at=int(fields["at"]),
        operation=fields["operation"],
        author=Author.model_validate_json(fields["author"]),
        before=int(fields["before"]),
        after=int(fields["after"]),
        position=int(fields["position"]),
        removed=fields["removed"],
        added=fields["added"],
        fields=json.loads(fields.get("fields", "{}")),
        were=json.loads(fields.get("were", "{}")) or {},
    )


def fields_from(texts: Mapping[str, str | None]) -> BlockFields:
    """The fields that hash texts mean; what was absent becomes empty, for nothing is made absent again."""
    values: dict[str, object] = {}
    for name, text in texts.items():
        if name in AS_JSON:
            values[name] = json.loads(text or ("[]" if name == "tags" else "{}"))
        elif name in AS_TRUTH:
            values[name] = text == "1"
        else:
            values[name] = text or ""
    return BlockFields.model_validate(values)


def _version(id: str) -> int:
    return int(id.partition("-")[0])


def _taken_back(value: str, splices: Sequence[str]) -> str:
    """The value before some splices, which come oldest first."""
    text = value.encode()
    for i in range(len(splices) - 3, -1, -3):
        at, removed, added = int(splices[i]), splices[i + 1].encode(), splices[i + 2].encode()
        text = text[:at] + removed + text[at + len(added) :]
    return text.decode()


def _then(now: Mapping[str, str], value: str, were: Sequence[str], entry: HistoryEntry) -> Block:
    hash: dict[str, str | None] = dict(now)
    for replaced in were:
        for name, text in (json.loads(replaced) or {}).items():
            hash[name] = text
    hash |= {
        "value": value,
        "chars": str(len(value)),
        "version": str(entry.version),
        "updated_at": str(entry.at),
        "updated_by": entry.author.agent_id or entry.author.name,
    }
    return to_block({name: text for name, text in hash.items() if text is not None})
