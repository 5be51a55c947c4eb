"""Agents that write to each other: with and without waiting, one and many, and what comes of failures.

Elsewhere: workers that die on the way, deadlines, cancellations (tests/workers/test_waits.py).
"""

import json

import pytest

from service.records.base import Page
from service.records.messages import ToolReturn
from service.records.runs import Run
from tests.workers.asking import Asking, ask, ask_tagged, tell
from tests.workers.bench import PERSON, WS, Bench, call, calls, says, told
from workers.tools import agents
from workers.tools.agents import NO_RESPONSE, PASSED_ON

pytestmark = pytest.mark.anyio


@pytest.fixture
def asking(bench: Bench) -> Asking:
    return Asking(bench)


async def only_result(bench: Bench, run: Run) -> ToolReturn:
    [result] = await bench.results(run)
    return result


async def test_who_asks_goes_on_with_the_reply(bench: Bench, asking: Asking) -> None:
    one, other = await asking.agent(), await asking.agent(says("Forty-two."))
    run = await bench.script(one, calls(ask(other, "What is six by seven?")), says("I see."))
    await asking.carry_all()
    result = await only_result(bench, run)
    assert (result.status, json.loads(result.text)) == (
        "success",
        {"agent_id": other.id, "response": ["Forty-two."]},
    )
    assert (await asking.read(run)).status == "completed"


async def test_the_receiver_is_told_who_asks_and_that_its_words_get_there(
    bench: Bench, asking: Asking
) -> None:
    one, other = await asking.agent(), await asking.agent(says("Yes."))
    run = await bench.script(one, calls(ask(other, "Are you there?")), says("Fine."))
    await bench.carry(one)
    [asked] = await bench.service.runs.find(WS, other.id, Page())
    await asking.carry_all()
    [message] = asked.messages
    assert (message.role, message.sender_id) == ("system", one.id)
    note, _, text = str(message.content).partition("\n\n")
    assert text == "Are you there?"
    assert note.startswith(f"[Message from the agent {one.id}. It waits for your reply")
    assert (asked.kind, asked.background, asked.depth) == ("agent_message", True, run.depth)
    assert [line for request in bench.requests for line in told(request)].count(f"system: {note}\n\n{text}")
    sent = [(labels["kind"], count) for _, labels, count in bench.service.metrics.messages.family().samples]
    assert sent == [("send_message", 1), ("agent_message", 1)]


async def test_the_depth_of_a_run_passes_to_what_it_asks(bench: Bench, asking: Asking) -> None:
    one, other = await asking.agent(), await asking.agent(says("Yes."))
    script = json.dumps({"script": [calls(ask(other))]})
    await bench.service.messages.send(WS, one.id, [asking.message(script)], depth=3)
    await asking.carry_all()
    [asked] = await bench.service.runs.find(WS, other.id, Page())
    assert asked.depth == 3


async def test_a_silent_receiver_has_said_nothing(bench: Bench, asking: Asking) -> None:
    one, other = await asking.agent(), await asking.agent(says(""))
    run = await bench.script(one, calls(ask(other)), says("I see."))
    await asking.carry_all()
    assert json.loads((await only_result(bench, run)).text)["response"] == [NO_RESPONSE]


async def test_the_heartbeat_kind_has_said_what_it_sent(bench: Bench, asking: Asking) -> None:
    """What it writes beside a call is its thinking."""
    speaks = calls(call("send_message", message="Hello."), text="Who is that?")
    one, other = await asking.agent(), await asking.agent(speaks, agent_type="memgpt_agent")
    run = await bench.script(one, calls(ask(other)), says("I see."))
    await asking.carry_all()
    assert json.loads((await only_result(bench, run)).text)["response"] == ["Hello."]


async def test_the_plain_kind_has_said_its_text_and_what_it_sent(bench: Bench, asking: Asking) -> None:
    """A call that nobody can read says nothing."""
    other = await asking.agent(
        calls(call("send_message", message="One moment."), text="I look."),
        calls({"name": "send_message", "arguments": "{"}),
        says("Done."),
        tools=["send_message"],
        include_base_tool_rules=False,
    )
    one = await asking.agent()
    run = await bench.script(one, calls(ask(other)), says("I see."))
    await asking.carry_all()
    assert json.loads((await only_result(bench, run)).text)["response"] == ["I look.", "One moment.", "Done."]


@pytest.mark.parametrize("entry", [ask, tell])
@pytest.mark.parametrize("id", ["agent-x", "agent-x:state"])
async def test_a_receiver_that_does_not_exist_is_an_error_at_once(
    bench: Bench, asking: Asking, entry: type, id: str
) -> None:
    run = await bench.tell(await asking.agent(), calls(entry(id)), says("I see."))
    result = await only_result(bench, run)
    assert (result.status, run.status) == ("error", "completed")
    assert f"agent {id} was not found" in result.text


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (says("", error="llm_rate_limit", message="too much"), "its turn failed: too much"),
        (calls(), "its turn failed (no_tool_call)"),
    ],
)
async def test_a_receiver_that_fails_is_an_error_with_its_reason(
    bench: Bench, asking: Asking, entry: dict[str, object], why: str
) -> None:
    kind = "memgpt_agent" if "no_tool_call" in why else "letta_v1_agent"
    one, other = await asking.agent(), await asking.agent(entry, agent_type=kind)
    run = await bench.script(one, calls(ask(other)), says("I see."))
    await asking.carry_all()
    result = await only_result(bench, run)
    assert (result.status, result.text) == ("error", f"agent {other.id} got the message, but {why}")
    assert "RuntimeError" in (result.stderr or [""])[0]
    assert (await asking.read(run)).status == "completed"


