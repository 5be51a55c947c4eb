import json
from typing import Any

import pytest

from service.agent_types import AGENT_TYPES, initial_messages, rules_for, tools_for, type_of
from service.errors import Invalid
from service.tools.built_in import BUILT_IN
from service.tools.calls import parse_arguments

MODEL = "claude-opus-4-5"
MULTI = [
    "send_message_to_agent_and_wait_for_reply",
    "send_message_to_agent_async",
    "send_message_to_agents_matching_tags",
]
SLEEPTIME = ["send_message", "conversation_search", "archival_memory_search"]


@pytest.mark.parametrize(
    ("agent_type", "tools"),
    [
        ("letta_v1_agent", ["conversation_search", "memory_insert", "memory_replace"]),
        (
            "memgpt_agent",
            [
                "send_message",
                "conversation_search",
                "core_memory_append",
                "core_memory_replace",
                "memory",
                "memory_apply_patch",
            ],
        ),
        ("memgpt_v2_agent", ["send_message", "conversation_search", "memory_insert", "memory_replace"]),
        ("sleeptime_agent", ["memory_insert", "memory_replace", "memory_rethink", "memory_finish_edits"]),
        ("react_agent", []),
        ("workflow_agent", []),
        ("voice_sleeptime_agent", ["store_memories", "rethink_user_memory", "finish_rethinking_memory"]),
    ],
)
def test_an_agent_starts_with_the_tools_of_its_type(agent_type: str, tools: list[str]) -> None:
    assert tools_for(agent_type) == tools
    assert tools_for(agent_type, include_base_tools=False) == []


@pytest.mark.parametrize("agent_type", ["letta_v1_agent", "memgpt_agent", "react_agent", "workflow_agent"])
def test_an_agent_with_a_helper_for_its_memory_gets_no_memory_tools(agent_type: str) -> None:
    assert tools_for(agent_type, enable_sleeptime=True) == SLEEPTIME
    assert tools_for(agent_type, include_base_tools=False, enable_sleeptime=True) == []


@pytest.mark.parametrize("agent_type", ["sleeptime_agent", "voice_sleeptime_agent"])
def test_helpers_keep_their_tools(agent_type: str) -> None:
    assert tools_for(agent_type, enable_sleeptime=True) == tools_for(agent_type)


def test_tools_for_other_agents_come_on_top() -> None:
    v1 = tools_for("letta_v1_agent")
    assert tools_for("letta_v1_agent", include_multi_agent_tools=True) == v1 + MULTI
    assert tools_for("react_agent", include_base_tools=False, include_multi_agent_tools=True) == MULTI


def test_every_default_tool_is_defined() -> None:
    names = {tool for row in AGENT_TYPES.values() for tool in row.tools} | set(SLEEPTIME) | set(MULTI)
    assert names <= set(BUILT_IN)


def test_a_voice_agent_needs_a_helper() -> None:
    assert tools_for("voice_convo_agent", enable_sleeptime=True) == ["send_message", "search_memory"]
    for without in (False, None):
        with pytest.raises(Invalid, match=r"^enable_sleeptime: must be true"):
            tools_for("voice_convo_agent", enable_sleeptime=without)


@pytest.mark.parametrize("agent_type", ["split_thread_agent", "nonsense", ""])
def test_a_type_that_cannot_be_had_is_refused_with_those_that_can(agent_type: str) -> None:
    with pytest.raises(Invalid, match=r"^agent_type: .*letta_v1_agent, memgpt_agent") as caught:
        tools_for(agent_type)
    assert caught.value.field == "agent_type"
    with pytest.raises(Invalid):
        type_of(agent_type)


def test_the_retired_type_is_said_to_be_retired() -> None:
    with pytest.raises(Invalid, match="no longer supported"):
        type_of("split_thread_agent")


def test_the_table_says_how_types_differ() -> None:
    assert {name for name, row in AGENT_TYPES.items() if not row.heartbeats} == {
        "letta_v1_agent",
        "sleeptime_agent",
    }
    assert {name for name, row in AGENT_TYPES.items() if not row.memory_in_prompt} == {
        "react_agent",
        "workflow_agent",
    }
    assert {name for name, row in AGENT_TYPES.items() if row.line_numbers} == {
        "letta_v1_agent",
        "memgpt_v2_agent",
        "sleeptime_agent",
    }
    assert {name for name, row in AGENT_TYPES.items() if row.autoclear} == {"workflow_agent"}


