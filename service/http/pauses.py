"""Pauses over HTTP: an agent is stopped for a while, and goes on."""

from starlette.responses import Response

from service.http.agents import whole_agent
from service.http.calls import Call, Nothing
from service.http.routing import Route
from service.http.schemas.agent_state import AgentState


async def pause(call: Call[Nothing, Nothing]) -> Response:
    """Pause an agent

    Blockwire's own. The step under way is finished; a run that has more to do stays open and goes on when the
    agent is resumed. Messages are accepted and wait, as for a busy agent, and so do wake-ups. `paused_at` of
    the agent tells since when. Cancelling works as ever. Pausing again changes nothing.
    """
    await call.service.pauses.pause(call.ws, call.path["agent_id"])
    return await _answer(call)


async def resume(call: Call[Nothing, Nothing]) -> Response:
    """Resume a paused agent

    It goes on with the run it stands in, then with what came meanwhile. One that is not paused stays so.
    """
    await call.service.pauses.resume(call.ws, call.path["agent_id"])
    return await _answer(call)


async def _answer(call: Call[Nothing, Nothing]) -> Response:
    return await whole_agent(call, await call.service.agents.read(call.ws, call.path["agent_id"]))


ROUTES = [
    Route("POST", "/v1/agents/{agent_id}/pause", pause, "Agents", AgentState),
    Route("POST", "/v1/agents/{agent_id}/resume", resume, "Agents", AgentState),
]
