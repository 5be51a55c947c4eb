"""Dead letters over HTTP: messages that kept killing whoever worked on them, and failed runs tried again."""

from starlette.responses import Response

from service.http.answers import json_answer
from service.http.calls import Call, Nothing
from service.http.paging import PageQuery
from service.http.routing import Route
from service.http.schemas.dead_letters import DeadLetter, dead_letter
from service.http.schemas.runs import RunResponse, run_response


async def find(call: Call[PageQuery, Nothing]) -> Response:
    """List an agent's dead letters

    Blockwire's own. Runs that lost more workers than a run may (`BLOCKWIRE_RUN_TRIES`): each was ended as
    failed, with its reason in `metadata.error`, and the agent went on with the next message. Newest first.
    A letter leaves the list when its run is tried again or deleted.
    """
    agent = await call.service.agents.read(call.ws, call.path["agent_id"])
    found = await call.service.runs.dead_letters(call.ws, agent.id, call.query.page())
    return json_answer([dead_letter(run) for run in found])


async def retry(call: Call[Nothing, Nothing]) -> Response:
    """Try a failed run again

    Blockwire's own. A new run with the same input and options, behind what the agent's inbox has; its
    `metadata.retry_of` names the failed one, whose `metadata.retried_by` names it. Asked again, the answer is
    the same new run; if that fails too, it can be tried again itself. 400 for a run that has not failed or
    that answered an approval request; 409 while the agent waits for such an answer.
    """
    return json_answer(run_response(await call.service.messages.retry(call.ws, call.path["run_id"])))


ROUTES = [
    Route("GET", "/v1/agents/{agent_id}/dead-letters", find, "Runs", list[DeadLetter]),
    Route("POST", "/v1/runs/{run_id}/retry", retry, "Runs", RunResponse),
]
