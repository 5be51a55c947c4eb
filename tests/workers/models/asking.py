"""What the tests of models share: requests and messages in few words, and a listener."""

from typing import Any

from service.records.messages import Message, ToolCall, ToolReturn
from service.records.runs import Piece
from workers.models.base import ModelRequest, ToolSpec

WEATHER = ToolSpec(
    name="weather",
    description="Tells the weather.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)


def message(role: str, content: Any = "", **more: Any) -> Message:
    return Message.model_validate(
        {"id": "message-1", "agent_id": "agent-1", "role": role, "created_at": 0, "content": content} | more
    )


def user(content: Any, **more: Any) -> Message:
    return message("user", content, **more)


def calling(*calls: tuple[str, str, str], text: str = "", **more: Any) -> Message:
    """An assistant's message with calls as (id, name, arguments)."""
    made = [ToolCall(id=id, name=name, arguments=arguments) for id, name, arguments in calls]
    return message("assistant", text, tool_calls=made, **more)


def results(*returns: tuple[str, str], status: str = "success", **more: Any) -> Message:
    """A tool's message with results as (id, text)."""
    made = [
        ToolReturn.model_validate({"tool_call_id": id, "name": "weather", "text": text, "status": status})
        for id, text in returns
    ]
    return message("tool", tool_returns=made, **more)


def request(*messages: Message, model: str = "claude-haiku-5-5", **more: Any) -> ModelRequest:
    given = list(messages) or [user("Hello")]
    return ModelRequest.model_validate({"model": model, "system": "Be brief.", "messages": given} | more)


class Listener:
    """An Emit that keeps what it hears."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []

    async def __call__(self, piece: Piece) -> None:
        self.pieces.append(piece)

    def text(self, kind: str = "text", index: int = 0) -> str:
        return "".join(one.text for one in self.pieces if one.kind == kind and one.index == index)
