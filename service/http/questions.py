"""Questions over HTTP: one model call that touches no agent's conversation."""

from starlette.responses import Response

from service.http.answers import json_answer
from service.http.calls import Call, Nothing
from service.http.errors import ProviderFailed
from service.http.routing import Route
from service.http.schemas.errors import Error
from service.http.schemas.questions import GenerateRequest, GenerateResponse
from service.http.schemas.runs import UsageTold
from service.records.questions import Question


async def generate(call: Call[Nothing, GenerateRequest]) -> Response:
    """Ask an agent's model something beside its conversation

    Neither its prompt nor its messages are sent, nothing is kept, and it waits for none of its runs. 502 if
    the provider fails, 504 if no worker takes it within a minute.
    """
    body = call.body
    agent = await call.service.agents.read(call.ws, call.path["agent_id"])
    handle = body.override_model or agent.model
    call.service.catalog.resolve(handle)
    own = agent.llm_config if body.override_model is None else {}
    question = Question(
        model=handle,
        prompt=body.prompt,
        system=body.system_prompt or "",
        response_schema=body.response_schema,
        max_tokens=own.get("max_tokens"),
        temperature=own.get("temperature"),
    )
    answer = await call.while_connected(call.service.questions.ask(call.ws, question, agent.pool))
    if answer.error is not None:
        raise ProviderFailed(answer.error)
    usage = UsageTold(**vars(answer.usage), total_tokens=answer.usage.total_tokens, step_count=1)
    return json_answer(GenerateResponse(content=answer.content, model=answer.model, usage=usage))


ROUTES = [
    Route(
        "POST",
        "/v1/agents/{agent_id}/generate",
        generate,
        "Agents",
        GenerateResponse,
        example={"prompt": "Give me three names for an office cat."},
        refuses={502: ("The model's provider failed", Error), 504: ("Nobody has answered in time", Error)},
    ),
]
