"""Agents: what a new one gets, what may be changed, how they are found."""

from typing import Any

import pytest

from service.agents import CONFIGURE_TRIES
from service.errors import BlockFull, BlockwireError, Invalid, NotFound, UnknownModel
from service.prompts import STOCK_DESCRIPTIONS
from service.records.agents import Agent, AgentFields, AgentQuery, NewAgent
from service.records.base import Page
from service.records.blocks import BlockFields, BlockQuery
from service.records.identities import IdentityFields
from service.records.messages import NewMessage
from service.settings import Settings
from service.store.agents import AgentStore
from service.tools.built_in import BUILT_IN, by_name
from tests.store.team import ALICE, WS, Team

pytestmark = pytest.mark.anyio


async def found(team: Team, page: Page | None = None, **query: Any) -> list[str]:
    agents = await team.service.agents.find(WS, AgentQuery(**query), page or Page())
    return [agent.name for agent in agents]


async def test_a_type_is_read_once_and_not_kept_for_one_that_is_not_there(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await team.service.agents.create(WS, NewAgent(model="offline/scripted"), ALICE)
    reads: list[str] = []
    as_it_is = AgentStore.type_of

    async def counted(store: AgentStore, ws: str, agent_id: str) -> str | None:
        reads.append(f"{ws} {agent_id}")
        return await as_it_is(store, ws, agent_id)

    monkeypatch.setattr(AgentStore, "type_of", counted)
    for _ in range(2):
        assert await team.service.agents.type_of(WS, agent.id) == agent.agent_type
        assert await team.service.agents.type_of("other", agent.id) is None
    assert reads == [f"{WS} {agent.id}", f"other {agent.id}", f"other {agent.id}"]


async def test_an_agent_answers_with_the_handle_it_was_made_with(team: Team) -> None:
    agent = await team.service.agents.create(WS, NewAgent(model="openai/gpt-4o-mini-2024-07-18"), ALICE)
    assert agent.model == "openai/gpt-4o-mini-2024-07-18"
    assert agent.llm_config["handle"] == "openai/gpt-4o-mini-2024-07-18"
    assert agent.llm_config["model"] == "gpt-4o-mini-2024-07-18"
    assert agent.llm_config["provider_name"] == "openai"
    assert agent.model_settings is not None
    assert agent.compaction_settings is not None
    assert await team.service.agents.read(WS, agent.id) == agent


async def test_a_new_agent_has_what_its_type_gives(team: Team) -> None:
    agent = await team.agent()
    assert (agent.agent_type, agent.timezone, agent.pool) == ("letta_v1_agent", "UTC", "default")
    assert agent.tools == ["conversation_search", "memory_insert", "memory_replace"]
    assert agent.tool_rules is None
    assert len(agent.name.split("-")) == 3
    assert agent.system
    assert (agent.tags, agent.secrets, agent.embedding, agent.hidden) == ([], {}, None, None)
    assert (agent.last_run_completion, agent.last_stop_reason) == (None, None)
    assert agent.created_at == agent.updated_at > 0


async def test_message_zero_is_the_compiled_prompt(team: Team) -> None:
    block = await team.block("the given text", label="given")
    agent = await team.agent(block, memory_blocks=[BlockFields(label="own", value="the own text")])
    (message,) = await team.service.messages.context(WS, agent.id)
    assert message.role == "system"
    assert isinstance(message.content, str)
    for part in ("the given text", "the own text", "<given>", "<own>"):
        assert part in message.content
    compiled = await team.service.agents.compiled_prompt(WS, agent.id)
    assert "the given text" in compiled
    assert "the own text" in compiled


async def test_the_prompt_shows_of_two_blocks_of_a_label_the_one_attached(team: Team) -> None:
    given = await team.block("first")
    agent = await team.agent(given, memory_blocks=[BlockFields(label="notes", value="second")])
    compiled = await team.service.agents.compiled_prompt(WS, agent.id)
    (message,) = await team.service.messages.context(WS, agent.id)
    for prompt in (compiled, message.content):
        assert "first" in prompt
        assert "second" not in prompt


async def test_first_messages_may_be_given(team: Team) -> None:
    first = [
        NewMessage(role="user", content="Hi."),
        NewMessage(role="assistant", content="Hello.", otid="o1"),
    ]
    agent = await team.agent(initial_message_sequence=first, agent_type="memgpt_agent")
    messages = await team.service.messages.context(WS, agent.id)
    assert [(m.role, m.otid) for m in messages] == [("system", None), ("user", None), ("assistant", "o1")]
    assert [m.content for m in messages[1:]] == ["Hi.", "Hello."]
    assert len((await team.agent(initial_message_sequence=[])).message_ids) == 1


async def test_human_and_persona_get_a_stock_description_unless_they_have_one(team: Team) -> None:
    agent = await team.agent(
        memory_blocks=[
            BlockFields(label="human", value=""),
            BlockFields(label="persona", description="mine"),
            BlockFields(label="other"),
        ]
    )
    blocks = {block.label: block for block in await team.service.blocks.of_agent(WS, agent.id)}
    assert blocks["human"].description == STOCK_DESCRIPTIONS["human"]
    assert blocks["persona"].description == "mine"
    assert blocks["other"].description is None


async def test_tools_come_by_default_by_name_and_by_id_each_once(team: Team) -> None:
    given = by_name("core_memory_append").tool
    agent = await team.agent(tools=["memory_insert", "memory_rethink"], tool_ids=[given.id])
    assert agent.tools == [
        "conversation_search",
        "memory_insert",
        "memory_replace",
        "memory_rethink",
        "core_memory_append",
    ]
    bare = await team.agent(include_base_tools=False, include_multi_agent_tools=True)
    assert bare.tools
    assert all(BUILT_IN[name].tool.tool_type == "letta_multi_agent_core" for name in bare.tools)
    after = await team.update(agent, tool_ids=[given.id, given.id])
    assert after.tools == ["core_memory_append"]


async def test_tool_rules_of_its_own_bring_the_base_rules_along(team: Team) -> None:
    own = {"type": "exit_loop", "tool_name": "memory_insert"}
    agent = await team.agent(tool_rules=[own])
    assert agent.tool_rules is not None
    assert own in agent.tool_rules
    assert len(agent.tool_rules) > 1
    assert (await team.agent(tool_rules=[own], include_base_tool_rules=False)).tool_rules == [own]


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"model": "openai/no-such-model"}, UnknownModel),
        ({"model": "no-handle"}, Invalid),
        ({}, Invalid),
        ({"model": "offline/extractive", "embedding": "openai/no-such"}, UnknownModel),
        ({"model": "offline/extractive", "agent_type": "split_thread_agent"}, Invalid),
        ({"model": "offline/extractive", "name": "no/slash"}, Invalid),
        ({"model": "offline/extractive", "pool": "No Pool"}, Invalid),
        ({"model": "offline/extractive", "pool": "pool\n"}, Invalid),
        ({"model": "offline/extractive", "tools": ["no_tool"]}, Invalid),
        ({"model": "offline/extractive", "tool_ids": ["tool-x"]}, NotFound),
        ({"model": "offline/extractive", "block_ids": ["block-x"]}, NotFound),
        ({"model": "offline/extractive", "memory_blocks": [BlockFields(value="x")]}, Invalid),
        (
            {"model": "offline/extractive", "memory_blocks": [BlockFields(label="a", value="xx", limit=1)]},
            BlockFull,
        ),
        ({"llm_config": {"handle": "openai/gpt-4o"}}, Invalid),
    ],
)
async def test_an_agent_that_cannot_be_leaves_nothing(
    team: Team, asked: dict[str, Any], error: type[BlockwireError]
) -> None:
    before = await team.everything()
    with pytest.raises(error):
        await team.service.agents.create(WS, NewAgent(**asked), ALICE)
    assert await team.everything() == before


