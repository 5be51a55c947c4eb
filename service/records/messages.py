"""Messages as records: what is sent, what is stored, and the tool calls within."""

from typing import Any, Literal

from pydantic import Field

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
    refused: bool = False
    """The tool may not be called where it was; for rules about tools there was no such call."""


class Reasoning(Record):
    """A piece of the model's own thinking; `signature` goes back to the provider unchanged."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None


Role = Literal["system", "user", "assistant", "tool", "approval"]
"""`approval`: an answer of the model that waits for its caller's word, and that word itself."""


class CallAnswer(Record):
    """What the caller says to one call: whether it may be run, or what it gave back where he ran it."""

    tool_call_id: str
    approve: bool = True
    reason: str | None = None
    result: ToolReturn | None = None


class Answer(Record):
    """The caller's word on a request. As sent it may name no request and one word for all its calls."""

    request_id: str | None = None
    approve: bool | None = None
    reason: str | None = None
    calls: list[CallAnswer] = Field(default_factory=list)
    given_up: bool = False
    """Nobody gave his word in time: it was said for him that nothing is to be run."""


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

    role: Literal["user", "system", "assistant", "approval"] = "user"
    content: str | list[dict[str, Any]]
    answer: Answer | None = None
    """Of role `approval` alone, which can only be the first of a send."""
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
    reasoning: list[Reasoning] = Field(default_factory=list)
    tool_calls: list[ToolCall] = Field(default_factory=list)
    tool_returns: list[ToolReturn] = Field(default_factory=list)
    asked: list[str] = Field(default_factory=list)
    """Of a request: the ids of those of its calls that wait for the caller's word."""
    client_calls: list[str] = Field(default_factory=list)
    """Those among them that the caller has to run himself."""
    knew: dict[str, int] = Field(default_factory=dict)
    """Of a request: block id -> the version that its model knew when it asked."""
    answer: Answer | None = None
    run_id: str | None = None
    step_id: str | None = None
    otid: str | None = None
    name: str | None = None
    sender_id: str | None = None
    group_id: str | None = None
    batch_item_id: str | None = None
    compaction: Compaction | None = None
    """Set for a summary; `content` is then what a model reads of it."""

    @property
    def from_agent(self) -> bool:
        """Whether its model said it or its tools gave it back; the rest was put to it."""
        return self.role in ("assistant", "tool") or bool(self.asked)

    def plain_text(self) -> str:
        """The text parts joined by newlines; images and other parts are left out."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(str(part.get("text", "")) for part in self.content if part.get("type") == "text")
