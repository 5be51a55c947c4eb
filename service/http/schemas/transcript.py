"""Transcript: stored messages as V1's API messages. Pure; lists and replies are made by the same function.

One stored message becomes one or several API messages that share its id: its
reasoning, its text, then its tool calls. `otid` tells them apart: the message's
uuid with its lowest seven bits replaced by the number of the piece.

A turn that waits for its caller's word shows the calls it asks for as an approval
request; the word itself shows in the old form too, which old SDKs insist on.

Where a tool is the agent's voice (`send_message`), its call is shown as what was
said and its result is left out; a call that failed is shown as the call it was.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field
from pydantic_core import from_json

from service.agent_types import AGENT_TYPES
from service.records.base import Record
from service.records.messages import Answer, Compaction, Message, Reasoning, ToolCall, ToolReturn


class View(Record):
    """How somebody wants to see messages."""

    inner_monologue: bool = False
    """The agent speaks through a tool: text beside a tool call is a thought."""
    use_assistant_message: bool = True
    assistant_message_tool_name: str = "send_message"
    assistant_message_tool_kwarg: str = "message"
    include_return_message_types: list[str] | None = None
    include_compaction_messages: bool | None = None
    """Of a reply: whether its summaries show as such, with the event, or as user messages. None: a list."""

    def of_list(self) -> "View":
        """The same for a list, which shows summaries whatever a reply shows."""
        return self.model_copy(update={"include_compaction_messages": None})


class _ApiMessage(BaseModel):
    """What every API message has."""

    id: str
    date: str
    name: str | None = None
    otid: str | None = None
    sender_id: str | None = None
    step_id: str | None = None
    is_err: bool | None = None
    seq_id: int | None = None
    run_id: str | None = None


class SystemMessage(_ApiMessage):
    message_type: Literal["system_message"] = "system_message"
    content: str


class UserMessage(_ApiMessage):
    message_type: Literal["user_message"] = "user_message"
    content: str | list[dict[str, Any]]


class ReasoningMessage(_ApiMessage):
    message_type: Literal["reasoning_message"] = "reasoning_message"
    source: Literal["reasoner_model", "non_reasoner_model"] = "non_reasoner_model"
    reasoning: str
    signature: str | None = None


class HiddenReasoningMessage(_ApiMessage):
    message_type: Literal["hidden_reasoning_message"] = "hidden_reasoning_message"
    state: Literal["redacted", "omitted"]
    hidden_reasoning: str | None = None


class AssistantMessage(_ApiMessage):
    message_type: Literal["assistant_message"] = "assistant_message"
    content: str | list[dict[str, Any]]


class ApiToolCall(BaseModel):
    name: str
    arguments: str
    tool_call_id: str


class ToolCallMessage(_ApiMessage):
    message_type: Literal["tool_call_message"] = "tool_call_message"
    tool_call: ApiToolCall
    tool_calls: list[ApiToolCall] | None = None


class ApprovalRequestMessage(_ApiMessage):
    message_type: Literal["approval_request_message"] = "approval_request_message"
    tool_call: ApiToolCall
    tool_calls: list[ApiToolCall] | None = None


class ApiToolReturn(BaseModel):
    type: Literal["tool"] = "tool"
    tool_call_id: str
    tool_return: str
    status: Literal["success", "error"]
    stdout: list[str] | None = None
    stderr: list[str] | None = None


class ToolReturnMessage(_ApiMessage):
    message_type: Literal["tool_return_message"] = "tool_return_message"
    tool_return: str
    status: Literal["success", "error"]
    tool_call_id: str
    stdout: list[str] | None = None
    stderr: list[str] | None = None
    tool_returns: list[ApiToolReturn] | None = None


class ApiApproval(BaseModel):
    type: Literal["approval"] = "approval"
    tool_call_id: str
    approve: bool
    reason: str | None = None


class ApprovalResponseMessage(_ApiMessage):
    message_type: Literal["approval_response_message"] = "approval_response_message"
    approvals: list[ApiApproval | ApiToolReturn] | None = None
    approve: bool | None = None
    approval_request_id: str | None = None
    reason: str | None = None


class SummaryMessage(_ApiMessage):
    message_type: Literal["summary_message"] = "summary_message"
    summary: str
    compaction_stats: dict[str, Any] | None = None


class EventMessage(_ApiMessage):
    message_type: Literal["event_message"] = "event_message"
    event_type: Literal["compaction"] = "compaction"
    event_data: dict[str, Any]


ApiMessage = Annotated[
    SystemMessage
    | UserMessage
    | ReasoningMessage
    | HiddenReasoningMessage
    | AssistantMessage
    | ToolCallMessage
    | ToolReturnMessage
    | ApprovalRequestMessage
    | ApprovalResponseMessage
    | SummaryMessage
    | EventMessage,
    Field(discriminator="message_type"),
]


def has_inner_monologue(agent_type: str) -> bool:
    """Whether agents of this type speak through a tool."""
    row = AGENT_TYPES.get(agent_type)
    return row is not None and row.heartbeats


def api_messages(messages: Iterable[Message], view: View) -> list[ApiMessage]:
    """All pieces of the messages in order, without the types that were not asked for."""
    pieces = [piece for message in messages for piece in _numbered(message, view)]
    if view.include_return_message_types is None:
        return pieces
    return [piece for piece in pieces if piece.message_type in view.include_return_message_types]


def piece_otid(message_id: str, index: int) -> str:
    """The stored message's uuid with its lowest seven bits replaced by the piece's index."""
    bits = UUID(message_id.partition("-")[2]).int
    return str(UUID(int=bits & ~0x7F | index & 0x7F))


def _numbered(message: Message, view: View) -> Iterator[ApiMessage]:
    for index, piece in enumerate(_pieces(message, view)):
        sent = message.otid if index == 0 else None
        piece.otid = sent or piece_otid(message.id, index)
        yield piece


def _pieces(message: Message, view: View) -> Iterator[ApiMessage]:
    common = common_of(message)
    if message.compaction is not None:
        yield from _summary_pieces(message, message.compaction, common, view)
    elif message.role == "system":
        yield SystemMessage(**common, content=message.plain_text())
    elif message.role == "user":
        yield UserMessage(**common, content=message.content)
    elif message.role == "tool":
        yield from _tool_pieces(message, common, view)
    elif message.answer is not None:
        yield _approval_response(message.answer, common)
    else:
        yield from _assistant_pieces(message, common, view)


def _summary_pieces(
    message: Message, done: Compaction, common: dict[str, Any], view: View
) -> Iterator[ApiMessage]:
    """A summary; in a reply that asked for it behind the event that made it, in others as a user's."""
    if view.include_compaction_messages is False:
        yield UserMessage(**common, content=message.content)
        return
    stats = done.model_dump(exclude={"summary"})
    if view.include_compaction_messages:
        before = {name: stats[name] for name in ("trigger", "context_tokens_before", "context_window")}
        yield EventMessage(**common, event_data=before)
    yield SummaryMessage(**common, summary=done.summary, compaction_stats=stats)


