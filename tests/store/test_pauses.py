"""agent_pause.lua and agent_resume.lua: a paused agent begins nothing, stops between steps, loses nothing."""

import pytest

from service.errors import AgentPaused, LeaseLost, NotFound
from service.records.messages import NewMessage
from service.records.runs import Lease, Run, Step, Usage
from service.store.keys import key
from service.store.pauses import PauseStore
from tests.store.team import ALICE, WS, Team, word

pytestmark = pytest.mark.anyio


async def pause(team: Team, agent_id: str) -> None:
    await PauseStore(team.store).pause(WS, agent_id)


async def resume(team: Team, agent_id: str) -> bool:
    """Whether the agent became ready."""
    return bool(await PauseStore(team.store).resume(WS, agent_id))


async def store(team: Team, lease: Lease, run: Run, index: int = 0, stop: str | None = None) -> None:
    made = {"id": f"step-{index}", "run_id": run.id, "agent_id": run.agent_id, "index": index}
    await team.leases.store_step(
        lease,
        Step.model_validate(made | {"created_at": 0}),
        [],
        usage=Usage(),
        context_tokens=1,
        step_count=index + 1,
        seen={},
        stop_reason=stop,  # type: ignore[arg-type]
    )


async def test_a_message_to_a_paused_agent_waits_until_it_is_resumed(team: Team) -> None:
    agent = await team.agent()
    await pause(team, agent.id)
    run_id = await team.send(agent)
    assert (await team.state(agent))["status"] == "idle"
    assert (await team.service.runs.read(WS, run_id)).status == "created"
    assert await resume(team, agent.id)
    _, open_run = await team.working(agent)
    assert open_run.run.id == run_id


async def test_an_agent_that_was_ready_begins_nothing(team: Team) -> None:
    agent = await team.agent()
    lease = await team.lease(agent)
    await pause(team, agent.id)
    assert await team.leases.next_run(lease) is None
    assert (await team.state(agent))["status"] == "idle"
    assert await team.store.count(key(WS, "leases")) == 0
    assert await resume(team, agent.id)


async def test_a_run_stops_between_two_steps_and_goes_on_where_it_was(team: Team) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    await pause(team, agent.id)
    with pytest.raises(AgentPaused):
        await store(team, lease, open_run.run)
    assert (await team.state(agent))["status"] == "idle"
    assert await team.store.count(key(WS, "leases")) == 0
    with pytest.raises(LeaseLost):
        await store(team, lease, open_run.run, 1)
    assert (await team.service.runs.read(WS, open_run.run.id)).status == "running"
    await team.send(agent, "later")
    assert (await team.state(agent))["status"] == "idle"
    assert await resume(team, agent.id)
    _, again = await team.working(agent)
    assert (again.run.id, again.run.step_count, again.run.tries) == (open_run.run.id, 1, 1)


async def test_the_last_step_of_a_run_ends_it_all_the_same(team: Team) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    await pause(team, agent.id)
    await store(team, lease, open_run.run, stop="end_turn")
    assert await team.leases.next_run(lease) is None
    assert not await resume(team, agent.id)


async def test_a_step_that_was_taken_over_waits_too(team: Team) -> None:
    """Its worker died while it was paused: the sweeper brings the agent back, and nobody goes on."""
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    await pause(team, agent.id)
    await team.store.run("lease_renew", WS, 0, agent.id, lease.generation)
    assert [ready.agent_id for ready in await team.leases.sweep(WS, 1000)] == [agent.id]
    next_lease = await team.lease(agent)
    assert await team.leases.next_run(next_lease) is None
    assert await resume(team, agent.id)
    _, again = await team.working(agent)
    assert again.run.id == open_run.run.id


async def test_a_run_of_a_paused_agent_can_be_cancelled(team: Team) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    await pause(team, agent.id)
    with pytest.raises(AgentPaused):
        await store(team, lease, open_run.run)
    assert await team.service.runs.cancel(WS, open_run.run.id)
    _, again = await team.working(agent)
    assert (again.run.id, again.cancelled) == (open_run.run.id, True)


async def test_what_was_cancelled_first_is_not_left_standing(team: Team) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    await team.service.runs.cancel(WS, open_run.run.id)
    await pause(team, agent.id)
    await store(team, lease, open_run.run)
    await team.leases.finish(lease, open_run.run.id, "cancelled", None)
    assert await team.leases.next_run(lease) is None


async def test_an_answer_to_its_request_waits_as_well(team: Team) -> None:
    agent, request = await team.asked("c1")
    await pause(team, agent.id)
    send = team.service.messages.send
    await send(WS, agent.id, [word("c1", request_id=request.id)])
    assert (await team.state(agent))["status"] == "idle"
    assert await resume(team, agent.id)


async def test_resuming_leaves_what_waits_for_its_callers_word(team: Team) -> None:
    agent, _ = await team.asked("c1")
    await pause(team, agent.id)
    await team.service.messages.send(WS, agent.id, [NewMessage(content="x")], waits=True)
    assert not await resume(team, agent.id)
    assert (await team.state(agent))["status"] == "idle"


async def test_pausing_twice_keeps_the_first_time_and_resuming_twice_does_nothing(team: Team) -> None:
    agent = await team.agent()
    assert (await team.service.agents.read(WS, agent.id)).paused_at is None
    await pause(team, agent.id)
    since = (await team.service.agents.read(WS, agent.id)).paused_at
    await pause(team, agent.id)
    await team.update(agent, description="still paused")
    assert (await team.service.agents.read(WS, agent.id)).paused_at == since is not None
    await team.send(agent)
    assert await resume(team, agent.id)
    assert not await resume(team, agent.id)
    assert (await team.service.agents.read(WS, agent.id)).paused_at is None


async def test_agents_that_are_not_there_are_not_found(team: Team) -> None:
    for act in (pause, resume):
        with pytest.raises(NotFound):
            await act(team, "agent-x")


async def test_a_paused_agent_can_be_deleted(team: Team) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    await pause(team, agent.id)
    with pytest.raises(AgentPaused):
        await store(team, lease, open_run.run)
    await team.service.agents.delete(WS, agent.id, ALICE)
    assert (await team.service.runs.read(WS, open_run.run.id)).status == "cancelled"
