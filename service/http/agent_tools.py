"""An agent's tools over HTTP: which it has, which need approval, and running one of them once."""

from starlette.responses import Response

from service.errors import Invalid, NotFound
from service.http.agents import whole_agent
from service.http.answers import json_answer
from service.http.calls import Call, Nothing
from service.http.errors import Misused
from service.http.generation import is_legacy
from service.http.paging import part_of
from service.http.refusals import NO_ANSWER
from service.http.routing import Route
from service.http.schemas.agent_state import AgentState
from service.http.schemas.tool_runs import (
    ApprovalQuery,
    ApprovalRequest,
    ToolExecutionResult,
    ToolRunRequest,
    execution_result,
)
from service.http.schemas.tools import AgentToolsQuery, ToolResponse, tool_response
from service.records.agents import Agent
from service.records.ids import new_id
from service.records.tools import ToolRequest
from service.toolbox import callable_alone

Answer = AgentState | None
"""V1 answers an SDK of 1.x with `null`, anybody else with the agent."""


async def find(call: Call[AgentToolsQuery, Nothing]) -> Response:
    """List an agent's tools"""
    agent = await call.service.agents.read(call.ws, call.path["agent_id"])
    held = await call.service.tools.of(call.ws, agent.tools)
    part = part_of(held, call.query.page(), lambda tool: tool.id)
    return json_answer([tool_response(tool) for tool in part])


async def attach(call: Call[Nothing, Nothing]) -> Response:
    """Attach a tool to an agent

    Attaching it again changes nothing. SDKs of 1.x are answered `null`.
    """
    path = call.path
    return await _answer(
        call, await call.service.agent_tools.attach(call.ws, path["agent_id"], path["tool_id"], call.by)
    )


async def detach(call: Call[Nothing, Nothing]) -> Response:
    """Detach a tool from an agent

    Detaching one that it does not have changes nothing. SDKs of 1.x are answered `null`.
    """
    path = call.path
    return await _answer(
        call, await call.service.agent_tools.detach(call.ws, path["agent_id"], path["tool_id"], call.by)
    )


async def approval(call: Call[ApprovalQuery, ApprovalRequest]) -> Response:
    """Say whether somebody is asked before an agent runs a tool

    In the body (also as `body_requires_approval`, which TypeScript SDKs of 1.x send), or in the query as
    0.1.x SDKs do. It adds or removes the agent's `requires_approval` rule; a tool that asks for approval by
    default does not for this agent once `false` was said. SDKs of 1.x are answered `null`.
    """
    required = call.body.requires_approval
    required = call.query.requires_approval if required is None else required
    if required is None:
        raise Misused("requires_approval: must be given, in the body or in the query")
    path = call.path
    return await _answer(
        call,
        await call.service.agent_tools.set_approval(
            call.ws, path["agent_id"], path["tool_name"], required, call.by
        ),
    )


async def run(call: Call[Nothing, ToolRunRequest]) -> Response:
    """Run a tool of an agent once

    A worker runs it, in the agent's name and with its variables, beside whatever the agent is doing; nothing
    of it enters the agent's history. Own tools need a worker that is set to run them
    (`BLOCKWIRE_CUSTOM_TOOLS=process`). 503: no worker took it within a minute, and it will not be run. 504:
    the worker did not answer. It is never run twice.
    """
    agent = await call.service.agents.read(call.ws, call.path["agent_id"])
    held = await call.service.tools.of(call.ws, agent.tools)
    tool = next((tool for tool in held if tool.name == call.path["tool_name"]), None)
    if tool is None:
        raise NotFound("tool", call.path["tool_name"])
    if not callable_alone(tool):
        raise Invalid("tool_name", f"{tool.name} is run by agents only, or not at all yet")
    request = ToolRequest(
        id=new_id("toolrun"), tool=tool, arguments=call.body.args, agent_id=agent.id, environ=agent.secrets
    )
    outcome = await call.while_connected(call.service.tool_runs.run(call.ws, request, agent.pool))
    return json_answer(execution_result(outcome))


async def _answer(
    call: Call[Nothing, Nothing] | Call[ApprovalQuery, ApprovalRequest], agent: Agent
) -> Response:
    return await whole_agent(call, agent) if is_legacy(call.headers) else json_answer(None)


_TOOLS = "/v1/agents/{agent_id}/tools"
_TAG = "An agent's tools"

ROUTES = [
    Route("GET", _TOOLS, find, _TAG, list[ToolResponse]),
    Route("PATCH", f"{_TOOLS}/attach/{{tool_id}}", attach, _TAG, Answer),
    Route("PATCH", f"{_TOOLS}/detach/{{tool_id}}", detach, _TAG, Answer),
    Route(
        "PATCH",
        f"{_TOOLS}/approval/{{tool_name}}",
        approval,
        _TAG,
        Answer,
        example={"requires_approval": True},
    ),
    Route(
        "POST",
        f"{_TOOLS}/{{tool_name}}/run",
        run,
        _TAG,
        ToolExecutionResult,
        example={"args": {"sides": 6}},
        refuses=NO_ANSWER,
    ),
]
