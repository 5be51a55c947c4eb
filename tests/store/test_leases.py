"""Leases: who gets in, how long, and that giving an agent up never loses a message."""

import pytest

from service.errors import LeaseLost
from service.records.open_runs import Opening
from service.records.runs import Lease
from service.store.keys import key
from tests.store.team import ALICE, WS, Team

pytestmark = pytest.mark.anyio


async def test_only_the_generation_that_is_due_takes_the_lease(team: Team) -> None:
    agent = await team.agent()
    assert await team.leases.take(WS, agent.id, 0, "w", 1000) is None
    await team.send(agent)
    for generation in (0, 2):
        assert await team.leases.take(WS, agent.id, generation, "w", 1000) is None
    lease = await team.leases.take(WS, agent.id, 1, "w", 1000)
    assert lease == Lease(workspace=WS, agent_id=agent.id, generation=1, worker_id="w")
    assert await team.leases.take(WS, agent.id, 1, "w2", 1000) is None
    state = await team.state(agent)
    assert (state["status"], state["worker"]) == ("leased", "w")
    assert await team.store.count(key(WS, "ready")) == 0
    assert await team.leases.take(WS, "agent-x", 1, "w", 1000) is None


async def test_renewing_lengthens_leases_and_names_the_lost_ones(team: Team) -> None:
    held, lost, gone = [await team.lease(await team.agent()) for _ in range(3)]
    await team.leases.give_back(lost)
    await team.service.agents.delete(WS, gone.agent_id, ALICE)
    before = await team.store.score(key(WS, "leases"), held.agent_id)
    assert await team.leases.renew(WS, [held, lost, gone], 120_000) == {lost.agent_id, gone.agent_id}
    after = await team.store.score(key(WS, "leases"), held.agent_id)
    assert before is not None
    assert after is not None
    assert after >= before + 59_000
    assert await team.store.count(key(WS, "leases")) == 1
    assert await team.leases.renew(WS, [], 1000) == set()


async def test_an_agent_given_back_is_ready_under_a_new_generation(team: Team) -> None:
    agent = await team.agent(pool="big")
    lease, open_run = await team.working(agent)
    assert open_run.run.tries == 1
    ready = await team.leases.give_back(lease)
    assert (ready.generation, ready.pool, ready.reason) == (2, "big", "returned")
    again = await team.leases.take(WS, agent.id, 2, "w2", 1000)
    assert again is not None
    resumed = await team.leases.next_run(again)
    assert resumed is not None
    assert (resumed.run.id, resumed.run.tries) == (open_run.run.id, 1)


async def test_runs_come_in_the_order_they_were_sent(team: Team) -> None:
    agent = await team.agent()
    sent = [await team.send(agent, str(number)) for number in range(3)]
    lease = await team.lease(agent)
    done = []
    while (open_run := await team.leases.next_run(lease)) is not None:
        assert open_run.run.status == "running"
        assert open_run.run.started_at is not None
        done.append(open_run.run.id)
        await team.leases.finish(lease, open_run.run.id, "end_turn", None)
    assert done == sent


async def test_with_nothing_left_the_agent_is_idle_and_the_lease_gone(team: Team) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    await team.leases.finish(lease, open_run.run.id, "end_turn", None)
    assert await team.leases.next_run(lease) is None
    state = await team.state(agent)
    assert (state["status"], state["worker"]) == ("idle", "")
    assert await team.store.count(key(WS, "leases")) == 0
    with pytest.raises(LeaseLost):
        await team.leases.next_run(lease)
    await team.send(agent)
    assert (await team.ready(agent)).generation == 2


async def test_a_begun_run_is_gone_on_with_and_its_tries_are_counted(team: Team) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    await team.send(agent)
    again = await team.leases.next_run(lease)
    assert again is not None
    assert (again.run.id, again.run.tries, again.run.started_at) == (
        open_run.run.id,
        2,
        open_run.run.started_at,
    )


async def test_a_run_that_ended_in_the_inbox_is_passed_over(team: Team) -> None:
    agent = await team.agent()
    ended, waiting = await team.send(agent), await team.send(agent)
    await team.redis.hset(key(WS, "run", ended), "status", "cancelled")  # type: ignore[misc]
    lease = await team.lease(agent)
    open_run = await team.leases.next_run(lease)
    assert open_run is not None
    assert open_run.run.id == waiting


async def test_a_lease_that_ran_out_is_raised_once_and_its_holder_fenced_off(team: Team) -> None:
    agent = await team.agent(pool="big")
    lease = await team.lease(agent, ms=-1)
    held = await team.lease(await team.agent())
    (lost,) = await team.leases.sweep(WS, 60_000)
    assert (lost.agent_id, lost.generation, lost.pool, lost.reason) == (agent.id, 2, "big", "lost")
    assert await team.leases.sweep(WS, 60_000) == []
    with pytest.raises(LeaseLost):
        await team.leases.next_run(lease)
    assert await team.leases.next_run(held) is not None


async def test_an_agent_ready_for_too_long_is_named_again_and_again(team: Team) -> None:
    agent = await team.agent()
    await team.send(agent)
    assert await team.leases.sweep(WS, 60_000) == []
    for _ in range(2):
        (waiting,) = await team.leases.sweep(WS, 0)
        assert (waiting.agent_id, waiting.generation, waiting.reason) == (agent.id, 1, "waiting")


async def test_marks_that_say_nothing_are_swept_away(team: Team) -> None:
    agent = await team.agent()
    for index in ("ready", "leases"):
        await team.redis.zadd(key(WS, index), {agent.id: 1, "agent-x": 1})
    assert await team.leases.sweep(WS, 0) == []
    assert await team.store.count(key(WS, "ready")) == 0
    assert await team.store.count(key(WS, "leases")) == 0


async def test_the_sweep_takes_a_hundred_at_a_time(team: Team) -> None:
    for _ in range(101):
        await team.lease(await team.agent(), ms=-1)
    assert len(await team.leases.sweep(WS, 60_000)) == 100
    assert len(await team.leases.sweep(WS, 60_000)) == 1


async def test_what_only_a_worker_needed_of_a_run_goes_with_its_end(team: Team) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    run = open_run.run
    [message_0] = await team.service.messages.context(WS, agent.id)
    await team.leases.open_run(lease, Opening(run, "the prompt", {"block-1": 3}, message_0))
    await team.leases.add_note(lease, run.id, {"content": "a note"}, {"block-1": 4})
    await team.leases.finish(lease, run.id, "end_turn", None)
    left = await team.store.hash(key(WS, "run", run.id))
    assert not {"prompt", "seen", "causes", "step_id"} & set(left)
    assert await team.store.items(key(WS, "run_notes", run.id)) == []
