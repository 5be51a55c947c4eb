"""Agents as records: the agent, and how one is asked for and changed."""

from typing import Any

from pydantic import Field

from service.records.base import DEFAULT_POOL, Micros, Record
from service.records.blocks import BlockFields
from service.records.budgets import Budget
from service.records.messages import NewMessage
from service.records.runs import StopReason


class Agent(Record):
    """Model, instructions and attached blocks. V1's stored-only settings are kept as given."""

    id: str
    name: str
    system: str
    agent_type: str = "letta_v1_agent"
    model: str
    """The handle exactly as the creator wrote it."""
    embedding: str | None = None
    llm_config: dict[str, Any] = Field(default_factory=dict)
    embedding_config: dict[str, Any] | None = None
    model_settings: dict[str, Any] | None = None
    compaction_settings: dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    description: str | None = None
    metadata: dict[str, Any] | None = None
    tags: list[str] = Field(default_factory=list)
    tools: list[str] = Field(default_factory=list)
    """What is attached: a built-in tool by its name, any other by its id (Tool.ref)."""
    approval_waived: list[str] = Field(default_factory=list)
    """Those of them that ask for approval by default, and here do not."""
    tool_rules: list[dict[str, Any]] | None = None
    secrets: dict[str, str] = Field(default_factory=dict)
    source_ids: list[str] = Field(default_factory=list)
    identity_ids: list[str] = Field(default_factory=list)
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
    include_default_source: bool | None = None
    project: str | None = None
    memory_variables: dict[str, str] | None = None
    actor_id: str | None = None
    pool: str = DEFAULT_POOL
    budget: Budget | None = None
    created_at: Micros
    updated_at: Micros
    last_run_completion: Micros | None = None
    last_run_duration_ms: int | None = None
    last_stop_reason: StopReason | None = None
    paused_at: Micros | None = None
    """Since when it begins nothing; None: it works."""
    message_ids: list[str] = Field(default_factory=list)
    """The messages in context, message 0 (the system prompt) first."""


class AgentFields(Record):
    """What may be changed of an agent; None leaves a field as it is. Lists replace the whole set."""

    name: str | None = None
    system: str | None = None
    model: str | None = None
    embedding: str | None = None
    llm_config: dict[str, Any] | None = None
    embedding_config: dict[str, Any] | None = None
    model_settings: dict[str, Any] | None = None
    compaction_settings: dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    context_window_limit: int | None = None
    max_tokens: int | None = None
    reasoning: bool | None = None
    parallel_tool_calls: bool | None = None
    description: str | None = None
    metadata: dict[str, Any] | None = None
    tags: list[str] | None = None
    tool_ids: list[str] | None = None
    tool_rules: list[dict[str, Any]] | None = None
    block_ids: list[str] | None = None
    message_ids: list[str] | None = None
    secrets: dict[str, str] | None = None
    source_ids: list[str] | None = None
    identity_ids: list[str] | None = None
    project_id: str | None = None
    template_id: str | None = None
    base_template_id: str | None = None
    message_buffer_autoclear: bool | None = None
    enable_sleeptime: bool | None = None
    timezone: str | None = None
    max_files_open: int | None = None
    per_file_view_window_char_limit: int | None = None
    hidden: bool | None = None
    pool: str | None = None
    budget: Budget | None = None
    """One without limits takes them away."""
    last_run_completion: Micros | None = None
    last_run_duration_ms: int | None = None
    last_stop_reason: StopReason | None = None


class NewAgent(AgentFields):
    """An agent as somebody asks for it; what only a new one has comes on top of AgentFields."""

    agent_type: str = "letta_v1_agent"
    memory_blocks: list[BlockFields] = Field(default_factory=list)
    tools: list[str] = Field(default_factory=list)
    include_base_tools: bool = True
    include_multi_agent_tools: bool = False
    include_base_tool_rules: bool | None = None
    initial_message_sequence: list[NewMessage] | None = None
    embedding_chunk_size: int = 300
    enable_reasoner: bool | None = None
    max_reasoning_tokens: int | None = None
    include_default_source: bool | None = None
    project: str | None = None
    memory_variables: dict[str, str] | None = None
    actor_id: str | None = None


class AgentQuery(Record):
    """Which agents a list holds; None asks nothing."""

    name: str | None = None
    tags: list[str] | None = None
    match_all_tags: bool = False
    query_text: str | None = None
    project_id: str | None = None
    template_id: str | None = None
    base_template_id: str | None = None
    identity_id: str | None = None
    identifier_keys: list[str] | None = None
    last_stop_reason: StopReason | None = None
    created_by_id: str | None = None
    order_by: str = "created_at"
    show_hidden: bool = False
