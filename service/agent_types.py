"""Agent types: how V1's kinds of agents differ, as one table, and what follows from it.

Everything that depends on an agent's type is read from a row here, so that no other
file compares type names: the style of its loop, the tools and tool rules it starts
with, its first messages, and how its prompt shows memory.

Elsewhere: what the types say of themselves (service/prompts); the tools (service/tools);
what a rule does (service/tools/rules). The helper agent that V1 makes for `enable_sleeptime`
does not exist yet: the flag is kept and decides about tools, no second agent is made.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from service.errors import Invalid
from service.records.base import Record
from service.records.messages import Reasoning, Role, ToolCall, ToolReturn
from service.tools.built_in import BUILT_IN, MESSAGE_SENT


class AgentType(Record):
    """A row of the table.

    `base_rules` says when an agent that was asked for without saying so gets the base
    tool rules: always, only beside rules of its own, or unless its model does without.
    """

    name: str
    heartbeats: bool = True
    """The turn ends after each call unless the model asks to go on; it speaks by `send_message`."""
    tools: tuple[str, ...] = ()
    base_rules: Literal["always", "beside_own", "by_model"] = "by_model"
    greets: bool = True
    """Begins with a thought, a greeting, its result and a login."""
    memory_in_prompt: bool = True
    line_numbers: bool = False
    """Anthropic models see block values with line numbers."""
    autoclear: bool = False
    """Every run starts from the system prompt alone."""
    keeps_own_tools: bool = False
    """`enable_sleeptime` does not change the default tools."""
    needs_sleeptime: bool = False


_TABLE = (
    AgentType(
        name="letta_v1_agent",
        heartbeats=False,
        tools=("conversation_search", "memory_insert", "memory_replace"),
        base_rules="beside_own",
        greets=False,
        line_numbers=True,
    ),
    AgentType(
        name="memgpt_agent",
        tools=(
            "send_message",
            "conversation_search",
            "core_memory_append",
            "core_memory_replace",
            "memory",
            "memory_apply_patch",
        ),
    ),
    AgentType(
        name="memgpt_v2_agent",
        tools=("send_message", "conversation_search", "memory_insert", "memory_replace"),
        line_numbers=True,
    ),
    AgentType(
        name="sleeptime_agent",
        heartbeats=False,
        tools=("memory_insert", "memory_replace", "memory_rethink", "memory_finish_edits"),
        base_rules="always",
        greets=False,
        line_numbers=True,
        keeps_own_tools=True,
    ),
    AgentType(name="react_agent", memory_in_prompt=False),
    AgentType(name="workflow_agent", memory_in_prompt=False, autoclear=True),
    AgentType(
        name="voice_convo_agent",
        tools=("send_message", "search_memory"),
        keeps_own_tools=True,
        needs_sleeptime=True,
    ),
    AgentType(
        name="voice_sleeptime_agent",
        tools=("store_memories", "rethink_user_memory", "finish_rethinking_memory"),
        greets=False,
        keeps_own_tools=True,
    ),
)

AGENT_TYPES: dict[str, AgentType] = {row.name: row for row in _TABLE}

SLEEPTIME_TOOLS = ("send_message", "conversation_search", "archival_memory_search")
"""Default tools of an agent whose memory is kept by a helper."""
MULTI_AGENT_TOOLS = (
    "send_message_to_agent_and_wait_for_reply",
    "send_message_to_agent_async",
    "send_message_to_agents_matching_tags",
)

_ENDING = ("send_message", "send_message_to_agent_async", "memory_finish_edits")
_GOING_ON = ("letta_core", "letta_memory_core", "letta_sleeptime_core")
_WITHOUT_RULES = ("claude-4-sonnet", "claude-3-5-sonnet", "gpt-5", "gemini-2.5-pro")
_SMALL = re.compile(r"(?<![a-z])mini")  # not the end of "gemini"


class FirstMessage(Record):
    """A message a new agent has in its history, before it has an id. The fields are Message's."""

    role: Role
    content: str = ""
    reasoning: list[Reasoning] = []
    tool_calls: list[ToolCall] = []
    tool_returns: list[ToolReturn] = []


def type_of(agent_type: str) -> AgentType:
    """The row of a type, or Invalid."""
    if agent_type not in AGENT_TYPES:
        refused = "is no longer supported" if agent_type == "split_thread_agent" else "is not known"
        raise Invalid("agent_type", f"{agent_type!r} {refused}; use one of {', '.join(AGENT_TYPES)}")
    return AGENT_TYPES[agent_type]


def tools_for(
    agent_type: str,
    include_base_tools: bool = True,
    include_multi_agent_tools: bool = False,
    enable_sleeptime: bool | None = None,
) -> list[str]:
    """Names of the tools a new agent gets without naming them, or Invalid for a type it cannot be."""
    row = type_of(agent_type)
    if row.needs_sleeptime and not enable_sleeptime:
        raise Invalid("enable_sleeptime", f"must be true for an agent of type {agent_type}")
    base = SLEEPTIME_TOOLS if enable_sleeptime and not row.keeps_own_tools else row.tools
    return [*(base if include_base_tools else ()), *(MULTI_AGENT_TOOLS if include_multi_agent_tools else ())]


def rules_for(
    agent_type: str,
    tools: Sequence[str],
    model_name: str,
    include_base_tool_rules: bool | None = None,
    given_rules: Sequence[Mapping[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """The tool rules of a new agent: its own, then base rules for tools its own do not steer."""
    rules = [dict(rule) for rule in given_rules or ()]
    if include_base_tool_rules is None:
        include_base_tool_rules = _wants_base_rules(type_of(agent_type), model_name, bool(rules))
    if not include_base_tool_rules:
        return rules
    steered = {rule["tool_name"] for rule in rules if rule["type"] in ("exit_loop", "continue_loop")}
    for tool in dict.fromkeys(tools):
        if tool in steered:
            continue
        if tool in _ENDING:
            rules.append({"type": "exit_loop", "tool_name": tool})
        elif tool in BUILT_IN and BUILT_IN[tool].tool.tool_type in _GOING_ON:
            rules.append({"type": "continue_loop", "tool_name": tool})
    return rules


def initial_messages(agent_type: str, *, login: str) -> list[FirstMessage]:
    """What follows the system prompt in a new agent's history; `login` is the packed login event.

    They show a model of the heartbeat kind, by example, that it speaks through a tool.
    """
    if not type_of(agent_type).greets:
        return []
    call_id = "call_first_greeting"
    greeting = json.dumps({"message": "Hello! I am ready when you are."})
    return [
        FirstMessage(
            role="assistant",
            reasoning=[Reasoning(text="I have just been started. I will let the user know that I am here.")],
            tool_calls=[ToolCall(id=call_id, name="send_message", arguments=greeting)],
        ),
        FirstMessage(
            role="tool",
            tool_returns=[ToolReturn(tool_call_id=call_id, name="send_message", text=MESSAGE_SENT)],
        ),
        FirstMessage(role="user", content=login),
    ]


def _wants_base_rules(row: AgentType, model_name: str, has_own: bool) -> bool:
    if row.base_rules == "always":
        return True
    if row.base_rules == "beside_own" and not has_own:
        return False
    return bool(_SMALL.search(model_name)) or not any(name in model_name for name in _WITHOUT_RULES)
