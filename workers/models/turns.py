"""Turns: a stored conversation, put in the order that providers insist on.

A provider refuses a whole request because of one tool call without a result,
one result without a call, or an id used twice; an agent with such a history
could never be run again. Histories do hold these: a run was cancelled between
call and result, a compaction cut a pair in two, an agent changed from a provider
that numbers its calls from zero in each step. So before an adapter converts
anything, each call gets an id of its own and its result right behind it.

Elsewhere: what a result says (packed_result in service/prompts.py).
"""

import json
import re
from typing import Any

from service.records.messages import Message, ToolCall, ToolReturn

_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")
_UNFINISHED = "No result is known: the call was interrupted and may have run."


def settle(messages: list[Message]) -> list[Message]:
    """The same conversation with every tool call followed by its results, under ids that never repeat."""
    settled: list[Message] = []
    taken: set[str] = set()
    for group in _groups(messages):
        returns = [one for message in group if message.role == "tool" for one in message.tool_returns]
        head = group[0]
        if head.role == "assistant" and head.tool_calls:
            calls, answers = _paired(head.tool_calls, returns, taken)
            settled.append(head.model_copy(update={"tool_calls": calls}))
            settled.append(
                Message(
                    id=head.id,
                    agent_id=head.agent_id,
                    role="tool",
                    created_at=head.created_at,
                    tool_returns=answers,
                )
            )
            group = group[1:]
        settled += [_told(message, returns) for message in group]
    return [message for message in settled if message.role != "tool" or message.tool_returns]


def arguments_of(call: ToolCall) -> dict[str, Any]:
    """The call's arguments as an object; what a model garbled goes back to it under `invalid_arguments`."""
    try:
        arguments = json.loads(call.arguments)
    except (ValueError, RecursionError):
        arguments = None
    return arguments if isinstance(arguments, dict) else {"invalid_arguments": call.arguments}


def _groups(messages: list[Message]) -> list[list[Message]]:
    """The conversation cut before each message of the assistant."""
    groups: list[list[Message]] = []
    for message in messages:
        if message.role == "assistant" or not groups:
            groups.append([])
        groups[-1].append(message)
    return groups


def _paired(
    calls: list[ToolCall], returns: list[ToolReturn], taken: set[str]
) -> tuple[list[ToolCall], list[ToolReturn]]:
    """Calls under new ids with one result each, in their order; results used up leave `returns`."""
    renamed, answers = [], []
    for call in calls:
        found = next((one for one in returns if one.tool_call_id == call.id), None)
        if found is not None:
            returns.remove(found)
        else:
            found = ToolReturn(tool_call_id=call.id, name=call.name, text=_UNFINISHED, status="error")
        id = _free_id(call.id, taken)
        renamed.append(call.model_copy(update={"id": id}))
        answers.append(found.model_copy(update={"tool_call_id": id}))
    return renamed, answers


def _free_id(id: str, taken: set[str]) -> str:
    stem = re.sub(r"[^A-Za-z0-9_-]", "_", id)[:32] or "call"
    free = id if _ID.fullmatch(id) else stem
    count = 1
    while free in taken:
        count += 1
        free = f"{stem}_{count}"
    taken.add(free)
    return free


def _told(message: Message, orphans: list[ToolReturn]) -> Message:
    """A message as it is; of tool results only those whose call is gone are left, told as text."""
    if message.role != "tool":
        return message
    lines = [
        f"Result of an earlier call of {one.name}: {one.text}"
        for one in message.tool_returns
        if one in orphans
    ]
    if not lines:
        return message.model_copy(update={"tool_returns": []})
    return message.model_copy(update={"role": "user", "content": "\n".join(lines), "tool_returns": []})
