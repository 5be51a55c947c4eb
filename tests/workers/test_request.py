"""What a model is asked: the prompt of the run's start, messages, packed results, tools and settings."""

import json
from typing import Any

import pytest

from service.records.agents import Agent, AgentFields
from service.records.messages import NewMessage
from service.records.runs import Piece
from tests.workers.bench import PERSON, WS, Bench, call, calls, says, told, unpacked
from workers.request import is_told_at_once, request_of
from workers.transcript import gather

pytestmark = pytest.mark.anyio

INSERT = call("memory_insert", label="notes", new_string="seen")


async def test_the_prompt_is_compiled_when_the_run_starts(bench: Bench) -> None:
    agent = await bench.agent({"notes": "before"}, system="Be kind.")
    await bench.edit("notes", "set", text="after")
    await bench.tell(agent, calls(INSERT), says("Done."))
    first, second = bench.requests
    assert first.system.startswith("Be kind.\n\n<memory_blocks>")
    assert "<value>\nafter\n</value>" in first.system
    assert second.system == first.system


async def test_clients_find_that_prompt_in_message_0(bench: Bench) -> None:
    agent = await bench.agent({"notes": "before"})
    [created] = await bench.history(agent)
    await bench.edit("notes", "set", text="after")
    await bench.tell(agent, says("Done."))
    message_0 = (await bench.history(agent))[0]
    assert message_0.id == created.id
    assert message_0.plain_text() == bench.requests[0].system
    assert not [one for one in bench.requests[0].messages if one.id == message_0.id]


async def test_the_model_itself_can_say_what_it_was_given(bench: Bench) -> None:
    agent = await bench.agent({"notes": "the text"})
    run = await bench.tell(agent, says("", echo="system"))
    assert "the text" in (await bench.messages(run))[-1].plain_text()


async def test_a_run_may_override_the_instructions(bench: Bench) -> None:
    agent = await bench.agent({"notes": "text"})
    await bench.tell(agent, says("Ok."), override_system="Only this.")
    assert bench.requests[0].system == "Only this."
    await bench.tell(agent, says("Ok."))
    assert "Only this." not in bench.requests[1].system


async def test_a_result_reaches_the_model_packed_and_the_client_bare(bench: Bench) -> None:
    agent = await bench.agent({"notes": "top"}, timezone="Europe/Berlin")
    run = await bench.tell(agent, calls(INSERT), calls(call("memory_insert", label="gone")), says("Done."))
    good, bad = unpacked(bench.requests[2])
    assert (good["status"], good["message"]) == ("OK", "top\nseen")
    assert good["time"][-8:] in ("CET+0100", "EST+0200")
    assert bad["status"] == "Failed"
    assert [one.text for one in await bench.results(run)] == ["top\nseen", bad["message"]]


@pytest.mark.parametrize(("window", "most"), [(1000, 5000), (20_000, 16_000)])
async def test_a_long_result_is_cut_to_a_share_of_the_window(bench: Bench, window: int, most: int) -> None:
    agent = await bench.agent({"notes": "x" * 20_000}, context_window_limit=window)
    run = await bench.tell(agent, calls(INSERT), says("Done."))
    [result] = unpacked(bench.requests[1])
    assert result["message"] == "x" * most + f"\n[cut: the first {most} of 20005 characters]"
    assert len((await bench.results(run))[0].text) == 20_005


async def test_each_tool_has_its_own_limit_before_that(bench: Bench) -> None:
    agent = await bench.agent({"notes": "x" * 60_000})
    run = await bench.tell(agent, calls(INSERT), says("Done."))
    [result] = await bench.results(run)
    assert result.text == "x" * 50_000 + "\n[cut: the first 50000 of 60005 characters]"
    assert len(await bench.text("notes")) == 60_005


async def test_the_agents_settings_go_with_the_call(bench: Bench) -> None:
    agent = await bench.agent(max_tokens=77, model_settings={"temperature": 0.25})
    await bench.tell(agent, says("Ok."))
    request = bench.requests[0]
    assert (request.model, request.max_tokens, request.temperature) == ("scripted", 77, 0.25)
    assert request.thinking_tokens is None


