"""Runs over HTTP: how a run stands, and what was said in it."""

from starlette.responses import Response

from service.errors import NotFound
from service.http.answers import json_answer
from service.http.calls import Call, Nothing
from service.http.messages import view_of
from service.http.paging import part_of
from service.http.routing import Route
from service.http.schemas.runs import (
    RunListQuery,
    RunMessagesQuery,
    RunResponse,
    RunStreamRequest,
    run_response,
)
from service.http.schemas.stream import StreamObject
from service.http.schemas.transcript import ApiMessage, api_messages
from service.http.streams import stream_of


async def find(call: Call[RunListQuery, Nothing]) -> Response:
    """List runs

    Newest first unless asked otherwise.
    """
    found = await call.service.runs.find(call.ws, call.query.agent_id, call.query.page())
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
    return json_answer(api_messages(part, await view_of(call, run.agent_id, run.options)))


async def stream(call: Call[Nothing, RunStreamRequest]) -> Response:
    """Follow a background run, from wherever you were

    The stream of a send with `background`, or of an async one, from behind the object with a `seq_id` on.
    """
    run = await call.service.runs.read(call.ws, call.path["run_id"])
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


ROUTES = [
    Route("GET", "/v1/runs/", find, "Runs", list[RunResponse]),
    Route("GET", "/v1/runs/{run_id}", retrieve, "Runs", RunResponse),
    Route(
        "POST",
        "/v1/runs/{run_id}/stream",
        stream,
        "Runs",
        StreamObject,
        example={"starting_after": 12},
        media_type="text/event-stream",
    ),
    Route("GET", "/v1/runs/{run_id}/messages", messages, "Runs", list[ApiMessage]),
]
