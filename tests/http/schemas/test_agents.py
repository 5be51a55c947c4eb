"""Agents on the wire: bodies, relationships, and V1's fields in the answer."""

from typing import Any

import pytest
from pydantic import ValidationError

from service.catalog import Catalog
from service.errors import Invalid
from service.http.calls import parse_body, parse_query
from service.http.errors import Malformed
from service.http.schemas.agent_state import ALL, agent_state, asked_relations
from service.http.schemas.agents import (
    AgentListQuery,
    BlockAgentsQuery,
    CreateAgentRequest,
    RelationsQuery,
    UpdateAgent,
    agent_fields,
    new_agent,
)
from service.records.agents import Agent, AgentFields, AgentQuery, NewAgent
from service.records.blocks import Block, BlockFields
from service.records.messages import NewMessage
from service.settings import Settings
from service.tools.built_in import by_name

V1_FIELDS = (
    "created_by_id last_updated_by_id created_at updated_at id name tool_rules message_ids system "
    "agent_type llm_config embedding_config model embedding model_settings compaction_settings "
    "response_format description metadata memory blocks tools sources tags "
    "tool_exec_environment_variables secrets project_id template_id base_template_id deployment_id "
    "entity_id identity_ids identities pending_approval message_buffer_autoclear enable_sleeptime "
    "multi_agent_group managed_group last_run_completion last_run_duration_ms last_stop_reason timezone "
    "max_files_open per_file_view_window_char_limit hidden"
).split()
LLM_FIELDS = (
    "model display_name model_endpoint_type model_endpoint provider_name provider_category model_wrapper "
    "context_window put_inner_thoughts_in_kwargs handle temperature max_tokens enable_reasoner "
    "reasoning_effort max_reasoning_tokens effort frequency_penalty compatibility_type verbosity tier "
    "parallel_tool_calls response_format strict return_logprobs top_logprobs return_token_ids "
    "tool_call_parser"
).split()
EMBEDDING_FIELDS = (
    "embedding_endpoint_type embedding_endpoint embedding_model embedding_dim embedding_chunk_size handle "
    "batch_size azure_endpoint azure_version azure_deployment"
).split()
AGENT_ID = "agent-123e4567-e89b-42d3-8456-426614174000"
BLOCK_ID = "block-123e4567-e89b-42d3-8456-426614174000"
SOURCE_IDS = [f"source-123e4567-e89b-42d3-8456-42661417400{n}" for n in range(2)]
CATALOG = Catalog(Settings())
AGENT = Agent(
    id=AGENT_ID,
    name="ann",
    system="You are",
    model="anthropic/claude-3-5-sonnet",
    llm_config=CATALOG.llm_config(CATALOG.resolve("anthropic/claude-3-5-sonnet")),
    embedding_config=CATALOG.embedding_config(CATALOG.embeddings()[0]),
    tags=["a"],
    tools=["memory_insert", "one_that_was_removed"],
    secrets={"KEY": "v"},
    identity_ids=["identity-1"],
    pool="gpu",
    created_at=1_769_839_410_000_001,
    updated_at=1_769_839_410_000_002,
    last_run_completion=1_769_839_410_000_003,
)
BLOCK = Block(id=BLOCK_ID, label="notes", value="x", version=3, chars=1, created_at=1, updated_at=1)


OURS = {
    "budget",
    "paused_at",
    "pool",
    "source_ids",
    "include_default_source",
    "project",
    "memory_variables",
    "actor_id",
}


def test_an_answer_has_every_field_of_v1_the_pool_and_what_was_only_kept() -> None:
    shown = agent_state(AGENT, [BLOCK]).model_dump()
    assert set(shown) == {*V1_FIELDS, *OURS}
    assert set(shown["llm_config"]) == set(LLM_FIELDS)
    assert set(shown["embedding_config"]) == set(EMBEDDING_FIELDS)
    assert set(shown["memory"]) == {"agent_type", "git_enabled", "blocks", "file_blocks", "prompt_template"}
    assert (shown["model"], shown["pool"]) == ("anthropic/claude-3-5-sonnet", "gpu")
    assert shown["created_at"] == "2026-01-31T06:03:30.000001Z"
    assert shown["last_run_completion"] == "2026-01-31T06:03:30.000003Z"
    assert shown["pending_approval"] is shown["multi_agent_group"] is shown["managed_group"] is None


