"""Identities in the store: a record as JSON, and who has it, which the agents' and blocks' indexes know."""

import json
from collections.abc import Mapping, Sequence

from service.errors import KeyTaken, NotFound
from service.records.base import Page
from service.records.identities import LINKED_SHOWN, Identity, IdentityQuery
from service.store.client import StoreClient
from service.store.keys import key
from service.store.pages import count_of, rows_of
from service.store.places import by_creation
from service.store.terms import identity_places, identity_terms

AT_A_TIME = 500
"""Agents, and blocks, that a deletion takes it from in one act."""

_SHELVES = {
    "agent_ids": ("agents_filed", ("", "hidden.")),
    "block_ids": ("blocks_filed", ("", "hidden.", "template.", "hidden.template.")),
}
_LIVE = {"agent_ids", "block_ids", "created_at"}


class IdentityStore:
    """One door to the scripts on identities."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    async def put(
        self,
        ws: str,
        identity: Identity,
        rev: str,
        agent_ids: Sequence[str] | None,
        block_ids: Sequence[str] | None,
        *,
        replace: bool,
    ) -> bool:
        """A new identity (no rev) or another record of one; False if that was changed since it was read.

        Agents and blocks that are named get it; with `replace`, those that are not named lose it. Raises
        KeyTaken, NotFound.
        """
        reply = await self._store.run(
            "identity_put",
            ws,
            identity.id,
            rev,
            identity.model_dump_json(exclude=_LIVE),
            identity.identifier_key,
            identity.project_id or "",
            json.dumps(identity_places(identity), ensure_ascii=False),
            json.dumps(list(agent_ids or ())),
            json.dumps(list(block_ids or ())),
            "1" if replace and agent_ids is not None else "",
            "1" if replace and block_ids is not None else "",
        )
        match reply:
            case ["taken", other]:
                raise KeyTaken(identity.identifier_key, other)
            case ["missing"]:
                raise NotFound("identity", identity.id)
            case ["noagent", agent_id]:
                raise NotFound("agent", agent_id)
            case ["noblock", block_id]:
                raise NotFound("block", block_id)
        return bool(reply[0] == "ok")

    async def read_with_rev(self, ws: str, identity_id: str) -> tuple[Identity, str]:
        """The identity, and the number that a change must still find."""
        hash = await self._store.hash(key(ws, "identity", identity_id))
        if not hash:
            raise NotFound("identity", identity_id)
        return (await self._whole(ws, [hash]))[0], hash["rev"]

    async def read_many(self, ws: str, identity_ids: Sequence[str]) -> list[Identity]:
        """Those that exist, in order."""
        hashes = await self._store.hashes([key(ws, "identity", id) for id in identity_ids])
        return await self._whole(ws, [hash for hash in hashes if hash])

    async def attach(self, ws: str, verb: str, kind: str, id: str, identity_id: str) -> None:
        """`verb` is attach or detach, `kind` agent or block."""
        reply = await self._store.run("identity_attach", ws, verb, kind, id, identity_id)
        if reply[0] == "missing":
            raise NotFound(kind, id)
        if reply[0] == "noidentity":
            raise NotFound("identity", identity_id)

    async def delete(self, ws: str, identity_id: str) -> None:
        while True:
            reply = await self._store.run("identity_delete", ws, identity_id, AT_A_TIME)
            if reply[0] == "missing":
                raise NotFound("identity", identity_id)
            if reply[0] == "ok":
                return

    async def page(self, ws: str, query: IdentityQuery, page: Page) -> list[Identity]:
        async def read(ids: Sequence[str]) -> list[Identity]:
            return await self.read_many(ws, ids)

        terms = identity_terms(ws, query)
        return await rows_of(self._store, by_creation(ws, "identities"), terms, page, read)

    async def count(self, ws: str, query: IdentityQuery) -> int:
        return await count_of(self._store, by_creation(ws, "identities"), identity_terms(ws, query))

    async def _whole(self, ws: str, hashes: Sequence[Mapping[str, str]]) -> list[Identity]:
        """The identities of these hashes, with the first of those who have them."""
        records = [json.loads(hash["record"]) | {"created_at": hash["created_at"]} for hash in hashes]
        return [
            Identity.model_validate(
                {**record, **{name: await self._linked(ws, name, record["id"]) for name in _SHELVES}}
            )
            for record in records
        ]

    async def _linked(self, ws: str, name: str, identity_id: str) -> list[str]:
        index, shelves = _SHELVES[name]
        names = [key(ws, index, f"{shelf}identity:{identity_id}") for shelf in shelves]
        parts = await self._store.ranges(names, "-inf", "+inf", descending=False, limit=LINKED_SHOWN)
        rows = sorted((row for part in parts for row in part), key=lambda row: row[1])
        return [id for id, _ in rows[:LINKED_SHOWN]]
