"""Inbox: what waits for an agent is begun by priority, and in the order it came among equals."""

import random

import pytest

from service.errors import Invalid
from service.records.agents import Agent
from service.records.runs import Lease
from service.store.keys import key
from tests.store.team import WS, Team, word

pytestmark = pytest.mark.anyio


async def inbox(team: Team, agent: Agent) -> list[str]:
    return await team.store.items(key(WS, "agent_inbox", agent.id))


async def begun(team: Team, lease: Lease, count: int) -> list[str]:
    """The runs that a worker is handed one after the other."""
    found = []
    for _ in range(count):
        open_run = await team.leases.next_run(lease)
        assert open_run is not None
        found.append(open_run.run.id)
        await team.leases.finish(lease, open_run.run.id, "end_turn", None)
    return found


async def test_messages_of_one_priority_are_begun_in_the_order_they_came(team: Team) -> None:
    agent = await team.agent()
    sent = [await team.send(agent, priority=5) for _ in range(4)]
    assert await begun(team, await team.lease(agent), 4) == sent


async def test_a_higher_priority_goes_in_front_and_a_run_under_way_goes_on(team: Team) -> None:
    agent = await team.agent()
    under_way = await team.send(agent)
    lease, open_run = await team.working(agent)
    low, high, middle = [await team.send(agent, priority=one) for one in (0, 9, 3)]
    assert (await team.leases.next_run(lease)) is not None
    assert open_run.run.id == under_way
    assert await begun(team, lease, 4) == [under_way, high, middle, low]


@pytest.mark.parametrize("seed", range(5))
async def test_any_mixture_is_sorted_by_priority_and_stable(team: Team, seed: int) -> None:
    """More of them than the script looks at in one go."""
    dice = random.Random(seed)
    agent = await team.agent()
    sent = [(await team.send(agent, priority=one), one) for one in dice.choices((0, 1, 5, 9), k=130)]
    assert await inbox(team, agent) == [run for run, _ in sorted(sent, key=lambda one: -one[1])]


async def test_nothing_goes_in_front_of_an_answer_that_the_agent_waits_for(team: Team) -> None:
    agent, _ = await team.asked("call-1")
    waiting = await team.send(agent, waits=True, priority=9)
    answer = (await team.service.messages.send(WS, agent.id, [word("call-1")], priority=3)).id
    urgent = await team.send(agent, priority=9)
    assert await inbox(team, agent) == [answer, waiting, urgent]


async def test_a_wake_up_that_is_kept_back_does_not_stand_in_the_way(team: Team) -> None:
    """It lies in front of others then; who is as urgent as they are still goes behind them."""
    agent = await team.agent()
    block = await team.block()
    await team.edit(block, "append", "!")
    changes = await team.changes()
    await team.subscribe(agent, block_id=block.id)
    first = await team.send(agent, priority=5)
    cursor = await team.service.subscriptions.cursor(WS)
    wake = await team.wake(agent, "run-wake", changes)
    await team.service.subscriptions.wake(WS, cursor, changes[-1].id, [wake])
    place = key(WS, "agent_inbox", agent.id)
    await team.redis.lmove(place, place, "RIGHT", "LEFT")
    second = await team.send(agent, priority=5)
    assert await inbox(team, agent) == ["run-wake", first, second]


@pytest.mark.parametrize("priority", [-1, 10, 1.5, "high", True])
async def test_a_priority_that_is_none_is_refused_with_what_would_do(team: Team, priority: object) -> None:
    """Jobs of other services carry whatever they like."""
    agent = await team.agent()
    with pytest.raises(Invalid, match=r"priority: must be a whole number from 0 .* to 9"):
        await team.send(agent, priority=priority)
    assert await inbox(team, agent) == []
