"""Runs that people end or forget: what the scripts do to a run not begun, under way, ended, unknown."""

import pytest

from service.errors import NotFound
from service.records.agents import Agent
from service.records.base import Page
from service.records.runs import ModelReply, Step
from service.store.bell import Bell
from service.store.keys import key
from service.store.runs import RunStore
from tests.store.team import ALICE, RUN_SECONDS, WS, Team, wait_until

pytestmark = pytest.mark.anyio


@pytest.fixture
def runs(team: Team) -> RunStore:
    return RunStore(team.store)


def a_step(run_id: str, agent_id: str, id: str) -> Step:
    return Step(id=id, run_id=run_id, agent_id=agent_id, index=0, created_at=0, reply=ModelReply(text="Hi."))


async def ended(team: Team, agent: Agent, step_id: str) -> str:
    """A run with one step, to its end; the agent is idle again."""
    lease, open_run = await team.working(agent)
    await team.leases.store_answer(lease, a_step(open_run.run.id, agent.id, step_id))
    await team.leases.finish(lease, open_run.run.id, "end_turn", None)
    assert await team.leases.next_run(lease) is None
    return open_run.run.id


async def test_a_run_not_begun_ends_at_once_and_leaves_the_inbox(team: Team, runs: RunStore) -> None:
    agent = await team.agent()
    first, second = await team.send(agent), await team.send(agent)
    assert await runs.open_ids(WS, agent.id) == [first, second]
    assert (await runs.cancel(WS, first, RUN_SECONDS))[0]
    run = await runs.read(WS, first)
    assert (run.status, run.stop_reason, run.started_at) == ("cancelled", "cancelled", None)
    assert run.completed_at is not None
    assert await team.redis.ttl(key(WS, "run", first)) > 0
    assert await runs.open_ids(WS, agent.id) == [second]
    _, open_run = await team.working(agent)
    assert open_run.run.id == second
    assert not open_run.cancelled


async def test_a_run_under_way_is_marked_and_its_worker_rung(team: Team, runs: RunStore) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    run_id = open_run.run.id
    bell = Bell(team.store)
    async with bell.listen(key(WS, "summons"), run_id) as rings:
        assert await rings.get() is None
        assert not await runs.is_cancelled(WS, run_id)
        assert (await runs.cancel(WS, run_id, RUN_SECONDS))[0]
        assert await rings.get() == f"{run_id} cancelling"
    await bell.close()
    assert await runs.is_cancelled(WS, run_id)
    assert (await runs.read(WS, run_id)).status == "running"
    assert await runs.open_ids(WS, agent.id) == [run_id]
    again = await team.leases.next_run(lease)
    assert again is not None
    assert again.cancelled


async def test_a_run_that_ended_is_left_as_it_is(team: Team, runs: RunStore) -> None:
    agent = await team.agent()
    run_id = await ended(team, agent, "step-1")
    before = await team.everything()
    assert not (await runs.cancel(WS, run_id, RUN_SECONDS))[0]
    assert await team.everything() == before


async def test_a_run_that_is_not_there_is_neither_cancelled_nor_deleted(team: Team, runs: RunStore) -> None:
    before = await team.everything()
    with pytest.raises(NotFound):
        await runs.cancel(WS, "run-x", RUN_SECONDS)
    with pytest.raises(NotFound):
        await runs.delete(WS, "run-x")
    assert await team.everything() == before


async def test_a_run_not_begun_leaves_the_one_under_way_its_agents(team: Team, runs: RunStore) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    waiting = await team.send(agent)
    assert (await runs.cancel(WS, waiting, RUN_SECONDS))[0]
    assert (await team.state(agent))["run_id"] == open_run.run.id
    again = await team.leases.next_run(lease)
    assert again is not None
    assert again.run.id == open_run.run.id


async def test_an_unread_wakeup_is_forgotten_with_its_changes(team: Team, runs: RunStore) -> None:
    block = await team.block()
    agent = await team.agent(block)
    rooms = team.service.subscriptions
    await team.subscribe(agent, block_id=block.id)
    for number in (1, 2):
        await team.edit(block, "append", str(number))
        cursor = await rooms.cursor(WS)
        changes = await team.service.changes.after(WS, cursor, 100)
        wake = await team.wake(agent, f"run-wake-{number}", changes[-1:])
        await rooms.wake(WS, cursor, changes[-1].id, [wake])
        if number == 1:
            assert (await runs.cancel(WS, wake.run.id, RUN_SECONDS))[0]
            assert "wake_run" not in await team.state(agent)
            assert await team.store.items(key(WS, "agent_woken", agent.id)) == []
    _, open_run = await team.working(agent)
    assert open_run.run.id == "run-wake-2"
    assert [change.version for change in open_run.causes] == [3]


