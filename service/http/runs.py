"""Runs over HTTP: how a run stands, and what was said in it."""

from starlette.responses import Response

from service.errors import NotFound
from service.http.answers import json_answer
from service.http.calls import Call, Nothing
from service.http.errors import Unavailable
from service.http.messages import view_of
from service.http.paging import part_of
from service.http.refusals import NOT_KEPT
from service.http.routing import Route
from service.http.schemas.errors import Error
from service.http.schemas.runs import (
    RunListQuery,
    RunMessagesQuery,
    RunMetrics,
    RunResponse,
    RunStepsQuery,
    RunStreamRequest,
    UsageStatistics,
    run_metrics,
    run_response,
    usage_statistics,
)
from service.http.schemas.steps import ProviderTrace, StepResponse, provider_trace, step_response
from service.http.schemas.stream import StreamObject
from service.http.schemas.transcript import ApiMessage, api_messages
from service.http.steps import agent_of
from service.http.streams import stream_of
from service.records.base import Page
from service.records.runs import OPEN

ACTIVE_MOST = 100


async def find(call: Call[RunListQuery, Nothing]) -> Response:
    """List runs

    Newest first unless asked otherwise.
    """
    query = call.query
    found = await call.service.runs.find(
        call.ws,
        query.agent_id,
        query.page(),
        query.wants(),
        agent_ids=query.agent_ids,
        statuses=query.states(),
    )
    return json_answer([run_response(run) for run in found])


async def retrieve(call: Call[Nothing, Nothing]) -> Response:
    """Read a run

    `created` until a worker has it, then `running`, then `completed`, `failed` or `cancelled`.
    """
    return json_answer(run_response(await call.service.runs.read(call.ws, call.path["run_id"])))


async def messages(call: Call[RunMessagesQuery, Nothing]) -> Response:
    """List a run's messages

    Its input first, then what it produced.
    """
    run = await call.service.runs.read(call.ws, call.path["run_id"])
    stored = await call.service.runs.messages(call.ws, run.id)
    page = call.query.page()
    known = {message.id for message in stored}
    for cursor in (page.before, page.after):
        if cursor and cursor not in known:
            raise NotFound("message", cursor)
    part = part_of(stored, page, lambda message: message.id)
    return json_answer(api_messages(part, (await view_of(call, run.agent_id, run.options)).of_list()))


async def stream(call: Call[Nothing, RunStreamRequest]) -> Response:
    """Follow a background run, from wherever you were

    The stream of a send with `background`, or of an async one, from behind the object with a `seq_id` on.
    """
    run = await call.service.runs.read(call.ws, call.path["run_id"])
    if not call.body.means(run):
        raise NotFound("run", f"{run.id} with this agent_id, run_id or otid")
    await call.service.output.check(call.ws, run.id)
    return stream_of(
        call,
        run,
        await view_of(call, run.agent_id, run.options),
        tokens=run.options.output == "tokens",
        pings=call.body.include_pings is not False,
        numbered=True,
        after=call.body.starting_after,
    )


async def active(call: Call[Nothing, Nothing]) -> Response:
    """List runs that have not ended

    V1's old spelling of `GET /v1/runs/?active=true`; at most 100.
    """
    page = Page(limit=ACTIVE_MOST, descending=True)
    found = await call.service.runs.find(call.ws, None, page, statuses=OPEN)
    return json_answer([run_response(run) for run in found])


async def delete(call: Call[Nothing, Nothing]) -> Response:
    """Forget a run

    One that has ended; what it put into its agent's history stays. The answer is the run as it was: SDKs of
    0.1 take nothing else, where V1 answered `null`.
    """
    run = await call.service.runs.read(call.ws, call.path["run_id"])
    await call.service.runs.delete(call.ws, run.id)
    return json_answer(run_response(run))


async def usage(call: Call[Nothing, Nothing]) -> Response:
    """Read what a run used"""
    return json_answer(usage_statistics(await call.service.runs.read(call.ws, call.path["run_id"])))


async def metrics(call: Call[Nothing, Nothing]) -> Response:
    """Read how long a run took"""
    run = await call.service.runs.read(call.ws, call.path["run_id"])
    return json_answer(run_metrics(run, await call.service.runs.steps(call.ws, run.id)))


async def steps(call: Call[RunStepsQuery, Nothing]) -> Response:
    """List a run's steps

    Newest first unless asked otherwise.
    """
    run = await call.service.runs.read(call.ws, call.path["run_id"])
    agent = await agent_of(call, run.agent_id)
    found = part_of(await call.service.runs.steps(call.ws, run.id), call.query.page(), lambda step: step.id)
    return json_answer([step_response(step, agent) for step in found])


async def trace(call: Call[Nothing, Nothing]) -> Response:
    """Read what a run's provider was asked and answered

    Step by step, oldest first, with `BLOCKWIRE_TRACES` set when it ran; 501 while it is not set.
    """
    run = await call.service.runs.read(call.ws, call.path["run_id"])
    if not call.service.settings.traces:
        raise Unavailable(
            "no traces are kept; start web and workers with BLOCKWIRE_TRACES=1 and run it again"
        )
    steps = await call.service.runs.steps(call.ws, run.id)
    found = [(step, await call.service.runs.trace(call.ws, step.id)) for step in steps]
    return json_answer([provider_trace(step, kept) for step, kept in found if kept is not None])


ROUTES = [
    Route("GET", "/v1/runs/", find, "Runs", list[RunResponse]),
    Route("GET", "/v1/runs/active", active, "Runs", list[RunResponse]),
    Route("GET", "/v1/runs/{run_id}/usage", usage, "Runs", UsageStatistics),
    Route("GET", "/v1/runs/{run_id}/metrics", metrics, "Runs", RunMetrics),
    Route("GET", "/v1/runs/{run_id}/steps", steps, "Runs", list[StepResponse]),
    Route("DELETE", "/v1/runs/{run_id}", delete, "Runs", RunResponse),
    Route(
        "GET",
        "/v1/runs/{run_id}/trace",
        trace,
        "Runs",
        list[ProviderTrace],
        refuses={501: ("The server keeps no traces", Error)},
    ),
    Route("GET", "/v1/runs/{run_id}", retrieve, "Runs", RunResponse),
    Route(
        "POST",
        "/v1/runs/{run_id}/stream",
        stream,
        "Runs",
        StreamObject,
        example={"starting_after": 12},
        media_type="text/event-stream",
        scope="read",
        refuses=NOT_KEPT,
    ),
    Route("GET", "/v1/runs/{run_id}/messages", messages, "Runs", list[ApiMessage]),
]
