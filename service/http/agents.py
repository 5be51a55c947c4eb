"""Agents over HTTP: create, read, list, change and delete.

Changing an agent, and whatever else answers with an agent, shows all of it;
reading shows what was asked for (schemas/agent_state.py).
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from starlette.responses import Response

from service.http.answers import json_answer
from service.http.calls import Call, Nothing
from service.http.generation import is_legacy
from service.http.retries import id_for
from service.http.routing import Route
from service.http.schemas.agent_state import ALL, AgentState, Relations, agent_state
from service.http.schemas.agents import (
    AgentCountQuery,
    AgentListQuery,
    CreateAgentRequest,
    RelationsQuery,
    UpdateAgent,
    agent_fields,
    new_agent,
)
from service.records.agents import Agent

AT_ONCE = 50
"""Agents of a list whose blocks are read side by side."""
_NEW_AGENT = {
    "name": "supervisor",
    "model": "offline/extractive",
    "memory_blocks": [{"label": "persona", "value": "I am a supervisor"}],
}


class ResetMessagesRequest(BaseModel):
    add_default_initial_messages: bool = False


class Deleted(BaseModel):
    message: str


async def create(call: Call[Nothing, CreateAgentRequest]) -> Response:
    """Create an agent

    `memory_blocks` are created and attached; blocks of `block_ids` are attached, and so shared with whoever
    else has them. `offline/extractive` is a model that needs no key. With an `Idempotency-Key` the
    same request makes one agent, however often it comes.
    """
    agent_id = await id_for(call, "agent", "agents.create")
    agent = await call.service.agents.create(call.ws, new_agent(call.body), call.by, agent_id=agent_id)
    return await whole_agent(call, agent)


async def retrieve(call: Call[RelationsQuery, Nothing]) -> Response:
    """Read an agent"""
    agent = await call.service.agents.read(call.ws, call.path["agent_id"])
    return await agent_answer(call, agent, call.query.relations(call.headers))


async def find(call: Call[AgentListQuery, Nothing]) -> Response:
    """List agents

    Newest first unless asked otherwise. Hidden agents are left out.
    """
    found = await call.service.agents.find(call.ws, call.query.agent_query(), call.query.page())
    return await agents_answer(call, found, call.query.relations(call.headers))


async def count(call: Call[AgentCountQuery, Nothing]) -> Response:
    """Count agents"""
    return json_answer(await call.service.agents.count(call.ws, call.query.agent_query()))


async def update(call: Call[Nothing, UpdateAgent]) -> Response:
    """Change an agent

    Only fields that are there and not null are applied; lists replace the whole set.
    """
    fields = agent_fields(call.body)
    agent = await call.service.agents.configure(call.ws, call.path["agent_id"], fields, call.by)
    return await whole_agent(call, agent)


async def delete(call: Call[Nothing, Nothing]) -> Response:
    """Delete an agent

    Its blocks stay, only detached, private ones too (V1's way). Its messages go with it, and its runs that
    have not ended are cancelled.
    """
    agent_id = call.path["agent_id"]
    await call.service.agents.delete(call.ws, agent_id, call.by)
    return json_answer(Deleted(message=f"Agent id={agent_id} successfully deleted"))


async def recompile(call: Call[Nothing, Nothing]) -> Response:
    """Show an agent's system prompt as it compiles now

    Nothing has to be recompiled for the agent's sake: each run starts from its blocks as they are then.
    """
    return json_answer(await call.service.agents.compiled_prompt(call.ws, call.path["agent_id"]))


async def reset_messages(call: Call[Nothing, ResetMessagesRequest]) -> Response:
    """Begin an agent's conversation anew

    Only its system prompt, compiled anew, stays in context; the history stays listed. Old SDKs are answered
    with the agent, new ones with `null`. 409 while a run is under way: cancel it, or ask again afterwards.
    """
    agent = await call.service.agents.reset_messages(
        call.ws, call.path["agent_id"], add_first=call.body.add_default_initial_messages
    )
    return await whole_agent(call, agent) if is_legacy(call.headers) else json_answer(None)


async def whole_agent(call: Call[Any, Any], agent: Agent) -> Response:
    return await agent_answer(call, agent, ALL)


async def agent_answer(call: Call[Any, Any], agent: Agent, relations: Relations) -> Response:
    return json_answer(await _state(call, agent, relations))


async def agents_answer(call: Call[Any, Any], agents: Sequence[Agent], relations: Relations) -> Response:
    """A list of agents, their blocks read a few agents at a time."""
    states: list[AgentState] = []
    for start in range(0, len(agents), AT_ONCE):
        some = agents[start : start + AT_ONCE]
        states += await asyncio.gather(*(_state(call, agent, relations) for agent in some))
    return json_answer(states)


async def _state(call: Call[Any, Any], agent: Agent, relations: Relations) -> AgentState:
    blocks = await call.service.blocks.of_agent(call.ws, agent.id) if "blocks" in relations else []
    tools = await call.service.tools.of(call.ws, agent.tools) if "tools" in relations else []
    known = agent.identity_ids if "identities" in relations else []
    identities = await call.service.identities.read_many(call.ws, known) if known else []
    asks = "pending_approval" in relations
    pending = await call.service.approvals.pending(call.ws, agent.id) if asks else None
    return agent_state(agent, blocks, relations, tools=tools, identities=identities, pending=pending)


ROUTES = [
    Route("POST", "/v1/agents/", create, "Agents", AgentState, example=_NEW_AGENT),
    Route("GET", "/v1/agents/", find, "Agents", list[AgentState]),
    Route("GET", "/v1/agents/count", count, "Agents", int),
    Route("GET", "/v1/agents/{agent_id}", retrieve, "Agents", AgentState),
    Route("PATCH", "/v1/agents/{agent_id}", update, "Agents", AgentState, example={"tags": ["team-a"]}),
    Route("DELETE", "/v1/agents/{agent_id}", delete, "Agents", Deleted),
    Route(
        "PATCH",
        "/v1/agents/{agent_id}/reset-messages",
        reset_messages,
        "Agents",
        AgentState | None,
        example={"add_default_initial_messages": True},
    ),
    Route("POST", "/v1/agents/{agent_id}/recompile", recompile, "Agents", str),
    Route("POST", "/v1/agents/{agent_id}/system-prompt/recompile", recompile, "Agents", str),
]