async def test_a_run_that_ended_is_deleted_with_its_parts_but_not_its_messages(
    team: Team, runs: RunStore
) -> None:
    agent = await team.agent()
    run_id = await ended(team, agent, "step-1")
    history = await team.service.messages.find(WS, agent.id, Page())
    assert await runs.delete(WS, run_id)
    left = {name for name in await team.names() if run_id in name or "step-1" in name}
    assert left == set()
    found = team.service.runs.find
    assert await found(WS, agent.id, Page()) == await found(WS, None, Page()) == []
    for index in (key(WS, "steps"), key(WS, "agent_steps", agent.id)):
        assert await team.store.range(index) == []
    assert await team.service.messages.find(WS, agent.id, Page()) == history


@pytest.mark.parametrize("begun", [False, True])
async def test_a_run_that_has_not_ended_is_not_deleted(team: Team, runs: RunStore, begun: bool) -> None:
    agent = await team.agent()
    run_id = await team.send(agent)
    if begun:
        await team.working(agent)
    before = await team.everything()
    assert not await runs.delete(WS, run_id)
    assert await team.everything() == before


async def test_steps_are_found_by_agent_and_in_all_by_creation(team: Team, runs: RunStore) -> None:
    one, other = await team.agent(), await team.agent()
    await ended(team, one, "step-1")
    await ended(team, other, "step-2")
    await ended(team, one, "step-3")

    async def ids(agent_id: str | None, page: Page) -> list[str]:
        return [step.id for step in await team.service.runs.find_steps(WS, agent_id, page)]

    assert await ids(None, Page()) == ["step-1", "step-2", "step-3"]
    assert await ids(one.id, Page(descending=True)) == ["step-3", "step-1"]
    assert await ids(None, Page(after="step-1", limit=1)) == ["step-2"]
    found = await team.service.runs.find_steps(WS, None, Page(), lambda step: step.agent_id == other.id)
    assert [step.id for step in found] == ["step-2"]
    await team.service.agents.delete(WS, one.id, ALICE)
    assert await ids(None, Page()) == ["step-2"]
    assert [id for id, _ in await team.store.range(key(WS, "steps"))] == ["step-2"]


async def test_an_answer_that_is_stored_twice_is_listed_once(team: Team, runs: RunStore) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    for _ in range(2):
        await team.leases.store_answer(lease, a_step(open_run.run.id, agent.id, "step-1"))
    assert len(await team.service.runs.find_steps(WS, agent.id, Page())) == 1


async def test_steps_that_ran_out_leave_their_lists_at_the_agents_next_end(team: Team) -> None:
    agent = await team.agent()
    await ended(team, agent, "step-1")
    await team.redis.delete(key(WS, "step", "step-1"))
    await ended(team, agent, "step-2")
    for index in (key(WS, "steps"), key(WS, "agent_steps", agent.id)):
        assert [id for id, _ in await team.store.range(index)] == ["step-2"]


async def test_a_changed_step_ends_when_it_would_have_ended(team: Team, runs: RunStore) -> None:
    agent = await team.agent()
    await ended(team, agent, "step-1")
    changed = await runs.change_step(WS, "step-1", feedback="positive", tags=["ñ"])
    assert (changed.feedback, changed.tags) == ("positive", ["ñ"])
    assert await runs.step(WS, "step-1") == changed
    assert await team.redis.ttl(key(WS, "step", "step-1")) > 0
    with pytest.raises(NotFound):
        await runs.change_step(WS, "step-x", feedback=None)


async def test_a_step_that_was_changed_meanwhile_is_read_again(
    team: Team, runs: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await team.agent()
    await ended(team, agent, "step-1")
    real, other = team.store.get, RunStore(team.store)

    async def late(name: str) -> str | None:
        text = await real(name)
        monkeypatch.undo()
        await other.change_step(WS, "step-1", tags=["mine"])
        return text

    monkeypatch.setattr(team.store, "get", late)
    step = await runs.change_step(WS, "step-1", feedback="negative")
    assert (step.feedback, step.tags) == ("negative", ["mine"])


async def test_the_end_of_another_run_leaves_the_current_one(team: Team, runs: RunStore) -> None:
    """As a late `finish` of a run that is over, or of one not begun."""
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    other = await team.send(agent)
    await team.leases.finish(lease, other, "error", None)
    assert (await runs.read(WS, other)).status == "failed"
    assert (await team.state(agent))["run_id"] == open_run.run.id

    async def all_read() -> bool:
        return await runs.open_ids(WS, agent.id) == [open_run.run.id, other]

    await wait_until("the inbox still names it, to be passed over", all_read)
    await team.leases.finish(lease, open_run.run.id, "end_turn", None)
    assert await team.leases.next_run(lease) is None
