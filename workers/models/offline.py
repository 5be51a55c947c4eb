"""Offline: what the models that need no key have in common with those that do.

Both make up their whole answer at once; handed out in pieces and with tokens
counted (four characters to one), it looks to whoever streams or bills like any
provider's.

Elsewhere: the two models (scripted.py, extractive.py).
"""

import asyncio
from collections.abc import Iterator
from typing import Any

from service.records.messages import Message
from service.records.runs import ModelReply, Piece, Usage
from workers.models.base import Emit, ModelRequest, ignore
from workers.models.reading import sentences, weightiest

_PIECE_CHARS = 24
SUMMARY_SENTENCES = 12
NOTHING_SAID = "Nothing was said that could be summarised."


async def hand_out(request: ModelRequest, reply: ModelReply, emit: Emit, pause_s: float = 0) -> ModelReply:
    """Emit a finished reply in pieces, `pause_s` before each; the same reply with its usage."""
    for piece in _pieces(reply) if pause_s or emit is not ignore else ():
        if pause_s:
            await asyncio.sleep(pause_s)
        await emit(piece)
    return reply.model_copy(update={"usage": _usage(request, reply), "model": request.model})


def shown(request: ModelRequest) -> dict[str, Any]:
    """The request itself: no provider words it otherwise."""
    return request.model_dump(exclude_none=True, exclude={"purpose"})


def summary_of(request: ModelRequest) -> ModelReply:
    """The weightiest of what was said, in its order, each sentence as it stood."""
    said = [one for message in request.messages for one in sentences(heard(message))]
    return ModelReply(
        text="\n".join(f"- {one}" for one in weightiest(said, SUMMARY_SENTENCES)) or NOTHING_SAID
    )


def heard(message: Message) -> str:
    """All the text of a message, whoever it is from."""
    if message.role == "tool":
        return "\n".join(one.text for one in message.tool_returns)
    return message.plain_text()


def _usage(request: ModelRequest, reply: ModelReply) -> Usage:
    reasoning = sum(_tokens(thought.text) for thought in reply.reasoning)
    said = reply.text + "".join(call.name + call.arguments for call in reply.tool_calls)
    return Usage(
        prompt_tokens=_tokens(request.system) + sum(_tokens(heard(one)) for one in request.messages),
        completion_tokens=_tokens(said) + reasoning,
        reasoning_tokens=reasoning,
    )


def _pieces(reply: ModelReply) -> Iterator[Piece]:
    for thought in reply.reasoning:
        for text in _cut(thought.text):
            yield Piece(kind="reasoning", text=text)
    for text in _cut(reply.text):
        yield Piece(kind="text", text=text)
    for index, call in enumerate(reply.tool_calls):
        for text in ["", *_cut(call.arguments)]:
            yield Piece(kind="tool_call", text=text, index=index, tool_call_id=call.id, tool_name=call.name)


def _cut(text: str) -> list[str]:
    return [text[at : at + _PIECE_CHARS] for at in range(0, len(text), _PIECE_CHARS)]


def _tokens(text: str) -> int:
    return (len(text) + 3) // 4