async def test_tools_come_with_descriptions_and_schemas(bench: Bench) -> None:
    agent = await bench.agent(include_base_tools=False, tools=["memory_insert"])
    await bench.tell(agent, says("Ok."))
    [spec] = bench.requests[0].tools
    assert spec.name == "memory_insert"
    assert spec.description
    assert set(spec.parameters["properties"]) == {"label", "new_string", "insert_line"}
    assert bench.requests[0].tool_choice == "auto"


async def test_a_rule_that_says_what_comes_first_forces_it(bench: Bench) -> None:
    rules = [{"type": "run_first", "tool_name": "memory_insert"}]
    agent = await bench.agent({"notes": ""}, tool_rules=rules, include_base_tool_rules=False)
    await bench.tell(agent, calls(INSERT), says("Done."))
    offered = [([spec.name for spec in one.tools], one.tool_choice) for one in bench.requests]
    everything = ["conversation_search", "memory_insert", "memory_replace"]
    assert offered == [(["memory_insert"], "required"), (everything, "auto")]


async def test_the_last_result_decides_what_may_follow(bench: Bench) -> None:
    rules = [
        {
            "type": "conditional",
            "tool_name": "memory_insert",
            "child_output_mapping": {"top\nseen": "memory_replace"},
            "default_child": "conversation_search",
        }
    ]
    agent = await bench.agent({"notes": "top"}, tool_rules=rules, include_base_tool_rules=False)
    await bench.tell(agent, calls(INSERT), says("Done."))
    assert [spec.name for spec in bench.requests[1].tools] == ["memory_replace"]
    await bench.tell(agent, calls(INSERT), says("Done."))
    assert [spec.name for spec in bench.requests[3].tools] == ["conversation_search"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"label": "notes", "new_string": "mine"}, "top\nfixed"),
        ("", "top\nfixed"),
        ("{broken", "top"),
        ("[1]", "top"),
    ],
)
async def test_arguments_that_a_rule_fixes_replace_the_models(
    bench: Bench, arguments: Any, text: str
) -> None:
    fixed = {"label": "notes", "new_string": "fixed"}
    rules = [{"type": "run_first", "tool_name": "memory_insert", "args": fixed}]
    agent = await bench.agent({"notes": "top"}, tool_rules=rules, include_base_tool_rules=False)
    run = await bench.tell(agent, calls({"name": "memory_insert", "arguments": arguments}), says("Done."))
    assert await bench.text("notes") == text
    if text == "top\nfixed":
        stored = (await bench.messages(run))[1].tool_calls[0].arguments
        assert json.loads(stored) == fixed


async def test_an_agent_that_forgets_sees_its_own_run_alone(bench: Bench) -> None:
    agent = await bench.agent({"notes": ""}, message_buffer_autoclear=True)
    await bench.tell(agent, says("One."))
    await bench.tell(agent, calls(INSERT), says("Two."))
    assert [line.split(":")[0] for line in told(bench.requests[1])] == ["user"]
    assert [line.split(":")[0] for line in told(bench.requests[2])] == ["user", "assistant", "tool"]
    assert len(await bench.history(agent)) == 7


async def test_what_an_agent_forgets_leaves_its_context_and_stays_in_its_history(bench: Bench) -> None:
    agent = await bench.agent(message_buffer_autoclear=True)
    for text in ("One.", "Two.", "Three."):
        await bench.tell(agent, says(text))
    context = await bench.service.messages.context(WS, agent.id)
    assert [one.role for one in context] == ["system", "user", "assistant"]
    assert context[-1].plain_text() == "Three."
    assert (await bench.service.agents.read(WS, agent.id)).message_ids == [one.id for one in context]
    assert len(await bench.history(agent)) == 7


async def test_a_workflow_agent_forgets_by_its_type_and_sees_no_memory(bench: Bench) -> None:
    agent = await bench.agent({"notes": "secret"}, agent_type="workflow_agent")
    await bench.tell(agent, says("Hm."))
    assert len(bench.requests[0].messages) == 1
    assert "secret" not in bench.requests[0].system


