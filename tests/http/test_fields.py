"""Fields: all that V1 clients may say of a block or an agent is acted on, given back, or refused by name."""

from typing import Any

import httpx
import pytest

from service.http.schemas.agents import CreateAgentRequest, UpdateAgent
from service.http.schemas.blocks import BlockUpdate, CreateBlock
from service.tools.built_in import by_name
from tests.http.conftest import Make

BLOCK: dict[str, Any] = {
    "value": "text",
    "limit": 500,
    "project_id": "project-1",
    "template_name": "form",
    "is_template": True,
    "template_id": "template-1",
    "base_template_id": "base-1",
    "deployment_id": "deployment-1",
    "entity_id": "entity-1",
    "preserve_on_migration": True,
    "label": "every field",
    "read_only": True,
    "description": "about",
    "metadata": {"a": [1, {"b": None}]},
    "hidden": True,
    "tags": ["one", "two"],
}
"""Each field of V1's CreateBlock, which are those of its BlockUpdate, away from its default."""

OTHER_BLOCK: dict[str, Any] = {
    **{name: f"{value}-2" for name, value in BLOCK.items() if isinstance(value, str)},
    **{name: False for name in ("is_template", "preserve_on_migration", "read_only", "hidden")},
    "limit": 700,
    "metadata": {},
    "tags": [],
}

TOOL = by_name("memory_insert").tool
RULE = {"type": "exit_loop", "tool_name": "memory_insert"}
SOURCES = [f"source-123e4567-e89b-42d3-8456-42661417400{number}" for number in range(2)]
LLM = {"model": "m", "model_endpoint_type": "openai", "context_window": 9000, "handle": "openai/gpt-4o-mini"}
EMBEDDING = {"embedding_endpoint_type": "openai", "embedding_model": "e", "embedding_dim": 3, "batch_size": 7}
COMPACTION = {
    "model": "openai/gpt-4o-mini",
    "model_settings": {"provider_type": "openai", "temperature": 0.5},
    "prompt": "Sum up.",
    "prompt_acknowledgement": True,
    "clip_chars": 100,
    "mode": "all",
    "sliding_window_percentage": 0.4,
}

KEPT: dict[str, Any] = {
    "name": "Ada",
    "system": "Be brief.",
    "tags": ["one", "two"],
    "description": "about",
    "metadata": {"a": {"b": [1]}},
    "model": "openai/gpt-4o-mini",
    "embedding": "openai/text-embedding-3-small",
    "project_id": "project-1",
    "template_id": "template-1",
    "base_template_id": "base-1",
    "message_buffer_autoclear": True,
    "enable_sleeptime": True,
    "timezone": "Europe/Zurich",
    "max_files_open": 7,
    "per_file_view_window_char_limit": 900,
    "hidden": True,
    "response_format": {"type": "json_object"},
    "tool_rules": [RULE],
    "pool": "big",
    "budget": {"tokens_per_hour": 1000, "steps_per_hour": None},
}
"""What an agent answers with under the name and in the form it was said in."""
ONLY_NEW: dict[str, Any] = {
    "agent_type": "letta_v1_agent",
    "include_default_source": True,
    "project": "old name",
    "memory_variables": {"who": "Ada"},
    "actor_id": "user-1",
}
SETTINGS: list[dict[str, Any]] = [
    {
        "provider_type": "openai",
        "reasoning": {"reasoning_effort": "low"},
        "response_format": {"type": "text"},
        "strict": True,
    },
    {"provider_type": "sglang", "tool_call_parser": "hermes", "reasoning": {"reasoning_effort": "high"}},
    {
        "provider_type": "anthropic",
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "verbosity": "low",
        "effort": "max",
    },
    {
        "provider_type": "google_ai",
        "thinking_config": {"include_thoughts": True, "thinking_budget": 10},
        "response_schema": {"type": "json_object"},
    },
    {"provider_type": "google_vertex", "thinking_config": {"include_thoughts": False, "thinking_budget": 1}},
    {"provider_type": "zai", "thinking": {"type": "enabled", "clear_thinking": True}},
    {"provider_type": "chatgpt_oauth", "reasoning": {"reasoning_effort": "medium"}},
    *(
        {"provider_type": name, "response_format": {"type": "text"}}
        for name in ("azure", "xai", "groq", "deepseek", "together", "bedrock", "baseten", "openrouter")
    ),
]
ELSEWHERE = {
    "model_settings",
    "compaction_settings",
    "llm_config",
    "embedding_config",
    "context_window_limit",
    "max_tokens",
    "max_reasoning_tokens",
    "enable_reasoner",
    "reasoning",
    "parallel_tool_calls",
    "embedding_chunk_size",
    "memory_blocks",
    "block_ids",
    "tools",
    "tool_ids",
    "include_base_tools",
    "include_multi_agent_tools",
    "include_base_tool_rules",
    "initial_message_sequence",
    "source_ids",
    "folder_ids",
    "identity_ids",
    "secrets",
    "tool_exec_environment_variables",
    "message_ids",
    "last_run_completion",
    "last_run_duration_ms",
    "last_stop_reason",
}
"""What ends in another field of the answer; a test of its own below."""
REFUSED = {"from_template", "template"}


