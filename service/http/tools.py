"""Tools over HTTP: those built in, and those an agent has. Own tools come later."""

from starlette.responses import Response

from service import tools
from service.http.answers import json_answer
from service.http.calls import Call, Nothing
from service.http.paging import part_of
from service.http.routing import Route
from service.http.schemas.agent_state import agent_tools
from service.http.schemas.tools import AgentToolsQuery, ToolListQuery, ToolResponse, tool_response


async def find(call: Call[ToolListQuery, Nothing]) -> Response:
    """List tools"""
    found = [one.tool for one in tools.BUILT_IN.values() if call.query.wants(one.tool)]
    part = part_of(found, call.query.page(), lambda tool: tool.id)
    return json_answer([tool_response(tool) for tool in part])


async def retrieve(call: Call[Nothing, Nothing]) -> Response:
    """Read a tool"""
    return json_answer(tool_response(tools.by_id(call.path["tool_id"]).tool))


async def of_agent(call: Call[AgentToolsQuery, Nothing]) -> Response:
    """List an agent's tools"""
    agent = await call.service.agents.read(call.ws, call.path["agent_id"])
    part = part_of(agent_tools(agent), call.query.page(), lambda tool: tool.id)
    return json_answer(part)


ROUTES = [
    Route("GET", "/v1/tools/", find, "Tools", list[ToolResponse]),
    Route("GET", "/v1/tools/{tool_id}", retrieve, "Tools", ToolResponse),
    Route("GET", "/v1/agents/{agent_id}/tools", of_agent, "Tools", list[ToolResponse]),
]
