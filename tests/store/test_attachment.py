"""Blocks made, attached, detached and deleted: all of it or nothing, and both sides always agree."""

import pytest

from service.errors import LabelTaken, LeaseLost, NotAttached, NotFound
from service.records.base import Page
from service.records.blocks import Author, Block, BlockFields
from service.records.ids import new_id
from tests.store.team import ALICE, WS, Team

pytestmark = pytest.mark.anyio


async def agents_of(team: Team, block: Block) -> list[str]:
    return await team.service.blocks.agents_of(WS, block.id, Page())


async def test_a_new_block_has_its_fields_and_version_one(team: Team) -> None:
    fields = BlockFields(label="notes", value="ñ😀", tags=["a"], metadata={"x": [None]}, hidden=False)
    block = await team.service.blocks.create(WS, fields, ALICE)
    assert (block.version, block.value, block.chars, block.limit) == (1, "ñ😀", 2, 100_000)
    assert (block.tags, block.metadata, block.hidden, block.description) == (
        ["a"],
        {"x": [None]},
        False,
        None,
    )
    assert (block.created_by, block.updated_by) == ("alice", "alice")
    assert block.created_at == block.updated_at > 1_600_000_000_000_000
    assert await team.service.blocks.read(WS, block.id) == block


async def test_the_same_id_again_gives_the_block_as_it_is(team: Team) -> None:
    id = new_id("block")
    block = await team.service.blocks.create(WS, BlockFields(label="a", value="1"), ALICE, block_id=id)
    edited = (await team.edit(block, "append", "!")).block
    before = await team.everything()
    again = await team.service.blocks.create(WS, BlockFields(label="b", value="2"), ALICE, block_id=id)
    assert again == edited
    assert await team.everything() == before


async def test_a_block_may_be_attached_as_it_is_made(team: Team) -> None:
    agent = await team.agent()
    block = await team.service.blocks.create(WS, BlockFields(label="a"), ALICE, attach_to=agent.id)
    assert await team.service.blocks.labels(WS, agent.id) == {"a": block.id}
    assert await agents_of(team, block) == [agent.id]


async def test_a_label_the_agent_has_leaves_nothing_of_a_new_block(team: Team) -> None:
    agent = await team.agent(await team.block(label="a"))
    before = await team.everything()
    with pytest.raises(LabelTaken) as refusal:
        await team.service.blocks.create(WS, BlockFields(label="a", tags=["t"]), ALICE, attach_to=agent.id)
    assert (refusal.value.label, refusal.value.agent_id) == ("a", agent.id)
    assert await team.everything() == before


async def test_a_new_block_for_an_agent_that_does_not_exist_names_the_agent(team: Team) -> None:
    before = await team.everything()
    with pytest.raises(NotFound) as refusal:
        await team.service.blocks.create(WS, BlockFields(label="a"), ALICE, attach_to="agent-x")
    assert (refusal.value.kind, refusal.value.id) == ("agent", "agent-x")
    assert await team.everything() == before


async def test_an_agent_makes_a_block_under_its_lease_only(team: Team) -> None:
    agent, other = await team.agent(), await team.agent()
    lease = await team.lease(agent)
    fields = BlockFields(label="a")
    made = await team.service.blocks.create(WS, fields, ALICE, attach_to=agent.id, lease=lease)
    await team.leases.give_back(lease)
    before = await team.everything()
    with pytest.raises(LeaseLost) as lost:
        await team.service.blocks.create(WS, fields, ALICE, attach_to=other.id, lease=lease)
    assert lost.value.agent_id == agent.id
    assert await team.everything() == before
    assert await agents_of(team, made) == [agent.id]


async def test_attaching_twice_is_no_change(team: Team) -> None:
    block = await team.block()
    agent = await team.agent()
    await team.service.blocks.attach(WS, agent.id, block.id, ALICE)
    before = await team.everything()
    await team.service.blocks.attach(WS, agent.id, block.id, ALICE)
    assert await team.everything() == before


