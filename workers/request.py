"""Request: a transcript as one model call, in no provider's words; what comes of its answer's calls. Pure.

Of an answer's calls not all may count, and some wait for the caller's word: those
that a rule or the tool itself says so of, and those of tools that the caller runs.

Elsewhere: providers' words (workers/models).
"""

import json
import re
from typing import Any

from service.agent_types import type_of
from service.approvals import failed
from service.prompts import packed_result
from service.records.agents import Agent
from service.records.ids import derived_id
from service.records.messages import Message, ToolCall, ToolReturn
from service.records.models import ModelEntry
from service.records.runs import ModelReply, Piece, Step
from service.records.tools import Tool
from service.tools.built_in import parameters_of, with_heartbeat
from service.tools.rules import allowed_tools, forces_call, is_terminal, misfits, needs_approval, prefilled
from workers.approvals import as_told, result_without_running
from workers.models.base import ModelRequest, ToolSpec
from workers.transcript import Transcript

LEAST_RESULT_CHARS = 5000
SHARE_OF_WINDOW = 0.2
CHARS_PER_TOKEN = 4
_APPROVAL = "requires_approval"
_COUNTED = re.compile(r"(\D*[^A-Za-z0-9])?\d{1,6}")
"""An id such as `call_0`, `functions.ls:1` or `2`: a number, with a word in front or none."""


def tools_now(transcript: Transcript) -> list[str]:
    """Names of the tools that the agent may call at this point of its run."""
    rules = transcript.agent.tool_rules or []
    return allowed_tools(rules, list(transcript.tools), transcript.called, transcript.last_result())


def calls_in_parallel(agent: Agent) -> bool:
    """Several calls of one answer count only where the agent says so and no rule orders them (V1)."""
    ordered = any(rule["type"] != _APPROVAL for rule in agent.tool_rules or [])
    heartbeats = type_of(agent.agent_type).heartbeats
    return bool(agent.llm_config.get("parallel_tool_calls")) and not ordered and not heartbeats


def request_of(transcript: Transcript, entry: ModelEntry) -> ModelRequest:
    """What the model is asked next."""
    agent = transcript.agent
    row = type_of(agent.agent_type)
    config = agent.llm_config
    rules = agent.tool_rules or []
    specs = [
        _spec(transcript.tools[name], heartbeat=row.heartbeats and not is_terminal(rules, name))
        for name in tools_now(transcript)
    ]
    forced = row.heartbeats or forces_call(rules, transcript.called)
    thinks = entry.reasons and config.get("enable_reasoner") and transcript.run.options.enable_thinking
    thinking = config.get("max_reasoning_tokens") if thinks else None
    window = int(config.get("context_window") or entry.window)
    most = max(LEAST_RESULT_CHARS, int(SHARE_OF_WINDOW * window * CHARS_PER_TOKEN))
    return ModelRequest(
        model=entry.name,
        system=transcript.prompt,
        messages=[
            _packed_results(told, agent, most)
            for message in transcript.messages
            if (told := as_told(message)) is not None
        ],
        tools=specs,
        tool_choice="required" if forced and specs else "auto",
        parallel_tool_calls=calls_in_parallel(agent),
        max_tokens=config.get("max_tokens"),
        temperature=config.get("temperature"),
        thinking_tokens=thinking or None,
    )


def calls_that_count(transcript: Transcript, calls: list[ToolCall]) -> list[ToolCall]:
    """Of the calls of one answer those that are carried out, with the arguments that a rule fixes put in."""
    counting = calls if calls_in_parallel(transcript.agent) else calls[:1]
    return [_filled_in(transcript, call) for call in counting]


def is_told_at_once(transcript: Transcript, piece: Piece) -> bool:
    """Whether a piece may be shown before its answer is complete: what is shown has to stay true.

    Calls that will not count are never shown; one whose arguments a rule fixes comes whole, with those.
    """
    if piece.kind != "tool_call":
        return True
    counts = piece.index == 0 or calls_in_parallel(transcript.agent)
    rules = transcript.agent.tool_rules or []
    known = _known_calls(transcript)
    renamed = piece.asks and _may_stand_for_another(transcript, piece.tool_call_id or "", known)
    return counts and not renamed and not prefilled(rules, piece.tool_name or "", transcript.called)


