"""Context over HTTP: what fills an agent's context window."""

from pydantic import BaseModel, Field
from starlette.responses import Response

from service.http.answers import json_answer
from service.http.calls import Call, Nothing
from service.http.routing import Route
from service.http.schemas.bounds import Name
from service.http.schemas.context import ContextWindowOverview, context_overview
from service.http.schemas.messages import only_default


class ContextQuery(BaseModel):
    conversation_id: Name | None = Field(
        default=None, description="`default`; there are no other conversations yet"
    )


async def overview(call: Call[ContextQuery, Nothing]) -> Response:
    """Show what fills an agent's context window

    From a prompt compiled for this answer. Tokens are estimated, four bytes to one; what providers count is
    in each step.
    """
    only_default(call.query.conversation_id)
    agent = await call.service.agents.read(call.ws, call.path["agent_id"])
    context = await call.service.messages.context(call.ws, agent.id)
    parts = await call.service.agents.prompt_parts(call.ws, agent)
    opens = bool(context) and context[0].role == "system" and context[0].run_id is None
    stored = await call.service.messages.count(call.ws, agent.id)
    tools = await call.service.tools.of(call.ws, agent.tools)
    return json_answer(context_overview(agent, tools, parts, context[1:] if opens else context, stored))


ROUTES = [
    Route("GET", "/v1/agents/{agent_id}/context", overview, "Agents", ContextWindowOverview),
]