def shown(answer: httpx.Response, fields: dict[str, Any]) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return {name: body[name] for name in fields}


def test_the_tables_here_name_every_field_that_is_taken() -> None:
    assert set(CreateBlock.model_fields) == set(BLOCK)
    assert set(BlockUpdate.model_fields) - {"expected_version"} == set(OTHER_BLOCK)
    assert set(CreateAgentRequest.model_fields) | set(UpdateAgent.model_fields) == (
        {*KEPT, *ONLY_NEW, *ELSEWHERE, *REFUSED}
    )


async def test_every_field_of_a_block_is_kept_and_given_back(client: httpx.AsyncClient) -> None:
    made = await client.post("/v1/blocks/", json=BLOCK)
    assert shown(made, BLOCK) == BLOCK
    path = f"/v1/blocks/{made.json()['id']}"
    assert shown(await client.get(path), BLOCK) == BLOCK
    assert shown(await client.patch(path, json=OTHER_BLOCK), OTHER_BLOCK) == OTHER_BLOCK
    assert shown(await client.get(path), OTHER_BLOCK) == OTHER_BLOCK
    body = {"model": "offline/extractive", "memory_blocks": [BLOCK]}
    agent = (await client.post("/v1/agents/", json=body)).json()
    assert shown(await client.get(f"/v1/blocks/{agent['blocks'][0]['id']}"), BLOCK) == BLOCK


async def test_every_plain_field_of_an_agent_is_kept_and_given_back(
    client: httpx.AsyncClient, make_agent: Make
) -> None:
    given = KEPT | ONLY_NEW | {"include_base_tool_rules": False}
    made = await client.post("/v1/agents/", json=given)
    assert shown(made, KEPT | ONLY_NEW) == KEPT | ONLY_NEW | {"tool_rules": made.json()["tool_rules"]}
    assert [rule["type"] for rule in made.json()["tool_rules"]] == ["exit_loop"]
    path = f"/v1/agents/{(await make_agent())['id']}"
    changed = shown(await client.patch(path, json=KEPT), KEPT)
    assert changed == KEPT | {"tool_rules": made.json()["tool_rules"]}
    assert shown(await client.get(path), KEPT) == changed


@pytest.mark.parametrize("said", SETTINGS, ids=lambda one: one["provider_type"])
async def test_model_settings_of_every_provider_are_kept_whole(
    client: httpx.AsyncClient, make_agent: Make, said: dict[str, Any]
) -> None:
    common = {"max_output_tokens": 77, "parallel_tool_calls": False, "temperature": 0.3}
    given = said | common
    made = await make_agent(model_settings=given)
    assert made["model_settings"] == given
    config = made["llm_config"]
    assert (config["max_tokens"], config["parallel_tool_calls"], config["temperature"]) == (77, False, 0.3)
    path = f"/v1/agents/{(await make_agent())['id']}"
    changed = await client.patch(path, json={"model_settings": given, "compaction_settings": COMPACTION})
    assert changed.json()["model_settings"] == given
    kept = changed.json()["compaction_settings"]
    assert {**kept, "model_settings": None} == COMPACTION | {"model_settings": None}
    assert kept["model_settings"].items() >= {"provider_type": "openai", "temperature": 0.5}.items()


async def test_what_is_said_of_the_model_in_older_words_ends_in_its_config(make_agent: Make) -> None:
    agent = await make_agent(
        model="openai/gpt-4o-mini",
        embedding="openai/text-embedding-3-small",
        embedding_chunk_size=7,
        context_window_limit=8000,
        max_tokens=70,
        max_reasoning_tokens=9,
        enable_reasoner=True,
        parallel_tool_calls=True,
    )
    expected = {
        "context_window": 8000,
        "max_tokens": 70,
        "max_reasoning_tokens": 9,
        "enable_reasoner": True,
        "parallel_tool_calls": True,
    }
    assert expected.items() <= agent["llm_config"].items()
    assert agent["embedding_config"]["embedding_chunk_size"] == 7
    assert (await make_agent(reasoning=True))["llm_config"]["enable_reasoner"] is True


