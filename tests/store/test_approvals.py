"""Requests for the caller's word: what the scripts let through while one is pending, and who wins a race."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from service.errors import NotFound, PendingApproval
from service.records.agents import Agent
from service.records.ids import new_id
from service.records.messages import Answer, Message, NewMessage, ToolReturn
from service.records.runs import Run
from service.store.approvals import ApprovalStore
from service.store.keys import key
from service.store.messages import MessageStore, NotPending, Sent
from service.store.runs import RunStore
from tests.store.team import ALICE, RUN_SECONDS, WS, Team, word

pytestmark = pytest.mark.anyio


@pytest.fixture
def approvals(team: Team) -> ApprovalStore:
    return ApprovalStore(team.store)


def run_of(agent: Agent, *messages: NewMessage) -> Run:
    return Run(id=new_id("run"), agent_id=agent.id, created_at=0, messages=list(messages))


def answer_to(agent: Agent, request: Message) -> Run:
    given = word(*request.asked).answer or Answer()
    filled = given.model_copy(update={"request_id": request.id})
    return run_of(agent, NewMessage(role="approval", content="", answer=filled))


def hello(agent: Agent) -> Run:
    return run_of(agent, NewMessage(content="Hello."))


async def send(team: Team, run: Run, *, waits: bool = False) -> Sent:
    return await MessageStore(team.store).send(WS, run, waits=waits)


async def inbox(team: Team, agent: Agent) -> list[str]:
    return await team.store.items(key(WS, "agent_inbox", agent.id))


def results_of(request: Message) -> Message:
    returns = [ToolReturn(tool_call_id=id, name="rm", text="no", status="error") for id in request.asked]
    return Message(
        id=new_id("message"), agent_id=request.agent_id, role="tool", created_at=0, tool_returns=returns
    )


async def test_a_step_that_asks_leaves_its_agent_idle_with_a_request(team: Team) -> None:
    agent, request = await team.asked("a")
    state = await team.state(agent)
    assert (state["status"], state["pending"]) == ("idle", request.id)
    assert "run_id" not in state
    assert await ApprovalStore(team.store).state(WS, agent.id) == (request.id, None)
    run = await team.service.runs.read(WS, request.run_id or "")
    assert (run.status, run.stop_reason) == ("completed", "requires_approval")


async def test_the_state_of_an_unknown_agent_is_not_found(approvals: ApprovalStore) -> None:
    with pytest.raises(NotFound):
        await approvals.state(WS, "agent-x")
    assert await approvals.pending(WS, "agent-x") is None


async def test_a_message_that_does_not_wait_is_refused_and_nothing_written(team: Team) -> None:
    agent, request = await team.asked("a")
    before = await team.everything()
    with pytest.raises(PendingApproval) as refused:
        await send(team, hello(agent))
    assert (refused.value.request_id, refused.value.run_id) == (request.id, request.run_id)
    assert await team.everything() == before


async def test_a_refusal_names_no_run_where_the_request_is_not_to_be_read(team: Team) -> None:
    agent, request = await team.asked("a")
    await team.store.drop_field(key(WS, "agent_bodies", agent.id), request.id)
    with pytest.raises(PendingApproval) as refused:
        await send(team, hello(agent))
    assert (refused.value.request_id, refused.value.run_id) == (request.id, "")


async def test_what_waits_makes_nobody_ready_and_comes_after_the_answer(team: Team) -> None:
    agent, request = await team.asked("a")
    waiting, answer = hello(agent), answer_to(agent, request)
    sent = await send(team, waiting, waits=True)
    assert sent.run.created_at > 0
    assert sent.ready is None
    assert (await team.state(agent))["status"] == "idle"
    assert (await send(team, answer)).ready is not None
    assert await inbox(team, agent) == [answer.id, waiting.id]
    state = await team.state(agent)
    assert (state["status"], state["answered_by"]) == ("ready", answer.id)
    assert "pending" not in state
    assert await ApprovalStore(team.store).state(WS, agent.id) == (None, answer.id)
    lease, open_run = await team.working(agent)
    assert open_run.run.id == answer.id
    await team.leases.finish(lease, answer.id, "end_turn", None)
    after = await team.leases.next_run(lease)
    assert after is not None
    assert after.run.id == waiting.id


async def test_an_answer_to_another_request_or_to_none_changes_nothing(team: Team) -> None:
    agent, request = await team.asked("a")
    other = answer_to(agent, request.model_copy(update={"id": "message-other"}))
    idle = await team.agent()
    before = await team.everything()
    with pytest.raises(NotPending):
        await send(team, other)
    with pytest.raises(NotPending):
        await send(team, answer_to(idle, request))
    assert await team.everything() == before


async def test_a_known_answer_again_changes_nothing(team: Team) -> None:
    agent, request = await team.asked("a")
    answer = answer_to(agent, request)
    sent = await send(team, answer)
    before = await team.everything()
    assert await send(team, answer) == (sent.run, None, False)
    assert await team.everything() == before


async def test_an_answer_that_comes_while_the_lease_is_held_is_begun_under_it(team: Team) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    request = await team.ask(lease, open_run.run, "a")
    answer = answer_to(agent, request)
    assert (await send(team, answer))[1] is None
    found = await team.leases.next_run(lease)
    assert found is not None
    assert found.run.id == answer.id


async def test_a_lease_given_back_while_a_request_is_pending_ends_idle(team: Team) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    await team.ask(lease, open_run.run, "a")
    await send(team, hello(agent), waits=True)
    await team.leases.give_back(lease)
    lease = await team.lease(agent)
    assert await team.leases.next_run(lease) is None
    assert (await team.state(agent))["status"] == "idle"
    assert len(await inbox(team, agent)) == 1


@pytest.mark.parametrize("waiting", [False, True])
async def test_denying_lets_the_inbox_go_on(team: Team, approvals: ApprovalStore, waiting: bool) -> None:
    agent, request = await team.asked("a")
    if waiting:
        await send(team, hello(agent), waits=True)
    results = results_of(request)
    denied, ready = await approvals.deny(WS, request, results)
    assert denied
    assert (ready is not None) is waiting
    assert (await team.state(agent))["status"] == ("ready" if waiting else "idle")
    context = await team.service.messages.context(WS, agent.id)
    assert [one.id for one in context[-2:]] == [request.id, results.id]
    assert context[-1].created_at > 0
    assert (await team.store.items(key(WS, "run_messages", request.run_id or "")))[-1] == results.id
    before = await team.everything()
    assert await approvals.deny(WS, request, results) == (False, None)
    assert await team.everything() == before


async def test_denying_leaves_no_key_behind_a_run_that_is_gone(team: Team, approvals: ApprovalStore) -> None:
    _, request = await team.asked("a")
    await RunStore(team.store).delete(WS, request.run_id or "")
    assert (await approvals.deny(WS, request, results_of(request)))[0]
    assert not [name for name in await team.names() if (request.run_id or "?") in name]


async def test_denying_forgets_who_answered_last(team: Team, approvals: ApprovalStore) -> None:
    """What is answered after that is no repeat of an earlier answer."""
    agent, first = await team.asked("a")
    await send(team, answer_to(agent, first))
    lease, open_run = await team.working(agent)
    second = await team.ask(lease, open_run.run, "b")
    assert await team.leases.next_run(lease) is None
    await approvals.deny(WS, second, results_of(second))
    assert await approvals.state(WS, agent.id) == (None, None)


async def test_an_answer_taken_back_before_it_began_leaves_its_request_pending(
    team: Team, approvals: ApprovalStore
) -> None:
    agent, request = await team.asked("a")
    answer, waiting = answer_to(agent, request), hello(agent)
    await send(team, answer)
    await send(team, waiting, waits=True)
    assert await RunStore(team.store).cancel(WS, answer.id, RUN_SECONDS)
    assert await approvals.state(WS, agent.id) == (request.id, None)
    assert await team.leases.next_run(await team.lease(agent)) is None
    assert await inbox(team, agent) == [waiting.id]
    assert (await send(team, answer_to(agent, request)))[1] is not None


async def test_another_run_taken_back_leaves_requests_alone(team: Team, approvals: ApprovalStore) -> None:
    agent, request = await team.asked("a")
    answer, waiting = answer_to(agent, request), hello(agent)
    await send(team, answer)
    await send(team, waiting, waits=True)
    assert await RunStore(team.store).cancel(WS, waiting.id, RUN_SECONDS)
    assert await approvals.state(WS, agent.id) == (None, answer.id)


async def test_a_deleted_agent_asks_nothing(team: Team, approvals: ApprovalStore) -> None:
    agent, request = await team.asked("a")
    await team.service.agents.delete(WS, agent.id, ALICE)
    assert await approvals.pending(WS, agent.id) is None
    with pytest.raises(NotFound):
        await send(team, answer_to(agent, request))


async def outcomes(*acts: Awaitable[Any]) -> list[Any]:
    return list(await asyncio.gather(*acts, return_exceptions=True))


async def test_of_many_answers_at_once_just_one_wins(team: Team) -> None:
    agent, request = await team.asked("a")
    answers = [answer_to(agent, request) for _ in range(8)]
    found = await outcomes(*(send(team, answer) for answer in answers))
    won = [answer for answer, one in zip(answers, found, strict=True) if not isinstance(one, NotPending)]
    assert len(won) == 1
    assert await inbox(team, agent) == [won[0].id]


async def test_answers_of_the_same_words_at_once_are_one_run(team: Team) -> None:
    agent, _ = await team.asked("a")
    send_word = team.service.messages.send
    found = await outcomes(*(send_word(WS, agent.id, [word("a")]) for _ in range(8)))
    assert len({run.id for run in found}) == 1
    assert await inbox(team, agent) == [found[0].id]


async def test_a_message_beside_an_answer_is_refused_or_comes_after_it(team: Team) -> None:
    agent, request = await team.asked("a")
    answer = answer_to(agent, request)
    others = [hello(agent) for _ in range(4)]
    runs = [*others[:2], answer, *others[2:]]
    found = await outcomes(*(send(team, run) for run in runs))
    sent = [run.id for run, one in zip(runs, found, strict=True) if not isinstance(one, PendingApproval)]
    assert answer.id in sent
    queued = await inbox(team, agent)
    assert queued[0] == answer.id
    assert sorted(queued) == sorted(sent)


async def test_either_the_answer_or_the_denial_wins(team: Team, approvals: ApprovalStore) -> None:
    agent, request = await team.asked("a")
    answer = answer_to(agent, request)
    sent, (denied, _) = await outcomes(send(team, answer), approvals.deny(WS, request, results_of(request)))
    assert isinstance(sent, NotPending) is denied
    assert await inbox(team, agent) == ([] if denied else [answer.id])


async def overdue(team: Team) -> list[str]:
    """The agents that a sweep names because nobody answers what they ask for."""
    return [one.agent_id for one in await team.leases.sweep(WS, 60_000) if one.reason == "overdue"]


async def let_pass(team: Team, *agents: Agent) -> None:
    """The time within which their requests are to be answered is over."""
    for agent in agents:
        await team.redis.zadd(key(WS, "approvals"), {agent.id: 1}, xx=True)


async def test_a_request_that_nobody_answers_in_time_is_named(team: Team) -> None:
    agent, _ = await team.asked("a")
    assert await overdue(team) == []
    await let_pass(team, agent)
    assert await overdue(team) == [agent.id]
    assert await overdue(team) == [], "not every second: whoever was told it has a while to do it"
    await let_pass(team, agent)
    assert await overdue(team) == [agent.id], "and if he did not, somebody else is told"


async def test_one_that_was_answered_denied_or_deleted_is_not(team: Team, approvals: ApprovalStore) -> None:
    (one, first), (other, second), (third, _) = [await team.asked("a") for _ in range(3)]
    await send(team, answer_to(one, first))
    await approvals.deny(WS, second, results_of(second))
    await team.service.agents.delete(WS, third.id, ALICE)
    await let_pass(team, one, other, third)
    assert await overdue(team) == []
    assert not await team.redis.exists(key(WS, "approvals"))


async def test_without_a_time_out_a_request_waits_for_ever(team: Team) -> None:
    """Also where the agent asked before, when there was one."""
    agent = await team.agent()
    for through in (None, team.leases):
        lease, open_run = await team.working(agent)
        request = await team.ask(lease, open_run.run, "a", through=through)
        assert await team.leases.next_run(lease) is None
        await send(team, answer_to(agent, request))
    assert not await team.redis.exists(key(WS, "approvals"))


async def test_a_request_whose_answer_is_taken_back_still_has_its_deadline(team: Team) -> None:
    agent, request = await team.asked("a")
    run = (await send(team, answer_to(agent, request))).run
    await RunStore(team.store).cancel(WS, run.id, RUN_SECONDS)
    await let_pass(team, agent)
    assert await overdue(team) == [agent.id]
