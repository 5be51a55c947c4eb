"""Messages over HTTP: send to an agent, waiting for the reply or not, and read what was said.

A blocking send waits for its run, which a worker carries; the client may leave,
the run goes on. A run whose model failed is an HTTP error (V1's way), any other
failure a reply with its stop reason.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.responses import Response

from service.addresses import check_address, may_be_private
from service.errors import NothingActive, PendingApproval
from service.http.answers import json_answer
from service.http.calls import Call, Nothing
from service.http.errors import ModelFailed, WrongMethod
from service.http.generation import is_legacy
from service.http.refusals import MODEL_FAILED
from service.http.retries import run_id_for
from service.http.routing import EXAMPLE_UUID4, Route
from service.http.schemas.errors import Error
from service.http.schemas.messages import (
    AsyncSendRequest,
    CancelRequest,
    MessageListQuery,
    SendRequest,
    check_streaming,
    new_messages,
    only_default,
    refuse_group,
    run_options,
    when_due,
)
from service.http.schemas.runs import LettaResponse, RunResponse, letta_response, run_response
from service.http.schemas.stream import StreamObject
from service.http.schemas.transcript import ApiMessage, View, api_messages, has_inner_monologue
from service.http.streams import refusal_of_stream, stream_of
from service.records.base import Page
from service.records.messages import Message
from service.records.runs import STREAMED, Run, RunOptions

_SOME_RUN = {"run_ids": [f"run-{EXAMPLE_UUID4}"]}
_HELLO = {"messages": [{"role": "user", "content": "What do you know?"}]}


async def send(call: Call[Nothing, SendRequest]) -> Response:
    """Send to an agent and wait for the reply

    The reply holds everything the run produced after its input, why it stopped and what it used. The same
    request sent again (named by `Idempotency-Key` or by its messages' `otid`, or repeated by an SDK) attaches
    to the first one's run. A failing model is answered with 400, 401, 402, 429, 500 or 504 and an `error`
    object.

    A run that stops with `requires_approval` asks, in an `approval_request_message`, whether calls may be
    run, or for the results of your `client_tools`. Until the first entry of a send answers just those calls,
    other sends are refused with 409.
    """
    check_streaming(call.body, is_legacy(call.headers))
    if call.body.streaming:
        return await stream(call)
    agent_id = call.path["agent_id"]
    messages, options = new_messages(call.body), run_options(call.body)
    run_id = await run_id_for(call, messages, "messages.create")
    runs = call.service.runs
    async with runs.listening(call.ws, run_id) as rings:
        begun = await call.service.messages.send(
            call.ws, agent_id, messages, options, run_id=run_id, priority=call.body.priority
        )
        ending = runs.wait_on(call.ws, begun, rings) if begun.id == run_id else runs.wait(call.ws, begun.id)
        run, stored = await call.while_connected(ending)
    if run.error is not None and run.error.type.startswith("llm_"):
        raise ModelFailed(run.error)
    view = await view_of(call, agent_id, run.options, run.agent_type)
    return json_answer(letta_response(run, _produced(run, stored, view)))


async def stream(call: Call[Nothing, SendRequest]) -> Response:
    """Send to an agent and follow the reply as it is made

    Server-sent events: whole messages as steps end, or with `stream_tokens` pieces as the model writes them;
    then the stop reason, the usage and `[DONE]`. With `background` every object carries a `seq_id`, by which
    `POST /v1/runs/{run_id}/stream` goes on after a lost connection. Leaving does not stop the run.
    """
    body, agent_id = call.body, call.path["agent_id"]
    tokens, background = bool(body.stream_tokens), bool(body.background)
    messages = new_messages(body)
    options = run_options(body).model_copy(update={"output": "tokens" if tokens else "steps"})
    view = await view_of(call, agent_id, options)  # nothing may fail once the message is sent
    try:
        run = await call.service.messages.send(
            call.ws,
            agent_id,
            messages,
            options,
            background=background,
            kind=STREAMED,
            run_id=await run_id_for(call, messages, "messages.stream"),
            priority=body.priority,
        )
    except PendingApproval as refusal:
        return refusal_of_stream(refusal)
    pings = body.include_pings is not False
    return stream_of(call, run, view, tokens=tokens, pings=pings, numbered=background)


async def send_async(call: Call[Nothing, AsyncSendRequest]) -> Response:
    """Send to an agent and do not wait

    The answer is the run; `GET /v1/runs/{run_id}` tells when it has ended, and so does one POST to
    `callback_url`, whose outcome the run shows.

    With `delay_s` or `not_before` it enters the agent's inbox when that time has come, within about a
    second, behind what waits there by then. Until then the run is `created` and can be cancelled. With
    `priority` it goes in front of what waits with a lower one; a run under way is never interrupted.
    """
    messages, options = new_messages(call.body), run_options(call.body)
    private = may_be_private(call.service.settings)
    if call.body.callback_url is not None:
        check_address("callback_url", call.body.callback_url, private)
    run = await call.service.messages.send(
        call.ws,
        call.path["agent_id"],
        messages,
        options.model_copy(update={"output": "steps"}),
        background=True,
        kind="send_message_async",
        run_id=await run_id_for(call, messages, "messages.async"),
        callback_url=call.body.callback_url,
        callback_private=private,
        priority=call.body.priority,
        when=when_due(call.body),
    )
    return json_answer(run_response(run))


async def cancel(call: Call[Nothing, CancelRequest]) -> Response:
    """Cancel an agent's runs

    All that have not ended, or those named. The answer says of each `cancelled`, or `failed` if it had ended
    or is another agent's. A run under way stops within a moment, also while its model writes. Where one ended
    with an approval request that is still pending, its calls are denied.
    """
    agent = await call.service.agents.read(call.ws, call.path["agent_id"])
    active = await call.service.runs.open_ids(call.ws, agent.id)
    told = {}
    for run_id in dict.fromkeys(call.body.run_ids or active):
        ended = run_id in active and await call.service.runs.cancel(call.ws, run_id)
        told[run_id] = "cancelled" if ended else "failed"
    request = await call.service.approvals.pending(call.ws, agent.id)
    asked_by = "" if request is None else request.run_id or ""
    if (
        request is not None
        and asked_by in (call.body.run_ids or [asked_by])
        and await call.service.approvals.deny(call.ws, request)
    ):
        told[asked_by] = "cancelled"
    if not told:
        raise NothingActive(agent.id)
    return json_answer(told)


async def find(call: Call[MessageListQuery, Nothing]) -> Response:
    """List an agent's messages

    `order=desc`, the default, takes the newest; they are listed oldest first all the same. Whoever pages on
    then with `after` and the last of them is given the page before, `limit` at a time, each message once.
    `before` means earlier in either order.
    """
    query = call.query
    only_default(query.conversation_id)
    agent = await call.service.agents.read(call.ws, call.path["agent_id"])
    view = View(inner_monologue=has_inner_monologue(agent.agent_type), **query.model_dump())

    def is_shown(message: Message) -> bool:
        return query.group_id in (None, message.group_id) and bool(api_messages([message], view))

    async def some(page: Page) -> list[Message]:
        return await call.service.messages.find(call.ws, agent.id, page, is_shown)

    page = query.page()
    if page.descending:
        page = await _page_before(page, some)
    found = await some(page)
    if page.descending:
        found = found[::-1]
    return json_answer(api_messages(found, view))


async def find_all(call: Call[MessageListQuery, Nothing]) -> Response:
    """List the messages of all agents

    Newest first unless asked otherwise.
    """
    query = call.query
    only_default(query.conversation_id)
    refuse_group(query.group_id)
    return await _shown(call, await call.service.messages.find_all(call.ws, query.page()), query.model_dump())


async def retrieve(call: Call[Nothing, Nothing]) -> Response:
    """Read a message

    A list: one stored message may show as several, which share its id.
    """
    return await _shown(call, [await call.service.messages.read(call.ws, call.path["message_id"])], {})


async def _shown(call: Call[Any, Any], found: Sequence[Message], asked: dict[str, Any]) -> Response:
    """Messages of several agents, each as its own agent's are shown."""
    ids = list(dict.fromkeys(message.agent_id for message in found))
    agents = await call.service.agents.read_many(call.ws, ids)
    inner = {agent.id: has_inner_monologue(agent.agent_type) for agent in agents}
    views = {id: View(inner_monologue=shown, **asked) for id, shown in inner.items()}
    pieces = [api_messages([one], views[one.agent_id]) for one in found if one.agent_id in views]
    return json_answer([piece for of_one in pieces for piece in of_one])


async def modify(call: Call[Nothing, Nothing]) -> Response:
    """Refused: messages cannot be edited

    V1 removed it and answers 405; old SDKs still have the method.
    """
    raise WrongMethod((), "Messages cannot be edited")


async def _page_before(page: Page, some: Callable[[Page], Awaitable[list[Message]]]) -> Page:
    """A page taken from the newest end, whose cursors are those of a list that is shown oldest first.

    An SDK that pages on names the last message it was shown, the newest of its page. The
    page before begins where that one began, so many messages earlier; with V1's cursors as
    they are for other lists the same messages would come again and again.
    """
    if page.before is not None or page.after is None:
        return page.model_copy(update={"after": page.before, "before": page.after})
    least = page.limit if page.limit is not None else 1
    passed = await some(page.model_copy(update={"limit": least - 1})) if least > 1 else []
    return page.model_copy(update={"after": passed[-1].id if passed else page.after})


async def view_of(
    call: Call[Any, Any], agent_id: str, options: RunOptions, agent_type: str | None = None
) -> View:
    """How the sender of a run wants to see its messages. `agent_type`: where the run knows it."""
    if agent_type is None:
        agent_type = await call.service.agents.type_of(call.ws, agent_id) or ""
    return View(inner_monologue=has_inner_monologue(agent_type), **vars(options))


def _produced(run: Run, stored: Sequence[Message], view: View) -> list[ApiMessage]:
    sums = {message.id for message in stored if message.compaction is not None}
    given = [message.id for message in stored if message.id not in sums][: len(run.messages)]
    spoken = [
        message
        for message in stored
        if message.id in sums or (message.from_agent and message.id not in given)
    ]
    return api_messages(spoken, view)


_PATH = "/v1/agents/{agent_id}/messages"

ROUTES = [
    Route("POST", _PATH, send, "Messages", LettaResponse, example=_HELLO, refuses=MODEL_FAILED),
    Route(
        "POST",
        f"{_PATH}/stream",
        stream,
        "Messages",
        StreamObject,
        example=_HELLO,
        media_type="text/event-stream",
    ),
    Route("POST", f"{_PATH}/async", send_async, "Messages", RunResponse, example=_HELLO),
    Route("POST", f"{_PATH}/cancel", cancel, "Messages", dict[str, str], example=_SOME_RUN),
    Route("GET", _PATH, find, "Messages", list[ApiMessage]),
    Route("PATCH", f"{_PATH}/{{message_id}}", modify, "Messages", refuses={405: ("Never", Error)}),
    Route(
        "GET",
        "/v1/messages/",
        find_all,
        "Messages",
        list[ApiMessage],
        refuses={404: ("No message has the id that `after` or `before` names", Error)},
    ),
    Route("GET", "/v1/messages/{message_id}", retrieve, "Messages", list[ApiMessage]),
]