async def test_a_second_block_of_a_label_is_refused(team: Team) -> None:
    first, second = await team.block(), await team.block()
    agent = await team.agent(first)
    before = await team.everything()
    with pytest.raises(LabelTaken):
        await team.service.blocks.attach(WS, agent.id, second.id, ALICE)
    assert await team.everything() == before


async def test_attaching_names_what_is_missing(team: Team) -> None:
    block, agent = await team.block(), await team.agent()
    with pytest.raises(NotFound) as no_agent:
        await team.service.blocks.attach(WS, "agent-x", block.id, ALICE)
    with pytest.raises(NotFound) as no_block:
        await team.service.blocks.attach(WS, agent.id, "block-x", ALICE)
    assert (no_agent.value.kind, no_agent.value.id) == ("agent", "agent-x")
    assert (no_block.value.kind, no_block.value.id) == ("block", "block-x")


async def test_detaching_leaves_the_block_and_takes_it_from_one_agent(team: Team) -> None:
    block = await team.block()
    agent, other = await team.agent(block), await team.agent(block)
    await team.service.blocks.detach(WS, agent.id, block.id, ALICE)
    assert await team.service.blocks.of_agent(WS, agent.id) == []
    assert await agents_of(team, block) == [other.id]
    assert await team.service.blocks.of_agent(WS, other.id) == [block]
    with pytest.raises(NotAttached) as refusal:
        await team.service.blocks.detach(WS, agent.id, block.id, ALICE)
    assert (refusal.value.agent_id, refusal.value.block) == (agent.id, block.id)


async def test_an_agents_detaching_happens_once_and_is_fenced(team: Team) -> None:
    block = await team.block()
    agent = await team.agent(block)
    lease, open_run = await team.working(agent)
    author = Author(agent_id=agent.id, run_id=open_run.run.id)
    await team.service.blocks.detach(WS, agent.id, block.id, author, lease, "r:0:0:0")
    await team.service.blocks.attach(WS, agent.id, block.id, ALICE)
    await team.service.blocks.detach(WS, agent.id, block.id, author, lease, "r:0:0:0")
    assert await team.service.blocks.of_agent(WS, agent.id) == [block]
    assert await team.service.blocks.effects(WS, open_run.run.id) == {"r:0:0:0": block.id}
    await team.leases.give_back(lease)
    with pytest.raises(LeaseLost):
        await team.service.blocks.detach(WS, agent.id, block.id, author, lease)


async def test_a_deleted_block_is_gone_from_every_agent_and_every_index(team: Team) -> None:
    block, other = await team.block(label="a", tags=["t"]), await team.block(label="b")
    agents = [await team.agent(block, other) for _ in range(2)]
    await team.service.blocks.delete(WS, block.id, ALICE)
    for agent in agents:
        assert await team.service.blocks.labels(WS, agent.id) == {"b": other.id}
    left = {
        name for name in await team.names() if block.id in name or name in ("blocks:label:a", "blocks:tag:t")
    }
    assert left == set()
    assert await team.service.blocks.existing(WS, [block.id, other.id]) == [other]
    with pytest.raises(NotFound):
        await team.service.blocks.delete(WS, block.id, ALICE)
    with pytest.raises(NotFound):
        await team.service.blocks.read(WS, block.id)


async def test_versions_of_all_attached_blocks_come_in_one_go(team: Team) -> None:
    first, second = await team.block(label="a"), await team.block(label="b")
    agent = await team.agent(first, second)
    await team.edit(second, "append", "!")
    assert await team.service.blocks.versions(WS, agent.id) == {first.id: 1, second.id: 2}
    assert await team.service.blocks.versions(WS, "agent-x") == {}


async def test_a_reply_nobody_knows_is_not_taken_for_a_success(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nonsense(*args: object) -> list[str]:
        return ["nonsense"]

    block = await team.block()
    monkeypatch.setattr(team.store, "run", nonsense)
    with pytest.raises(RuntimeError, match="nonsense"):
        await team.edit(block, "append", "x")
