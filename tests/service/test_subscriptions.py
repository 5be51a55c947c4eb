"""Subscriptions: made, listed, deleted; and the cursor that says how far they were told."""

import asyncio
from typing import Any

import pytest

from service.errors import Invalid, NotFound
from service.queue import QUEUE
from service.records.subscriptions import SubscriptionFields
from service.store.keys import key
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
    changes = await team.service.changes.after(WS, "0-0", 10)
    wakes = [await team.wake(agent, "run-w", changes)]
    assert await subscriptions.wake(WS, "0-0", changes[-1].id, wakes)
    assert not await subscriptions.wake(WS, "0-0", changes[-1].id, wakes)
    assert await subscriptions.cursor(WS) == changes[-1].id
    jobs = (await team.service.queue.claim(QUEUE, 10)).jobs
    assert [job.id for job in jobs] == [f"step:{WS}:{agent.id}:1"]


async def test_a_wake_up_of_nobody_moves_the_cursor_too(team: Team) -> None:
    agent = await team.agent()
    await team.service.agents.delete(WS, agent.id, ALICE)
    await team.block()
    changes = await team.changes()
    assert await team.service.subscriptions.wake(WS, "0-0", changes[-1].id, [])
    assert await team.service.changes.after(WS, changes[-1].id, 10) == []


async def test_the_default_workspace_is_always_there(team: Team) -> None:
    assert await team.service.workspaces.all() == [WS]


async def test_another_target_is_found_and_the_old_one_no_more(team: Team) -> None:
    agent, block = await team.agent(), await team.block(label="a", tags=["t"])
    rooms = team.service.subscriptions
    one = await team.subscribe(agent, block_id=block.id)

    async def concerned() -> list[str]:
        cursor = await team.service.changes.last_id(WS)
        await team.edit(block, "append", "x")
        (change,) = await team.service.changes.after(WS, cursor)
        return [found.id for found in (await rooms.concerned(WS, [change]))[change.id]]

    assert await concerned() == [one.id]
    for target in ({"label": "b"}, {"label_glob": "z*"}, {"agent_tag": "x"}):
        await rooms.update(WS, agent.id, one.id, SubscriptionFields.model_validate(target))
        assert await concerned() == []
    for target in ({"block_tag": "t"}, {"label_glob": "?"}, {"label": "a"}):
        await rooms.update(WS, agent.id, one.id, SubscriptionFields.model_validate(target))
        assert await concerned() == [one.id]
    await rooms.delete(WS, agent.id, one.id)
    assert await concerned() == []
    assert [name for name in await team.names() if name.startswith("subscription")] == []


async def test_two_who_change_a_subscription_at_once_lose_nothing(team: Team) -> None:
    agent = await team.agent()
    one = await team.subscribe(agent, label="a")
    asked: list[dict[str, Any]] = [{"debounce_ms": 5}, {"own_edits": True}, {"template": "x"}]
    rooms = team.service.subscriptions
    await asyncio.gather(
        *(rooms.update(WS, agent.id, one.id, SubscriptionFields(**fields)) for fields in asked)
    )
    found = await rooms.read(WS, agent.id, one.id)
    assert (found.debounce_ms, found.own_edits, found.template) == (5, True, "x")


async def test_one_that_another_version_wrote_can_be_changed(team: Team) -> None:
    agent = await team.agent()
    one = await team.subscribe(agent, label="a")
    text = one.model_dump_json(exclude={"cut", "template", "own_edits"}, indent=1)
    await team.redis.hset(key(WS, "subscriptions"), one.id, text)  # type: ignore[misc]
    rooms = team.service.subscriptions
    async with asyncio.timeout(10):
        await rooms.update(WS, agent.id, one.id, SubscriptionFields(debounce_ms=5))
    assert (await rooms.read(WS, agent.id, one.id)).debounce_ms == 5


async def test_subscriptions_that_every_change_is_held_against_have_a_bound(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.store.subscriptions.WIDE_MOST", 2)
    agent = await team.agent()
    await team.subscribe(agent, label_glob="a*")
    one = await team.subscribe(agent, agent_tag="a")
    for target in ({"label_glob": "b*"}, {"agent_tag": "b"}):
        with pytest.raises(Invalid, match="at most 2 subscriptions of this kind") as refusal:
            await team.subscribe(agent, **target)
        assert refusal.value.field in target
    await team.service.subscriptions.update(WS, agent.id, one.id, SubscriptionFields(label_glob="c*"))
    await team.subscribe(agent, label="a")


async def test_what_was_changed_while_a_subscription_was_off_is_not_told(team: Team) -> None:
    agent, block = await team.agent(), await team.block()
    one = await team.subscribe(agent, block_id=block.id, active=False)
    await team.edit(block, "append", "x")
    rooms = team.service.subscriptions
    await rooms.update(WS, agent.id, one.id, SubscriptionFields(active=True))
    await team.edit(block, "append", "y")
    changes = await team.service.changes.after(WS, one.since)
    concerned = await rooms.concerned(WS, changes)
    assert [len(concerned[change.id]) for change in changes] == [0, 1]
