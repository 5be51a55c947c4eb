"""The loop of agents of the heartbeat kind: one call a step, and another step only if asked for."""

import json
from typing import Any

import pytest

from service.records.messages import Message
from tests.workers.bench import Bench, call, calls, says, told

pytestmark = pytest.mark.anyio

NO_RULES: dict[str, Any] = {"include_base_tool_rules": False}


def note(text: str = "seen", **more: Any) -> dict[str, Any]:
    return call("core_memory_append", label="notes", content=text, **more)


def speak(text: str = "Hello.", **more: Any) -> dict[str, Any]:
    return call("send_message", message=text, **more)


def event_of(message: Message) -> dict[str, str]:
    found: dict[str, str] = json.loads(message.plain_text())
    return found


async def test_speaking_ends_the_turn(bench: Bench) -> None:
    run = await bench.tell(await bench.memgpt(), calls(speak()), says("never"))
    assert (run.status, run.stop_reason, run.step_count) == ("completed", "end_turn", 1)
    assert (await bench.results(run))[0].text == "Message delivered to the user."


async def test_speaking_with_a_heartbeat_asked_for_ends_it_by_the_rule(bench: Bench) -> None:
    run = await bench.tell(await bench.memgpt(), calls(speak(request_heartbeat=True)))
    assert (run.status, run.stop_reason) == ("completed", "tool_rule")


async def test_words_without_a_call_fail_the_run(bench: Bench) -> None:
    run = await bench.tell(await bench.memgpt(), says("Just words."))
    assert (run.status, run.stop_reason) == ("failed", "no_tool_call")
    assert (await bench.messages(run))[-1].plain_text() == "Just words."


async def test_an_answer_cut_at_its_length_is_told_apart_from_a_missing_call(bench: Bench) -> None:
    run = await bench.tell(await bench.memgpt(), says("Once", finish="length"))
    assert (run.status, run.stop_reason) == ("failed", "max_tokens_exceeded")


async def test_a_call_without_a_heartbeat_ends_the_turn(bench: Bench) -> None:
    agent = await bench.memgpt(blocks={"notes": ""}, **NO_RULES)
    run = await bench.tell(agent, calls(note()), says("never"))
    assert (run.stop_reason, run.step_count) == ("end_turn", 1)


@pytest.mark.parametrize("asked", [True, "true", "True"])
async def test_a_heartbeat_that_is_asked_for_brings_another_step(bench: Bench, asked: Any) -> None:
    agent = await bench.memgpt(blocks={"notes": ""}, **NO_RULES)
    run = await bench.tell(agent, calls(note(request_heartbeat=asked)), calls(speak()))
    assert (run.stop_reason, run.step_count) == ("end_turn", 2)
    kinds = [one.role for one in await bench.messages(run)]
    assert kinds == ["user", "assistant", "tool", "user", "assistant", "tool"]
    event = event_of((await bench.messages(run))[3])
    assert (event["type"], event["reason"]) == ("heartbeat", "You asked for a heartbeat.")
    assert event["time"].endswith("UTC+0000")
    assert told(bench.requests[1])[-1] == f"user: {(await bench.messages(run))[3].plain_text()}"


@pytest.mark.parametrize(
    "arguments", [{"request_heartbeat": False}, {"request_heartbeat": None}, "{broken", "[1]"]
)
async def test_what_is_no_request_for_a_heartbeat_is_none(bench: Bench, arguments: Any) -> None:
    agent = await bench.memgpt(blocks={"notes": ""}, **NO_RULES)
    made = {"name": "conversation_search", "arguments": arguments}
    await bench.tell(agent, calls(made), max_steps=2)
    assert not [line for line in told(bench.requests[-1]) if "You asked for a heartbeat" in line]


async def test_a_rule_brings_another_step_and_is_named_as_the_reason(bench: Bench) -> None:
    run = await bench.tell(await bench.memgpt(blocks={"notes": ""}), calls(note()), calls(speak()))
    assert run.step_count == 2
    assert (
        event_of((await bench.messages(run))[3])["reason"]
        == "A rule says that you go on after core_memory_append."
    )


async def test_a_failed_call_brings_another_step(bench: Bench) -> None:
    run = await bench.tell(await bench.memgpt(**NO_RULES), calls(note()), calls(speak()))
    assert (run.stop_reason, run.step_count) == ("end_turn", 2)
    assert event_of((await bench.messages(run))[3])["reason"].startswith(
        "The call of core_memory_append failed"
    )


