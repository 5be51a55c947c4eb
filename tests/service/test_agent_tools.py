"""Agents hold tools: by id where they are people's own, so that renaming and deleting are right."""

from typing import Any

import pytest

from service.errors import Invalid, NotFound
from service.records.agents import Agent
from service.records.tools import Tool, ToolFields
from service.tools.built_in import by_name
from tests.store.team import ALICE, WS, Team

pytestmark = pytest.mark.anyio


async def own(team: Team, name: str = "roll", **fields: Any) -> Tool:
    return await team.service.tools.create(WS, ToolFields(json_schema={"name": name}, **fields), ALICE)


async def names(team: Team, agent: Agent) -> list[str]:
    agent = await team.service.agents.read(WS, agent.id)
    return [tool.name for tool in await team.service.agent_tools.of(WS, agent)]


async def bare(team: Team, **fields: Any) -> Agent:
    return await team.agent(include_base_tools=False, include_base_tool_rules=False, **fields)


async def test_an_agent_is_created_with_own_tools_by_name_and_by_id(team: Team) -> None:
    one, two = await own(team, "one"), await own(team, "two")
    agent = await bare(team, tools=["one", "memory"], tool_ids=[two.id, by_name("memory").tool.id])
    assert agent.tools == [one.id, "memory", two.id]
    assert await names(team, agent) == ["one", "memory", "two"]
    with pytest.raises(Invalid, match="no tool named 'three'"):
        await bare(team, tools=["three"])
    with pytest.raises(NotFound):
        await bare(team, tool_ids=["tool-123e4567-e89b-42d3-8456-426614174000"])


async def test_an_update_replaces_the_set(team: Team) -> None:
    tool = await own(team)
    agent = await bare(team, tools=["memory"])
    assert (await team.update(agent, tool_ids=[tool.id])).tools == [tool.id]
    with pytest.raises(NotFound):
        await team.update(agent, tool_ids=["tool-gone"])
    assert await names(team, agent) == ["roll"]


async def test_attaching_and_detaching_twice_is_no_error(team: Team) -> None:
    tool, agent, room = await own(team), await bare(team), team.service.agent_tools
    for _ in range(2):
        assert (await room.attach(WS, agent.id, tool.id, ALICE)).tools == [tool.id]
    await room.attach(WS, agent.id, by_name("memory").tool.id, ALICE)
    for _ in range(2):
        assert (await room.detach(WS, agent.id, tool.id, ALICE)).tools == ["memory"]
    for act in (room.attach, room.detach):
        with pytest.raises(NotFound):
            await act(WS, agent.id, "tool-gone", ALICE)
        with pytest.raises(NotFound):
            await act(WS, "agent-gone", tool.id, ALICE)


async def test_a_deleted_tool_is_gone_from_its_agents(team: Team) -> None:
    tool = await own(team)
    agent = await bare(team, tools=["roll", "memory"])
    await team.service.tools.delete(WS, tool.id)
    assert await names(team, agent) == ["memory"]


async def test_a_renamed_tool_is_renamed_for_its_agents_and_their_rules_follow(team: Team) -> None:
    tool = await own(team)
    rules: list[dict[str, Any]] = [
        {"type": "requires_approval", "tool_name": "roll"},
        {
            "type": "constrain_child_tools",
            "tool_name": "memory",
            "children": ["roll", "x"],
            "child_arg_nodes": [{"name": "roll", "args": {}}, {"name": "x"}],
        },
        {
            "type": "conditional",
            "tool_name": "memory",
            "child_output_mapping": {"a": "roll", "b": "x"},
            "default_child": "roll",
        },
    ]
    agent = await bare(team, tools=["roll", "memory"], tool_rules=rules, hidden=True)
    stranger = await bare(team, tools=["memory"], tool_rules=rules[:1])
    ruleless = await bare(team, tools=["roll"])
    schema = ToolFields(json_schema={"name": "throw"})
    assert (await team.service.agent_tools.update(WS, tool.id, schema, ALICE)).name == "throw"
    after = await team.service.agents.read(WS, agent.id)
    assert await names(team, agent) == ["throw", "memory"]
    assert await names(team, ruleless) == ["throw"]
    assert after.tool_rules == [
        {"type": "requires_approval", "tool_name": "throw"},
        rules[1]
        | {"children": ["throw", "x"], "child_arg_nodes": [{"name": "throw", "args": {}}, {"name": "x"}]},
        rules[2] | {"child_output_mapping": {"a": "throw", "b": "x"}, "default_child": "throw"},
    ]
    assert (await team.service.agents.read(WS, stranger.id)).tool_rules == rules[:1]


async def test_other_changes_of_a_tool_leave_agents_alone(team: Team) -> None:
    tool = await own(team)
    agent = await bare(team, tools=["roll"])
    await team.service.agent_tools.update(WS, tool.id, ToolFields(tags=["x"]), ALICE)
    assert await team.service.agents.read(WS, agent.id) == agent


async def test_approval_is_asked_for_and_waived_per_agent(team: Team) -> None:
    await own(team, default_requires_approval=True)
    agent, other = await bare(team, tools=["roll", "memory"]), await bare(team, tools=["roll"])
    room = team.service.agent_tools

    async def asks(who: Agent) -> list[bool | None]:
        held = await room.of(WS, await team.service.agents.read(WS, who.id))
        return [tool.default_requires_approval for tool in held]

    rule = {"type": "requires_approval", "tool_name": "roll"}
    for _ in range(2):
        assert (await room.set_approval(WS, agent.id, "roll", True, ALICE)).tool_rules == [rule]
    for _ in range(2):
        assert (await room.set_approval(WS, agent.id, "roll", False, ALICE)).tool_rules is None
    assert (await asks(agent), await asks(other)) == ([False, None], [True])
    await room.set_approval(WS, agent.id, "roll", True, ALICE)
    assert await asks(agent) == [True, None]
    with pytest.raises(NotFound):
        await room.set_approval(WS, other.id, "memory", True, ALICE)
