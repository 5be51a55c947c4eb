"""Steps over HTTP: what an agent's model was asked for and what it used, and feedback on it."""

from typing import Any

from starlette.responses import Response

from service.errors import NotFound
from service.http.answers import json_answer
from service.http.calls import Call, Nothing
from service.http.paging import part_of
from service.http.routing import Route
from service.http.schemas.steps import (
    FeedbackQuery,
    FeedbackRequest,
    ProviderTrace,
    StepListQuery,
    StepMessagesQuery,
    StepMetrics,
    StepResponse,
    provider_trace,
    step_metrics,
    step_response,
)
from service.http.schemas.transcript import ApiMessage, View, api_messages, has_inner_monologue
from service.records.agents import Agent
from service.records.runs import Step


async def find(call: Call[StepListQuery, Nothing]) -> Response:
    """List steps

    Newest first unless asked otherwise.
    """
    query = call.query
    found = await call.service.runs.find_steps(
        call.ws,
        query.agent_id,
        query.page(),
        query.wants(),
        since=query.since(),
        until=query.until(),
    )
    ids = list(dict.fromkeys(step.agent_id for step in found))
    agents = {agent.id: agent for agent in await call.service.agents.read_many(call.ws, ids)}
    return json_answer([step_response(step, agents.get(step.agent_id)) for step in found])


async def retrieve(call: Call[Nothing, Nothing]) -> Response:
    """Read a step"""
    return await _answer(call, await _step(call))


async def metrics(call: Call[Nothing, Nothing]) -> Response:
    """Read how long a step took"""
    return json_answer(step_metrics(await _step(call)))


async def trace(call: Call[Nothing, Nothing]) -> Response:
    """Read a step's provider trace

    What its provider was asked and answered, if `BLOCKWIRE_TRACES` was set when it ran; else `null`.
    """
    step = await _step(call)
    kept = await call.service.runs.trace(call.ws, step.id)
    return json_answer(None if kept is None else provider_trace(step, kept))


async def telemetry(call: Call[Nothing, Nothing]) -> Response:
    """Read a step's provider trace, as it was once asked for

    V1's old spelling of `GET /v1/steps/{step_id}/trace`.
    """
    return await trace(call)


async def messages(call: Call[StepMessagesQuery, Nothing]) -> Response:
    """List a step's messages

    Oldest first unless asked otherwise.
    """
    step = await _step(call)
    agent = await agent_of(call, step.agent_id)
    stored = await call.service.runs.step_messages(call.ws, step.id)
    view = View(inner_monologue=agent is not None and has_inner_monologue(agent.agent_type))
    return json_answer(api_messages(part_of(stored, call.query.page(), lambda message: message.id), view))


async def give_feedback(call: Call[FeedbackQuery, FeedbackRequest]) -> Response:
    """Say what you think of a step

    `feedback` positive, negative, or null to take it back.
    """
    asked = call.body
    feedback = asked.feedback or call.query.feedback
    step = await call.service.runs.give_feedback(call.ws, call.path["step_id"], feedback, asked.tags)
    return await _answer(call, step)


async def agent_of(call: Call[Any, Any], agent_id: str) -> Agent | None:
    """The agent, if it is still there."""
    try:
        return await call.service.agents.read(call.ws, agent_id)
    except NotFound:
        return None


async def _step(call: Call[Any, Any]) -> Step:
    return await call.service.runs.step(call.ws, call.path["step_id"])


async def _answer(call: Call[Any, Any], step: Step) -> Response:
    return json_answer(step_response(step, await agent_of(call, step.agent_id)))


ROUTES = [
    Route("GET", "/v1/steps/", find, "Steps", list[StepResponse]),
    Route("GET", "/v1/steps/{step_id}", retrieve, "Steps", StepResponse),
    Route("GET", "/v1/steps/{step_id}/metrics", metrics, "Steps", StepMetrics),
    Route("GET", "/v1/steps/{step_id}/trace", trace, "Steps", ProviderTrace | None),
    Route("GET", "/v1/telemetry/{step_id}", telemetry, "Steps", ProviderTrace | None),
    Route("GET", "/v1/steps/{step_id}/messages", messages, "Steps", list[ApiMessage]),
    Route(
        "PATCH",
        "/v1/steps/{step_id}/feedback",
        give_feedback,
        "Steps",
        StepResponse,
        example={"feedback": "positive"},
    ),
]
