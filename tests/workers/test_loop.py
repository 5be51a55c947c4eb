"""The loop of agents that end their turn with words: when it goes on, when it stops, what it keeps."""

import json
from typing import Any

import pytest

from service.records.base import Page
from service.records.messages import NewMessage
from service.records.runs import Usage
from tests.workers.bench import WS, Bench, call, calls, says, told

pytestmark = pytest.mark.anyio

NOTE = call("memory_insert", label="notes", new_string="seen")
APPROVAL = {"type": "requires_approval", "tool_name": "memory_rethink"}
GOING_ON = {"type": "continue_loop", "tool_name": "memory_insert"}


async def test_words_without_a_call_end_the_turn(bench: Bench) -> None:
    run = await bench.tell(await bench.agent(), says("Hello."))
    assert (run.status, run.stop_reason, run.step_count) == ("completed", "end_turn", 1)
    assert [(one.role, one.plain_text()) for one in await bench.messages(run)][1:] == [
        ("assistant", "Hello.")
    ]


async def test_it_goes_on_while_tools_are_called(bench: Bench) -> None:
    agent = await bench.agent({"notes": "first"})
    run = await bench.tell(agent, calls(NOTE), calls(NOTE), says("Done."))
    assert (run.stop_reason, run.step_count) == ("end_turn", 3)
    assert await bench.text("notes") == "first\nseen\nseen"
    kinds = [one.role for one in await bench.messages(run)]
    assert kinds == ["user", "assistant", "tool", "assistant", "tool", "assistant"]


async def test_text_beside_a_call_is_kept_with_it(bench: Bench) -> None:
    run = await bench.tell(await bench.agent({"notes": ""}), calls(NOTE, text="I note this."))
    answer = (await bench.messages(run))[1]
    assert answer.plain_text() == "I note this."
    assert [one.name for one in answer.tool_calls] == ["memory_insert"]


async def test_an_empty_answer_ends_the_turn_and_stores_nothing_but_the_input(bench: Bench) -> None:
    run = await bench.tell(await bench.agent(), says(""))
    assert run.stop_reason == "end_turn"
    assert [one.role for one in await bench.messages(run)] == ["user"]


async def test_thoughts_alone_are_stored(bench: Bench) -> None:
    run = await bench.tell(await bench.agent(), says("", reasoning="Nothing to say."))
    assert (await bench.messages(run))[1].reasoning[0].text == "Nothing to say."


async def test_an_answer_cut_at_its_length_fails_the_run(bench: Bench) -> None:
    run = await bench.tell(await bench.agent(), says("Once upon a", finish="length"))
    assert (run.status, run.stop_reason) == ("failed", "max_tokens_exceeded")
    assert (await bench.messages(run))[-1].plain_text() == "Once upon a"


async def test_a_tool_that_ends_the_turn_ends_it(bench: Bench) -> None:
    rules = [{"type": "exit_loop", "tool_name": "memory_insert"}]
    agent = await bench.agent({"notes": ""}, tool_rules=rules, include_base_tool_rules=False)
    run = await bench.tell(agent, calls(NOTE), says("never said"))
    assert (run.status, run.stop_reason, run.step_count) == ("completed", "tool_rule", 1)


async def test_such_a_tool_does_not_end_it_when_it_fails(bench: Bench) -> None:
    rules = [{"type": "exit_loop", "tool_name": "memory_insert"}]
    agent = await bench.agent(tool_rules=rules, include_base_tool_rules=False)
    run = await bench.tell(agent, calls(NOTE), says("I see."))
    assert (run.stop_reason, run.step_count) == ("end_turn", 2)


async def test_it_stops_at_the_most_steps(bench: Bench) -> None:
    agent = await bench.agent({"notes": ""})
    run = await bench.tell(agent, *[calls(NOTE)] * 5, max_steps=3)
    assert (run.status, run.stop_reason, run.step_count) == ("completed", "max_steps", 3)
    assert len(bench.requests) == 3


async def test_the_last_step_may_end_by_itself(bench: Bench) -> None:
    run = await bench.tell(await bench.agent({"notes": ""}), calls(NOTE), says("Done."), max_steps=2)
    assert run.stop_reason == "end_turn"


async def test_a_tool_that_is_required_before_the_end_keeps_the_turn_open(bench: Bench) -> None:
    rules = [{"type": "required_before_exit", "tool_name": "memory_insert"}]
    agent = await bench.agent({"notes": ""}, tool_rules=rules, include_base_tool_rules=False)
    run = await bench.tell(agent, says("Bye."), calls(NOTE), says("Bye now."))
    assert (run.stop_reason, run.step_count) == ("end_turn", 3)
    event = json.loads((await bench.messages(run))[2].plain_text())
    assert event["type"] == "heartbeat"
    assert "memory_insert" in event["reason"]


@pytest.mark.parametrize(
    ("fields", "carried"),
    [
        ({}, 1),
        ({"parallel_tool_calls": True}, 2),
        ({"parallel_tool_calls": True, "tool_rules": [APPROVAL], "include_base_tool_rules": False}, 2),
        ({"parallel_tool_calls": True, "tool_rules": [GOING_ON]}, 1),
        ({"parallel_tool_calls": True, "agent_type": "memgpt_v2_agent"}, 1),
    ],
    ids=["not asked for", "asked for", "only approval rules", "with rules of order", "heartbeat kind"],
)
async def test_several_calls_count_only_where_the_agent_says_so(
    bench: Bench, fields: dict[str, Any], carried: int
) -> None:
    agent = await bench.agent({"notes": "top"}, **fields)
    both = [call("memory_insert", label="notes", new_string=text) for text in ("one", "two")]
    run = await bench.tell(agent, calls(*both), max_steps=1)
    assert await bench.text("notes") == "\n".join(["top", "one", "two"][: carried + 1])
    assert len(await bench.results(run)) == carried
    answer = next(one for one in await bench.messages(run) if one.tool_calls)
    assert len(answer.tool_calls) == carried
    assert bench.requests[0].parallel_tool_calls is (carried == 2)


