"""Messages as records: what is sent, what is stored, and the tool calls within."""

from typing import Any, Literal

from service.records.base import Micros, Record


class ToolCall(Record):
    """One asking for a tool. `id` is the provider's and may repeat; never an identity of ours."""

    id: str
    name: str
    arguments: str
    """A JSON object as text, as the model wrote it."""


class ToolReturn(Record):
    """What one tool call gave back."""

    tool_call_id: str
    name: str
    text: str
    status: Literal["success", "error"] = "success"
    stdout: list[str] | None = None
    stderr: list[str] | None = None


class Reasoning(Record):
    """A piece of the model's own thinking; `signature` goes back to the provider unchanged."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None


Role = Literal["system", "user", "assistant", "tool"]


class Compaction(Record):
    """Why a summary stands where older messages were, and what that did to the context."""

    summary: str
    trigger: str
    """`context_window_exceeded`, `provider_refused` or `asked`."""
    context_window: int
    context_tokens_before: int | None = None
    context_tokens_after: int | None = None
    messages_count_before: int
    messages_count_after: int


class NewMessage(Record):
    """A message as somebody sends it, before it has an id."""

    role: Literal["user", "system", "assistant"] = "user"
    content: str | list[dict[str, Any]]
    name: str | None = None
    otid: str | None = None
    sender_id: str | None = None
    group_id: str | None = None
    batch_item_id: str | None = None


class Message(Record):
    """One stored turn. Shown to V1 clients as one or several API messages with its id."""

    id: str
    agent_id: str
    role: Role
    created_at: Micros
    content: str | list[dict[str, Any]] = ""
    reasoning: list[Reasoning] = []
    tool_calls: list[ToolCall] = []
    tool_returns: list[ToolReturn] = []
    run_id: str | None = None
    step_id: str | None = None
    otid: str | None = None
    name: str | None = None
    sender_id: str | None = None
    group_id: str | None = None
    batch_item_id: str | None = None
    compaction: Compaction | None = None
    """Set for a summary; `content` is then what a model reads of it."""

    def plain_text(self) -> str:
        """The text parts joined by newlines; images and other parts are left out."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(str(part.get("text", "")) for part in self.content if part.get("type") == "text")
