"""Agents on the wire: V1's create and update bodies and what lists of agents take."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.errors import Invalid
from service.http.calls import Headers
from service.http.generation import is_legacy
from service.http.paging import LOOKS, PageQuery
from service.http.schemas.agent_state import ALL, Relations, asked_relations
from service.http.schemas.blocks import CreateBlock, fields_of
from service.http.schemas.bounds import (
    INT4,
    BlockId,
    Count,
    Description,
    Handle,
    IdentityId,
    JsonObject,
    MessageId,
    Name,
    Names,
    SourceId,
    ToolId,
)
from service.http.schemas.messages import MessageCreate, new_message
from service.http.schemas.models import CompactionSettings, EmbeddingConfig, LLMConfig, ModelSettings
from service.http.schemas.tools import ToolName, ToolRule
from service.records.agents import AgentFields, AgentQuery, NewAgent
from service.records.runs import StopReason

MOST_FILES_OPEN = 1000
MOST_TOKENS = 10**15

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

AgentName = Annotated[
    str, StringConstraints(min_length=1, max_length=500, pattern=r"^[\p{L}\p{M}\p{N} _'-]+$")
]
AgentType = Literal[
    "letta_v1_agent",
    "memgpt_agent",
    "memgpt_v2_agent",
    "sleeptime_agent",
    "react_agent",
    "workflow_agent",
    "voice_convo_agent",
    "voice_sleeptime_agent",
    "split_thread_agent",
]
Include = Literal[
    "agent.blocks",
    "agent.identities",
    "agent.managed_group",
    "agent.pending_approval",
    "agent.secrets",
    "agent.sources",
    "agent.tags",
    "agent.tools",
]
Secrets = Annotated[dict[Name, Annotated[str, StringConstraints(max_length=100_000)]], Field(max_length=500)]
Ids = TypeVar("Ids")
_Few = Annotated[list[Ids], Field(max_length=500)]


class AgentBudget(BaseModel):
    """What an agent may use in any sixty minutes. Past it runs fail, and wake-ups wait."""

    model_config = ConfigDict(extra="forbid")  # a typo must not take a limit away

    tokens_per_hour: int | None = Field(default=None, ge=1, le=MOST_TOKENS, description="null: no limit")
    steps_per_hour: int | None = Field(default=None, ge=1, le=INT4, description="null: no limit")


class AgentSettings(BaseModel):
    """What may be said of an agent; null is the same as absent."""

    name: AgentName | None = Field(
        default=None, description="letters of any script, digits, spaces and - _ '; random words if absent"
    )
    system: str | None = Field(default=None, max_length=1_000_000, description="the instructions")
    model: Handle | None = Field(default=None, description="a handle, `provider/model-name`")
    embedding: Handle | None = Field(default=None, description="a handle, `provider/model-name`")
    tool_ids: _Few[ToolId] | None = None
    tool_rules: _Few[ToolRule] | None = None
    block_ids: _Few[BlockId] | None = Field(default=None, description="blocks to attach")
    source_ids: _Few[SourceId] | None = None
    folder_ids: _Few[SourceId] | None = None
    identity_ids: _Few[IdentityId] | None = None
    tags: Names | None = None
    description: Description | None = None
    metadata: JsonObject | None = None
    secrets: Secrets | None = None
    tool_exec_environment_variables: Secrets | None = Field(default=None, description="now `secrets`")
    llm_config: LLMConfig | None = Field(default=None, description="in full, instead of `model`")
    embedding_config: EmbeddingConfig | None = Field(
        default=None, description="in full, instead of `embedding`"
    )
    model_settings: ModelSettings | None = None
    compaction_settings: CompactionSettings | None = None
    context_window_limit: int | None = Field(default=None, ge=1, le=INT4)
    max_tokens: int | None = Field(default=None, ge=1, le=INT4)
    reasoning: bool | None = None
    parallel_tool_calls: bool | None = None
    response_format: JsonObject | None = None
    project_id: Name | None = None
    template_id: Name | None = None
    base_template_id: Name | None = None
    message_buffer_autoclear: bool | None = None
    enable_sleeptime: bool | None = None
    timezone: Name | None = None
    max_files_open: Count | None = Field(default=None, description=f"at most {MOST_FILES_OPEN}")
    per_file_view_window_char_limit: Count | None = None
    hidden: bool | None = None
    pool: str | None = Field(
        default=None, pattern=r"^[a-z0-9_-]{1,40}$", description="Blockwire's: the worker pool that runs it"
    )
    budget: AgentBudget | None = Field(
        default=None,
        description="Blockwire's: what it may use in any hour; replaced as a whole, `{}`: no limits",
    )


class CreateAgentRequest(AgentSettings):
    agent_type: AgentType | None = None
    memory_blocks: _Few[CreateBlock] | None = Field(default=None, description="blocks to create and attach")
    tools: _Few[ToolName] | None = Field(default=None, description="names of tools to attach")
    initial_message_sequence: _Few[MessageCreate] | None = None
    include_base_tools: bool | None = None
    include_multi_agent_tools: bool | None = None
    include_base_tool_rules: bool | None = None
    include_default_source: bool | None = None
    embedding_chunk_size: int | None = Field(default=None, ge=1, le=INT4)
    max_reasoning_tokens: Count | None = None
    enable_reasoner: bool | None = None
    from_template: str | None = Field(default=None, max_length=500, description="refused with 400")
    template: bool | None = Field(default=None, description="true is refused with 400")
    project: str | None = Field(default=None, max_length=500)
    memory_variables: Secrets | None = None
    actor_id: str | None = Field(default=None, max_length=200)


class UpdateAgent(AgentSettings):
    """Only what is there and not null is applied; lists replace the whole set."""

    message_ids: Annotated[list[MessageId], Field(max_length=100_000)] | None = None
    last_run_completion: datetime | None = None
    last_run_duration_ms: Count | None = None
    last_stop_reason: StopReason | None = None


class RelationsQuery(BaseModel):
    """Which relationships an answer carries; absent: none for SDKs of 1.x, all for everybody else."""

    include: list[Include] | None = Field(default=None, description="repeat the key")
    include_relationships: Names | None = Field(default=None, description="the legacy form of `include`")

    def relations(self, headers: Headers) -> Relations:
        return asked_relations(self.include, self.include_relationships, is_legacy(headers))


class AgentCountQuery(BaseModel):
    name: Name | None = Field(default=None, description="exact")
    tags: Names | None = Field(default=None, description="any of these; repeat the key")
    match_all_tags: bool = Field(default=False, description="all of the tags instead of any")
    query_text: Name | None = Field(default=None, description=f"substring of the name, case ignored; {LOOKS}")
    project_id: Name | None = None
    template_id: Name | None = None
    base_template_id: Name | None = None
    identity_id: IdentityId | None = None
    identifier_keys: Names | None = None
    last_stop_reason: StopReason | None = None
    created_by_id: Name | None = None
    show_hidden_agents: bool = False

    def agent_query(self) -> AgentQuery:
        return AgentQuery(**self.model_dump(), show_hidden=self.show_hidden_agents)


class AgentListQuery(PageQuery, RelationsQuery, AgentCountQuery):
    order_by: Literal["created_at", "updated_at", "last_run_completion"] = "created_at"
    ascending: bool = Field(default=False, description="old; `order` is what counts")
    sort_by: Name = Field(default="created_at", description="old; `order_by` is what counts")


class IdentityAgentsQuery(PageQuery, RelationsQuery):
    order_by: Literal["created_at"] = "created_at"


class BlockAgentsQuery(PageQuery, RelationsQuery):
    order_by: Literal["created_at"] = "created_at"

    def relations(self, headers: Headers) -> Relations:
        """As everywhere, but tools have to be asked for (V1's way)."""
        asked = is_legacy(headers)
        return asked_relations(self.include, self.include_relationships, asked, ALL - {"tools"})


_KEPT = sorted(set(UpdateAgent.model_fields) & set(AgentFields.model_fields) - {"last_run_completion"})
_ONLY_NEW = (
    "agent_type",
    "tools",
    "include_base_tools",
    "include_multi_agent_tools",
    "include_base_tool_rules",
    "embedding_chunk_size",
    "max_reasoning_tokens",
    "enable_reasoner",
    "include_default_source",
    "project",
    "memory_variables",
    "actor_id",
)


def new_agent(body: CreateAgentRequest) -> NewAgent:
    for name in ("from_template", "template"):
        if getattr(body, name):
            raise Invalid(name, "templates are not served here; say what the agent is to have instead")
    given = _given(body, [*_KEPT, *_ONLY_NEW])
    given["memory_blocks"] = [fields_of(block) for block in body.memory_blocks or ()]
    if body.initial_message_sequence is not None:
        given["initial_message_sequence"] = [new_message(one) for one in body.initial_message_sequence]
    return NewAgent(**given)


def agent_fields(body: UpdateAgent) -> AgentFields:
    given = _given(body, _KEPT)
    if (at := body.last_run_completion) is not None:
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        given["last_run_completion"] = (at - _EPOCH) // timedelta(microseconds=1)
    return AgentFields(**given)


def _given(body: AgentSettings, names: Sequence[str]) -> dict[str, Any]:
    """The fields of a body that are there, under the names that records give them."""
    if (body.max_files_open or 0) > MOST_FILES_OPEN:
        raise Invalid("max_files_open", f"must not be more than {MOST_FILES_OPEN}")
    given = {name: _plain(value) for name in names if (value := getattr(body, name, None)) is not None}
    if body.folder_ids is not None:
        given["source_ids"] = list(dict.fromkeys([*given.get("source_ids", ()), *body.folder_ids]))
    if body.tool_exec_environment_variables is not None:
        given["secrets"] = body.tool_exec_environment_variables | given.get("secrets", {})
    return given


def _plain(value: Any) -> Any:
    if isinstance(value, ModelSettings):
        return value.model_dump(exclude_unset=True)
    if isinstance(value, BaseModel):
        return value.model_dump()
    return [_plain(one) for one in value] if isinstance(value, list) else value