async def test_whole_configurations_are_kept(client: httpx.AsyncClient) -> None:
    given = {"llm_config": LLM, "embedding_config": EMBEDDING}
    agent = (await client.post("/v1/agents/", json=given)).json()
    assert LLM.items() <= agent["llm_config"].items()
    assert EMBEDDING.items() <= agent["embedding_config"].items()


async def test_what_an_agent_is_made_with_is_there(make_agent: Make, make_block: Make) -> None:
    block = await make_block()
    secrets = {"KEY": "value"}
    agent = await make_agent(
        block_ids=[block["id"]],
        tools=["memory_replace"],
        tool_ids=[TOOL.id],
        include_base_tools=False,
        tool_rules=[RULE],
        include_base_tool_rules=True,
        initial_message_sequence=[{"role": "user", "content": "Hi."}],
        source_ids=SOURCES[:1],
        folder_ids=SOURCES,
        secrets=secrets,
        tool_exec_environment_variables={"OLD": "x"},
    )
    assert [one["id"] for one in agent["blocks"]] == [block["id"]]
    assert {one["name"] for one in agent["tools"]} == {"memory_replace", "memory_insert"}
    assert len(agent["tool_rules"]) > 1
    assert len(agent["message_ids"]) == 2
    assert agent["source_ids"] == SOURCES
    assert {one["key"]: one["value"] for one in agent["secrets"]} == secrets | {"OLD": "x"}
    with_messages = await make_agent(include_multi_agent_tools=True)
    assert len(with_messages["tools"]) > len((await make_agent())["tools"])


async def test_what_only_an_update_says_is_kept(client: httpx.AsyncClient, make_agent: Make) -> None:
    agent = await make_agent(initial_message_sequence=[{"role": "user", "content": "Hi."}])
    given = {
        "message_ids": agent["message_ids"][:1],
        "last_run_completion": "2026-01-31T06:03:30.000001Z",
        "last_run_duration_ms": 5,
        "last_stop_reason": "max_steps",
    }
    path = f"/v1/agents/{agent['id']}"
    assert shown(await client.patch(path, json=given), given) == given
    changed = await client.patch(path, json={"tool_ids": [TOOL.id], "source_ids": SOURCES, "secrets": {}})
    assert [tool["id"] for tool in changed.json()["tools"]] == [TOOL.id]
    assert (changed.json()["source_ids"], changed.json()["secrets"]) == (SOURCES, [])


@pytest.mark.parametrize(("field", "value"), [("from_template", "project/form:1"), ("template", True)])
async def test_templates_are_refused_by_name(client: httpx.AsyncClient, field: str, value: object) -> None:
    answer = await client.post("/v1/agents/", json={"model": "offline/extractive", field: value})
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(f"INVALID_ARGUMENT: {field}: ")
    for nothing in (None, "" if field == "from_template" else False):
        body = {"model": "offline/extractive", field: nothing}
        assert (await client.post("/v1/agents/", json=body)).status_code == 200


async def test_settings_of_a_model_have_a_bound(client: httpx.AsyncClient) -> None:
    body = {"model": "offline/extractive", "model_settings": {"provider_type": "x", "more": "x" * 100_001}}
    answer = await client.post("/v1/agents/", json=body)
    assert (answer.status_code, "model_settings" in answer.json()["detail"]) == (422, True)


async def test_an_edit_with_a_field_nobody_knows_is_422_by_either_route_and_not_applied(
    client: httpx.AsyncClient, make_agent: Make
) -> None:
    agent = await make_agent(memory_blocks=[{"label": "notes", "value": "x"}])
    block = f"/v1/blocks/{agent['blocks'][0]['id']}"
    body = {"operation": "append", "text": "y", "expected_versoin": 1}
    for path in (f"{block}/edits", f"/v1/agents/{agent['id']}/core-memory/blocks/notes/edits"):
        answer = await client.post(path, json=body)
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith("body.expected_versoin: ")
    assert (await client.get(block)).json()["value"] == "x"


async def test_unknown_query_parameters_are_ignored_and_known_lists_repeat_their_key(
    client: httpx.AsyncClient, make_block: Make
) -> None:
    one, other = await make_block(tags=["a"]), await make_block(tags=["b,c"])
    found = await client.get("/v1/blocks/?tags=a&tags=b,c&nonsense=1&tags[]=x")
    assert [block["id"] for block in found.json()] == [one["id"], other["id"]]
