"""Answers to requests: one word for each call, checked against what is asked, and what is refused."""

import re
from typing import Any

import pytest

from service.approvals import settled
from service.errors import Invalid, NotFound, PendingApproval, StoreUnreachable
from service.records.agents import Agent
from service.records.messages import Answer, CallAnswer, Message, NewMessage, ToolCall, ToolReturn
from service.records.runs import Run, RunOptions
from service.store.keys import key
from tests.store.team import WS, Team, word

pytestmark = pytest.mark.anyio

CALLS = [ToolCall(id=id, name=name, arguments="{}") for id, name in (("a", "rm"), ("b", "ls"), ("c", "see"))]
REQUEST = Message(
    id="message-1",
    agent_id="agent-1",
    role="approval",
    created_at=0,
    tool_calls=CALLS,
    asked=["a", "b"],
    client_calls=["b"],
)
LISTED = ToolReturn(tool_call_id="b", name="", text="x")
YES, NO = CallAnswer(tool_call_id="a"), CallAnswer(tool_call_id="a", approve=False, reason="no")
GIVEN = CallAnswer(tool_call_id="b", result=LISTED)


def test_an_answer_gets_the_names_of_the_tools_and_of_the_request() -> None:
    found = settled(REQUEST, Answer(calls=[GIVEN, YES]))
    named = GIVEN.model_copy(update={"result": LISTED.model_copy(update={"name": "ls"})})
    assert found == Answer(request_id="message-1", calls=[named, YES])