class TestWithDefaults:
    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(default_model="offline/extractive", default_embedding="openai/text-embedding-3-small")

    async def test_model_and_embedding_may_come_from_the_settings(self, team: Team) -> None:
        agent = await team.service.agents.create(WS, NewAgent(), ALICE)
        assert agent.model == "offline/extractive"
        assert agent.embedding == "openai/text-embedding-3-small"
        assert agent.embedding_config is not None
        after = await team.update(agent, description="x")
        assert (after.model, after.embedding_config) == (agent.model, agent.embedding_config)


async def test_a_given_llm_config_is_kept_and_names_the_handle(team: Team) -> None:
    config = {"model": "m", "model_endpoint_type": "openai", "context_window": 8000}
    agent = await team.service.agents.create(WS, NewAgent(llm_config=config), ALICE)
    assert (agent.llm_config, agent.model) == (config, "openai/m")
    named = config | {"handle": "openai/x", "provider_name": "own"}
    assert (await team.update(agent, llm_config=named)).model == "openai/x"
    mixed = await team.service.agents.create(WS, NewAgent(model="openai/gpt-4o", llm_config=config), ALICE)
    assert (mixed.model, mixed.llm_config) == ("openai/gpt-4o", config)


async def test_an_embedding_comes_by_handle_or_whole(team: Team) -> None:
    by_handle = await team.agent(embedding="openai/text-embedding-3-small", embedding_chunk_size=7)
    assert by_handle.embedding_config is not None
    assert by_handle.embedding_config["embedding_chunk_size"] == 7
    whole = {"handle": "own/e", "embedding_dim": 3}
    agent = await team.agent(embedding_config=whole)
    assert (agent.embedding, agent.embedding_config) == ("own/e", whole)


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({"context_window_limit": 9000}, {"context_window": 9000}),
        ({"max_tokens": 77}, {"max_tokens": 77}),
        ({"model_settings": {"max_output_tokens": 66}}, {"max_tokens": 66}),
        ({"model_settings": {"temperature": 0.1}}, {"temperature": 0.1}),
        ({"parallel_tool_calls": True}, {"parallel_tool_calls": True}),
        ({"model_settings": {"parallel_tool_calls": True}}, {"parallel_tool_calls": True}),
        ({"response_format": {"type": "text"}}, {"response_format": {"type": "text"}}),
        ({"reasoning": True}, {"enable_reasoner": True}),
        (
            {"model_settings": {"thinking": {"type": "enabled", "budget_tokens": 2000}}},
            {"enable_reasoner": True, "max_reasoning_tokens": 2000},
        ),
    ],
)
async def test_what_is_said_of_the_model_ends_in_its_config(
    team: Team, asked: dict[str, Any], kept: dict[str, Any]
) -> None:
    made = await team.agent(**asked)
    plain = await team.agent()
    assert made.llm_config == plain.llm_config | kept
    changed = await team.update(plain, **asked)
    assert changed.llm_config == made.llm_config


