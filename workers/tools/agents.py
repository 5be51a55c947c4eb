"""Agents as tools: writing to other agents, with or without waiting for what they say.

A call whose reply is not there yet raises Waiting, and is carried out again when it
may be. Each time it sends under the same ids, so that a message goes out once, and
learns how it stands; the receivers of a message to tags are those of the first time.

Elsewhere: who waits for whom, and until when (service/asks.py).
"""

import json
from collections.abc import Mapping, Sequence

from service.agent_types import type_of
from service.errors import AskCircle, InboxFull, NotFound, StoreFilling
from service.records.agents import AgentQuery
from service.records.base import Page
from service.records.ids import derived_id
from service.records.messages import Message
from service.records.runs import AskState, Run
from service.tools.arguments import AgentMessageArguments, TaggedMessageArguments
from workers.tools.context import Handler, ToolContext, ToolFailed
from workers.tools.messages import spoken
from workers.waits import Waiting

PASSED_ON = "The message was delivered to the agent."
NO_RESPONSE = "<no response>"
MOST_RECEIVERS = 1000


async def send_and_wait(context: ToolContext, given: AgentMessageArguments) -> str:
    """What the other agent says in the turn that the message gives it."""
    receiver, asked = given.other_agent_id, _run_id(context.effect(), given.other_agent_id)
    state = await _ask(context, receiver, asked, given.message)
    _wait_if_open({receiver: state})
    return _text(_reply(receiver, await _said(context, receiver, asked, state)))


async def send_async(context: ToolContext, given: AgentMessageArguments) -> str:
    """Nobody waits: the turn goes on as soon as the message lies in the other's inbox."""
    run, sender = context.transcript.run, context.lease.agent_id
    note = (
        f"[Message from the agent {sender}. It is one-way: no answer is awaited, and what you say now does "
        "not reach that agent.]"
    )
    await context.service.asks.ask(
        context.lease,
        run,
        given.other_agent_id,
        f"{note}\n\n{given.message}",
        _run_id(context.effect(), given.other_agent_id),
        waits=False,
    )
    return PASSED_ON


async def send_to_matching(context: ToolContext, given: TaggedMessageArguments) -> str:
    """All receivers work at once; one that fails costs its own reply only."""
    receivers = await _receivers(context, given)
    effect = context.effect()
    states: dict[str, AskState] = {}
    replies: dict[str, list[str]] = {}
    for receiver in receivers:
        try:
            states[receiver] = await _ask(context, receiver, _run_id(effect, receiver), given.message)
        except (AskCircle, InboxFull, NotFound, StoreFilling) as refusal:
            replies[receiver] = [_error(refusal)]
    _wait_if_open(states)
    for receiver, state in states.items():
        try:
            replies[receiver] = await _said(context, receiver, _run_id(effect, receiver), state)
        except (ToolFailed, NotFound) as failure:
            replies[receiver] = [_error(failure)]
    return _text([_reply(receiver, replies[receiver]) for receiver in receivers])


async def _ask(context: ToolContext, receiver: str, asked_id: str, message: str) -> AskState:
    sender = context.lease.agent_id
    note = (
        f"[Message from the agent {sender}. It waits for your reply: what you say in this turn is delivered "
        "to it when the turn ends.]"
    )
    return await context.service.asks.ask(
        context.lease, context.transcript.run, receiver, f"{note}\n\n{message}", asked_id, waits=True
    )


def _wait_if_open(states: Mapping[str, AskState]) -> None:
    """Ends the call here, to be repeated when the receivers that have not replied yet have done so."""
    open = [receiver for receiver, state in states.items() if state in ("sent", "open")]
    if open:
        raise Waiting(open)


async def _receivers(context: ToolContext, given: TaggedMessageArguments) -> list[str]:
    """The agents with these tags when the call was first carried out, hidden ones too, never the sender."""
    ws, all_of, some_of = context.lease.workspace, given.match_all, set(given.match_some)
    query = AgentQuery(tags=all_of or given.match_some, match_all_tags=bool(all_of), show_hidden=True)
    found = await context.service.agents.find(ws, query, Page(limit=None))
    ids = [
        agent.id
        for agent in found
        if agent.id != context.lease.agent_id and (not some_of or some_of & set(agent.tags))
    ]
    if len(ids) > MOST_RECEIVERS:
        text = (
            f"{len(ids)} agents have these tags; a message goes to at most {MOST_RECEIVERS}. Use more tags."
        )
        raise ToolFailed("ValueError", text)
    return await context.service.asks.decide(context.lease, context.transcript.run, context.call, ids)


async def _said(context: ToolContext, receiver: str, asked_id: str, state: AskState) -> list[str]:
    """The texts that the receiver said. Raises ToolFailed where there will be none, NotFound."""
    ws = context.lease.workspace
    if state == "late":
        seconds = context.service.settings.reply_timeout_s
        raise ToolFailed(
            "TimeoutError",
            f"no reply from agent {receiver} came within {seconds:g} s. The message was delivered and may "
            "still be worked on, but its answer no longer reaches you; do not send it again only for that",
        )
    if state == "gone":
        text = f"agent {receiver} got the message, but its run was deleted before its reply was read"
        raise ToolFailed("RuntimeError", text)
    run = await context.service.runs.read(ws, asked_id)
    if run.status != "completed" or run.stop_reason == "requires_approval":
        raise ToolFailed("RuntimeError", _why(receiver, run))
    heartbeats = type_of((await context.service.agents.read(ws, receiver)).agent_type).heartbeats
    return _texts(await context.service.runs.messages(ws, asked_id), heartbeats) or [NO_RESPONSE]


def _why(receiver: str, run: Run) -> str:
    """How a turn ended that did not complete, in the words of its own error if it has one."""
    reason = f": {run.error.message}" if run.error else f" ({run.stop_reason})"
    word = {"cancelled": "was cancelled", "completed": "stopped to ask its own caller"}.get(
        run.status, "failed"
    )
    return f"agent {receiver} got the message, but its turn {word}{reason}"


def _texts(messages: Sequence[Message], heartbeats: bool) -> list[str]:
    """What an agent said to others; beside its calls the heartbeat kind only thinks."""
    said = []
    for message in messages:
        if message.role == "assistant" and not heartbeats:
            said.append(message.plain_text())
        said += [spoken(call.arguments) for call in message.tool_calls if call.name == "send_message"]
    return [text for text in said if text]


def _run_id(effect: str, receiver: str) -> str:
    return derived_id("run", effect, receiver)


def _reply(receiver: str, response: list[str]) -> dict[str, object]:
    return {"agent_id": receiver, "response": response}


def _error(failure: Exception) -> str:
    return f"<error: {failure}>"


def _text(reply: object) -> str:
    return json.dumps(reply, ensure_ascii=False)


HANDLERS: dict[str, Handler] = {
    "send_message_to_agent_and_wait_for_reply": send_and_wait,
    "send_message_to_agent_async": send_async,
    "send_message_to_agents_matching_tags": send_to_matching,
}