async def test_a_tool_that_may_not_be_called_brings_another_step(bench: Bench) -> None:
    run = await bench.tell(await bench.memgpt(), calls(call("memory_rethink")), calls(speak()))
    assert run.step_count == 2
    assert (await bench.results(run))[0].text.startswith("[ToolConstraintError]")


async def test_the_last_step_adds_no_heartbeat(bench: Bench) -> None:
    agent = await bench.memgpt(blocks={"notes": ""})
    run = await bench.tell(agent, calls(note(request_heartbeat=True)), max_steps=1)
    assert (run.status, run.stop_reason) == ("completed", "max_steps")
    assert [one.role for one in await bench.messages(run)] == ["user", "assistant", "tool"]


async def test_a_tool_that_is_required_before_the_end_is_asked_for(bench: Bench) -> None:
    rules = [
        {"type": "required_before_exit", "tool_name": "core_memory_append"},
        {"type": "exit_loop", "tool_name": "send_message"},
    ]
    agent = await bench.memgpt(blocks={"notes": ""}, tool_rules=rules, **NO_RULES)
    run = await bench.tell(agent, calls(speak()), calls(note(request_heartbeat=True)), calls(speak()))
    assert (run.stop_reason, run.step_count) == ("end_turn", 3)
    assert "core_memory_append" in event_of((await bench.messages(run))[3])["reason"]


async def test_only_the_first_call_of_an_answer_counts(bench: Bench) -> None:
    agent = await bench.memgpt(blocks={"notes": ""}, parallel_tool_calls=True)
    run = await bench.tell(agent, calls(note("one"), note("two")), calls(speak()))
    assert await bench.text("notes") == "\none"
    assert len((await bench.messages(run))[1].tool_calls) == 1


async def test_every_tool_that_does_not_end_the_turn_takes_a_heartbeat(bench: Bench) -> None:
    rules = [
        {"type": "exit_loop", "tool_name": "send_message"},
        {"type": "exit_loop", "tool_name": "memory_finish_edits"},
    ]
    agent = await bench.memgpt(tools=["memory_finish_edits"], tool_rules=rules)
    await bench.tell(agent, calls(speak()))
    takes = {
        spec.name: spec.parameters["properties"].get("request_heartbeat") for spec in bench.requests[0].tools
    }
    ending = {"send_message", "memory_finish_edits"}
    assert {name for name, heartbeat in takes.items() if heartbeat is None} == ending
    for spec in bench.requests[0].tools:
        if spec.name not in ending:
            assert spec.parameters["properties"]["request_heartbeat"]["type"] == "boolean"
            assert "request_heartbeat" in spec.parameters["required"]


async def test_without_its_rule_even_speaking_takes_one(bench: Bench) -> None:
    await bench.tell(await bench.memgpt(**NO_RULES), calls(speak(request_heartbeat=True)), calls(speak()))
    spec = next(one for one in bench.requests[0].tools if one.name == "send_message")
    assert "request_heartbeat" in spec.parameters["required"]
    assert len(bench.requests) == 2


async def test_a_call_is_required_of_them_and_not_of_the_plain_kind(bench: Bench) -> None:
    await bench.tell(await bench.memgpt(), calls(speak()))
    await bench.tell(await bench.agent(), says("Hi."))
    await bench.tell(await bench.agent(agent_type="react_agent", initial_message_sequence=[]), says("Hi."))
    choices = [(one.tool_choice, any("request_heartbeat" in s.parameters["required"] for s in one.tools))
               for one in bench.requests]  # fmt: skip
    assert choices == [("required", True), ("auto", False), ("auto", False)]


async def test_thinking_given_as_an_argument_is_left_aside(bench: Bench) -> None:
    agent = await bench.memgpt(blocks={"notes": ""}, **NO_RULES)
    run = await bench.tell(agent, calls(note(thinking="I should note it.")))
    assert (await bench.results(run))[0].status == "success"


async def test_a_new_one_has_greeted_and_its_model_sees_that(bench: Bench) -> None:
    agent = await bench.agent(agent_type="memgpt_agent")
    await bench.tell(agent, calls(speak()))
    roles = [message.role for message in bench.requests[0].messages]
    assert roles == ["assistant", "tool", "user", "user"]
    assert bench.requests[0].messages[0].tool_calls[0].name == "send_message"