async def test_only_a_new_agent_takes_the_old_words_for_reasoning(team: Team) -> None:
    agent = await team.agent(enable_reasoner=True, max_reasoning_tokens=5)
    assert (agent.llm_config["enable_reasoner"], agent.llm_config["max_reasoning_tokens"]) == (True, 5)


async def test_a_new_model_brings_its_config_and_keeps_what_else_was_set(team: Team) -> None:
    agent = await team.agent(description="about", compaction_settings={"mode": "all"})
    after = await team.update(agent, model="openai/gpt-4o")
    assert (after.model, after.llm_config["model"]) == ("openai/gpt-4o", "gpt-4o")
    assert (after.description, after.compaction_settings) == ("about", {"mode": "all"})
    with pytest.raises(UnknownModel):
        await team.update(agent, model="openai/nothing")


async def test_what_is_given_is_changed_and_the_rest_stays(team: Team) -> None:
    agent = await team.agent(name="Ada", tags=["a"], secrets={"K": "v"}, metadata={"x": 1})
    given: dict[str, Any] = {
        "name": "Bob",
        "system": "Be brief.",
        "tags": ["b", "b"],
        "metadata": {"y": None},
        "timezone": "Europe/Zurich",
        "hidden": True,
        "message_buffer_autoclear": True,
        "tool_rules": [],
        "pool": "big",
    }
    after = await team.update(agent, **given)
    assert {name: getattr(after, name) for name in given} == given | {"tags": ["b"]}
    assert (after.secrets, after.created_at, after.model) == ({"K": "v"}, agent.created_at, agent.model)
    assert after.updated_at > agent.updated_at
    assert await team.service.agents.read(WS, agent.id) == after
    with pytest.raises(Invalid, match="name"):
        await team.update(agent, name="")


