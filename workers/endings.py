"""Endings: whether a turn ends after a step, and why it goes on if not. Pure.

The two kinds of agents differ by data alone (service/agent_types.py): the plain
kind goes on while it calls tools, the heartbeat kind while it asks to.
"""

import json

from service.agent_types import type_of
from service.records.messages import ToolCall, ToolReturn
from service.records.runs import ModelReply, RunError, StopReason
from service.tools.rules import continues, is_terminal, missing_before_exit
from workers.models.base import ModelError
from workers.transcript import Transcript


def decide(
    transcript: Transcript, reply: ModelReply, results: list[ToolReturn]
) -> tuple[StopReason | None, str]:
    """Whether to stop, and if not, why the model is asked again (told to the heartbeat kind)."""
    rules = transcript.agent.tool_rules or []
    heartbeats = type_of(transcript.agent.agent_type).heartbeats
    stop, why = (_after_heartbeat if heartbeats else _after_plain)(reply, results, rules)
    missing = missing_before_exit(rules, list(transcript.tools), transcript.called)
    if stop in ("end_turn", "tool_rule") and missing:
        stop, why = None, f"Before the turn can end these tools must be called: {', '.join(missing)}."
    if stop is None and transcript.run.step_count + 1 >= transcript.run.options.max_steps:
        return "max_steps", ""
    return stop, why


def _after_plain(
    reply: ModelReply, results: list[ToolReturn], rules: list[dict[str, object]]
) -> tuple[StopReason | None, str]:
    if not reply.tool_calls:
        return ("max_tokens_exceeded" if reply.finish == "length" else "end_turn"), ""
    ended = any(
        is_terminal(rules, call.name) and result.status == "success"
        for call, result in zip(reply.tool_calls, results, strict=True)
    )
    return ("tool_rule" if ended else None), ""


def _after_heartbeat(
    reply: ModelReply, results: list[ToolReturn], rules: list[dict[str, object]]
) -> tuple[StopReason | None, str]:
    if not reply.tool_calls:
        return ("max_tokens_exceeded" if reply.finish == "length" else "no_tool_call"), ""
    call, result = reply.tool_calls[0], results[0]
    asked = _asks_to_go_on(call)
    if result.status == "error":
        return None, f"The call of {call.name} failed; you may try again."
    if is_terminal(rules, call.name):
        return ("tool_rule" if asked else "end_turn"), ""
    if asked:
        return None, "You asked for a heartbeat."
    if continues(rules, call.name):
        return None, f"A rule says that you go on after {call.name}."
    return "end_turn", ""


def _asks_to_go_on(call: ToolCall) -> bool:
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        return False
    return isinstance(arguments, dict) and str(arguments.get("request_heartbeat", "")).lower() == "true"


def after_failure(error: RunError) -> StopReason:
    """The stop reason of a run whose step failed."""
    if error.type == "internal_error":
        return "error"
    return ModelError(error.type, error.message).stop_reason
