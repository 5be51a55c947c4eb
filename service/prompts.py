"""Prompts: the texts the service itself says to a model, compiled from records.

The system prompt is an agent's instructions with its blocks put in, in V1's layout:
tools and clients look for its tags, the sentences between them are ours. Besides it,
what a running agent is told in between: that others changed a block, that it may go
on, what a tool gave back.

Nothing here reads a clock or a store: the same records give the same text.

Elsewhere: when message 0 is compiled anew (service/agents); what is sent to the
provider in which order (workers/request.py).
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from service.agent_types import type_of
from service.records.agents import Agent
from service.records.base import Micros
from service.records.blocks import Block
from service.tools.rules import texts

PLACEHOLDER = "{CORE_MEMORY}"
"""Where a system text wants its memory; without it memory comes last."""

LINE_NUMBER_WARNING = (
    "Each line below begins with its number and an arrow, for orientation only. "
    "Neither is part of the text: leave both out of what you pass to tools."
)

STOCK_DESCRIPTIONS = {
    "human": "What you know about the person you talk with: name, situation, wishes, how to address them. "
    "Keep it current as you learn more.",
    "persona": "Who you are: your name, character, manner of speaking and task. It shapes all you say.",
}

_SKILL = ("name", "description", "location")

_MEMORY = """\
Your memory consists of blocks: pieces of text with a label, shown below under <memory_blocks>. They stay \
with you when older messages no longer do, so what you need later belongs in a block. A block's description \
says what it is for; chars_limit says how long it may become. Change blocks with your memory tools only, and \
never touch one marked read_only=true.

Blocks can be shared. Other agents and people may edit the same block at any time, also while you work; \
their changes reach you, and yours reach them at once. So change only what you mean to change: add a line or \
replace a passage rather than writing a whole block anew, keep what others have written, and if an edit is \
refused because the text has moved on, look at the present text and try again."""

_PLAIN_TURN = """\
You work in turns. In a turn you may call tools as often as you need: after each call you receive its result \
and go on. To continue, call another tool. To end your turn, answer without calling a tool. Do not end it \
before the work you announced is done."""
_ANSWER = "The text you write at the end of a turn is what the user reads: make it complete."

_HEARTBEATS = """\
Everything you write beside a tool call is your own thinking; nobody else sees it, so keep it short. To say \
something to the user, call `send_message`; there is no other way.

You act only when something wakes you: a message from the user, or an event of the system such as a login \
or a heartbeat, which arrives as JSON. Every answer of yours is exactly one tool call, after which your turn \
ends unless you set its argument `request_heartbeat` to true: then you are woken again at once with the \
result. Ask for a heartbeat whenever another step has to follow."""

_TASK = """\
Solve the task you are given step by step: think about what is missing, call the tool that brings you \
further, look at its result, and repeat until you are done. Every answer of yours is exactly one tool call. \
Set its argument `request_heartbeat` to true as long as another step has to follow."""

_STOCK: dict[str, tuple[str, ...]] = {
    "letta_v1_agent": ("You are an assistant with a memory of your own.", _MEMORY, _PLAIN_TURN, _ANSWER),
    "memgpt_agent": ("You are an assistant with a memory of your own.", _HEARTBEATS, _MEMORY),
    "memgpt_v2_agent": ("You are an assistant with a memory of your own.", _HEARTBEATS, _MEMORY),
    "sleeptime_agent": (
        "You keep the memory of another agent in order. You take no part in its conversation: you receive "
        "what was said since you last looked, and bring the blocks you share with it up to date.",
        "Keep what will matter later: facts, wishes, decisions, open tasks. Correct what has become wrong, "
        "remove what is repeated, write dates instead of 'today', and make each block read well on its own. "
        "Invent nothing.",
        _MEMORY,
        _PLAIN_TURN,
        "When nothing is left to change, call `memory_finish_edits`.",
    ),
    "react_agent": ("You are an agent that solves tasks with tools.", _TASK),
    "workflow_agent": (
        "You are an agent that carries out one job at a time. You remember nothing of earlier ones.",
        _TASK,
    ),
    "voice_convo_agent": (
        "You are an assistant who is heard, not read. Speak in short, plain sentences without lists, "
        "formatting or symbols.",
        _HEARTBEATS,
        _MEMORY,
    ),
    "voice_sleeptime_agent": (
        "You keep the memory of an assistant who talks with a person by voice. You take no part in the "
        "conversation: you receive parts of it and keep what will matter later.",
        _TASK,
        _MEMORY,
        "When nothing is left to keep, call `finish_rethinking_memory`.",
    ),
}


class PromptParts(NamedTuple):
    """What a compiled prompt has besides an agent's instructions, in order; a part may be empty."""

    blocks: str
    rules: str
    metadata: str


def stock_system(agent_type: str) -> str:
    """The instructions of an agent that was created without any."""
    return "\n\n".join(_STOCK[type_of(agent_type).name])


def compile_prompt(
    agent: Agent,
    blocks: Sequence[Block],
    *,
    previous_messages: int,
    at: Micros,
    archival_memories: int = 0,
) -> str:
    """The system prompt of an agent as the model gets it: message 0."""
    parts = parts_of_prompt(
        agent, blocks, previous_messages=previous_messages, at=at, archival_memories=archival_memories
    )
    memory = "\n\n".join(part for part in parts if part)
    if PLACEHOLDER in agent.system:
        return agent.system.replace(PLACEHOLDER, memory)
    return f"{agent.system}\n\n{memory}"