async def test_messages_taken_out_of_context_are_not_sent(bench: Bench) -> None:
    agent = await bench.agent()
    await bench.tell(agent, says("One."))
    ids = [one.id for one in await bench.history(agent)]
    fields = AgentFields(message_ids=[ids[0], ids[2]])
    await bench.service.agents.configure(WS, agent.id, fields, PERSON)
    await bench.tell(agent, says("Two."))
    assert told(bench.requests[1])[0] == "assistant: One."


@pytest.mark.parametrize("kept", [0, 1], ids=["nothing", "one message"])
async def test_a_context_without_message_0_loses_nothing(bench: Bench, kept: int) -> None:
    agent = await bench.agent({"notes": "text"})
    await bench.tell(agent, says("One."))
    ids = [one.id for one in await bench.history(agent)]
    fields = AgentFields(message_ids=ids[2 : 2 + kept])
    await bench.service.agents.configure(WS, agent.id, fields, PERSON)
    await bench.tell(agent, says("Two."))
    assert told(bench.requests[1])[:-1] == ["assistant: One."][:kept]
    history = await bench.history(agent)
    assert [one.role for one in history] == ["system", *["user", "assistant"] * 2]
    assert history[0].plain_text() == bench.requests[1].system
    assert history[2].plain_text() == "One."


async def test_first_messages_of_role_system_are_part_of_the_conversation(bench: Bench) -> None:
    first = [NewMessage(role="system", content="The shop is closed on Sundays.")]
    agent = await bench.agent(initial_message_sequence=first)
    await bench.tell(agent, says("Ok."))
    assert told(bench.requests[0])[0] == "system: The shop is closed on Sundays."


def piece(index: int = 0, kind: str = "tool_call", name: str = "memory_insert") -> Piece:
    return Piece.model_validate({"kind": kind, "index": index, "tool_name": name})


async def told_at_once(bench: Bench, agent: Agent) -> list[bool]:
    """For text and for the first two calls of an answer."""
    await bench.script(agent, says("x"))
    lease = await bench.lease(agent)
    opened = await bench.service.leases.next_run(lease)
    assert opened is not None
    transcript = await gather(bench.service, lease, opened)
    await transcript.opened()  # not left on its way when the store closes
    return [is_told_at_once(transcript, one) for one in (piece(kind="text"), piece(0), piece(1))]


async def test_only_what_stays_true_is_shown_before_an_answer_is_complete(bench: Bench) -> None:
    rule = {"type": "run_first", "tool_name": "memory_insert", "args": {"new_string": "fixed"}}
    assert await told_at_once(bench, await bench.agent()) == [True, True, False]
    assert await told_at_once(bench, await bench.agent(parallel_tool_calls=True)) == [True, True, True]
    assert await told_at_once(bench, await bench.memgpt(parallel_tool_calls=True)) == [True, True, False]
    assert await told_at_once(bench, await bench.agent({"notes": ""}, tool_rules=[rule])) == [
        True,
        False,
        False,
    ]


async def test_a_callers_skills_are_in_the_prompt_of_that_run_alone(bench: Bench) -> None:
    skill = {"name": "pdf", "description": "Fills in forms.", "location": "/skills/pdf"}
    agent = await bench.agent()
    await bench.tell(agent, says("Ok."), client_skills=[skill])
    await bench.tell(agent, says("Ok."))
    shown, plain = [request.system for request in bench.requests]
    assert shown.endswith(
        "<skill>\n<name>pdf</name>\n<description>Fills in forms.</description>\n"
        "<location>/skills/pdf</location>\n</skill>\n</available_skills>"
    )
    assert "available_skills" not in plain
    assert "available_skills" not in (await bench.history(agent))[0].plain_text()


@pytest.mark.parametrize(("wanted", "tokens"), [(True, 1024), (False, None)])
async def test_a_sender_may_ask_for_no_thinking(bench: Bench, wanted: bool, tokens: int | None) -> None:
    agent = await bench.agent(model="anthropic/claude-sonnet-4-5")
    entry = bench.service.catalog.resolve(agent.model)
    await bench.send(agent, "x", enable_thinking=wanted)
    lease = await bench.lease(agent)
    opened = await bench.service.leases.next_run(lease)
    assert opened is not None
    transcript = await gather(bench.service, lease, opened)
    await transcript.opened()  # not left on its way when the store closes
    assert request_of(transcript, entry).thinking_tokens == tokens
