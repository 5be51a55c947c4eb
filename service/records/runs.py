"""Runs as records: a task given to an agent, its steps, a lease, and how it ended."""

from typing import Any, Literal

from pydantic import Field

from service.records.base import Micros, Record
from service.records.messages import Message, NewMessage, Reasoning, ToolCall


class Usage(Record):
    """Tokens of one model call, or their sum."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def plus(self, other: "Usage") -> "Usage":
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in Usage.model_fields})


class ModelReply(Record):
    """A model's complete answer, stored before any of its tool calls is run."""

    text: str = ""
    reasoning: list[Reasoning] = Field(default_factory=list)
    tool_calls: list[ToolCall] = Field(default_factory=list)
    finish: Literal["stop", "tool_calls", "length", "refusal"] = "stop"
    usage: Usage = Field(default_factory=Usage)
    model: str = ""


StopReason = Literal[
    "end_turn",
    "error",
    "llm_api_error",
    "invalid_llm_response",
    "invalid_tool_call",
    "max_steps",
    "max_tokens_exceeded",
    "no_tool_call",
    "tool_rule",
    "cancelled",
    "insufficient_credits",
    "requires_approval",
    "context_window_overflow_in_system_prompt",
]
RunStatus = Literal["created", "running", "completed", "failed", "cancelled"]
OPEN: tuple[RunStatus, ...] = ("created", "running")
"""The states of a run that has not ended."""


def status_of(stop_reason: StopReason) -> RunStatus:
    """The run status that a stop reason means (V1's table)."""
    if stop_reason in ("end_turn", "max_steps", "tool_rule", "requires_approval"):
        return "completed"
    return "cancelled" if stop_reason == "cancelled" else "failed"


class Lease(Record):
    """Time-limited right to step one agent; `generation` is the fence of every write."""

    workspace: str
    agent_id: str
    generation: int
    worker_id: str
    job: tuple[str, ...] = ()
    """What it came with, if that may be ended with it (ClaimedJob.done_by)."""


AskState = Literal["sent", "open", "ended", "late", "gone"]
"""How a message to another agent stands: sent just now, or sent before and its run not ended, ended, not
ended and no longer awaited, or deleted."""


class RunError(Record):
    """Why a run failed, in words for its caller. `type` is V1's error type."""

    type: str
    message: str
    detail: str | None = None


class ClientTool(Record):
    """A tool that the sender of a run carries out himself; `parameters` is a JSON schema."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class RunOptions(Record):
    """What the sender asked of one run."""

    max_steps: int = Field(default=50, ge=1)
    use_assistant_message: bool = True
    assistant_message_tool_name: str = "send_message"
    assistant_message_tool_kwarg: str = "message"
    include_return_message_types: list[str] | None = None
    override_model: str | None = None
    override_system: str | None = None
    client_tools: list[ClientTool] = Field(default_factory=list)
    client_skills: list[dict[str, str]] | None = None
    """Shown in the prompt of this run alone."""
    enable_thinking: bool = True
    """False: the model is not asked to think first, whatever its agent is configured with."""
    include_compaction_messages: bool = False
    output: Literal["none", "steps", "tokens"] = "none"
    """What is kept for streams while the run goes on: nothing, whole messages, or pieces as well."""


class When(Record):
    """When a message enters its agent's inbox: so long from now by the store's clock, or at a time."""

    delay_ms: int = Field(default=0, ge=0)
    at: Micros | None = None

    @property
    def is_later(self) -> bool:
        return self.at is not None or self.delay_ms > 0

    def told(self) -> str:
        """As message_send.lua reads it."""
        if self.at is not None:
            return str(-(-self.at // 1000))
        return f"+{self.delay_ms}" if self.delay_ms else ""


NOW = When()
HIGHEST_PRIORITY = 9
STREAMED = "send_message_streaming"
"""The kind of a run whose sender listens to it from the beginning."""
"""The priority that goes before all others."""


class Run(Record):
    """One task given to an agent, until it ends. `depth` counts wake-ups that led to it."""

    id: str
    agent_id: str
    status: RunStatus = "created"
    kind: str = "send_message"
    background: bool = False
    depth: int = 0
    options: RunOptions = Field(default_factory=RunOptions)
    messages: list[NewMessage] = Field(default_factory=list)
    """The input. It enters the agent's history with the run's first stored step."""
    metadata: dict[str, Any] | None = None
    agent_type: str | None = None
    """Its agent's, once a worker has opened it."""
    callback_url: str | None = None
    """Whom a worker tells, once, that the run has ended."""
    callback_private: bool = False
    """That address may be one of this machine or its network."""
    errand: dict[str, Any] | None = None
    """What else than answering is asked of whoever has the agent: the arguments of `kind`."""
    priority: int = Field(default=0, ge=0, le=HIGHEST_PRIORITY)
    """Of those that wait in the inbox the highest is begun first; among equals the oldest."""
    created_at: Micros
    started_at: Micros | None = None
    completed_at: Micros | None = None
    stop_reason: StopReason | None = None
    error: RunError | None = None
    usage: Usage = Field(default_factory=Usage)
    context_tokens: int | None = None
    step_count: int = 0
    tries: int = 0
    ttft_ns: int | None = None
    result: dict[str, Any] | None = None
    """What an errand gave."""
    callback_sent_at: Micros | None = None
    callback_status_code: int | None = None
    callback_error: str | None = None
    parked: bool = False
    """It lost so many workers that it is given up."""
    retried_by: str | None = None
    """The run that tries it again."""
    not_before: Micros | None = None
    """When it enters its agent's inbox, or has, if it was sent to be begun later."""


class Step(Record):
    """One model call and the tool calls it asked for."""

    id: str
    run_id: str
    agent_id: str
    index: int
    status: Literal["pending", "success", "failed", "cancelled"] = "pending"
    created_at: Micros
    model_handle: str | None = None
    provider_name: str | None = None
    reply: ModelReply | None = None
    message_id: str | None = None
    """The id of the message that the reply becomes; another one each time the model is asked."""
    asked: list[str] = Field(default_factory=list)
    """Calls of the reply that wait for the caller's word: the run stops with this step."""
    client_calls: list[str] = Field(default_factory=list)
    """Those among them that the caller has to run himself."""
    answers: str | None = None
    """The request whose calls this step carries out: its reply is that message, which is stored already."""
    stop_reason: StopReason | None = None
    error: RunError | None = None
    feedback: Literal["positive", "negative"] | None = None
    tags: list[str] = Field(default_factory=list)
    model_ns: int | None = None
    tools_ns: int | None = None


class Piece(Record):
    """A part of an answer as it arrives; `index` tells parallel tool calls apart."""

    kind: Literal["text", "reasoning", "tool_call"]
    text: str = ""
    index: int = 0
    tool_call_id: str | None = None
    tool_name: str | None = None
    asks: bool = False
    """The call will wait for the caller's word."""


class OutputEvent(Record):
    """What a run says while it goes on. `seq` grows by one from 1; `end` is the last."""

    seq: int = 0
    kind: Literal["message", "piece", "end"]
    message: Message | None = None
    """A whole stored message; or, with a piece, its id, step and time only."""
    piece: Piece | None = None
    run: Run | None = None
    """Of an end: the run as it is then, where it was read along."""


ReadyReason = Literal[
    "sent",
    "woken",
    "returned",
    "lost",
    "waiting",
    "answered",
    "expired",
    "resumed",
    "held",
    "overdue",
    "due",
]


class Ready(Record):
    """An agent that became ready to be stepped: what a job for it needs to say."""

    agent_id: str
    generation: int
    pool: str
    reason: ReadyReason = "sent"