def test_an_agent_that_never_ran_and_has_no_embedding_has_nulls_there() -> None:
    fresh = AGENT.model_copy(update={"last_run_completion": None, "embedding_config": None})
    shown = agent_state(fresh, []).model_dump()
    assert shown["last_run_completion"] is shown["embedding_config"] is None


def test_relationships_are_filled_when_asked_for() -> None:
    shown = agent_state(AGENT, [BLOCK], tools=[by_name("memory_insert").tool]).model_dump()
    assert [block["id"] for block in shown["blocks"]] == [BLOCK_ID]
    assert shown["memory"]["blocks"] == shown["blocks"]
    assert [tool["name"] for tool in shown["tools"]] == ["memory_insert"]
    assert (shown["tags"], shown["identity_ids"]) == (["a"], ["identity-1"])
    (secret,) = shown["secrets"]
    assert (secret["key"], secret["value"], secret["agent_id"]) == ("KEY", "v", AGENT_ID)
    assert shown["tool_exec_environment_variables"] == shown["secrets"]
    again = agent_state(AGENT, []).model_dump()
    assert again["secrets"][0]["id"] == secret["id"]


def test_relationships_that_were_not_asked_for_are_empty_lists() -> None:
    shown = agent_state(AGENT, [BLOCK], frozenset()).model_dump()
    for name in ("tools", "blocks", "tags", "sources", "identities", "secrets", "identity_ids"):
        assert shown[name] == []
    assert shown["memory"]["blocks"] == []
    assert shown["system"] == "You are"


@pytest.mark.parametrize(
    ("include", "relationships", "legacy", "expected"),
    [
        (None, None, False, set()),
        (["agent.blocks", "agent.tags"], None, False, {"blocks", "tags"}),
        (None, None, True, ALL),
        (None, ["memory", "identity_ids", "unheard_of"], True, {"blocks", "identities"}),
        (["agent.tools"], [], True, {"tools"}),
        (None, ["tool_exec_environment_variables"], False, {"secrets"}),
    ],
)
def test_what_is_filled_follows_v1(
    include: list[str] | None, relationships: list[str] | None, legacy: bool, expected: set[str]
) -> None:
    assert asked_relations(include, relationships, legacy) == expected


def test_the_agents_of_a_block_come_without_tools_unless_asked() -> None:
    curl = {b"user-agent": b"curl/8"}
    assert BlockAgentsQuery().relations(curl) == ALL - {"tools"}
    assert BlockAgentsQuery(include=["agent.tools"]).relations(curl) == ALL
    assert BlockAgentsQuery().relations({}) == frozenset()
    assert RelationsQuery().relations(curl) == ALL


def test_an_unknown_relationship_is_malformed() -> None:
    with pytest.raises(Malformed, match=r"query\.include\.0"):
        parse_query(RelationsQuery, b"include=agent.wings")


def test_the_seed_sample_becomes_a_new_agent() -> None:
    body = parse_body(
        CreateAgentRequest,
        b'{"model":"anthropic/claude-3-5-sonnet-20241022","embedding":"openai/text-embedding-3-small",'
        b'"memory_blocks":[{"label":"persona","value":"I am a supervisor"}],"block_ids":["%s"]}'
        % BLOCK_ID.encode(),
    )
    assert new_agent(body) == NewAgent(
        model="anthropic/claude-3-5-sonnet-20241022",
        embedding="openai/text-embedding-3-small",
        memory_blocks=[BlockFields(label="persona", value="I am a supervisor")],
        block_ids=[BLOCK_ID],
    )


