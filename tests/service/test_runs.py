"""Runs: reading them, and waiting for their end whatever happens to the waiting."""

import asyncio

import pytest

from service import runs as runs_module
from service.errors import Invalid, NotFound
from service.records.base import Page
from service.records.ids import new_id
from service.records.messages import Message, NewMessage
from service.records.runs import ModelReply, Step, Usage
from service.store.client import StoreClient
from service.store.keys import key
from service.store.runs import RunStore, Told
from tests.store.team import ALICE, WS, Team, raw, wait_until

pytestmark = pytest.mark.anyio


async def listening(team: Team, waiting: "asyncio.Task[object]", name: str = "output") -> None:
    """Until a task waits at the doorbell."""
    channel = key(WS, name)

    async def heard() -> bool:
        assert not waiting.done()
        return bool(dict(await raw(team.store).pubsub_numsub(channel))[channel])

    await wait_until("somebody listens", heard)


async def test_a_wait_ends_when_the_run_does(team: Team) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    waiting = asyncio.create_task(team.service.runs.wait(WS, open_run.run.id))
    await listening(team, waiting)
    other = await team.agent()
    other_lease, other_run = await team.working(other)
    await team.leases.finish(other_lease, other_run.run.id, "end_turn", None)
    await team.leases.finish(lease, open_run.run.id, "max_steps", None)
    run, _ = await asyncio.wait_for(waiting, 4)
    assert (run.id, run.status, run.stop_reason) == (open_run.run.id, "completed", "max_steps")


