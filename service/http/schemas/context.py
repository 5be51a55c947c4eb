"""Context on the wire: V1's overview of what fills an agent's context window.

Tokens are estimated, four bytes to one (service/estimates.py): what a provider
counts is in the usage of each step.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from service.estimates import estimate, estimate_json, estimate_messages
from service.prompts import PromptParts
from service.records.agents import Agent
from service.records.base import iso
from service.records.messages import Message
from service.records.tools import Tool


class ContextWindowOverview(BaseModel):
    """What is in an agent's context; every `num_tokens_…` and `…_current` is an estimate."""

    context_window_size_max: int
    context_window_size_current: int
    num_messages: int
    num_archival_memory: int
    num_recall_memory: int
    num_tokens_external_memory_summary: int
    external_memory_summary: str
    num_tokens_system: int
    system_prompt: str
    num_tokens_core_memory: int
    core_memory: str
    num_tokens_memory_filesystem: int = 0
    memory_filesystem: str | None = None
    num_tokens_tool_usage_rules: int = 0
    tool_usage_rules: str | None = None
    num_tokens_directories: int = 0
    directories: str | None = None
    num_tokens_summary_memory: int
    summary_memory: str | None = None
    num_tokens_functions_definitions: int
    functions_definitions: list[dict[str, Any]] | None
    num_tokens_messages: int
    messages: list[dict[str, Any]]


def context_overview(
    agent: Agent, tools: Sequence[Tool], parts: PromptParts, context: Sequence[Message], stored: int
) -> ContextWindowOverview:
    """`context` is without message 0, `stored` counts the history."""
    functions = [{"type": "function", "function": tool.json_schema} for tool in tools if tool.json_schema]
    summaries = [message for message in context if message.compaction is not None]
    others = [message for message in context if message.compaction is None]
    counts: dict[str, Any] = {
        "num_tokens_system": estimate(agent.system),
        "num_tokens_core_memory": estimate(parts.blocks),
        "num_tokens_tool_usage_rules": estimate(parts.rules),
        "num_tokens_external_memory_summary": estimate(parts.metadata),
        "num_tokens_summary_memory": estimate_messages(summaries),
        "num_tokens_functions_definitions": estimate_json(functions) if functions else 0,
        "num_tokens_messages": estimate_messages(others),
    }
    return ContextWindowOverview(
        **counts,
        context_window_size_max=int(agent.llm_config.get("context_window") or 0),
        context_window_size_current=sum(counts.values()),
        num_messages=len(context) + 1,
        num_archival_memory=0,
        num_recall_memory=stored,
        external_memory_summary=parts.metadata,
        system_prompt=agent.system,
        core_memory=parts.blocks,
        tool_usage_rules=parts.rules or None,
        summary_memory="\n".join(one.plain_text() for one in summaries) or None,
        functions_definitions=functions,
        messages=[_message(message) for message in context],
    )


_NEVER_SET = dict.fromkeys(
    (
        *("model", "updated_at", "created_by_id", "last_updated_by_id", "batch_item_id"),
        *("is_err", "approval_request_id", "approve", "denial_reason"),
    )
)
"""Fields of V1's form that nothing here fills."""


def _message(message: Message) -> dict[str, Any]:
    """A stored message in V1's own form of it, all of its fields."""
    content = message.content
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    returns = [
        {
            "tool_call_id": one.tool_call_id,
            "status": one.status,
            "func_response": one.text,
            "stdout": one.stdout,
            "stderr": one.stderr,
        }
        for one in message.tool_returns
    ]
    calls = [
        {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": one.arguments}}
        for one in message.tool_calls
    ]
    return _NEVER_SET | {
        "id": message.id,
        "agent_id": message.agent_id,
        "role": message.role,
        "content": parts if content else [],
        "name": message.name or (message.tool_returns[0].name if message.tool_returns else None),
        "otid": message.otid,
        "step_id": message.step_id,
        "run_id": message.run_id,
        "sender_id": message.sender_id,
        "group_id": message.group_id,
        "tool_calls": calls or None,
        "tool_call_id": message.tool_returns[0].tool_call_id if message.tool_returns else None,
        "tool_returns": returns,
        "created_at": iso(message.created_at),
    }