def asks(transcript: Transcript, name: str) -> bool:
    """Whether a call of this tool waits for the caller's word. One that is refused anyway does not."""
    tool = transcript.tools.get(name)
    if tool is None or name not in tools_now(transcript):
        return False
    allowing = needs_approval(transcript.agent.tool_rules or [], name) or tool.default_requires_approval
    return bool(allowing) or transcript.is_client(name)


def with_asked(transcript: Transcript, piece: Piece) -> Piece:
    """A piece of a call that says whether it will wait for the caller's word."""
    if piece.kind != "tool_call" or not asks(transcript, piece.tool_name or ""):
        return piece
    return piece.model_copy(update={"asks": True})


def answered(transcript: Transcript, step: Step, reply: ModelReply, model_ns: int) -> Step:
    """The step with the model's answer: the calls of it that count, and which of them are asked for.

    The caller names calls by their ids. Where a provider numbers them anew in each answer those get ids
    of their own, so that no late word on one call is taken for a word on another, though the context with
    the other was emptied since.
    """
    calls = calls_that_count(transcript, reply.tool_calls)
    asked = [index for index, call in enumerate(calls) if asks(transcript, call.name)]
    if asked:
        known = _known_calls(transcript)
        for index, call in enumerate(calls):
            if _may_stand_for_another(transcript, call.id, known):
                id = derived_id("call", step.id, index)
                calls[index] = call.model_copy(update={"id": id})
            known.add(calls[index].id)
    return step.model_copy(
        update={
            "reply": reply.model_copy(update={"tool_calls": calls}),
            "asked": [calls[index].id for index in asked],
            "client_calls": [calls[index].id for index in asked if transcript.is_client(calls[index].name)],
            "model_ns": model_ns,
        }
    )


def results_without_running(
    transcript: Transcript, calls: list[ToolCall], answers: bool
) -> dict[int, ToolReturn]:
    """By place, the results of calls that are not run: what the caller said of those he was asked about.

    Of a new answer's calls: what is wrong with arguments that a rule fixes, which ends the turn.
    """
    if answers:
        known = [result_without_running(call, transcript.words.get(call.id)) for call in calls]
    else:
        known = [_misfit(transcript, call) for call in calls]
    return {place: result for place, result in enumerate(known) if result is not None}


def _misfit(transcript: Transcript, call: ToolCall) -> ToolReturn | None:
    fixed = prefilled(transcript.agent.tool_rules or [], call.name, transcript.called)
    if not fixed or call.name not in tools_now(transcript):
        return None
    parameters = parameters_of(transcript.tools[call.name].json_schema or {})
    wrong = misfits(parameters, fixed)
    return (
        failed(call, f"A tool rule fixes arguments that {call.name} does not take: {wrong}")
        if wrong
        else None
    )


def _known_calls(transcript: Transcript) -> set[str]:
    return {call.id for message in transcript.messages for call in message.tool_calls}


def _may_stand_for_another(transcript: Transcript, call_id: str, known: set[str]) -> bool:
    """Whether the id names another call as well, or looks counted and the agent may have asked before."""
    counted = transcript.agent.last_run_completion is not None and _COUNTED.fullmatch(call_id)
    return call_id in known or bool(counted)


def _filled_in(transcript: Transcript, call: ToolCall) -> ToolCall:
    fixed = prefilled(transcript.agent.tool_rules or [], call.name, transcript.called)
    try:
        given = json.loads(call.arguments or "{}") if fixed else None
    except ValueError:
        return call
    if not isinstance(given, dict):
        return call
    return call.model_copy(update={"arguments": json.dumps(given | fixed, ensure_ascii=False)})


def _spec(tool: Tool, *, heartbeat: bool) -> ToolSpec:
    schema: dict[str, Any] = tool.json_schema or {}
    if heartbeat:
        schema = with_heartbeat(schema)
    return ToolSpec(
        name=tool.name,
        description=str(schema.get("description") or tool.description or ""),
        parameters=parameters_of(schema),
    )


def _packed_results(message: Message, agent: Agent, most: int) -> Message:
    """A tool's results as the model receives them: packed, and cut to a share of its window."""
    if not message.tool_returns:
        return message
    packed = [_packed(result, message, agent, most) for result in message.tool_returns]
    return message.model_copy(update={"tool_returns": packed})


def _packed(result: ToolReturn, message: Message, agent: Agent, most: int) -> ToolReturn:
    text = result.text
    if len(text) > most:
        text = f"{text[:most]}\n[cut: the first {most} of {len(text)} characters]"
    told = packed_result(text, result.status == "success", message.created_at, agent.timezone)
    return result.model_copy(update={"text": told})