async def test_who_is_told_with_the_ring_does_not_read(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end, and the run as it is, come at once; what was not told with a ring is read as ever."""
    read = 0
    as_it_is = RunStore.told

    async def told(store: RunStore, ws: str, run_id: str) -> Told:
        nonlocal read
        read += 1
        return await as_it_is(store, ws, run_id)

    monkeypatch.setattr(RunStore, "told", told)
    async with team.service.runs.listening(WS, "run-x") as rings:
        assert await rings.get() is None  # nobody has listened before: something may be missing
    for background, times in ((False, 0), (True, 1)):
        agent = await team.agent()
        async with team.service.runs.listening(WS, run_id := new_id("run")) as rings:
            begun = await team.service.messages.send(
                WS, agent.id, [NewMessage(content="Hi.")], run_id=run_id, background=background
            )
            waiting = asyncio.create_task(team.service.runs.wait_on(WS, begun, rings))
            lease, open_run = await team.working(agent)
            assert open_run.run.id == run_id
            await team.leases.finish(lease, run_id, "max_steps", None)
            run, _ = await asyncio.wait_for(waiting, 4)
        assert (run.status, run.stop_reason) == ("completed", "max_steps")
        assert read == times


async def test_many_wait_for_one_run(team: Team) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    waiting = [asyncio.create_task(team.service.runs.wait(WS, open_run.run.id)) for _ in range(20)]
    await listening(team, waiting[0])
    await team.leases.finish(lease, open_run.run.id, "end_turn", None)
    for run, _ in await asyncio.wait_for(asyncio.gather(*waiting), 4):
        assert run.status == "completed"


async def test_a_run_that_ended_before_is_not_waited_for(team: Team) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    await team.leases.finish(lease, open_run.run.id, "error", None)
    run, _ = await asyncio.wait_for(team.service.runs.wait(WS, open_run.run.id), 4)
    assert run.status == "failed"


async def test_a_step_in_between_does_not_end_the_wait(team: Team) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    waiting = asyncio.create_task(team.service.runs.wait(WS, open_run.run.id))
    await listening(team, waiting)
    step = Step(id="step-1", run_id=open_run.run.id, agent_id=agent.id, index=0, created_at=0)
    await team.leases.store_step(
        lease, step, [], usage=Usage(), context_tokens=0, step_count=1, seen={}, stop_reason=None
    )
    await team.service.agents.delete(WS, agent.id, ALICE)
    assert (await asyncio.wait_for(waiting, 4))[0].status == "cancelled"


async def test_a_run_that_is_not_there_is_not_waited_for(team: Team) -> None:
    with pytest.raises(NotFound):
        await team.service.runs.wait(WS, "run-x")


async def test_an_end_is_seen_though_the_ring_was_lost(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_module, "LOOK_AGAIN_S", 0.05)
    agent = await team.agent()
    _, open_run = await team.working(agent)
    waiting = asyncio.create_task(team.service.runs.wait(WS, open_run.run.id))
    await listening(team, waiting)
    await raw(team.store).hset(key(WS, "run", open_run.run.id), "status", "completed")  # type: ignore[misc]
    assert (await asyncio.wait_for(waiting, 4))[0].status == "completed"


class TestOnARealServer:
    @pytest.fixture
    def store(self, real_store: StoreClient) -> StoreClient:
        return real_store

    async def test_an_end_while_the_connection_is_gone_is_seen(self, team: Team) -> None:
        agent = await team.agent()
        lease, open_run = await team.working(agent)
        waiting = asyncio.create_task(team.service.runs.wait(WS, open_run.run.id))
        await listening(team, waiting)
        assert await raw(team.store).client_kill_filter(_type="pubsub") >= 1
        await team.leases.finish(lease, open_run.run.id, "end_turn", None)
        assert (await asyncio.wait_for(waiting, 4))[0].status == "completed"


async def test_runs_come_in_pages_of_an_agent_or_of_all(team: Team) -> None:
    agent, other = await team.agent(), await team.agent()
    ids = [await team.send(one) for one in (agent, other, agent)]
    runs = team.service.runs
    assert [run.id for run in await runs.find(WS, agent.id, Page())] == [ids[0], ids[2]]
    assert [run.id for run in await runs.find(WS, None, Page(descending=True, limit=2))] == [ids[2], ids[1]]
    with pytest.raises(NotFound):
        await runs.read(WS, "run-x")


async def test_a_runs_messages_and_steps_are_told(team: Team) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    run_id = open_run.run.id
    assert await team.service.runs.steps(WS, run_id) == []
    asked = Message(id="message-1", agent_id=agent.id, role="user", created_at=0, content="Hi.")
    said = Message(id="message-2", agent_id=agent.id, role="assistant", created_at=0, content="Hello.")
    step = Step(id="step-1", run_id=run_id, agent_id=agent.id, index=0, created_at=0)
    await team.leases.store_step(
        lease, step, [asked, said], usage=Usage(), context_tokens=0, step_count=1, seen={}, stop_reason=None
    )
    messages = await team.service.runs.messages(WS, run_id)
    assert [message.content for message in messages] == ["Hi.", "Hello."]
    await team.leases.finish(lease, run_id, "end_turn", None)
    assert (await team.service.runs.wait(WS, run_id))[1] == messages
    assert [one.id for one in await team.service.runs.steps(WS, run_id)] == ["step-1"]
    with pytest.raises(NotFound):
        await team.service.runs.messages(WS, "run-x")


async def test_a_run_not_begun_is_cancelled_at_once_and_its_waiters_told(team: Team) -> None:
    agent = await team.agent()
    run_id = await team.send(agent)
    waiting = asyncio.create_task(team.service.runs.wait(WS, run_id))
    await listening(team, waiting)
    assert await team.service.runs.open_ids(WS, agent.id) == [run_id]
    assert await team.service.runs.cancel(WS, run_id)
    run, _ = await asyncio.wait_for(waiting, 4)
    assert (run.status, run.stop_reason) == ("cancelled", "cancelled")
    assert not await team.service.runs.cancel(WS, run_id)
    assert await team.service.runs.open_ids(WS, agent.id) == []


async def test_who_carries_a_run_hears_that_it_is_to_end_and_not_of_its_steps(team: Team) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    hearing = asyncio.create_task(team.service.runs.cancelled(WS, open_run.run.id))
    await listening(team, hearing, "summons")
    await team.leases.tell(lease, open_run.run.id, [])
    other = await team.send(await team.agent())
    await team.service.runs.cancel(WS, other)
    assert not hearing.done()
    await team.service.runs.cancel(WS, open_run.run.id)
    await asyncio.wait_for(hearing, 4)
    await asyncio.wait_for(team.service.runs.cancelled(WS, open_run.run.id), 4)


@pytest.mark.parametrize("turns", range(5))
async def test_listening_ends_when_it_is_cancelled_though_a_ring_comes_with_it(
    team: Team, turns: int
) -> None:
    """A worker stops to listen just when the end of its run is rung: so many turns of the loop ago."""
    _, open_run = await team.working(await team.agent())
    run_id = open_run.run.id
    hearing = asyncio.create_task(team.service.runs.cancelled(WS, run_id))
    await listening(team, hearing, "summons")
    looked = asyncio.Event()

    async def look(ws: str, run_id: str) -> bool:
        looked.set()
        return False

    team.service.runs._store.is_cancelled = look  # type: ignore[method-assign]
    team.service.bell._ring(key(WS, "summons"), f"{run_id} cancelling")
    await asyncio.wait_for(looked.wait(), 4)
    await asyncio.sleep(0)
    team.service.bell._ring(key(WS, "summons"), f"{run_id} cancelling")
    for _ in range(turns):
        await asyncio.sleep(0)
    hearing.cancel()
    done, _ = await asyncio.wait({hearing}, timeout=4)
    assert done == {hearing}
    assert hearing.cancelled()


async def test_only_a_run_that_ended_is_deleted(team: Team) -> None:
    run_id = await team.send(await team.agent())
    with pytest.raises(Invalid, match="cancel it first"):
        await team.service.runs.delete(WS, run_id)
    await team.service.runs.cancel(WS, run_id)
    await team.service.runs.delete(WS, run_id)
    with pytest.raises(NotFound):
        await team.service.runs.read(WS, run_id)


async def test_a_page_is_filled_with_the_runs_that_are_wanted(team: Team) -> None:
    agent = await team.agent()
    ids = [await team.send(agent) for _ in range(6)]
    for run_id in ids[::2]:
        await team.service.runs.cancel(WS, run_id)
    page = Page(limit=2, descending=True)
    found = await team.service.runs.find(WS, agent.id, page, lambda run: run.status == "cancelled")
    assert [run.id for run in found] == [ids[4], ids[2]]


async def test_feedback_is_for_steps_that_have_ended(team: Team) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    runs = team.service.runs
    made = {"id": "step-1", "run_id": open_run.run.id, "agent_id": agent.id, "index": 0, "created_at": 0}
    step = Step.model_validate({**made, "reply": ModelReply(text="Hi.")})
    await team.leases.store_answer(lease, step)
    with pytest.raises(Invalid, match="under way"):
        await runs.give_feedback(WS, "step-1", "positive", None)
    sums = {"usage": Usage(), "context_tokens": 0, "step_count": 1, "seen": {}, "stop_reason": None}
    said = Message(id="message-1", agent_id=agent.id, role="assistant", created_at=0, step_id="step-1")
    done = step.model_copy(update={"status": "success"})
    await team.leases.store_step(lease, done, [said], **sums)  # type: ignore[arg-type]
    given = await runs.give_feedback(WS, "step-1", "positive", ["a"])
    assert (given.feedback, given.tags, given.status) == ("positive", ["a"], "success")
    given = await runs.give_feedback(WS, "step-1", None, None)
    assert (given.feedback, given.tags) == (None, ["a"])
    assert [one.id for one in await runs.step_messages(WS, "step-1")] == ["message-1"]
    found = await runs.find_steps(WS, agent.id, Page(), lambda one: "a" in one.tags)
    assert found == [given] == [await runs.step(WS, "step-1")]
    with pytest.raises(NotFound):
        await runs.give_feedback(WS, "step-x", None, None)


async def test_a_run_that_ran_out_and_whose_key_is_used_again_has_one_status(team: Team) -> None:
    agent = await team.agent()
    hello = [NewMessage(content="Hi.")]
    begun = await team.service.messages.send(WS, agent.id, hello, run_id="run-again")
    assert await team.service.runs.cancel(WS, begun.id)
    await raw(team.store).delete(key(WS, "run", begun.id))
    await team.service.messages.send(WS, agent.id, hello, run_id="run-again")
    listed = {
        status: await team.store.score(key(WS, "runs_in", status), begun.id) is not None
        for status in ("created", "running", "completed", "failed", "cancelled")
    }
    assert [status for status, found in listed.items() if found] == ["created"]
