"""Approvals: the turn of an agent that stops for its caller's word and goes on with it. Pure.

The run that asks ends with the request; the run that answers begins with a step
that asks no model: its reply is the request's, its results are those of the calls
that were allowed, or needed nobody's leave, and what the caller said of the rest.
To the model, and to the rules about tools, both runs are one turn.

Elsewhere: which calls ask (request.py); the room of requests (service/approvals.py).
"""

from collections.abc import Sequence

from service.approvals import NOBODY, failed
from service.records.ids import derived_id
from service.records.messages import CallAnswer, Message, ToolCall, ToolReturn
from service.records.runs import ModelReply, Run, Step
from service.records.tools import Tool
from service.tools.calls import shortened

CLIENT_RETURN_CHARS = 1_000_000
"""Of what a client's tool gave; one of ours may be allowed as much."""
_UNFINISHED = "The run ended before the result of this call was known; it may have been carried out."
_NO_PARAMETERS = {"type": "object", "properties": {}}


def client_tools(run: Run) -> dict[str, Tool]:
    """The tools that the sender of a run carries out himself, as the model is told of them."""
    return {
        tool.name: Tool(
            id=f"client:{tool.name}",
            name=tool.name,
            description=tool.description,
            json_schema={
                "name": tool.name,
                "description": tool.description or "",
                "parameters": tool.parameters or _NO_PARAMETERS,
            },
        )
        for tool in run.options.client_tools
    }


def request_answered(run: Run) -> str | None:
    """The id of the request that a run answers."""
    answer = run.messages[0].answer if run.messages else None
    return None if answer is None else answer.request_id


def words(run: Run) -> dict[str, CallAnswer]:
    """What the caller says to each call that he was asked about."""
    answer = run.messages[0].answer if run.messages else None
    return {} if answer is None else {call.tool_call_id: call for call in answer.calls}


def turn_of(run: Run, messages: Sequence[Message]) -> frozenset[str]:
    """The ids of the runs that make up one turn: this one, the one whose request it answers, and so on."""
    asked_by = {message.id: message.run_id for message in messages if message.asked}
    answered = {message.run_id: message.answer.request_id for message in messages if message.answer}
    answered[run.id] = request_answered(run)
    turn: list[str] = []
    current: str | None = run.id
    while current is not None and current not in turn:
        turn.append(current)
        current = asked_by.get(answered.get(current) or "")
    return frozenset(turn)


def answering(run: Run, request: Message | None) -> Step:
    """The first step of a run that answers: the request's calls, no model asked. No reply if it is gone."""
    step = Step(id=derived_id("step", run.id, 0), run_id=run.id, agent_id=run.agent_id, index=0, created_at=0)
    if request is None:
        return step
    reply = ModelReply(tool_calls=request.tool_calls, finish="tool_calls")
    return step.model_copy(update={"reply": reply, "answers": request.id, "model_ns": 0})


def result_without_running(call: ToolCall, word: CallAnswer | None) -> ToolReturn | None:
    """The result of a call that the caller ran, or denied; None for one that is to be run."""
    if word is None:
        return None
    if word.result is not None:
        return word.result.model_copy(update={"text": shortened(word.result.text, CLIENT_RETURN_CHARS)})
    if word.approve:
        return None
    if word.reason == NOBODY:
        return failed(call, NOBODY)
    why = f": {word.reason}" if word.reason else ", who gave no reason"
    return failed(call, f"The call was denied by the caller{why}")


def unfinished(step: Step) -> Message:
    """What stands for the results of a step that answers and was cut off: its calls are in the history."""
    calls = step.reply.tool_calls if step.reply else []
    return Message(
        id=derived_id("message", step.id, "results"),
        agent_id=step.agent_id,
        role="tool",
        created_at=0,
        tool_returns=[failed(call, _UNFINISHED) for call in calls],
        run_id=step.run_id,
        step_id=step.id,
    )


def as_told(message: Message) -> Message | None:
    """A message as a model takes it: a request is an answer of its own, the word on it is in the results."""
    if message.role != "approval":
        return message
    return message.model_copy(update={"role": "assistant"}) if message.asked else None
