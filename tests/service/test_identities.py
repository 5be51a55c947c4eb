"""Identities: made, replaced, changed and taken off, whoever else does the same."""

from typing import Any

import pytest

from service.errors import BlockwireError, KeyTaken, NotFound
from service.identities import CHANGE_TRIES
from service.records.base import Page
from service.records.identities import IdentityFields, IdentityQuery
from service.store import identities
from service.store.identities import IdentityStore
from tests.store.team import ALICE, WS, Team

pytestmark = pytest.mark.anyio


def fields(**given: Any) -> IdentityFields:
    return IdentityFields(**({"identifier_key": "k", "name": "n", "identity_type": "user"} | given))


async def test_an_identity_is_made_changed_found_and_deleted(team: Team) -> None:
    room = team.service.identities
    agent, block = await team.agent(), await team.block()
    made = await room.create(WS, fields(agent_ids=[agent.id], project_id="p"))
    assert (made.agent_ids, made.block_ids, made.created_at > 0) == ([agent.id], [], True)
    plan = {"key": "plan", "value": "free", "type": "string"}
    changed = await room.configure(WS, made.id, IdentityFields(properties=[plan], block_ids=[block.id]))
    assert changed == made.model_copy(update={"properties": [plan], "block_ids": [block.id]})
    assert await room.find(WS, IdentityQuery(project_id="p"), Page()) == [changed]
    assert await room.read_many(WS, [made.id, "identity-x"]) == [changed]
    assert await room.count(WS, IdentityQuery(identifier_key="k")) == 1
    await room.detach(WS, "agent", agent.id, made.id)
    await room.attach(WS, "block", block.id, made.id)
    assert (await room.read(WS, made.id)).agent_ids == []
    await room.delete(WS, made.id)
    assert (await team.service.blocks.read(WS, block.id)).identity_ids == []
    with pytest.raises(NotFound):
        await room.delete(WS, made.id)


async def test_an_upsert_replaces_what_has_the_key(team: Team) -> None:
    room = team.service.identities
    one, other = await team.agent(), await team.agent()
    made = await room.upsert(WS, fields(agent_ids=[one.id]))
    after = await room.upsert(WS, fields(name="m", agent_ids=[other.id]))
    assert (after.id, after.name, after.agent_ids) == (made.id, "m", [other.id])
    assert (await team.service.agents.read(WS, one.id)).identity_ids == []
    with pytest.raises(KeyTaken) as taken:
        await room.create(WS, fields())
    assert taken.value.identity_id == made.id


@pytest.mark.parametrize(
    ("kind", "asked"),
    [("agent", {"agent_ids": ["agent-x"]}), ("block", {"block_ids": ["block-x"]})],
)
async def test_whom_it_is_put_on_must_exist(team: Team, kind: str, asked: dict[str, Any]) -> None:
    room = team.service.identities
    before = await team.everything()
    with pytest.raises(NotFound) as refusal:
        await room.create(WS, fields(**asked))
    assert refusal.value.kind == kind
    assert await team.everything() == before
    made = await room.create(WS, fields())
    with pytest.raises(NotFound) as refusal:
        await room.attach(WS, kind, f"{kind}-x", made.id)
    assert refusal.value.kind == kind
    with pytest.raises(NotFound) as refusal:
        await room.attach(WS, "agent", (await team.agent()).id, "identity-x")
    assert refusal.value.kind == "identity"


async def test_an_identity_that_goes_while_it_is_changed_is_not_found(team: Team) -> None:
    store = IdentityStore(team.store)
    made = await team.service.identities.create(WS, fields())
    identity, rev = await store.read_with_rev(WS, made.id)
    assert await store.put(WS, identity, rev, None, None, replace=False)
    assert not await store.put(WS, identity, rev, None, None, replace=False)
    await team.service.identities.delete(WS, made.id)
    with pytest.raises(NotFound):
        await store.put(WS, identity, rev, None, None, replace=False)


async def test_who_is_overtaken_all_the_time_gives_up(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    room = team.service.identities
    made = await room.create(WS, fields())
    put, tries = IdentityStore.put, []

    async def overtaken(
        self: IdentityStore, ws: str, identity: Any, rev: str, *sets: Any, **how: Any
    ) -> bool:
        tries.append(rev)
        return bool(rev == "" and await put(self, ws, identity, rev, *sets, **how))

    monkeypatch.setattr(IdentityStore, "put", overtaken)
    with pytest.raises(BlockwireError, match="try again"):
        await room.configure(WS, made.id, IdentityFields(name="m"))
    assert len(tries) == CHANGE_TRIES
    with pytest.raises(BlockwireError, match="try again"):
        await room.upsert(WS, fields(name="m"))


async def test_an_identity_of_many_is_taken_off_a_few_at_a_time(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identities, "AT_A_TIME", 2)
    agents = [(await team.agent()).id for _ in range(5)]
    made = await team.service.identities.create(WS, fields(agent_ids=agents))
    await team.service.identities.delete(WS, made.id)
    assert all(not agent.identity_ids for agent in await team.service.agents.read_many(WS, agents))
    with pytest.raises(NotFound):
        await team.service.identities.read(WS, made.id)


async def test_an_unknown_identity_is_on_no_agent(team: Team) -> None:
    with pytest.raises(NotFound) as refusal:
        await team.agent(identity_ids=["identity-x"])
    assert refusal.value.kind == "identity"
    agent = await team.agent()
    with pytest.raises(NotFound) as refusal:
        await team.update(agent, identity_ids=["identity-x"])
    assert refusal.value.kind == "identity"
    identity = await team.service.identities.create(WS, fields())
    assert (await team.update(agent, identity_ids=[identity.id])).identity_ids == [identity.id]
    await team.service.agents.delete(WS, agent.id, ALICE)
    assert (await team.service.identities.read(WS, identity.id)).agent_ids == []
