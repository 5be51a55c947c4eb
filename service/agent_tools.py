"""Agent tools: which tools an agent holds, and whether somebody is asked before it runs one.

A tool may ask for approval wherever it is attached (`default_requires_approval`), and an
agent's rules may ask for it. Saying no for one agent takes the rule away and
remembers that the tool's own wish is waived there.

Elsewhere: the tools themselves (toolbox.py); asking (workers/request.py, approvals.py).
"""

from collections.abc import Mapping
from typing import Any

from service.agents import Agents
from service.errors import NotFound
from service.records.agents import Agent, AgentQuery
from service.records.base import Page
from service.records.blocks import Author
from service.records.tools import Tool, ToolFields
from service.toolbox import Toolbox


class AgentTools:
    """What agents hold of the toolbox."""

    def __init__(self, agents: Agents, tools: Toolbox) -> None:
        self._agents = agents
        self._tools = tools

    async def attach(self, ws: str, agent_id: str, tool_id: str, by: Author) -> Agent:
        """Gives an agent a tool; one that it has already is no error. Raises NotFound for either."""
        ref = (await self._tools.read(ws, tool_id)).ref

        def change(agent: Agent) -> Agent:
            return agent.model_copy(update={"tools": list(dict.fromkeys([*agent.tools, ref]))})

        return await self._agents.change(ws, agent_id, change, by)

    async def detach(self, ws: str, agent_id: str, tool_id: str, by: Author) -> Agent:
        """Takes a tool from an agent; one that it does not have is no error. Raises NotFound for either."""
        ref = (await self._tools.read(ws, tool_id)).ref

        def change(agent: Agent) -> Agent:
            return agent.model_copy(update={"tools": [held for held in agent.tools if held != ref]})

        return await self._agents.change(ws, agent_id, change, by)

    async def set_approval(self, ws: str, agent_id: str, tool_name: str, required: bool, by: Author) -> Agent:
        """Whether somebody is asked before this agent runs a tool. Raises NotFound, also for the tool."""
        held = await self._tools.of(ws, (await self._agents.read(ws, agent_id)).tools)
        tool = next((tool for tool in held if tool.name == tool_name), None)
        if tool is None:
            raise NotFound("tool", tool_name)
        waives = [tool.ref] if tool.default_requires_approval and not required else []

        def change(agent: Agent) -> Agent:
            rules = [rule for rule in agent.tool_rules or [] if not _asks_for(rule, tool_name)]
            if required:
                rules.append({"type": "requires_approval", "tool_name": tool_name})
            waived = [ref for ref in agent.approval_waived if ref != tool.ref]
            update = {"tool_rules": rules or None, "approval_waived": waived + waives}
            return agent.model_copy(update=update)

        return await self._agents.change(ws, agent_id, change, by)

    async def update(self, ws: str, tool_id: str, fields: ToolFields, by: Author) -> Tool:
        """Changes an own tool; where that renames it, the rules of agents that have it follow."""
        before = await self._tools.read(ws, tool_id)
        after = await self._tools.update(ws, tool_id, fields, by)
        if after.name == before.name:
            return after

        def follow(agent: Agent) -> Agent:
            rules = [_renamed(rule, before.name, after.name) for rule in agent.tool_rules or []]
            return agent.model_copy(update={"tool_rules": rules})

        every = await self._agents.find(ws, AgentQuery(show_hidden=True), Page(limit=None))
        for agent in every:
            if after.ref in agent.tools and agent.tool_rules:
                await self._agents.change(ws, agent.id, follow, by)
        return after

    async def of(self, ws: str, agent: Agent) -> list[Tool]:
        """The tools an agent has, as they are for it: whether they need approval is its own matter."""
        return [
            tool.model_copy(update={"default_requires_approval": False})
            if tool.ref in agent.approval_waived
            else tool
            for tool in await self._tools.of(ws, agent.tools)
        ]


def _asks_for(rule: Mapping[str, Any], tool_name: str) -> bool:
    return bool(rule["type"] == "requires_approval" and rule["tool_name"] == tool_name)


def _renamed(rule: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    """A rule with one tool's name changed, wherever the rule names it."""
    changed = dict(rule)
    if changed["tool_name"] == old:
        changed["tool_name"] = new
    if "children" in changed:
        changed["children"] = [new if child == old else child for child in changed["children"]]
    if "child_output_mapping" in changed:
        mapping = changed["child_output_mapping"]
        changed["child_output_mapping"] = {key: new if to == old else to for key, to in mapping.items()}
    if changed.get("default_child") == old:
        changed["default_child"] = new
    nodes = changed.get("child_arg_nodes")
    if nodes:
        changed["child_arg_nodes"] = [
            {**node, "name": new} if node["name"] == old else node for node in nodes
        ]
    return changed
