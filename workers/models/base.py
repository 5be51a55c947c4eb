"""Models: what can be asked, what comes back, and how it can fail, whoever serves it.

An adapter turns a ModelRequest into its provider's protocol and the provider's
stream into one ModelReply, handing out pieces on the way. It never runs a tool,
never reads a block and never retries what the caller must see.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Literal, Protocol

from pydantic import Field

from service.records.base import Record
from service.records.messages import Message
from service.records.runs import ModelReply, Piece, RunError, StopReason


class ToolSpec(Record):
    """A tool as a model is told of it; `parameters` is a JSON schema of type object."""

    name: str
    description: str
    parameters: dict[str, Any]


class ModelRequest(Record):
    """One model call, in no provider's words.

    `messages` never holds the system prompt; a message of role `system` among
    them is a later note and is sent as the provider takes such notes (as user
    text where it takes none).
    """

    model: str
    """The provider's own name of the model, not the handle."""
    system: str
    messages: list[Message]
    tools: list[ToolSpec] = Field(default_factory=list)
    tool_choice: Literal["auto", "required", "none"] = "auto"
    parallel_tool_calls: bool = False
    max_tokens: int | None = None
    temperature: float | None = None
    purpose: Literal["turn", "summary"] = "turn"
    """A summary of what is said, not the next turn: what the offline models cannot tell from the words."""
    thinking_tokens: int | None = None
    """A budget for the model's own thinking, where the provider has such a thing; None: none asked."""


Emit = Callable[[Piece], Awaitable[None]]


async def ignore(piece: Piece) -> None:
    """An Emit for callers that want the whole answer only."""


class Model(Protocol):
    """Something that answers."""

    async def answer(self, request: ModelRequest, emit: Emit = ignore) -> ModelReply:
        """The complete answer. Raises ModelError."""
        ...

    def payload(self, request: ModelRequest) -> dict[str, Any]:
        """What would be sent for it, in the provider's words; nothing is."""
        ...


PROMPT_TOO_LONG: Literal["context_window_overflow_in_system_prompt"] = (
    "context_window_overflow_in_system_prompt"
)
"""V1's error type and stop reason where no summary could make a request short enough."""


class ModelError(Exception):
    """A model call that gave no answer.

    `type` is V1's: llm_authentication, llm_rate_limit, llm_insufficient_credits,
    llm_timeout, llm_bad_request, llm_context_window, llm_empty_response, llm_error.
    The message is for the run's caller: it names the provider and the remedy and
    carries no key and no prompt.
    """

    def __init__(self, type: str, message: str, detail: str | None = None) -> None:
        super().__init__(message)
        self.type = type
        self.message = message
        self.detail = detail

    @property
    def stop_reason(self) -> StopReason:
        if self.type == PROMPT_TOO_LONG:
            return PROMPT_TOO_LONG
        if self.type == "llm_insufficient_credits":
            return "insufficient_credits"
        return "invalid_llm_response" if self.type == "llm_empty_response" else "llm_api_error"

    def as_run_error(self) -> RunError:
        return RunError(type=self.type, message=self.message, detail=self.detail)
