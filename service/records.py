"""Records: what the nouns of Blockwire look like, frozen, and nothing they do.

Everything that crosses a room's door is one of these. Times are whole
microseconds since the epoch on the store's clock (`Micros`); durations end in
`_ns`. Texts are counted in characters (code points), never in bytes.

Elsewhere: how V1 clients see them (service/http/schemas); how Redis keeps them
(service/store).
"""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Micros = int

DEFAULT_WORKSPACE = "default"
DEFAULT_POOL = "default"
DEFAULT_LIMIT = 100_000


def iso(at: Micros) -> str:
    """ISO 8601 in UTC with microseconds and `Z`, as V1 writes row times."""
    return datetime.fromtimestamp(at // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{at % 1_000_000:06d}Z"


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Author(Record):
    """Who made an edit: an agent within a step, or a caller of the API by name."""

    name: str = "api"
    agent_id: str | None = None
    run_id: str | None = None
    step_id: str | None = None
    tool: str | None = None
    call: int | None = None
    depth: int = 0


class BlockFields(Record):
    """What `configure` may change; None leaves a field as it is (V1's PATCH)."""

    label: str | None = None
    value: str | None = None
    description: str | None = None
    limit: int | None = None
    read_only: bool | None = None
    tags: list[str] | None = None
    metadata: dict[str, Any] | None = None
    hidden: bool | None = None
    project_id: str | None = None
    is_template: bool | None = None
    template_name: str | None = None
    template_id: str | None = None
    base_template_id: str | None = None
    deployment_id: str | None = None
    entity_id: str | None = None
    preserve_on_migration: bool | None = None


class Block(Record):
    """Shared text with a label and a version; a Redis hash."""

    id: str
    label: str
    value: str
    version: int
    chars: int
    limit: int = DEFAULT_LIMIT
    description: str | None = None
    read_only: bool = False
    tags: list[str] = []
    metadata: dict[str, Any] = {}
    hidden: bool | None = None
    project_id: str | None = None
    is_template: bool = False
    template_name: str | None = None
    template_id: str | None = None
    base_template_id: str | None = None
    deployment_id: str | None = None
    entity_id: str | None = None
    preserve_on_migration: bool | None = False
    created_at: Micros
    updated_at: Micros
    created_by: str | None = None
    updated_by: str | None = None


Operation = Literal["set", "append", "insert", "replace", "configure"]


class Edit(Record):
    """A request to apply one operation to a block's value as it is at that moment.

    `set` puts `text`; `append` adds `text` as it stands; `insert` adds `text` as
    lines after line `line` (0 = top, -1 = end); `replace` puts `text` for `old`,
    which must occur exactly once unless `all`; `configure` applies `fields`.
    """

    operation: Operation
    text: str = ""
    old: str = ""
    all: bool = False
    line: int = -1
    fields: BlockFields | None = None
    expected_version: int | None = None
    edit_id: str | None = None


class EditOutcome(Record):
    """What an edit did: the block after it and the version this edit made.

    `changed` is false for an edit that left everything as it was. `repeated`
    says that the same `edit_id` had been applied before, and `version` is the
    one made then; `block` is always the block as it is now.
    """

    block: Block
    version: int
    changed: bool
    repeated: bool = False


class Lease(Record):
    """Time-limited right to step one agent; `generation` is the fence of every write."""

    workspace: str
    agent_id: str
    generation: int
    worker_id: str


class Change(Record):
    """One applied edit as listeners see it. `id` is `<epoch>-<n>`, `prev` the one before."""

    id: str
    prev: str
    kind: Literal["created", "edited", "configured", "attached", "detached", "deleted"]
    block_id: str
    label: str
    version: int
    operation: str
    at: Micros
    chars: int
    author: Author = Author()
    tags: list[str] = []
    added: str = ""
    removed: str = ""
    cut: bool = False
    agent_id: str | None = None
    """Of `attached` and `detached`: the agent the block was given to or taken from."""


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

    def plain_text(self) -> str:
        """The text parts joined by newlines; images and other parts are left out."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(str(part.get("text", "")) for part in self.content if part.get("type") == "text")


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
    reasoning: list[Reasoning] = []
    tool_calls: list[ToolCall] = []
    finish: Literal["stop", "tool_calls", "length", "refusal"] = "stop"
    usage: Usage = Usage()
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


def status_of(stop_reason: StopReason) -> RunStatus:
    """The run status that a stop reason means (V1's table)."""
    if stop_reason in ("end_turn", "max_steps", "tool_rule", "requires_approval"):
        return "completed"
    return "cancelled" if stop_reason == "cancelled" else "failed"


class RunError(Record):
    """Why a run failed, in words for its caller. `type` is V1's error type."""

    type: str
    message: str
    detail: str | None = None


class RunOptions(Record):
    """What the sender asked of one run."""

    max_steps: int = Field(default=50, ge=1)
    use_assistant_message: bool = True
    assistant_message_tool_name: str = "send_message"
    assistant_message_tool_kwarg: str = "message"
    include_return_message_types: list[str] | None = None
    override_model: str | None = None
    override_system: str | None = None


class Run(Record):
    """One task given to an agent, until it ends. `depth` counts wake-ups that led to it."""

    id: str
    agent_id: str
    status: RunStatus = "created"
    kind: str = "send_message"
    background: bool = False
    depth: int = 0
    options: RunOptions = RunOptions()
    messages: list[NewMessage] = []
    """The input. It enters the agent's history with the run's first stored step."""
    metadata: dict[str, Any] | None = None
    callback_url: str | None = None
    created_at: Micros
    started_at: Micros | None = None
    completed_at: Micros | None = None
    stop_reason: StopReason | None = None
    error: RunError | None = None
    usage: Usage = Usage()
    context_tokens: int | None = None
    step_count: int = 0
    tries: int = 0
    ttft_ns: int | None = None


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
    stop_reason: StopReason | None = None
    error: RunError | None = None
    model_ns: int | None = None
    tools_ns: int | None = None


class Agent(Record):
    """Model, instructions and attached blocks. V1's stored-only settings are kept as given."""

    id: str
    name: str
    system: str
    agent_type: str = "letta_v1_agent"
    model: str
    """The handle exactly as the creator wrote it."""
    embedding: str | None = None
    llm_config: dict[str, Any] = {}
    embedding_config: dict[str, Any] | None = None
    model_settings: dict[str, Any] | None = None
    compaction_settings: dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    description: str | None = None
    metadata: dict[str, Any] | None = None
    tags: list[str] = []
    tools: list[str] = []
    """Names of attached tools."""
    tool_rules: list[dict[str, Any]] | None = None
    secrets: dict[str, str] = {}
    source_ids: list[str] = []
    identity_ids: list[str] = []
    project_id: str | None = None
    template_id: str | None = None
    base_template_id: str | None = None
    deployment_id: str | None = None
    entity_id: str | None = None
    message_buffer_autoclear: bool = False
    enable_sleeptime: bool | None = None
    timezone: str = "UTC"
    max_files_open: int | None = None
    per_file_view_window_char_limit: int | None = None
    hidden: bool | None = None
    pool: str = DEFAULT_POOL
    created_at: Micros
    updated_at: Micros
    last_run_completion: Micros | None = None
    last_run_duration_ms: int | None = None
    last_stop_reason: StopReason | None = None
    message_ids: list[str] = []
    """The messages in context, message 0 (the system prompt) first."""


class Subscription(Record):
    """Which changes wake which agent: of one block by id, or of every block with a label."""

    id: str
    agent_id: str
    block_id: str | None = None
    label: str | None = None
    active: bool = True
    created_at: Micros


class ModelEntry(Record):
    """One model of the catalogue. `window` is the context in tokens."""

    handle: str
    provider: str
    name: str
    window: int
    max_output: int
    reasons: bool = False
