"""Streams on the wire: a run's output as V1's stream objects. Pure.

In step mode each event is a whole message. In token mode an answer comes in
pieces that share id and otid, each with the new text only; an answer whose
pieces nobody handed out (a provider without streaming, a step taken over) comes
whole. What the agent says through its voice tool is read out of the half-written
arguments and shown as what is said.

Elsewhere: framing, pings and the end (service/http/streams.py).
"""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json

from service.http.schemas.transcript import (
    ApiMessage,
    AssistantMessage,
    ReasoningMessage,
    ToolCallMessage,
    View,
    api_messages,
    common_of,
    piece_otid,
)
from service.records.messages import Message
from service.records.runs import OutputEvent, Piece

SEQS_PER_EVENT = 100
"""One event shows as several objects; the seq_id of each is the event's times this, plus its place."""


class ToolCallDelta(BaseModel):
    """A piece of a tool call; what is not in it is left out."""

    name: str | None = None
    arguments: str | None = None
    tool_call_id: str | None = None


class Renderer:
    """Turns one run's events into stream objects, as JSON values; keeps what half-written answers need."""

    def __init__(self, view: View, *, tokens: bool) -> None:
        self._view = view
        self._tokens = tokens
        self._answers: dict[str, _Answer] = {}

    def objects(self, event: OutputEvent) -> list[dict[str, Any]]:
        """The objects of one event, those of types not asked for left out."""
        if event.message is None:
            return []
        if event.piece is None:
            return self._whole(event.message)
        if not self._tokens:
            return []
        answer = self._answers.setdefault(event.message.id, _Answer(event.message, self._view))
        return [shown for shown in answer.objects(event.piece) if self._wanted(shown)]

    def _whole(self, message: Message) -> list[dict[str, Any]]:
        if message.id in self._answers:
            return []
        return [shown.model_dump() for shown in api_messages([message], self._view)]

    def _wanted(self, shown: dict[str, Any]) -> bool:
        wanted = self._view.include_return_message_types
        return wanted is None or shown["message_type"] in wanted


class _Answer:
    """One answer while its pieces arrive."""

    def __init__(self, message: Message, view: View) -> None:
        self._common = common_of(message)
        self._id = message.id
        self._view = view
        self._places: dict[tuple[str, int], int] = {}
        self._said: dict[int, _Speech] = {}

    def objects(self, piece: Piece) -> Iterator[dict[str, Any]]:
        place = self._places.setdefault((piece.kind, piece.index), len(self._places))
        common = {**self._common, "otid": piece_otid(self._id, place)}
        if piece.kind == "tool_call":
            yield from self._call(piece, common)
        elif piece.text:
            yield self._text(piece, common).model_dump()

    def _text(self, piece: Piece, common: dict[str, Any]) -> ApiMessage:
        if piece.kind == "reasoning":
            return ReasoningMessage(**common, source="reasoner_model", reasoning=piece.text)
        if self._view.inner_monologue:
            return ReasoningMessage(**common, reasoning=piece.text)
        return AssistantMessage(**common, content=piece.text)

    def _call(self, piece: Piece, common: dict[str, Any]) -> Iterator[dict[str, Any]]:
        view = self._view
        if view.use_assistant_message and piece.tool_name == view.assistant_message_tool_name:
            speech = self._said.setdefault(piece.index, _Speech(view.assistant_message_tool_kwarg))
            if new := speech.hear(piece.text):
                yield AssistantMessage(**common, content=new).model_dump()
            return
        delta = ToolCallDelta(name=piece.tool_name, arguments=piece.text, tool_call_id=piece.tool_call_id)
        shown = delta.model_dump(exclude_none=True)
        yield {
            **common,
            "is_err": None,
            "seq_id": None,
            "message_type": ToolCallMessage.model_fields["message_type"].default,
            "tool_call": shown,
            "tool_calls": shown,
        }


class _Speech:
    """What a voice tool's arguments say so far."""

    def __init__(self, argument: str) -> None:
        self._argument = argument
        self._written = ""
        self._told = 0

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
        self._told = len(said)
        return new