def test_every_setting_of_a_new_agent_reaches_the_room() -> None:
    body = CreateAgentRequest.model_validate(
        {
            "agent_type": "memgpt_agent",
            "tools": ["send_message"],
            "include_base_tools": False,
            "include_multi_agent_tools": True,
            "include_base_tool_rules": False,
            "embedding_chunk_size": 100,
            "enable_reasoner": False,
            "max_reasoning_tokens": 7,
            "initial_message_sequence": [{"role": "user", "content": "hi", "otid": "o"}],
            "tool_rules": [{"type": "constrain_child_tools", "tool_name": "a", "children": ["b"]}],
            "source_ids": SOURCE_IDS[:1],
            "folder_ids": SOURCE_IDS[1:],
            "tool_exec_environment_variables": {"K": "v"},
            "model_settings": {"provider_type": "openai", "temperature": 0.5, "odd": 1},
            "compaction_settings": {"mode": "all"},
            "llm_config": {"model": "m", "model_endpoint_type": "openai", "context_window": 8000},
            "metadata": {"k": None},
            "pool": "gpu",
        }
    )
    made = new_agent(body)
    assert (made.agent_type, made.tools, made.include_base_tools) == ("memgpt_agent", ["send_message"], False)
    assert (made.include_multi_agent_tools, made.include_base_tool_rules) == (True, False)
    assert (made.embedding_chunk_size, made.enable_reasoner, made.max_reasoning_tokens) == (100, False, 7)
    assert made.initial_message_sequence == [NewMessage(role="user", content="hi", otid="o")]
    assert made.tool_rules is not None
    assert made.tool_rules[0]["children"] == ["b"]
    assert made.source_ids == SOURCE_IDS
    assert made.secrets == {"K": "v"}
    assert made.model_settings == {"provider_type": "openai", "temperature": 0.5, "odd": 1}
    assert made.compaction_settings is not None
    assert made.compaction_settings["clip_chars"] == 50_000
    assert made.llm_config is not None
    assert set(made.llm_config) == set(LLM_FIELDS)
    assert (made.metadata, made.pool) == ({"k": None}, "gpu")


def test_an_update_names_only_what_it_changes() -> None:
    assert agent_fields(UpdateAgent.model_validate({"name": None, "tags": []})) == AgentFields(tags=[])
    body = UpdateAgent.model_validate(
        {"last_run_completion": "2026-01-31T06:03:30.000003Z", "last_stop_reason": "end_turn", "secrets": {}}
    )
    assert agent_fields(body) == AgentFields(
        last_run_completion=1_769_839_410_000_003, last_stop_reason="end_turn", secrets={}
    )
    naive = UpdateAgent.model_validate({"last_run_completion": "2026-01-31T06:03:30"})
    assert agent_fields(naive).last_run_completion == 1_769_839_410_000_000


@pytest.mark.parametrize("name", ["Zoë O'Neil-2", "支持_agent", "हिन्दी"])
def test_a_name_takes_letters_of_any_script(name: str) -> None:
    assert UpdateAgent(name=name).name == name


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "a/b"),
        ("name", ""),
        ("block_ids", ["block-1"]),
        ("tool_ids", ["x"]),
        ("folder_ids", ["folder-123e4567-e89b-42d3-8456-426614174000"]),
        ("agent_type", "robot"),
        ("tool_rules", [{"type": "unheard_of", "tool_name": "a"}]),
        ("tool_rules", [{"type": "max_count_per_step", "tool_name": "a"}]),
        ("tool_rules", [{"type": "conditional", "tool_name": "a", "child_output_mapping": {}}]),
        ("secrets", {"K": 7}),
        ("context_window_limit", 0),
        ("model_settings", {"temperature": 1}),
        ("llm_config", {"model": "m"}),
        ("initial_message_sequence", [{"role": "tool", "content": "x"}]),
        ("pool", "Big Pool"),
        ("memory_blocks", [{"value": "x"}]),
    ],
)
def test_what_cannot_be_used_is_named(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        CreateAgentRequest.model_validate({field: value})
    assert {error["loc"][0] for error in caught.value.errors()} == {field}


def test_too_many_open_files_is_v1s_400() -> None:
    with pytest.raises(Invalid, match="max_files_open"):
        new_agent(CreateAgentRequest(max_files_open=1001))


def test_the_filters_of_a_list_become_its_query() -> None:
    query = parse_query(
        AgentListQuery,
        b"name=a&tags=x&tags=y&match_all_tags=1&query_text=b&order_by=updated_at&show_hidden_agents=true"
        b"&last_stop_reason=end_turn&ascending=true&sort_by=name&order=asc",
    )
    assert query.agent_query() == AgentQuery(
        name="a",
        tags=["x", "y"],
        match_all_tags=True,
        query_text="b",
        order_by="updated_at",
        show_hidden=True,
        last_stop_reason="end_turn",
    )
    assert not query.page().descending
    assert AgentListQuery().page().descending
