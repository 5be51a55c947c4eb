"""Approvals: what agents ask their callers before they do it, and what the callers say.

A model's answer with calls that somebody has to allow, or to run himself, ends its
run. The stored message (role `approval`) is pending until an answer names just the
calls it asks for: that answer is a run of its own, which goes before everything
else in the inbox, carries the calls out and goes on with the turn. Until then
nothing of the inbox is begun. Like every retry, an answer that is sent again is
answered with the run that the first one began. Where nobody answers in time the
request is answered for its caller: none of the calls is run, the model is told so and
goes on. If it asks again in that same run, and again nobody answers, its turn ends.

Elsewhere: which calls ask (workers/request.py); what becomes of them
(workers/approvals.py); how an answer is put into the inbox (messages.py).
"""

from collections import Counter
from contextlib import suppress

import structlog

from service.errors import Invalid, NotFound
from service.queue import Queue
from service.records.ids import derived_id, new_id
from service.records.messages import Answer, CallAnswer, Message, NewMessage, ToolCall, ToolReturn
from service.records.runs import Run
from service.store.approvals import ApprovalStore
from service.store.client import StoreClient
from service.store.messages import MessageStore, NotPending
from service.store.runs import RunStore

log = structlog.get_logger()

NOBODY = "Nobody answered in time: the call was not run. Go on without it, or say what you need."
GIVEN_UP = "approval_timeout"
"""The kind of run that goes on where nobody answered."""
CANCELLED = "The call was cancelled before anybody allowed it; it was not run."


class Approvals:
    """The room of requests for the caller's word."""

    def __init__(self, store: StoreClient, queue: Queue) -> None:
        self._store = ApprovalStore(store)
        self._messages = MessageStore(store)
        self._runs = RunStore(store)
        self._queue = queue

    async def pending(self, ws: str, agent_id: str) -> Message | None:
        """The request that an agent waits with, if there is one."""
        return await self._request(ws, agent_id, await self._store.pending(ws, agent_id))

    async def check(self, ws: str, agent_id: str, sent: NewMessage) -> NewMessage | Run:
        """An answer with one word for each call that is asked for; or the run that had this answer before.

        Raises NotFound for the agent; Invalid when nothing is pending, or something else is.
        """
        pending, answered_by = await self._store.state(ws, agent_id)
        request = await self._request(ws, agent_id, pending)
        answer = sent.answer or Answer()
        refusal = Invalid("messages", "no approval request of this agent is pending; send plain messages")
        if request is not None:
            try:
                return sent.model_copy(update={"answer": settled(request, answer)})
            except Invalid as mismatch:
                refusal = mismatch
        repeated = await self._answered(ws, agent_id, answered_by, answer)
        if repeated is None:
            raise refusal
        return repeated

    async def give_up(self, ws: str, agent_id: str) -> None:
        """Answers what an agent asks for in place of its caller, who has let its time pass.

        A run of its own goes on with that. Where that run is itself the one that asks the turn just ends.
        """
        request = await self.pending(ws, agent_id)
        if request is None:
            return
        log.warning("approval.given_up", workspace=ws, agent_id=agent_id, run_id=request.run_id)
        asked_by = await self._run(ws, request.run_id)
        if asked_by is None or asked_by.kind == GIVEN_UP:
            await self.deny(ws, request, NOBODY)
            return
        calls = [CallAnswer(tool_call_id=id, approve=False, reason=NOBODY) for id in request.asked]
        answer = Answer(request_id=request.id, calls=calls, given_up=True)
        run = Run(
            id=new_id("run"),
            agent_id=agent_id,
            kind=GIVEN_UP,
            background=True,
            depth=asked_by.depth,
            options=asked_by.options.model_copy(update={"output": "none"}),
            messages=[NewMessage(role="approval", content="", answer=answer)],
            metadata={"run_type": GIVEN_UP},
            created_at=0,
        )
        with suppress(NotPending):
            sent = await self._messages.send(ws, run)
            if sent.ready is not None:
                await self._queue.nudge(ws, [sent.ready])

    async def deny(self, ws: str, request: Message, why: str = CANCELLED) -> bool:
        """Ends a request without an answer; False if it is not pending any more."""
        results = Message(
            id=derived_id("message", request.id, "denied"),
            agent_id=request.agent_id,
            role="tool",
            created_at=0,
            tool_returns=[failed(call, why) for call in request.tool_calls],
            run_id=request.run_id,
            step_id=request.step_id,
        )
        denied, ready = await self._store.deny(ws, request, results)
        if ready is not None:
            await self._queue.nudge(ws, [ready])
        if denied:
            log.info("approval.cancelled", workspace=ws, agent_id=request.agent_id, run_id=request.run_id)
        return denied

    async def _run(self, ws: str, run_id: str | None) -> Run | None:
        try:
            return await self._runs.read(ws, run_id or "")
        except NotFound:
            return None

    async def _request(self, ws: str, agent_id: str, message_id: str | None) -> Message | None:
        found = await self._messages.read_many(ws, agent_id, [message_id] if message_id else [])
        return found[0] if found else None

    async def _answered(self, ws: str, agent_id: str, run_id: str | None, answer: Answer) -> Run | None:
        """The run that gave the last answer, if this is the same once more. Raises Invalid for another."""
        try:
            run = await self._runs.read(ws, run_id or "")
            first = run.messages[0].answer or Answer()
            request = await self._request(ws, agent_id, first.request_id)
            if request is None:
                return None
            again = settled(request, answer)
        except (NotFound, Invalid):
            return None
        if first.given_up:
            late = "nobody answered in time, its calls were denied, and the agent has gone on"
            raise Invalid("messages", f"no approval request of this agent is pending: {late} (run {run.id})")
        if _decisions(again) != _decisions(first):
            raise Invalid("messages", f"run {run.id} has answered this request, and not in the same way")
        return run