def test_one_word_for_all_becomes_one_for_each() -> None:
    found = settled(REQUEST, Answer(approve=False, reason="no", request_id="message-1"))
    assert found.calls == [NO, CallAnswer(tool_call_id="b", approve=False, reason="no")]
    assert (found.approve, found.reason) == (False, "no")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            {"calls": [YES]},
            "messages.0: must answer exactly the calls that request message-1 .*; missing: b$",
        ),
        ({"calls": []}, "missing: a, b$"),
        ({"calls": [YES, GIVEN, CallAnswer(tool_call_id="c")]}, "; not asked for: c$"),
        ({"calls": [YES, GIVEN, NO]}, "; twice: a$"),
        ({"calls": [CallAnswer(tool_call_id="x")]}, "missing: a, b; not asked for: x$"),
        ({"request_id": "message-2", "approve": True}, "^messages.0.approval_request_id: .* message-1$"),
        ({"approve": True}, "call b is of ls, a tool of yours; send what it gave back"),
        ({"calls": [YES, CallAnswer(tool_call_id="b")]}, "call b is of ls"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused_by_name(answer: dict[str, Any], told: str) -> None:
    with pytest.raises(Invalid) as refused:
        settled(REQUEST, Answer(**answer))
    assert re.search(told, str(refused.value))


async def send(team: Team, agent: Agent, *messages: NewMessage) -> Run:
    return await team.service.messages.send(WS, agent.id, messages, RunOptions())


async def carry(team: Team, agent: Agent) -> None:
    """The next run of the agent's inbox, begun and ended."""
    lease, open_run = await team.working(agent)
    await team.leases.finish(lease, open_run.run.id, "end_turn", None)
    assert await team.leases.next_run(lease) is None


async def test_what_is_pending_is_the_stored_request(team: Team) -> None:
    agent, request = await team.asked("a")
    found = await team.service.approvals.pending(WS, agent.id)
    assert found is not None
    assert found.created_at > 0
    assert found == request.model_copy(update={"created_at": found.created_at})
    other = await team.agent()
    assert await team.service.approvals.pending(WS, other.id) is None
    assert await team.service.approvals.pending(WS, "agent-x") is None


async def test_an_answer_is_stored_with_what_it_answers(team: Team) -> None:
    agent, request = await team.asked("a", "b")
    run = await send(team, agent, word("b", "a"), NewMessage(content="Go on."))
    stored = await team.service.runs.read(WS, run.id)
    assert stored.messages[0].answer == Answer(
        request_id=request.id, calls=[CallAnswer(tool_call_id=id) for id in ("b", "a")]
    )
    assert stored.messages[1].content == "Go on."
    assert await team.service.approvals.pending(WS, agent.id) is None


async def test_nothing_to_answer_is_refused_and_an_unknown_agent_not_found(team: Team) -> None:
    agent = await team.agent()
    with pytest.raises(Invalid, match="messages: no approval request of this agent is pending"):
        await send(team, agent, word("a"))
    with pytest.raises(NotFound):
        await team.service.messages.send(WS, "agent-x", [word("a")])
    assert await team.service.runs.open_ids(WS, agent.id) == []


@pytest.mark.parametrize("ended", [False, True])
async def test_the_same_answer_again_gives_the_first_ones_run(team: Team, ended: bool) -> None:
    agent, request = await team.asked("a")
    first = await send(team, agent, word("a"), NewMessage(content="Go on."))
    if ended:
        await carry(team, agent)
    runs = await team.service.runs.open_ids(WS, agent.id)
    for again in (
        [word("a"), NewMessage(content="Go on.")],
        [word("a")],
        [word("a", request_id=request.id)],
    ):
        assert (await send(team, agent, *again)).id == first.id
    assert await team.service.runs.open_ids(WS, agent.id) == runs


async def test_other_words_beside_the_same_answer_are_a_message_of_their_own(team: Team) -> None:
    agent, _ = await team.asked("a")
    first = await send(team, agent, word("a"))
    more = await send(team, agent, word("a"), NewMessage(content="And this?"))
    assert more.id != first.id
    assert [one.content for one in more.messages] == ["And this?"]
    assert await team.service.runs.open_ids(WS, agent.id) == [first.id, more.id]


async def test_another_answer_to_what_was_answered_is_refused(team: Team) -> None:
    agent, _ = await team.asked("a")
    first = await send(team, agent, word("a"))
    with pytest.raises(Invalid, match=f"run {first.id} has answered this request, and not in the same way"):
        await send(team, agent, word("a", approve=False))
    with pytest.raises(Invalid, match="no approval request"):
        await send(team, agent, word("b"))


async def test_a_late_repeat_does_not_answer_the_next_request(team: Team) -> None:
    agent, _ = await team.asked("a")
    first = await send(team, agent, word("a"))
    lease, open_run = await team.working(agent)
    assert open_run.run.id == first.id
    second = await team.ask(lease, open_run.run, "b")
    assert await team.leases.next_run(lease) is None
    assert (await send(team, agent, word("a"))).id == first.id
    assert (await team.service.approvals.pending(WS, agent.id) or first).id == second.id
    with pytest.raises(PendingApproval):
        await send(team, agent, word("a"), NewMessage(content="And this?"))
    with pytest.raises(Invalid, match="missing: b; not asked for: z"):
        await send(team, agent, word("z"))


async def test_an_answer_whose_run_or_request_is_forgotten_is_no_repeat(team: Team) -> None:
    agent, request = await team.asked("a")
    await send(team, agent, word("a"))
    await team.store.drop_field(key(WS, "agent_bodies", agent.id), request.id)
    with pytest.raises(Invalid, match="no approval request"):
        await send(team, agent, word("a"))


async def test_an_answer_that_was_overtaken_is_checked_anew(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, _ = await team.asked("a")
    real = team.service.approvals.check
    first: list[Run] = []

    async def late(ws: str, agent_id: str, sent: NewMessage) -> NewMessage | Run:
        found = await real(ws, agent_id, sent)
        monkeypatch.undo()
        first.append(await send(team, agent, word("a")))
        return found

    monkeypatch.setattr(team.service.approvals, "check", late)
    assert (await send(team, agent, word("a"))).id == first[0].id


async def test_an_answer_that_is_overtaken_all_the_time_gives_up(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, _ = await team.asked("a")

    async def wrong(ws: str, agent_id: str, sent: NewMessage) -> NewMessage:
        return sent.model_copy(update={"answer": Answer(request_id="message-x")})

    monkeypatch.setattr(team.service.approvals, "check", wrong)
    with pytest.raises(Invalid, match="is being answered by others"):
        await send(team, agent, word("a"))


async def test_denying_puts_results_into_the_history_and_the_run(team: Team) -> None:
    agent, request = await team.asked("a", "b")
    assert await team.service.approvals.deny(WS, request)
    assert not await team.service.approvals.deny(WS, request)
    assert await team.service.approvals.pending(WS, agent.id) is None
    results = (await team.service.messages.context(WS, agent.id))[-1]
    assert [(one.tool_call_id, one.status) for one in results.tool_returns] == [
        ("a", "error"),
        ("b", "error"),
    ]
    assert (results.run_id, results.step_id) == (request.run_id, request.step_id)
    assert (await team.service.runs.messages(WS, request.run_id or ""))[-1] == results


async def test_a_queue_that_is_away_keeps_nobody_from_denying(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, request = await team.asked("a")
    await team.service.messages.send(WS, agent.id, [NewMessage(content="x")], waits=True)

    async def away(*_: object) -> None:
        raise StoreUnreachable("the queue does not answer")

    monkeypatch.setattr("service.queue.Queue.put_step", away)
    assert await team.service.approvals.deny(WS, request)
    assert (await team.state(agent))["status"] == "ready"