async def test_a_receiver_that_stops_for_its_own_callers_word_is_an_error(
    bench: Bench, asking: Asking
) -> None:
    one, other = await asking.agent(), await asking.agent()
    run = await bench.script(one, calls(ask(other)), says("I see."))
    await bench.carry(one)
    lease = await bench.lease(other)
    opened = await bench.service.leases.next_run(lease)
    assert opened is not None
    await bench.service.leases.finish(lease, opened.run.id, "requires_approval")
    await bench.carry(one)
    assert (
        "its turn stopped to ask its own caller (requires_approval)" in (await only_result(bench, run)).text
    )


async def test_a_receiver_whose_run_is_cancelled_is_an_error(bench: Bench, asking: Asking) -> None:
    one, other = await asking.agent(), await asking.agent(says("Yes."))
    run = await bench.script(one, calls(ask(other)), says("I see."))
    await bench.carry(one)
    [asked] = await bench.service.runs.find(WS, other.id, Page())
    await bench.service.runs.cancel(WS, asked.id)
    assert await asking.status(one) == "ready"
    await asking.carry_all()
    assert "its turn was cancelled (cancelled)" in (await only_result(bench, run)).text


async def test_a_receiver_that_is_deleted_is_an_error(bench: Bench, asking: Asking) -> None:
    one, other = await asking.agent(), await asking.agent(says("Yes."))
    run = await bench.script(one, calls(ask(other)), says("I see."))
    await bench.carry(one)
    await bench.service.agents.delete(WS, other.id, PERSON)
    await asking.carry_all()
    assert "its turn was cancelled" in (await only_result(bench, run)).text


async def test_a_receiver_that_is_deleted_after_its_reply_is_an_error(bench: Bench, asking: Asking) -> None:
    one, other = await asking.agent(), await asking.agent(says("Yes."))
    run = await bench.script(one, calls(ask(other)), says("I see."))
    await bench.carry(one)
    await bench.carry(other)
    await bench.service.agents.delete(WS, other.id, PERSON)
    await asking.carry_all()
    assert f"agent {other.id} was not found" in (await only_result(bench, run)).text


async def test_a_run_that_is_deleted_before_its_reply_was_read_is_an_error(
    bench: Bench, asking: Asking
) -> None:
    one, other = await asking.agent(), await asking.agent(says("Yes."))
    run = await bench.script(one, calls(ask(other)), says("I see."))
    await bench.carry(one)
    await bench.carry(other)
    [asked] = await bench.service.runs.find(WS, other.id, Page())
    await bench.service.runs.delete(WS, asked.id)
    await asking.carry_all()
    assert "its run was deleted before its reply was read" in (await only_result(bench, run)).text
    assert await bench.service.runs.find(WS, other.id, Page()) == []


async def test_a_one_way_message_is_delivered_and_nobody_waits(bench: Bench, asking: Asking) -> None:
    one, other = await asking.agent(), await asking.agent(says("Who cares?"))
    run = await bench.tell(one, calls(tell(other.id, "The paint is dry.")), says("Told."))
    result = await only_result(bench, run)
    assert (result.status, result.text, run.status) == ("success", PASSED_ON, "completed")
    assert await asking.status(one) == "idle"
    [sent] = await bench.service.runs.find(WS, other.id, Page())
    [message] = sent.messages
    assert str(message.content).startswith(f"[Message from the agent {one.id}. It is one-way")
    assert str(message.content).endswith("\n\nThe paint is dry.")
    await bench.carry(other)
    assert await asking.status(one) == "idle"


async def test_agents_ask_agents_that_ask_agents(bench: Bench, asking: Asking) -> None:
    third = await asking.agent(says("Three."))
    second = await asking.agent(calls(ask(third)), says("Two."))
    first = await asking.agent()
    run = await bench.script(first, calls(ask(second)), says("One."))
    await bench.carry(first)
    await bench.carry(second)
    assert [await asking.status(one) for one in (first, second, third)] == ["waiting", "waiting", "ready"]
    await asking.carry_all()
    assert json.loads((await only_result(bench, run)).text)["response"] == ["Two."]


