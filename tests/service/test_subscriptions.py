"""Subscriptions: made, listed, deleted; and the cursor that says how far they were told."""

import pytest

from service.errors import Invalid, NotFound
from service.queue import QUEUE
from service.records.subscriptions import SubscriptionFields
from tests.store.team import ALICE, WS, Team

pytestmark = pytest.mark.anyio


async def test_an_agent_subscribes_to_a_block_or_to_a_label(team: Team) -> None:
    agent, block = await team.agent(), await team.block()
    since = await team.service.changes.last_id(WS)
    by_block = await team.subscribe(agent, block_id=block.id)
    by_label = await team.subscribe(agent, label="anything")
    assert (by_block.block_id, by_block.label, by_block.active) == (block.id, None, True)
    assert (by_label.block_id, by_label.label) == (None, "anything")
    assert {by_block.since, by_label.since} == {since}
    assert await team.service.subscriptions.find(WS, agent.id) == [by_block, by_label]
    everyone = await team.service.subscriptions.all(WS)
    assert sorted(everyone, key=lambda one: one.created_at) == [by_block, by_label]


@pytest.mark.parametrize("given", [{}, {"block_id": "block-1", "label": "notes"}])
async def test_exactly_one_of_block_and_label_is_asked_for(team: Team, given: dict[str, str]) -> None:
    agent = await team.agent()
    with pytest.raises(Invalid) as refusal:
        await team.subscribe(agent, **given)
    assert refusal.value.field == "block_id"
    assert "exactly one of block_id, label, label_glob, block_tag, agent_tag" in str(refusal.value)


async def test_agent_and_block_must_exist(team: Team) -> None:
    agent = await team.agent()
    with pytest.raises(NotFound) as no_block:
        await team.subscribe(agent, block_id="block-x")
    with pytest.raises(NotFound) as no_agent:
        await team.service.subscriptions.create(WS, "agent-x", SubscriptionFields(label="a"))
    assert (no_block.value.kind, no_agent.value.kind) == ("block", "agent")
    with pytest.raises(NotFound):
        await team.service.subscriptions.find(WS, "agent-x")
    assert await team.service.subscriptions.all(WS) == []


async def test_only_its_own_subscriptions_are_an_agents_to_delete(team: Team) -> None:
    agent, other = await team.agent(), await team.agent()
    subscriptions = team.service.subscriptions
    mine = await team.subscribe(agent, label="a")
    with pytest.raises(NotFound) as refusal:
        await subscriptions.delete(WS, other.id, mine.id)
    assert (refusal.value.kind, refusal.value.id) == ("subscription", mine.id)
    await subscriptions.delete(WS, agent.id, mine.id)
    assert await subscriptions.find(WS, agent.id) == []
    with pytest.raises(NotFound):
        await subscriptions.delete(WS, agent.id, mine.id)


async def test_a_wake_up_moves_the_cursor_and_queues_a_job(team: Team) -> None:
    agent = await team.agent()
    await team.block()
    subscriptions = team.service.subscriptions
    assert await subscriptions.cursor(WS) == "0-0"
    changes = await subscriptions.changes_after(WS, "0-0", 10)
    wakes = [await team.wake(agent, "run-w", changes)]
    assert await subscriptions.wake(WS, "0-0", changes[-1].id, wakes)
    assert not await subscriptions.wake(WS, "0-0", changes[-1].id, wakes)
    assert await subscriptions.cursor(WS) == changes[-1].id
    jobs = (await team.service.queue.claim(QUEUE, 10)).jobs
    assert [id for id, _ in jobs] == [f"step:{WS}:{agent.id}:1"]


async def test_a_wake_up_of_nobody_moves_the_cursor_too(team: Team) -> None:
    agent = await team.agent()
    await team.service.agents.delete(WS, agent.id, ALICE)
    await team.block()
    changes = await team.changes()
    assert await team.service.subscriptions.wake(WS, "0-0", changes[-1].id, [])
    assert await team.service.subscriptions.changes_after(WS, changes[-1].id, 10) == []


async def test_the_default_workspace_is_always_there(team: Team) -> None:
    assert await team.service.subscriptions.workspaces() == [WS]
