"""Later: messages that enter their agent's inbox when their time has come, by the store's clock."""

import pytest

from service.errors import InboxFull, Invalid
from service.records.agents import Agent
from service.records.base import Page
from service.records.runs import OPEN, Ready, When
from service.store.keys import key
from tests.store.team import ALICE, WS, Team, wait_until, word

pytestmark = pytest.mark.anyio

HOUR = When(delay_ms=3_600_000)


async def inbox(team: Team, agent: Agent) -> list[str]:
    return await team.store.items(key(WS, "agent_inbox", agent.id))


async def bring_forward(team: Team, agent: Agent, run_id: str, ms: int = 0) -> None:
    """Its time has come."""
    await team.redis.zadd(key(WS, "later"), {run_id: ms})
    await team.redis.zadd(key(WS, "agent_later", agent.id), {run_id: ms})


async def sweep(team: Team) -> list[Ready]:
    return await team.leases.sweep(WS, 60_000)


async def test_it_is_listed_and_begun_by_nobody_before_its_time(team: Team) -> None:
    agent = await team.agent()
    run = await team.service.messages.send(WS, agent.id, [], when=HOUR, errand={})
    assert run.not_before == pytest.approx(run.created_at + 3_600_000_000, abs=1_000_000)
    assert (await team.state(agent))["status"] == "idle"
    assert await sweep(team) == []
    assert [one.id for one in await team.service.runs.find(WS, agent.id, Page(), statuses=OPEN)] == [run.id]
    assert (await team.service.runs.read(WS, run.id)).not_before == run.not_before
    assert await team.service.runs.open_ids(WS, agent.id) == [run.id]


async def test_when_its_time_has_come_the_sweeper_puts_it_in_and_makes_the_agent_ready(team: Team) -> None:
    agent = await team.agent(pool="gpu")
    run_id = await team.send(agent, when=When(delay_ms=50))
    swept: list[Ready] = []

    async def moved() -> bool:
        swept.extend(await sweep(team))
        return await inbox(team, agent) == [run_id]

    await wait_until("the message was in the inbox", moved)
    assert [(one.agent_id, one.pool, one.reason) for one in swept] == [(agent.id, "gpu", "due")]
    assert (await team.working(agent))[1].run.id == run_id
    assert (
        await team.store.count(key(WS, "later"))
        == await team.store.count(key(WS, "agent_later", agent.id))
        == 0
    )


async def test_a_time_that_is_past_is_now_at_the_next_sweep(team: Team) -> None:
    agent = await team.agent()
    run_id = await team.send(agent, when=When(at=1))
    assert (await team.service.runs.read(WS, run_id)).status == "created"
    assert [one.agent_id for one in await sweep(team)] == [agent.id]


async def test_those_that_come_due_go_in_by_time_and_by_priority(team: Team) -> None:
    agent = await team.agent()
    waiting = await team.send(agent)
    late, early, urgent = [await team.send(agent, when=HOUR, priority=one) for one in (0, 0, 2)]
    for run_id, ms in ((late, 2), (early, 1), (urgent, 3)):
        await bring_forward(team, agent, run_id, ms)
    await sweep(team)
    assert await inbox(team, agent) == [urgent, waiting, early, late]


async def test_a_full_inbox_takes_what_was_promised_a_time_and_nothing_else(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await team.agent()
    monkeypatch.setattr(team.service.messages, "_inbox", 1)
    waiting = await team.send(agent)
    with pytest.raises(InboxFull):
        await team.send(agent)
    later = await team.send(agent, when=HOUR)
    await bring_forward(team, agent, later)
    await sweep(team)
    assert await inbox(team, agent) == [waiting, later]


async def test_one_that_is_cancelled_never_comes(team: Team) -> None:
    agent = await team.agent()
    run_id = await team.send(agent, when=HOUR)
    assert await team.service.runs.cancel(WS, run_id)
    assert (await team.service.runs.read(WS, run_id)).status == "cancelled"
    assert await team.service.runs.open_ids(WS, agent.id) == []
    assert await team.store.count(key(WS, "later")) == 0


async def test_with_its_agent_it_is_cancelled(team: Team) -> None:
    agent = await team.agent()
    run_id = await team.send(agent, when=HOUR)
    await team.service.agents.delete(WS, agent.id, ALICE)
    assert (await team.service.runs.read(WS, run_id)).status == "cancelled"
    assert await sweep(team) == []


async def test_the_same_again_gives_the_first_and_does_not_put_it_off(team: Team) -> None:
    agent = await team.agent()
    before = await team.send(agent, when=HOUR, run_id="run-1")
    due = await team.store.score(key(WS, "later"), before)
    assert await team.send(agent, when=When(delay_ms=10), run_id="run-1") == before
    assert await team.store.score(key(WS, "later"), before) == due


async def test_a_paused_agent_gets_it_and_begins_it_when_it_is_resumed(team: Team) -> None:
    agent = await team.agent()
    run_id = await team.send(agent, when=HOUR)
    await team.service.pauses.pause(WS, agent.id)
    await bring_forward(team, agent, run_id)
    assert await sweep(team) == []
    await team.service.pauses.resume(WS, agent.id)
    assert (await team.working(agent))[1].run.id == run_id


async def test_a_pending_request_refuses_none_and_an_answer_is_never_put_off(team: Team) -> None:
    agent, _ = await team.asked("call-1")
    await team.send(agent, when=HOUR)
    with pytest.raises(Invalid, match="given at once"):
        await team.service.messages.send(WS, agent.id, [word("call-1")], when=HOUR)


async def test_only_so_many_of_an_agent_may_wait_for_their_time(team: Team) -> None:
    agent = await team.agent()
    await team.redis.zadd(key(WS, "agent_later", agent.id), {f"run-{n}": 9e15 for n in range(1000)})
    with pytest.raises(Invalid, match="1000 messages that wait for their time"):
        await team.send(agent, when=HOUR)
    assert await team.send(agent)


async def test_what_belongs_to_no_run_any_more_is_dropped(team: Team) -> None:
    await team.redis.zadd(key(WS, "later"), {"run-gone": 1})
    assert await sweep(team) == []
    assert await team.store.count(key(WS, "later")) == 0


async def test_one_that_waits_for_long_keeps_no_older_run_from_going(team: Team) -> None:
    """It is the oldest run of its agent then; behind it runs are dropped and forgotten as ever."""
    agent = await team.agent()
    waits = await team.send(agent, when=HOUR)
    ended = [await team.send(agent) for _ in range(3)]
    for run_id in ended:
        await team.service.runs.cancel(WS, run_id)
    index = key(WS, "agent_runs", agent.id)
    await team.redis.delete(key(WS, "run", ended[0]))
    last = await team.send(agent)
    await team.service.runs.cancel(WS, last)
    assert [id for id, _ in await team.store.range(index)] == [waits, *ended[1:], last]
    await team.redis.zadd(index, {f"run-{n}": 1e9 + n for n in range(998)})
    more = await team.send(agent)
    await team.service.runs.cancel(WS, more)
    assert (await team.store.range(index))[0][0] == waits
    assert await team.store.score(index, ended[1]) is None
    assert await team.store.score(index, ended[2]) is not None
    assert (await team.service.runs.read(WS, waits)).status == "created"