async def test_two_that_ask_each_other_are_told_so_at_once(bench: Bench, asking: Asking) -> None:
    one = await asking.agent()
    other = await asking.agent(calls(ask(one, "And you?")), says("I am fine."))
    run = await bench.script(one, calls(ask(other, "How are you?")), says("Good."))
    await asking.carry_all()
    [asked] = await bench.service.runs.find(WS, other.id, Page())
    refused = await only_result(bench, asked)
    assert refused.status == "error"
    assert f"({one.id} -> {other.id} -> {one.id})" in refused.text
    assert "send_message_to_agent_async" in refused.text
    assert json.loads((await only_result(bench, run)).text)["response"] == ["I am fine."]
    assert len(await bench.service.runs.find(WS, one.id, Page())) == 1


async def test_an_agent_cannot_wait_for_itself(bench: Bench, asking: Asking) -> None:
    one = await asking.agent()
    run = await bench.tell(one, calls(ask(one)), says("Oh."))
    assert f"({one.id} -> {one.id})" in (await only_result(bench, run)).text
    assert await asking.status(one) == "idle"


async def test_all_with_the_tags_are_asked_at_the_same_time_but_never_the_sender(
    bench: Bench, asking: Asking
) -> None:
    tags = [["a", "b"], ["a", "c"], ["a"], ["b"], ["a", "b", "role:subagent"]]
    one = await asking.agent(tags=["a", "b"])
    others = [await asking.agent(says(f"I am {i}."), tags=given) for i, given in enumerate(tags)]
    run = await bench.script(one, calls(ask_tagged(["a"], ["b", "c"])), says("All here."))
    await bench.carry(one)
    assert [await asking.status(other) for other in others] == ["ready", "ready", "idle", "idle", "ready"]
    await asking.carry_all()
    assert json.loads((await only_result(bench, run)).text) == [
        {"agent_id": others[i].id, "response": [f"I am {i}."]} for i in (0, 1, 4)
    ]


@pytest.mark.parametrize(
    ("match_all", "match_some", "found"),
    [
        ([], [], [0, 1, 2]),
        (["a", "b"], [], [1]),
        ([], ["b", "c"], [1, 2]),
        (["x"], [], []),
        (["a"], ["c"], []),
    ],
)
async def test_an_empty_list_of_tags_asks_for_nothing(
    bench: Bench, asking: Asking, match_all: list[str], match_some: list[str], found: list[int]
) -> None:
    one = await asking.agent()
    others = [await asking.agent(says("Here."), tags=tags) for tags in (["a"], ["a", "b"], ["c"])]
    run = await bench.script(one, calls(ask_tagged(match_all, match_some)), says("I see."))
    await asking.carry_all()
    replies = json.loads((await only_result(bench, run)).text)
    assert [reply["agent_id"] for reply in replies] == [others[i].id for i in found]


async def test_who_cannot_answer_costs_its_own_reply_only(bench: Bench, asking: Asking) -> None:
    """One fails, one waits for the sender already, one is deleted while it works."""
    one = await asking.agent()
    failing = await asking.agent(says("", error="llm_error", message="broken"), tags=["t"])
    circle = await asking.agent(calls(ask(one)), says("Never mind."), tags=["t"])
    deleted = await asking.agent(says("Yes."), tags=["t"])
    fine = await asking.agent(says("Yes."), tags=["t"])
    run = await bench.script(one, calls(ask_tagged(["t"], [])), says("I see."))
    await bench.script(circle, calls(ask(one)), says("Thanks."))
    await bench.carry(circle)
    await bench.carry(one)
    await bench.service.agents.delete(WS, deleted.id, PERSON)
    await asking.carry_all()
    replies = {one["agent_id"]: one["response"] for one in json.loads((await only_result(bench, run)).text)}
    way = f"{circle.id} -> {one.id} -> {circle.id}"
    assert replies[failing.id] == [
        f"<error: agent {failing.id} got the message, but its turn failed: broken>"
    ]
    assert replies[circle.id][0].startswith(
        f"<error: nothing was sent: these agents would wait for each other ({way})"
    )
    assert replies[deleted.id] == [
        f"<error: agent {deleted.id} got the message, but its turn was cancelled (cancelled)>"
    ]
    assert replies[fine.id] == ["Yes."]


async def test_the_receivers_are_those_of_the_first_time(bench: Bench, asking: Asking) -> None:
    one, first = await asking.agent(), await asking.agent(says("Here."), tags=["t"])
    run = await bench.script(one, calls(ask_tagged(["t"], [])), says("I see."))
    await bench.carry(one)
    late = await asking.agent(says("Me too."), tags=["t"])
    await asking.carry_all()
    assert [reply["agent_id"] for reply in json.loads((await only_result(bench, run)).text)] == [first.id]
    assert await asking.status(late) == "idle"


async def test_too_many_receivers_are_refused_before_one_is_written_to(
    bench: Bench, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "MOST_RECEIVERS", 1)
    one, others = await asking.agent(), [await asking.agent(tags=["t"]) for _ in range(2)]
    run = await bench.tell(one, calls(ask_tagged(["t"], [])), says("I see."))
    assert "2 agents have these tags; a message goes to at most 1" in (await only_result(bench, run)).text
    assert [await asking.status(other) for other in others] == ["idle", "idle"]