def _assistant_pieces(message: Message, common: dict[str, Any], view: View) -> Iterator[ApiMessage]:
    for thought in message.reasoning:
        yield _thought(thought, common)
    if text := message.plain_text():
        if message.tool_calls and view.inner_monologue:
            yield ReasoningMessage(**common, reasoning=text)
        else:
            yield AssistantMessage(**common, content=text)
    calls: list[ApiToolCall] = []
    asked: list[ApiToolCall] = []
    for call in message.tool_calls:
        shown = ApiToolCall(name=call.name, arguments=call.arguments, tool_call_id=call.id)
        if call.id in message.asked:
            asked.append(shown)
        elif (said := said_by(call, view)) is None:
            calls.append(shown)
        else:
            yield AssistantMessage(**common, content=said)
    if calls:
        yield ToolCallMessage(**common, tool_call=calls[0], tool_calls=calls)
    if asked:
        yield ApprovalRequestMessage(**common, tool_call=asked[0], tool_calls=asked)


def _tool_pieces(message: Message, common: dict[str, Any], view: View) -> Iterator[ApiMessage]:
    shown = [given for given in message.tool_returns if not _is_echo(given, view)]
    if not shown:
        return
    returns = [_tool_return(given) for given in shown]
    first = returns[0].model_dump(exclude={"type"})
    yield ToolReturnMessage(**common | {"name": shown[0].name}, **first, tool_returns=returns)


def _tool_return(given: ToolReturn) -> ApiToolReturn:
    return ApiToolReturn(
        tool_call_id=given.tool_call_id,
        tool_return=given.text,
        status=given.status,
        stdout=given.stdout,
        stderr=given.stderr,
    )


def _approval_response(answer: Answer, common: dict[str, Any]) -> ApiMessage:
    """With one word for all calls in the old fields: yes, unless one was denied."""
    reasons = [call.reason for call in answer.calls if call.reason and not call.approve]
    return ApprovalResponseMessage(
        **common,
        approvals=[
            ApiApproval(**call.model_dump(exclude={"result"}))
            if call.result is None
            else _tool_return(call.result)
            for call in answer.calls
        ],
        approve=all(call.approve for call in answer.calls),
        approval_request_id=answer.request_id,
        reason=answer.reason or (reasons[0] if reasons else None),
    )


def approval_request(request: Message) -> ApprovalRequestMessage | None:
    """The piece of a stored message that asks for the caller's word."""
    pieces = api_messages([request], View(include_return_message_types=["approval_request_message"]))
    return next((piece for piece in pieces if isinstance(piece, ApprovalRequestMessage)), None)


def _thought(thought: Reasoning, common: dict[str, Any]) -> ApiMessage:
    if thought.redacted is not None:
        return HiddenReasoningMessage(**common, state="redacted", hidden_reasoning=thought.redacted)
    if not thought.text:
        return HiddenReasoningMessage(**common, state="omitted")
    return ReasoningMessage(
        **common, source="reasoner_model", reasoning=thought.text, signature=thought.signature
    )


def said_by(call: ToolCall, view: View) -> str | None:
    """What a call of the agent's voice says; None for any other call, or one that cannot be read."""
    if not view.use_assistant_message or call.name != view.assistant_message_tool_name:
        return None
    try:
        arguments = from_json(call.arguments)
    except ValueError:
        return None
    said = arguments.get(view.assistant_message_tool_kwarg) if isinstance(arguments, dict) else None
    return said if isinstance(said, str) else None


def _is_echo(given: ToolReturn, view: View) -> bool:
    spoke = view.use_assistant_message and given.name == view.assistant_message_tool_name
    return spoke and given.status == "success"


def common_of(message: Message) -> dict[str, Any]:
    """The fields that every piece of a message has."""
    at = datetime.fromtimestamp(message.created_at // 1_000_000, UTC)
    return {
        "id": message.id,
        "date": at.isoformat(),
        "name": message.name,
        "sender_id": message.sender_id,
        "step_id": message.step_id,
        "run_id": message.run_id,
    }
