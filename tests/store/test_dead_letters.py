"""Runs that lose too many workers: marked when taken up once more, kept when they end, tried again once."""

from typing import Any

import pytest

from service.errors import Invalid, NotFound, PendingApproval
from service.records.agents import Agent
from service.records.base import Page
from service.records.messages import NewMessage
from service.records.open_runs import Opening, OpenRun
from service.records.runs import Lease, Run, RunError, RunOptions, Step, Usage
from service.store.keys import key
from service.store.leases import LeaseStore
from service.store.wakeups import WakeUpStore
from tests.store.team import ALICE, RUN_SECONDS, WS, Team, word

pytestmark = pytest.mark.anyio

ERROR = RunError(type="internal_error", message="given up")


async def given_up(team: Team, agent: Agent, *, ends: bool = True) -> OpenRun:
    """The next run of an agent loses its only worker, and is ended."""
    leases = LeaseStore(team.store, RUN_SECONDS, run_tries=1)
    lease = await team.lease(agent)
    assert await leases.next_run(lease) is not None
    open_run = await leases.next_run(lease)
    assert open_run is not None
    if ends:
        await leases.finish(lease, open_run.run.id, "error", ERROR)
        assert await leases.next_run(lease) is None
    return open_run


async def letters(team: Team, agent: Agent) -> list[str]:
    return [run.id for run in await team.service.runs.dead_letters(WS, agent.id, Page())]


async def failed(team: Team, agent: Agent) -> tuple[Lease, Run]:
    lease, open_run = await team.working(agent)
    await team.leases.finish(lease, open_run.run.id, "llm_api_error", ERROR)
    return lease, await team.service.runs.read(WS, open_run.run.id)


async def test_a_run_that_is_taken_up_too_often_is_marked_and_kept_when_it_ends(team: Team) -> None:
    agent = await team.agent()
    open_run = await given_up(team, agent)
    assert (open_run.run.parked, open_run.run.tries) == (True, 2)
    assert await letters(team, agent) == [open_run.run.id]


async def test_one_that_is_cancelled_meanwhile_is_none(team: Team) -> None:
    agent = await team.agent()
    open_run = await given_up(team, agent, ends=False)
    generation = int((await team.state(agent))["generation"])
    lease = Lease(workspace=WS, agent_id=agent.id, generation=generation, worker_id="worker-1")
    await team.leases.finish(lease, open_run.run.id, "cancelled", None)
    assert await letters(team, agent) == []


async def test_other_failed_runs_are_none(team: Team) -> None:
    agent = await team.agent()
    await failed(team, agent)
    assert await letters(team, agent) == []


async def test_dead_letters_are_listed_in_pages(team: Team) -> None:
    agent = await team.agent()
    ids = [(await given_up(team, agent)).run.id for _ in range(3)]
    find = team.service.runs.dead_letters
    first = await find(WS, agent.id, Page(limit=2, descending=True))
    assert [run.id for run in first] == [ids[2], ids[1]]
    rest = await find(WS, agent.id, Page(limit=2, descending=True, after=ids[1]))
    assert [run.id for run in rest] == [ids[0]]


async def test_a_letter_goes_with_its_run_and_with_its_agent(team: Team) -> None:
    agent = await team.agent()
    open_run = await given_up(team, agent)
    await team.service.runs.delete(WS, open_run.run.id)
    assert await letters(team, agent) == []
    await given_up(team, agent)
    await team.service.agents.delete(WS, agent.id, ALICE)
    assert await team.store.count(key(WS, "agent_parked", agent.id)) == 0


async def test_a_failed_run_is_tried_again_with_its_input_and_options(team: Team) -> None:
    agent = await team.agent()
    options = RunOptions(max_steps=3, output="steps")
    given = [NewMessage(content="Do it.", otid="mine")]
    await team.service.messages.send(
        WS, agent.id, given, options, background=True, depth=2, callback_url="https://example.com"
    )
    lease, old = await failed(team, agent)
    new = await team.service.messages.retry(WS, old.id)
    assert (new.id != old.id, new.status, new.error) == (True, "created", None)
    assert (new.messages, new.options, new.background) == (old.messages, options, True)
    assert (new.depth, new.callback_url) == (2, "https://example.com")
    assert new.metadata == {"run_type": "send_message", "retry_of": old.id}
    assert (await team.service.runs.read(WS, old.id)).retried_by == new.id
    open_run = await team.leases.next_run(lease)
    assert open_run is not None
    assert open_run.run.id == new.id


async def test_asked_twice_it_is_tried_once(team: Team) -> None:
    agent = await team.agent()
    _, old = await failed(team, agent)
    new = await team.service.messages.retry(WS, old.id)
    assert (await team.service.messages.retry(WS, old.id)).id == new.id
    assert len(await team.store.items(key(WS, "agent_inbox", agent.id))) == 1