async def test_two_who_change_an_agent_at_once_both_succeed(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await team.agent(name="Ada")
    read = AgentStore.read_with_rev
    intruders = ["x"]

    async def read_and_be_overtaken(self: AgentStore, ws: str, agent_id: str) -> tuple[Agent, str]:
        found = await read(self, ws, agent_id)
        if intruders:
            await team.update(agent, description=intruders.pop())
        return found

    monkeypatch.setattr(AgentStore, "read_with_rev", read_and_be_overtaken)
    after = await team.update(agent, name="Bob")
    assert (after.name, after.description) == ("Bob", "x")


async def test_who_is_overtaken_all_the_time_gives_up(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = await team.agent()
    tries: list[int] = []

    async def overtaken(*args: object) -> bool:
        tries.append(1)
        return False

    monkeypatch.setattr(AgentStore, "update", overtaken)
    with pytest.raises(BlockwireError, match="try again"):
        await team.service.agents.configure(WS, agent.id, AgentFields(name="Bob"), ALICE)
    assert len(tries) == CONFIGURE_TRIES


async def test_those_that_exist_are_read_in_order(team: Team) -> None:
    first, second = await team.agent(), await team.agent()
    agents = team.service.agents
    assert await agents.read_many(WS, [second.id, "agent-x", first.id]) == [second, first]
    assert await agents.read_many(WS, []) == []
    with pytest.raises(NotFound):
        await agents.read(WS, "agent-x")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({}, ["Ada", "Bob"]),
        ({"show_hidden": True}, ["Ada", "Bob", "Eve", "Sub"]),
        ({"name": "Ada"}, ["Ada"]),
        ({"name": "ada"}, []),
        ({"query_text": "AD"}, ["Ada"]),
        ({"tags": ["x"]}, ["Ada", "Bob"]),
        ({"tags": ["x", "y"]}, ["Ada", "Bob"]),
        ({"tags": ["x", "y"], "match_all_tags": True}, ["Ada"]),
        ({"tags": ["y"], "name": "Ada"}, ["Ada"]),
        ({"tags": ["y"], "name": "Bob"}, []),
        ({"project_id": "p"}, ["Bob"]),
        ({"template_id": "t"}, ["Bob"]),
        ({"base_template_id": "bt"}, ["Bob"]),
        ({"identity_id": "i"}, []),
        ({"identifier_keys": ["k"]}, ["Ada"]),
        ({"identifier_keys": ["k", "l"], "tags": ["y"]}, ["Ada"]),
        ({"identifier_keys": ["l"]}, []),
        ({"created_by_id": "user-1"}, []),
        ({"last_stop_reason": "error"}, ["Bob"]),
    ],
)
async def test_agents_are_found_by_what_is_asked(team: Team, query: dict[str, Any], names: list[str]) -> None:
    who = IdentityFields(identifier_key="k", name="n", identity_type="user")
    identity = await team.service.identities.create(WS, who)
    await team.agent(name="Ada", tags=["x", "y"], identity_ids=[identity.id])
    bob = await team.agent(name="Bob", tags=["x"], project_id="p", template_id="t", base_template_id="bt")
    await team.update(bob, last_stop_reason="error")
    await team.agent(name="Eve", hidden=True)
    await team.agent(name="Sub", tags=["role:subagent"])
    assert await found(team, **query) == names
    assert await team.service.agents.count(WS, AgentQuery(**query)) == len(names)


async def test_agents_come_in_pages_by_creation(team: Team) -> None:
    made = [await team.agent(name=f"n{number}") for number in range(5)]
    assert await found(team, Page(limit=2, after=made[1].id)) == ["n2", "n3"]
    assert await found(team, Page(limit=2, after=made[1].id, descending=True)) == ["n0"]
    assert await found(team, Page(limit=2, before=made[3].id)) == ["n1", "n2"]


async def test_agents_can_be_sorted_by_when_they_last_ran(team: Team) -> None:
    made = [await team.agent(name=f"n{number}") for number in range(4)]
    for agent, at in zip(made, (30, 10, 20), strict=False):
        await team.update(agent, last_run_completion=at)
    order: dict[str, Any] = {"order_by": "last_run_completion"}
    assert await found(team, **order) == ["n3", "n1", "n2", "n0"]
    assert await found(team, Page(descending=True), **order) == ["n0", "n2", "n1", "n3"]
    assert await found(team, Page(limit=2, after=made[3].id), **order) == ["n1", "n2"]
    assert await found(team, Page(limit=2, before=made[0].id), **order) == ["n1", "n2"]
    assert await found(team, Page(limit=None, after=made[1].id), **order) == ["n2", "n0"]
    assert await found(team, Page(limit=1, after="agent-x"), **order) == ["n3"]
    assert await team.service.agents.count(WS, AgentQuery(order_by="last_run_completion")) == 4


async def test_a_workspace_with_an_agent_is_on_the_sweepers_list(team: Team) -> None:
    await team.service.agents.create("other", NewAgent(model="offline/extractive"), ALICE)
    assert await team.service.workspaces.all() == ["default", "other"]


async def test_a_new_block_whose_label_is_taken_is_not_created_at_all(team: Team) -> None:
    """V1 attaches the first of a label without an error; no block may be left that nobody has."""
    given = await team.block("first", label="notes")
    twice = [BlockFields(label="notes", value="second"), BlockFields(label="own", value="a")]
    agent = await team.agent(given, memory_blocks=[*twice, BlockFields(label="own", value="b")])
    blocks = await team.service.blocks.of_agent(WS, agent.id)
    assert [(block.label, block.value) for block in blocks] == [("notes", "first"), ("own", "a")]
    assert await team.service.blocks.count(WS, BlockQuery()) == 2