async def test_several_results_keep_their_calls_ids_and_order(bench: Bench) -> None:
    agent = await bench.agent({"notes": ""}, parallel_tool_calls=True)
    run = await bench.tell(agent, calls(call("memory_insert"), NOTE), says("Done."))
    first, second = await bench.results(run)
    assert (first.tool_call_id, first.status) == ("call_0", "error")
    assert (second.tool_call_id, second.status) == ("call_1", "success")


async def test_a_tool_that_is_not_attached_is_refused_and_the_turn_goes_on(bench: Bench) -> None:
    run = await bench.tell(await bench.agent({"notes": ""}), calls(call("memory_rethink")), says("I see."))
    assert (run.stop_reason, run.step_count) == ("end_turn", 2)
    [result] = await bench.results(run)
    assert result.status == "error"
    assert result.text.startswith("[ToolConstraintError] Cannot call memory_rethink")
    assert result.text.endswith("conversation_search, memory_insert, memory_replace")


async def test_a_tool_that_a_rule_hides_now_is_refused(bench: Bench) -> None:
    rules = [{"type": "run_first", "tool_name": "memory_insert"}]
    agent = await bench.agent({"notes": ""}, tool_rules=rules, include_base_tool_rules=False)
    wrong = call("memory_replace", label="notes", old_string="a", new_string="b")
    run = await bench.tell(agent, calls(wrong), calls(NOTE), says("Done."))
    assert [one.status for one in await bench.results(run)] == ["error", "success"]
    assert "now are: memory_insert" in (await bench.results(run))[0].text


async def test_usage_is_summed_over_the_steps(bench: Bench) -> None:
    agent = await bench.agent({"notes": ""})
    run = await bench.tell(agent, calls(NOTE, reasoning="Hm."), says("Done."))
    steps = await bench.service.runs.steps(WS, run.id)
    replies = [step.reply for step in steps if step.reply]
    assert run.usage == Usage().plus(replies[0].usage).plus(replies[1].usage)
    assert run.usage.prompt_tokens > replies[0].usage.prompt_tokens > 0
    assert run.context_tokens == replies[1].usage.total_tokens


async def test_each_step_is_recorded_with_its_answer_and_times(bench: Bench) -> None:
    agent = await bench.agent({"notes": ""})
    run = await bench.tell(agent, calls(NOTE), says("Done."))
    first, last = await bench.service.runs.steps(WS, run.id)
    assert [step.index for step in (first, last)] == [0, 1]
    assert (first.status, first.stop_reason, last.stop_reason) == ("success", None, "end_turn")
    assert first.model_handle == "offline/scripted"
    assert first.provider_name == "offline"
    assert first.created_at > 0
    assert first.model_ns is not None
    assert first.tools_ns is not None
    produced = await bench.messages(run)
    assert [one.step_id for one in produced] == [first.id] * 3 + [last.id]


async def test_the_history_grows_by_what_was_sent_and_said(bench: Bench) -> None:
    agent = await bench.agent()
    await bench.tell(agent, says("One."))
    await bench.tell(agent, says("Two."))
    assert [one.role for one in await bench.history(agent)] == ["system", *["user", "assistant"] * 2]
    assert [line.split(":")[0] for line in told(bench.requests[1])] == ["user", "assistant", "user"]


async def test_messages_keep_the_ids_their_senders_gave_and_their_roles(bench: Bench) -> None:
    agent = await bench.agent()
    sent = [
        NewMessage(role="system", content="Be brief.", otid="mine-1"),
        NewMessage(content=[{"type": "text", "text": "Hi."}], otid="mine-2", name="Ann"),
    ]
    run = await bench.service.messages.send(WS, agent.id, sent)
    await bench.carry(agent)
    stored = await bench.messages(run)
    assert [(one.role, one.otid, one.name) for one in stored[:2]] == [
        ("system", "mine-1", None),
        ("user", "mine-2", "Ann"),
    ]
    assert told(bench.requests[0]) == ["system: Be brief.", "user: Hi."]
    await bench.tell(agent, says("Again."))
    assert told(bench.requests[1])[:2] == ["system: Be brief.", "user: Hi."]


async def test_the_agent_knows_how_its_last_run_ended(bench: Bench) -> None:
    agent = await bench.agent()
    run = await bench.tell(agent, says("Hello."))
    agent = await bench.service.agents.read(WS, agent.id)
    assert agent.last_stop_reason == "end_turn"
    assert agent.last_run_completion == run.completed_at
    assert agent.last_run_duration_ms is not None


async def test_the_runs_of_an_agent_are_listed_in_the_order_they_were_sent(bench: Bench) -> None:
    agent = await bench.agent()
    sent = [(await bench.script(agent, says(text))).id for text in ("a", "b", "c")]
    await bench.carry(agent)
    found = await bench.service.runs.find(WS, agent.id, Page())
    assert [run.id for run in found] == sent
    assert [one.plain_text() for one in await bench.history(agent) if one.role == "assistant"] == [
        "a",
        "b",
        "c",
    ]
