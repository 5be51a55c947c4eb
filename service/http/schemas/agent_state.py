"""Agent state: V1's answer for an agent, and which of its relationships are filled.

An answer always has every field. Relationships that were not asked for are empty
lists, so a caller cannot tell an agent without blocks from one whose blocks it
did not ask for: V1's way, and what SDKs of 1.x get unless they say `include`.
"""

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, Field

from service.http.schemas.blocks import BlockResponse, block_response
from service.http.schemas.identities import IdentityResponse, identity_response
from service.http.schemas.models import EmbeddingConfig, LLMConfig
from service.http.schemas.tools import ToolResponse, tool_response
from service.http.schemas.transcript import ApprovalRequestMessage, approval_request
from service.records.agents import Agent
from service.records.base import iso
from service.records.blocks import Block
from service.records.budgets import Budget
from service.records.identities import Identity
from service.records.messages import Message
from service.records.runs import StopReason
from service.records.tools import Tool

Relations = frozenset[str]

ALL: Relations = frozenset(
    {"blocks", "identities", "managed_group", "pending_approval", "secrets", "sources", "tags", "tools"}
)
_LEGACY = {
    "tools": "tools",
    "sources": "sources",
    "memory": "blocks",
    "tags": "tags",
    "identity_ids": "identities",
    "multi_agent_group": "managed_group",
    "tool_exec_environment_variables": "secrets",
}


def asked_relations(
    include: Iterable[str] | None,
    include_relationships: Iterable[str] | None,
    legacy: bool,
    unasked: Relations = ALL,
) -> Relations:
    """What to fill. `unasked` is for a legacy caller that says nothing in the legacy form."""
    asked = {name.removeprefix("agent.") for name in include or ()}
    if include_relationships is not None:
        asked |= {_LEGACY[name] for name in include_relationships if name in _LEGACY}
    elif legacy:
        asked |= unasked
    return frozenset(asked)


class Memory(BaseModel):
    """An agent's blocks, in the older form."""

    agent_type: str | None = None
    git_enabled: bool = False
    blocks: list[BlockResponse]
    file_blocks: list[dict[str, Any]] = []
    prompt_template: str = ""


class AgentEnvironmentVariable(BaseModel):
    created_by_id: str | None = None
    last_updated_by_id: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    id: str
    key: str
    value: str
    description: str | None = None
    organization_id: str | None = None
    value_enc: str | None = None
    agent_id: str


RULE_DEFAULTS: dict[str, dict[str, Any]] = {
    "run_first": {"args": None},
    "constrain_child_tools": {"child_arg_nodes": None},
    "conditional": {"default_child": None, "require_output_mapping": False},
}


class AgentState(BaseModel):
    """An agent. `pool` and what follows it are Blockwire's, the rest is V1's."""

    created_by_id: str | None = None
    last_updated_by_id: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    id: str
    name: str
    tool_rules: list[dict[str, Any]] | None = None
    message_ids: list[str] | None = None
    system: str
    agent_type: str
    llm_config: LLMConfig
    embedding_config: EmbeddingConfig | None = None
    model: str | None = None
    embedding: str | None = None
    model_settings: dict[str, Any] | None = None
    compaction_settings: dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    description: str | None = None
    metadata: dict[str, Any] | None = None
    memory: Memory
    blocks: list[BlockResponse]
    tools: list[ToolResponse]
    sources: list[dict[str, Any]] = []
    tags: list[str]
    tool_exec_environment_variables: list[AgentEnvironmentVariable] = []
    secrets: list[AgentEnvironmentVariable] = []
    project_id: str | None = None
    template_id: str | None = None
    base_template_id: str | None = None
    deployment_id: str | None = None
    entity_id: str | None = None
    identity_ids: list[str] = []
    identities: list[IdentityResponse] = []
    pending_approval: ApprovalRequestMessage | None = None
    message_buffer_autoclear: bool = False
    enable_sleeptime: bool | None = None
    multi_agent_group: dict[str, Any] | None = None
    managed_group: dict[str, Any] | None = None
    last_run_completion: str | None = None
    last_run_duration_ms: int | None = None
    last_stop_reason: StopReason | None = None
    timezone: str | None = None
    max_files_open: int | None = None
    per_file_view_window_char_limit: int | None = None
    hidden: bool | None = None
    pool: str = Field(description="the worker pool that runs it")
    budget: Budget | None = Field(default=None, description="what it may use in any hour; null: no limits")
    paused_at: str | None = Field(default=None, description="since when it is paused; null: it is not")
    source_ids: list[str] = Field(default=[], description="as given; there are no sources here")
    include_default_source: bool | None = Field(default=None, description="as given; nothing acts on it")
    project: str | None = Field(default=None, description="as given; nothing acts on it")
    memory_variables: dict[str, str] | None = Field(default=None, description="as given; nothing acts on it")
    actor_id: str | None = Field(default=None, description="as given; nothing acts on it")


def agent_state(
    agent: Agent,
    blocks: Sequence[Block],
    relations: Relations = ALL,
    *,
    tools: Sequence[Tool] = (),
    identities: Sequence[Identity] = (),
    pending: Message | None = None,
) -> AgentState:
    """The answer for an agent; what `relations` does not have may be left out."""
    shown = [block_response(block) for block in blocks] if "blocks" in relations else []
    secrets = _variables(agent) if "secrets" in relations else []
    ended = agent.last_run_completion
    return AgentState(
        **{
            **vars(agent),
            "created_at": iso(agent.created_at),
            "updated_at": iso(agent.updated_at),
            "last_run_completion": None if ended is None else iso(ended),
            "paused_at": None if agent.paused_at is None else iso(agent.paused_at),
            "tool_rules": None
            if agent.tool_rules is None
            else [_whole_rule(rule) for rule in agent.tool_rules],
            "memory": Memory(agent_type=agent.agent_type, blocks=shown),
            "blocks": shown,
            "tools": [tool_response(tool) for tool in tools] if "tools" in relations else [],
            "tags": agent.tags if "tags" in relations else [],
            "tool_exec_environment_variables": secrets,
            "secrets": secrets,
            "pending_approval": None if pending is None else approval_request(pending),
            "identity_ids": agent.identity_ids if "identities" in relations else [],
            "identities": [identity_response(identity) for identity in identities],
        }
    )


def memory(agent: Agent, blocks: Sequence[Block]) -> Memory:
    return Memory(agent_type=agent.agent_type, blocks=[block_response(block) for block in blocks])


def _whole_rule(rule: dict[str, Any]) -> dict[str, Any]:
    """A tool rule with every field that its kind has."""
    return {"prompt_template": None, **RULE_DEFAULTS.get(rule.get("type", ""), {}), **rule}


def _variables(agent: Agent) -> list[AgentEnvironmentVariable]:
    return [
        AgentEnvironmentVariable(
            id=f"agent-env-{uuid.uuid5(uuid.NAMESPACE_URL, f'{agent.id}/{key}')}",
            key=key,
            value=value,
            agent_id=agent.id,
        )
        for key, value in agent.secrets.items()
    ]