def test_base_rules_end_the_turn_after_the_last_word_and_go_on_after_the_rest() -> None:
    tools = [*tools_for("memgpt_agent"), "memory_finish_edits", *MULTI, "search_memory", "own_tool"]
    rules = rules_for("memgpt_agent", tools, MODEL)
    by_type: dict[str, list[str]] = {}
    for rule in rules:
        by_type.setdefault(rule["type"], []).append(rule["tool_name"])
    assert by_type == {
        "exit_loop": ["send_message", "memory_finish_edits", "send_message_to_agent_async"],
        "continue_loop": [
            "conversation_search",
            "core_memory_append",
            "core_memory_replace",
            "memory",
            "memory_apply_patch",
        ],
    }


def test_a_tool_named_twice_gets_one_rule() -> None:
    assert len(rules_for("memgpt_agent", ["memory", "memory"], MODEL)) == 1


@pytest.mark.parametrize(
    ("agent_type", "model", "asked", "given"),
    [
        ("memgpt_agent", "gpt-4o", None, False),
        ("memgpt_agent", "gpt-5-mini", None, False),
        ("memgpt_v2_agent", MODEL, None, False),
        ("react_agent", MODEL, None, False),
        ("sleeptime_agent", "claude-3-5-sonnet-20241022", None, False),
        ("letta_v1_agent", "gpt-4o", None, True),
        ("letta_v1_agent", "claude-3-5-sonnet-20241022", True, False),
        ("memgpt_agent", "gpt-5", True, False),
    ],
)
def test_base_rules_are_added(agent_type: str, model: str, asked: bool | None, given: bool) -> None:
    own = [{"type": "run_first", "tool_name": "x"}] if given else None
    rules = rules_for(agent_type, ["memory_insert"], model, asked, own)
    assert rules == [*(own or []), {"type": "continue_loop", "tool_name": "memory_insert"}]


@pytest.mark.parametrize(
    ("agent_type", "model", "asked", "given"),
    [
        ("letta_v1_agent", "gpt-4o", None, False),
        ("letta_v1_agent", "gpt-5", None, True),
        ("memgpt_agent", "claude-3-5-sonnet-20241022", None, False),
        ("memgpt_agent", "claude-4-sonnet", None, True),
        ("memgpt_v2_agent", "gemini-2.5-pro", None, False),
        ("memgpt_agent", "gpt-5", None, False),
        ("memgpt_agent", "gpt-4o", False, False),
        ("sleeptime_agent", "gpt-4o", False, True),
    ],
)
def test_base_rules_are_left_out(agent_type: str, model: str, asked: bool | None, given: bool) -> None:
    own = [{"type": "run_first", "tool_name": "x"}] if given else []
    assert rules_for(agent_type, ["memory_insert"], model, asked, own) == own


def test_a_tool_its_own_rules_steer_gets_no_base_rule() -> None:
    own: list[dict[str, Any]] = [
        {"type": "continue_loop", "tool_name": "send_message"},
        {"type": "max_count_per_step", "tool_name": "memory", "max_count_limit": 2},
    ]
    rules = rules_for("memgpt_agent", ["send_message", "memory"], MODEL, True, own)
    assert rules == [*own, {"type": "continue_loop", "tool_name": "memory"}]


@pytest.mark.parametrize("agent_type", ["letta_v1_agent", "sleeptime_agent", "voice_sleeptime_agent"])
def test_types_that_speak_plainly_begin_with_the_system_prompt_alone(agent_type: str) -> None:
    assert initial_messages(agent_type, login="{}") == []


@pytest.mark.parametrize("agent_type", ["memgpt_agent", "memgpt_v2_agent", "react_agent", "workflow_agent"])
def test_other_types_begin_with_a_greeting_its_result_and_a_login(agent_type: str) -> None:
    assistant, result, user = initial_messages(agent_type, login="the login")
    assert [assistant.role, result.role, user.role] == ["assistant", "tool", "user"]
    assert assistant.reasoning[0].text
    (call,) = assistant.tool_calls
    assert call.name == "send_message"
    assert parse_arguments(call.name, call.arguments)
    assert json.loads(call.arguments)["message"]
    (returned,) = result.tool_returns
    assert (returned.tool_call_id, returned.name, returned.status) == (call.id, "send_message", "success")
    assert user.content == "the login"