async def test_what_was_tried_again_is_no_dead_letter_any_more(team: Team) -> None:
    agent = await team.agent()
    open_run = await given_up(team, agent)
    new = await team.service.messages.retry(WS, open_run.run.id)
    assert not new.parked
    assert await letters(team, agent) == []
    assert (await given_up(team, agent)).run.id == new.id
    assert await letters(team, agent) == [new.id]


async def test_a_wake_up_that_never_opened_is_tried_again_with_its_causes(team: Team) -> None:
    agent = await team.agent()
    await team.block()
    changes = await team.changes()
    wake = await team.wake(agent, "run-w", changes)
    await WakeUpStore(team.store).move(WS, "0-0", changes[-1].id, [wake])
    await given_up(team, agent)
    await team.service.messages.retry(WS, wake.run.id)
    _, open_run = await team.working(agent)
    assert (open_run.run.kind, open_run.causes) == ("wakeup", wake.causes)


async def test_one_that_was_opened_has_its_message_instead(team: Team) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    [message_0] = await team.service.messages.context(WS, agent.id)
    told = open_run.run.model_copy(update={"messages": [NewMessage(content="Blocks have changed.")]})
    await team.leases.open_run(lease, Opening(told, "p", {}, message_0))
    await team.redis.hset(key(WS, "run", told.id), mapping={"causes": "[]", "over": "0"})  # type: ignore[misc]
    await team.leases.finish(lease, told.id, "error", ERROR)
    assert "causes" not in await team.store.hash(key(WS, "run", told.id))
    new = await team.service.messages.retry(WS, told.id)
    assert [one.content for one in new.messages] == ["Blocks have changed."]


async def test_only_failed_runs_are_tried_again(team: Team) -> None:
    agent = await team.agent()
    run_id = await team.send(agent)
    with pytest.raises(Invalid, match="only a failed run can be tried again, and this one is created"):
        await team.service.messages.retry(WS, run_id)
    with pytest.raises(NotFound):
        await team.service.messages.retry(WS, "run-x")


async def test_an_answer_to_a_request_is_not_given_twice(team: Team) -> None:
    agent, request = await team.asked("c1")
    await team.service.messages.send(WS, agent.id, [word("c1", request_id=request.id)])
    _, old = await failed(team, agent)
    with pytest.raises(Invalid, match="answered an approval request"):
        await team.service.messages.retry(WS, old.id)


async def test_while_a_request_is_pending_a_retry_is_refused_as_a_send_is(team: Team) -> None:
    agent = await team.agent()
    lease, old = await failed(team, agent)
    await team.send(agent)
    open_run = await team.leases.next_run(lease)
    assert open_run is not None
    await team.ask(lease, open_run.run, "c1")
    with pytest.raises(PendingApproval):
        await team.service.messages.retry(WS, old.id)
    assert (await team.service.runs.read(WS, old.id)).retried_by is None


async def test_the_agent_must_still_be_there(team: Team) -> None:
    agent = await team.agent()
    _, old = await failed(team, agent)
    await team.service.agents.delete(WS, agent.id, ALICE)
    with pytest.raises(NotFound):
        await team.service.messages.retry(WS, old.id)


async def test_a_run_that_is_deleted_meanwhile_is_not_brought_back_by_its_retry(team: Team) -> None:
    agent = await team.agent()
    _, old = await failed(team, agent)
    await team.service.runs.delete(WS, old.id)
    again = old.model_copy(update={"id": "run-again", "created_at": 0})
    await team.service.messages._store.send(WS, again, retries=old.id)
    assert await team.store.hash(key(WS, "run", old.id)) == {}


async def test_only_workers_lost_in_a_row_count_against_a_run(team: Team) -> None:
    """A long run on machines that come and go gets on all the same; one that stands still is given up."""
    agent, leases = await team.agent(), LeaseStore(team.store, RUN_SECONDS, run_tries=2)
    lease = await team.lease(agent)

    async def lost() -> OpenRun:
        """A worker takes the run up, and is never heard of again."""
        found = await leases.next_run(lease)
        assert found is not None
        return found

    await lost()
    for index in range(4):
        open_run = await lost()
        assert (open_run.run.parked, open_run.run.tries) == (False, 2)
        step = Step(id=f"step-{index}", run_id=open_run.run.id, agent_id=agent.id, index=index, created_at=0)
        whole: dict[str, Any] = {"usage": Usage(), "context_tokens": 1, "seen": {}, "stop_reason": None}
        await leases.store_answer(lease, step)
        await leases.store_step(lease, step, [], **whole, step_count=index + 1)
    assert not (await lost()).run.parked
    open_run = await lost()
    assert (open_run.run.parked, open_run.run.tries) == (True, 3)