def parts_of_prompt(
    agent: Agent,
    blocks: Sequence[Block],
    *,
    previous_messages: int,
    at: Micros,
    archival_memories: int = 0,
) -> PromptParts:
    """What is put into the agent's instructions."""
    row = type_of(agent.agent_type)
    numbered = row.line_numbers and agent.llm_config.get("model_endpoint_type") == "anthropic"
    rules = texts(agent.tool_rules or [])
    return PromptParts(
        blocks=_memory(blocks, numbered) if row.memory_in_prompt and (blocks or numbered) else "",
        rules=_tool_rules(rules) if rules else "",
        metadata=_metadata(agent, previous_messages, at, archival_memories),
    )


def note_of_changes(changed: Sequence[tuple[Block, int]], *, detached: Sequence[str] = ()) -> str:
    """What a running agent is told when others changed its blocks; empty if nobody did.

    Each block comes as it is now, with the version the agent saw last (0: none yet).
    `detached` are labels of blocks it no longer has.
    """
    if not changed and not detached:
        return ""
    parts = [
        "<changed_blocks>\nOthers have changed your memory blocks since you last saw them. What follows "
        "replaces what you were shown before."
    ]
    parts.extend(_changed(block, seen) for block, seen in changed)
    parts.extend(
        f"- The block {label!r} was taken from you; you can no longer edit it." for label in detached
    )
    return "\n\n".join([*parts, "</changed_blocks>"])


def login_event(at: Micros, timezone: str) -> str:
    """The user message that opens the history of an agent of the heartbeat kind."""
    return _json({"type": "login", "last_login": "none before this one", "time": local_time(at, timezone)})


def heartbeat_event(reason: str, at: Micros, timezone: str) -> str:
    """The user message that wakes such an agent for another step."""
    return _json({"type": "heartbeat", "reason": reason, "time": local_time(at, timezone)})


def summary_event(summary: str, left: int, at: Micros, timezone: str) -> str:
    """The user message that stands where older messages were."""
    told = (
        f"The {left} messages before this point are no longer shown to you; they stay in recall memory. "
        f"This is a summary of them:\n{summary}"
    )
    return _json({"type": "system_alert", "message": told, "time": local_time(at, timezone)})


def with_skills(prompt: str, skills: Sequence[Mapping[str, str]]) -> str:
    """A system prompt with the skills that a caller offers for one request."""
    lines = [prompt, "", "<available_skills>", "Skills that your caller has; read one before you use it:", ""]
    for skill in skills:
        lines += ["<skill>", *(f"<{name}>{skill[name]}</{name}>" for name in _SKILL), "</skill>"]
    return "\n".join([*lines, "</available_skills>"])


def packed_result(text: str | dict[str, Any], ok: bool, at: Micros, timezone: str) -> str:
    """What a model receives for a tool result; V1 clients see `text` alone."""
    return _json({"status": "OK" if ok else "Failed", "message": text, "time": local_time(at, timezone)})


def local_time(at: Micros, timezone: str) -> str:
    """A moment as its agent reads it, such as `2026-01-31 05:58:50 AM UTC+0000`."""
    return datetime.fromtimestamp(at // 1_000_000, _zone(timezone)).strftime("%Y-%m-%d %I:%M:%S %p %Z%z")


def _zone(timezone: str) -> tzinfo:
    try:
        return ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a name such as "Europe" is a folder
        return UTC


def _memory(blocks: Sequence[Block], numbered: bool) -> str:
    opening = "<memory_blocks>\nThese blocks are the part of your memory that is always before you:"
    return "\n\n".join([opening, *(_block(block, numbered) for block in blocks), "</memory_blocks>"])


def _block(block: Block, numbered: bool) -> str:
    description = block.description or STOCK_DESCRIPTIONS.get(block.label, "")
    lines = [
        f"<{block.label}>",
        "<description>",
        description,
        "</description>",
        "<metadata>",
        *_figures(block),
        "</metadata>",
        *(["<warning>", LINE_NUMBER_WARNING, "</warning>"] if numbered else []),
        "<value>",
        *(_numbered_lines(block.value) if numbered else [block.value]),
        "</value>",
        f"</{block.label}>",
    ]
    return "\n".join(lines)


def _figures(block: Block) -> list[str]:
    figures = [f"- chars_current={len(block.value)}", f"- chars_limit={block.limit}"]
    return ["- read_only=true", *figures] if block.read_only else figures


def _numbered_lines(value: str) -> list[str]:
    if not value:
        return []
    return [f"{number}→ {line}" for number, line in enumerate(value.split("\n"), 1)]


def _tool_rules(rules: Sequence[str]) -> str:
    lines = ["<tool_usage_rules>", "The order of your tool calls is bound by these rules:", ""]
    lines.extend(f"<tool_rule>\n{rule}\n</tool_rule>" for rule in rules)
    return "\n".join([*lines, "</tool_usage_rules>"])


def _metadata(agent: Agent, previous_messages: int, at: Micros, archival_memories: int) -> str:
    lines = [
        "<memory_metadata>",
        f"- AGENT_ID: {agent.id}",
        "- CONVERSATION_ID: default",
        f"- System prompt last recompiled: {local_time(at, agent.timezone)}",
        f"- {previous_messages} previous messages are kept in recall memory",
    ]
    if archival_memories > 0:
        lines.append(f"- {archival_memories} memories are kept in archival memory")
    return "\n".join([*lines, "</memory_metadata>"])


def _changed(block: Block, seen: int) -> str:
    versions = f"- version_seen={seen}" if seen else "- version_seen=none (new to you)"
    lines = [
        f"<{block.label}>",
        "<metadata>",
        versions,
        f"- version_now={block.version}",
        *_figures(block),
        "</metadata>",
        "<value>",
        block.value,
        "</value>",
        f"</{block.label}>",
    ]
    return "\n".join(lines)


def _json(event: dict[str, Any]) -> str:
    return json.dumps(event, ensure_ascii=False)
