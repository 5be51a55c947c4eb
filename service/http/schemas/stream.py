"""Streams on the wire: a run's output as V1's stream objects. Pure.

In step mode each event is a whole message. In token mode an answer comes in
pieces that share id and otid, each with the new text only. What of an answer no
piece told comes when it is stored: all of one whose pieces nobody handed out (a
provider without streaming, a step taken over), hidden reasoning, a call whose
arguments a rule fixed. What the agent says through its voice tool is read out of
the half-written arguments and shown as what is said.

Elsewhere: framing, pings and the end (service/http/streams.py); which pieces are
handed out (workers/request.py).
"""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel
from pydantic_core import from_json

from service.http.schemas.runs import StopReasonTold, UsageTold
from service.http.schemas.transcript import (
    ApiMessage,
    ApiToolCall,
    ApprovalRequestMessage,
    AssistantMessage,
    ReasoningMessage,
    ToolCallMessage,
    View,
    api_messages,
    common_of,
    piece_otid,
    said_by,
)
from service.records.messages import Message, Reasoning, ToolCall
from service.records.runs import OutputEvent, Piece

SEQS_PER_EVENT = 1000
"""One event shows as several objects; the seq_id of each is the event's times this, plus its place."""


class ToolCallDelta(BaseModel):
    """A piece of a tool call; what is not in it is left out."""

    name: str | None = None
    arguments: str | None = None
    tool_call_id: str | None = None


class Ping(BaseModel):
    """Nothing but a sign of life; the first one names the run."""

    id: str
    date: str
    name: None = None
    message_type: Literal["ping"] = "ping"
    otid: None = None
    sender_id: None = None
    step_id: None = None
    is_err: None = None
    seq_id: int | None = None
    run_id: str


class ErrorTold(BaseModel):
    """Why a run failed, or its stream ended early."""

    message_type: Literal["error_message"] = "error_message"
    run_id: str
    error_type: str
    message: str
    detail: str | None = None
    seq_id: int | None = None


StreamObject = ApiMessage | Ping | StopReasonTold | UsageTold | ErrorTold
"""What a stream may carry."""


class Renderer:
    """Turns one run's events into stream objects, as JSON values; keeps what a half-written answer needs."""

    def __init__(self, view: View, *, tokens: bool) -> None:
        self._view = view
        self._everything = view.model_copy(update={"include_return_message_types": None})
        self._tokens = tokens
        self._answer: _Answer | None = None

    def objects(self, event: OutputEvent) -> list[dict[str, Any]]:
        """The objects of one event, those of types not asked for left out."""
        return [shown for shown in self._all(event) if self._wanted(shown)]

    def _all(self, event: OutputEvent) -> Iterator[dict[str, Any]]:
        message, answer = event.message, self._answer
        if message is None:
            return
        if event.piece is None:
            if answer is None or answer.id != message.id:
                yield from _whole(message, self._everything)
            else:
                yield from answer.rest(message)
        elif self._tokens:
            if answer is None or answer.id != message.id:  # the step was asked again: the old answer is void
                answer = self._answer = _Answer(message.id, self._everything)
            yield from answer.pieces(message, event.piece)

    def _wanted(self, shown: dict[str, Any]) -> bool:
        wanted = self._view.include_return_message_types
        return wanted is None or shown["message_type"] in wanted


class _Answer:
    """One answer while its pieces arrive, and what they told of it."""

    def __init__(self, message_id: str, view: View) -> None:
        self.id = message_id
        self._view = view
        self._places: dict[str, int] = {}
        self._speeches: dict[int, _Speech] = {}
        self._calls: set[int] = set()

    def pieces(self, message: Message, piece: Piece) -> Iterator[dict[str, Any]]:
        """What one piece shows as."""
        if piece.kind == "tool_call":
            yield from self._call(message, piece)
        elif piece.text:
            yield self._shown(self._text(common_of(message), piece), piece.kind)

    def rest(self, message: Message) -> Iterator[dict[str, Any]]:
        """What of the stored answer no piece told."""
        untold = message.model_copy(
            update={
                "content": "" if "text" in self._places else message.content,
                "reasoning": [one for one in message.reasoning if not self._is_thought(one)],
                "tool_calls": [
                    call for index, call in enumerate(message.tool_calls) if not self._is_called(index, call)
                ],
            }
        )
        for number, shown in enumerate(api_messages([untold], self._view)):
            if isinstance(shown, ToolCallMessage | ApprovalRequestMessage):
                for call in shown.tool_calls or [shown.tool_call]:
                    yield self._delta(message, call, shown.message_type)
            else:
                yield self._shown(shown, f"rest {number}")

    def _is_thought(self, thought: Reasoning) -> bool:
        return bool(thought.text) and thought.redacted is None and "reasoning" in self._places

    def _is_called(self, index: int, call: ToolCall) -> bool:
        """Whether a call was shown; one that spoke and then could not be read is still to be."""
        if index in self._calls:
            return True
        return (
            index in self._speeches and self._speeches[index].began and said_by(call, self._view) is not None
        )

    def _text(self, common: dict[str, Any], piece: Piece) -> ApiMessage:
        if piece.kind == "reasoning":
            return ReasoningMessage(**common, source="reasoner_model", reasoning=piece.text)
        if self._view.inner_monologue:
            return ReasoningMessage(**common, reasoning=piece.text)
        return AssistantMessage(**common, content=piece.text)

    def _call(self, message: Message, piece: Piece) -> Iterator[dict[str, Any]]:
        view = self._view
        voice = view.use_assistant_message and piece.tool_name == view.assistant_message_tool_name
        if voice and not piece.asks:
            speech = self._speeches.setdefault(piece.index, _Speech(view.assistant_message_tool_kwarg))
            if new := speech.hear(piece.text):
                said = AssistantMessage(**common_of(message), content=new)
                yield self._shown(said, f"speech {piece.index}")
            return
        self._calls.add(piece.index)
        yield self._delta(
            message,
            ToolCallDelta(name=piece.tool_name, arguments=piece.text, tool_call_id=piece.tool_call_id),
            "approval_request_message" if piece.asks else "tool_call_message",
        )

    def _delta(self, message: Message, call: ToolCallDelta | ApiToolCall, kind: str) -> dict[str, Any]:
        shown = call.model_dump(exclude_none=True)
        return {
            **common_of(message),
            "otid": self._otid(kind),
            "is_err": None,
            "seq_id": None,
            "message_type": kind,
            "tool_call": shown,
            "tool_calls": shown,
        }

    def _shown(self, message: ApiMessage, part: str) -> dict[str, Any]:
        message.otid = self._otid(part)
        return message.model_dump()

    def _otid(self, part: str) -> str:
        """The parts of an answer are numbered as they come; calls of a kind are one part, as in lists."""
        return piece_otid(self.id, self._places.setdefault(part, len(self._places)))


class _Speech:
    """What a voice tool's arguments say so far."""

    def __init__(self, argument: str) -> None:
        self._argument = argument
        self._written = ""
        self._told = 0

    @property
    def began(self) -> bool:
        return self._told > 0

    def hear(self, text: str) -> str:
        """The part of the speech that is new with this piece."""
        self._written += text
        try:
            found = from_json(self._written, allow_partial="trailing-strings")
        except ValueError:
            return ""
        said = found.get(self._argument) if isinstance(found, dict) else None
        if not isinstance(said, str):
            return ""
        new = said[self._told :]
        self._told = max(self._told, len(said))
        return new


def _whole(message: Message, view: View) -> Iterator[dict[str, Any]]:
    for shown in api_messages([message], view):
        yield shown.model_dump()