def settled(request: Message, answer: Answer) -> Answer:
    """The answer to a request with one word for each call it asks for. Raises Invalid, which names calls."""
    if answer.request_id not in (None, request.id):
        raise Invalid("messages.0.approval_request_id", f"the request that is pending is {request.id}")
    calls = answer.calls
    if not calls and answer.approve is not None:
        calls = [
            CallAnswer(tool_call_id=id, approve=answer.approve, reason=answer.reason) for id in request.asked
        ]
    given = Counter(call.tool_call_id for call in calls)
    faults = [
        f"{fault} {', '.join(ids)}"
        for fault, ids in (
            ("missing:", [id for id in request.asked if id not in given]),
            ("not asked for:", [id for id in given if id not in request.asked]),
            ("twice:", [id for id, times in given.items() if times > 1]),
        )
        if ids
    ]
    if faults:
        raise Invalid(
            "messages.0",
            f"must answer exactly the calls that request {request.id} asks for; {'; '.join(faults)}",
        )
    names = {call.id: call.name for call in request.tool_calls}
    return answer.model_copy(
        update={"request_id": request.id, "calls": [_named(call, request, names) for call in calls]}
    )


def failed(call: ToolCall, text: str) -> ToolReturn:
    """The result of a call that was not run."""
    return ToolReturn(tool_call_id=call.id, name=call.name, text=text, status="error")


def _named(call: CallAnswer, request: Message, names: dict[str, str]) -> CallAnswer:
    name = names[call.tool_call_id]
    if call.result is not None:
        return call.model_copy(update={"result": call.result.model_copy(update={"name": name})})
    if call.approve and call.tool_call_id in request.client_calls:
        raise Invalid(
            "messages.0",
            f"call {call.tool_call_id} is of {name}, a tool of yours; send what it gave back as a result "
            "(type: tool), or deny it",
        )
    return call


def _decisions(answer: Answer) -> set[tuple[str, bool]]:
    return {(call.tool_call_id, call.approve) for call in answer.calls}
