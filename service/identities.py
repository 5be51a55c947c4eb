"""Identities: references to users and organisations of other systems, put on agents and blocks.

They are kept, given back and found again, and agents and blocks are found by them.
Nothing acts on them: they grant nothing and hide nothing.
"""

from collections.abc import Sequence

from service.errors import BlockwireError, KeyTaken
from service.records.base import Page
from service.records.identities import Identity, IdentityFields, IdentityQuery
from service.records.ids import new_id
from service.store.client import StoreClient
from service.store.identities import IdentityStore

CHANGE_TRIES = 20


class Identities:
    """The room of identities."""

    def __init__(self, store: StoreClient) -> None:
        self._store = IdentityStore(store)

    async def create(self, ws: str, fields: IdentityFields) -> Identity:
        """A new identity. Raises KeyTaken, and NotFound for an agent or a block to put it on."""
        identity = Identity.model_validate({"id": new_id("identity"), **_own(fields)})
        await self._store.put(ws, identity, "", fields.agent_ids, fields.block_ids, replace=False)
        return await self.read(ws, identity.id)

    async def upsert(self, ws: str, fields: IdentityFields) -> Identity:
        """The identity of a key and project, made if there is none; what is given replaces what was there."""
        for _ in range(CHANGE_TRIES):
            try:
                return await self.create(ws, fields)
            except KeyTaken as taken:
                before, rev = await self._store.read_with_rev(ws, taken.identity_id)
                after = before.model_copy(update=_own(fields))
                sets = (fields.agent_ids, fields.block_ids)
                if await self._store.put(ws, after, rev, *sets, replace=True):
                    return await self.read(ws, after.id)
        raise _overtaken()

    async def configure(self, ws: str, identity_id: str, fields: IdentityFields) -> Identity:
        """Changes what is given; properties are put in by key, agents and blocks come on top (V1's way)."""
        for _ in range(CHANGE_TRIES):
            before, rev = await self._store.read_with_rev(ws, identity_id)
            own = _own(fields)
            if fields.properties is not None:
                own["properties"] = _with(before.properties, fields.properties)
            after = before.model_copy(update=own)
            sets = (fields.agent_ids, fields.block_ids)
            if await self._store.put(ws, after, rev, *sets, replace=False):
                return await self.read(ws, identity_id)
        raise _overtaken()

    async def read(self, ws: str, identity_id: str) -> Identity:
        return (await self._store.read_with_rev(ws, identity_id))[0]

    async def read_many(self, ws: str, identity_ids: Sequence[str]) -> list[Identity]:
        """Those that exist, in order."""
        return await self._store.read_many(ws, identity_ids)

    async def find(self, ws: str, query: IdentityQuery, page: Page) -> list[Identity]:
        """One page of the identities that a query asks for, by creation."""
        return await self._store.page(ws, query, page)

    async def count(self, ws: str, query: IdentityQuery) -> int:
        return await self._store.count(ws, query)

    async def delete(self, ws: str, identity_id: str) -> None:
        """Gone, and no longer on any agent or block; these stay."""
        await self._store.delete(ws, identity_id)

    async def attach(self, ws: str, kind: str, id: str, identity_id: str) -> None:
        """Puts it on an agent or a block (`kind`). Twice is no change. Raises NotFound."""
        await self._store.attach(ws, "attach", kind, id, identity_id)

    async def detach(self, ws: str, kind: str, id: str, identity_id: str) -> None:
        """Takes it off again; no change where it was not. Raises NotFound."""
        await self._store.attach(ws, "detach", kind, id, identity_id)


def _own(fields: IdentityFields) -> dict[str, object]:
    """What of the fields is the identity's own, and was given."""
    return fields.model_dump(exclude_none=True, exclude={"agent_ids", "block_ids"})


def _with(before: Sequence[dict[str, object]], given: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """The properties by key, those given in place of those there were."""
    return list({str(one["key"]): one for one in (*before, *given)}.values())


def _overtaken() -> BlockwireError:
    return BlockwireError("the identity is being changed by others all the time; try again")
