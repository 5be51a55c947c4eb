"""Loop: carries one agent's runs, step by step, under a lease.

A step is: note what others changed, ask the model, store its complete answer,
run its tool calls, store the whole. Whoever takes a run over goes on from what
is stored: an answer that is there is not asked for again, an effect that was
had is not had twice.

The two kinds of agents differ by data alone (service/agent_types.py): the plain
kind goes on while it calls tools, the heartbeat kind while it asks to.
"""

import asyncio
import json
import time
from collections.abc import Coroutine, Sequence
from typing import Any

import structlog

from service.agent_types import type_of
from service.bootstrap import Service
from service.errors import AgentPaused, BudgetSpent, Invalid, UnknownModel
from service.prompts import heartbeat_event
from service.records.ids import derived_id
from service.records.messages import Message, ToolCall, ToolReturn
from service.records.runs import Lease, ModelReply, OpenRun, Run, RunError, Step, StopReason, status_of
from service.tools.rules import continues, is_terminal, missing_before_exit
from workers.approvals import answering, request_answered, unfinished
from workers.asking import Asker
from workers.budgets import budget_error, must_stop
from workers.compaction import Compactor
from workers.errands import Errands
from workers.models.base import ModelError
from workers.models.registry import Models
from workers.request import answered, results_without_running, tools_now
from workers.tools.context import ToolContext
from workers.tools.registry import Tools
from workers.transcript import Transcript, gather, input_of, refresh
from workers.waits import Waiting

log = structlog.get_logger()

RUNS_PER_LEASE = 10
"""After so many runs the agent goes to the back of the queue, so that others get their turn."""


class Loop:
    """Steps agents; one instance per worker process."""

    def __init__(self, service: Service, models: Models, tools: Tools) -> None:
        self._service = service
        self._tools = tools
        self._compactor = Compactor(service, models)
        self._asker = Asker(service, models, self._compactor)
        self._errands = Errands(service, models, self._compactor)
        self._stopping = False

    def ask_to_stop(self) -> None:
        """Agents under way are handed back where their next step would begin."""
        self._stopping = True

    async def carry(self, lease: Lease) -> None:
        """Runs an agent's inbox dry, or gives it back after its share, or when it waits for others.

        Raises LeaseLost, StoreUnreachable.
        """
        for _ in range(RUNS_PER_LEASE):
            open_run = await self._service.leases.next_run(lease)
            if open_run is None:
                return
            with structlog.contextvars.bound_contextvars(run_id=open_run.run.id):
                try:
                    await self._carry_run(lease, open_run)
                except Waiting as waiting:
                    log.info("run.waiting", agent_ids=waiting.agent_ids)
                    return
                except AgentPaused:
                    log.info("run.paused")
                    return
            if self._stopping:
                log.info("agent.handed_back")
                break
        await self._service.leases.give_back(lease)

    async def _carry_run(self, lease: Lease, open_run: OpenRun) -> None:
        """A run to its end, or to its next step when this worker stops."""
        run = open_run.run
        log.info("run.started", kind=run.kind, tries=run.tries)
        if open_run.cancelled:
            await self._cut_off(lease, run.id, "cancelled")
            log.info("run.cancelled")
            return
        if run.parked:
            text = f"given up after {run.tries - 1} workers were lost while they carried this run"
            await self._cut_off(lease, run.id, "error", RunError(type="internal_error", message=text))
            log.error("run.parked", tries=run.tries - 1)
            return
        if open_run.spent is not None and must_stop(open_run):
            await self._overspent(lease, run.id, open_run.spent.told())
            return
        try:
            await self._steps_unless_cancelled(lease, open_run)
        except BudgetSpent as refusal:
            await self._overspent(lease, run.id, str(refusal))

    async def _overspent(self, lease: Lease, run_id: str, text: str) -> None:
        await self._service.leases.finish(lease, run_id, "insufficient_credits", budget_error(text))
        log.error("run.overspent", error=text)

    async def _steps_unless_cancelled(self, lease: Lease, open_run: OpenRun) -> None:
        """Steps that end where they are as soon as somebody asks for it."""
        run = open_run.run
        stopping = asyncio.create_task(self._service.runs.cancelled(lease.workspace, run.id))
        steps = asyncio.create_task(self._steps(lease, open_run))
        try:
            await asyncio.wait({steps, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not steps.done() and stopping.exception() is None:
                steps.cancel()
                await asyncio.wait({steps})
                await self._cut_off(lease, run.id, "cancelled")
                log.info("run.cancelled")
            else:
                await steps
        finally:
            stopping.cancel()
            steps.cancel()
            await asyncio.wait({steps, stopping})

    async def _cut_off(
        self, lease: Lease, run_id: str, stop: StopReason, error: RunError | None = None
    ) -> None:
        """Ends a run where it stands; of a step that was answered its usage counts, its messages do not."""
        ws, leases = lease.workspace, self._service.leases
        run, steps = await self._service.runs.read(ws, run_id), await self._service.runs.steps(ws, run_id)
        last = steps[-1] if steps else await self._answering(ws, run)
        if last is None or last.status != "pending" or last.reply is None:
            await leases.finish(lease, run_id, stop, error)
            return
        update = {"status": status_of(stop), "stop_reason": stop, "error": error}
        await leases.store_step(
            lease,
            run,
            last.model_copy(update=update),
            [] if last.answers is None else [*input_of(run, last.id), unfinished(last)],
            usage=run.usage.plus(last.reply.usage),
            context_tokens=last.reply.usage.total_tokens,
            seen={},
            stop_reason=stop,
            error=error,
        )

    async def _answering(self, ws: str, run: Run) -> Step | None:
        """Of a run that answers a request the step it begins with, for its calls are in the history."""
        request_id = request_answered(run)
        found = await self._service.messages.read_many(ws, run.agent_id, [request_id] if request_id else [])
        return answering(run, found[0]) if found else None

    async def _steps(self, lease: Lease, open_run: OpenRun) -> None:
        """Step after step, to the end of the run."""
        transcript = await gather(self._service, lease, open_run)
        if open_run.run.errand is not None:
            await self._errands.carry(lease, transcript)
            return
        stop = open_run.stop
        while True:
            if self._compactor.is_due(transcript):
                await self._make_room(lease, transcript, stop)
            if stop is not None:
                break
            stop = await self._step(lease, transcript)
            if stop is None and self._stopping:
                return
        log.info("run.finished", stop_reason=stop, steps=transcript.run.step_count)

    async def _make_room(self, lease: Lease, transcript: Transcript, stop: StopReason | None) -> None:
        """A summary in the place of old messages; without one the run goes on, or ends, all the same."""
        try:
            await self._compactor.make_room(lease, transcript, "context_window_exceeded")
        except (ModelError, Invalid, UnknownModel) as failure:
            log.warning("context.left_full", error=str(failure))
        if stop is not None:
            await self._service.leases.finish(lease, transcript.run.id, stop)

    async def _step(self, lease: Lease, transcript: Transcript) -> StopReason | None:
        """One step, stored; the reason to stop, if it was the last."""
        step, error = await self._answer(lease, transcript)
        if error is not None or step.reply is None:
            return await self._fail(lease, transcript, step, error)
        if step.asked:
            asking = step.model_copy(update={"status": "success", "stop_reason": "requires_approval"})
            messages = self._messages(transcript, asking, [], "")
            await self._store(lease, transcript, asking, messages, "requires_approval")
            return "requires_approval"
        began = time.perf_counter_ns()
        given = results_without_running(transcript, step.reply.tool_calls, bool(step.answers))
        results = await self._run_tools(lease, transcript, step.id, step.reply.tool_calls, given)
        step = step.model_copy(update={"tools_ns": time.perf_counter_ns() - began, "status": "success"})
        assert step.reply is not None
        called = zip(step.reply.tool_calls, results, strict=True)
        transcript.called += [call.name for call, result in called if not result.refused]
        stop, why = self._decide(transcript, step.reply, results)
        if given and not step.answers:
            stop, why = "invalid_tool_call", ""
            step = step.model_copy(update={"status": "failed"})
        step = step.model_copy(update={"stop_reason": stop})
        await self._store(lease, transcript, step, self._messages(transcript, step, results, why), stop)
        return stop

    async def _answer(self, lease: Lease, transcript: Transcript) -> tuple[Step, RunError | None]:
        """The step with the model's answer, asked for or as a worker before us stored it."""
        if transcript.pending_step is not None:
            stored = await self._service.leases.step(lease.workspace, transcript.pending_step)
            transcript.pending_step = None
            if stored is not None:
                log.info("step.resumed", step_id=stored.id)
                return stored, None
            transcript.results = {}
        run = transcript.run
        if run.step_count == 0 and request_answered(run) is not None:
            step = answering(run, transcript.request)
            if step.reply is None:
                text = "the request that this run answers is gone; send plain messages"
                return step, RunError(type="internal_error", message=text)
            await self._service.leases.store_answer(lease, step)
            return step, None
        if run.step_count > 0:
            await refresh(self._service, lease, transcript)
        handle = run.options.override_model or transcript.agent.model
        step = Step(
            id=derived_id("step", run.id, run.step_count),
            run_id=run.id,
            agent_id=run.agent_id,
            index=run.step_count,
            created_at=0,
            model_handle=handle,
            provider_name=handle.partition("/")[0],
            message_id=derived_id("message", run.id, run.step_count, lease.generation),
        )
        began = time.perf_counter_ns()
        try:
            reply, sent = await self._asker.ask(lease, transcript, step, handle)
        except ModelError as failure:
            return step, failure.as_run_error()
        except (Invalid, UnknownModel) as refusal:
            return step, RunError(type="llm_bad_request", message=str(refusal))
        step = answered(transcript, step, reply)
        step = step.model_copy(update={"model_ns": time.perf_counter_ns() - began})
        log.info(
            "step.answered",
            step_id=step.id,
            model=reply.model,
            tool_calls=len(reply.tool_calls),
            asked=len(step.asked),
            ms=(step.model_ns or 0) // 1_000_000,
            tokens=reply.usage.total_tokens,
        )
        await self._service.leases.store_answer(lease, step)
        if sent is not None:
            await self._asker.keep_trace(lease, step, sent)
        return step, None

    async def _fail(
        self, lease: Lease, transcript: Transcript, step: Step, error: RunError | None
    ) -> StopReason:
        """Ends the run with the model's failure. Nothing of the step enters the history, as in V1."""
        error = error or RunError(type="internal_error", message="the stored answer of a step is gone")
        stop = _stop_reason(error)
        log.error("run.failed", error_type=error.type, error=error.message)
        failed = step.model_copy(update={"status": "failed", "stop_reason": stop, "error": error})
        await self._service.leases.store_step(
            lease,
            transcript.run,
            failed,
            [],
            usage=transcript.usage,
            context_tokens=transcript.run.context_tokens or 0,
            seen=transcript.seen,
            stop_reason=stop,
            error=error,
        )
        return stop

    async def _run_tools(
        self,
        lease: Lease,
        transcript: Transcript,
        step_id: str,
        calls: list[ToolCall],
        given: dict[int, ToolReturn],
    ) -> list[ToolReturn]:
        """What the calls gave, in their order; `given`: the results of those that are not to be run.

        Those that may run side by side do, then the others one after another.
        """
        allowed = tools_now(transcript)

        async def run(index: int) -> ToolReturn:
            context = ToolContext(self._service, lease, transcript, step_id, calls[index].name, index)
            return await self._tools.run(context, calls[index], allowed)

        results = transcript.results | given
        beside = [i for i, call in enumerate(calls) if i not in results and _may_run_beside(transcript, call)]
        results |= dict(zip(beside, await _together([run(index) for index in beside]), strict=True))
        for index in range(len(calls)):
            if index in results:
                continue
            try:
                results[index] = await run(index)
            except Waiting:
                await self._service.asks.wait(lease, transcript.run, transcript.seen, results)
                raise
        transcript.results = {}
        return [results[index] for index in range(len(calls))]

    def _decide(
        self, transcript: Transcript, reply: ModelReply, results: list[ToolReturn]
    ) -> tuple[StopReason | None, str]:
        """Whether to stop, and if not, why the model is asked again (told to the heartbeat kind)."""
        rules = transcript.agent.tool_rules or []
        heartbeats = type_of(transcript.agent.agent_type).heartbeats
        stop, why = (_after_heartbeat if heartbeats else _after_plain)(reply, results, rules)
        missing = missing_before_exit(rules, list(transcript.tools), transcript.called)
        if stop in ("end_turn", "tool_rule") and missing:
            stop, why = None, f"Before the turn can end these tools must be called: {', '.join(missing)}."
        if stop is None and transcript.run.step_count + 1 >= transcript.run.options.max_steps:
            return "max_steps", ""
        return stop, why

    def _messages(
        self, transcript: Transcript, step: Step, results: list[ToolReturn], why: str
    ) -> list[Message]:
        """What the step adds to the history: the input with the first, the answer, its results, an event."""
        run, reply = transcript.run, step.reply
        assert reply is not None
        common: dict[str, Any] = {
            "agent_id": run.agent_id,
            "created_at": 0,
            "run_id": run.id,
            "step_id": step.id,
        }
        messages = input_of(run, step.id) if run.step_count == 0 else []
        if step.answers is None and (reply.text or reply.tool_calls or reply.reasoning):
            answer = Message(
                id=step.message_id or derived_id("message", step.id, "answer"),
                role="approval" if step.asked else "assistant",
                content=reply.text,
                reasoning=reply.reasoning,
                tool_calls=reply.tool_calls,
                asked=step.asked,
                client_calls=step.client_calls,
                **common,
            )
            messages.append(answer)
        if results:
            messages.append(
                Message(
                    id=derived_id("message", step.id, "results"), role="tool", tool_returns=results, **common
                )
            )
        if why:
            event = heartbeat_event(why, time.time_ns() // 1000, transcript.agent.timezone)
            messages.append(
                Message(id=derived_id("message", step.id, "event"), role="user", content=event, **common)
            )
        return messages

    async def _store(
        self,
        lease: Lease,
        transcript: Transcript,
        step: Step,
        messages: list[Message],
        stop: StopReason | None,
    ) -> None:
        assert step.reply is not None
        run = transcript.run
        transcript.usage = transcript.usage.plus(step.reply.usage)
        context_tokens = step.reply.usage.total_tokens
        after = run.model_copy(update={"step_count": run.step_count + 1, "context_tokens": context_tokens})
        transcript.run = after
        await self._service.leases.store_step(
            lease,
            run,
            step,
            messages,
            usage=transcript.usage,
            context_tokens=context_tokens,
            seen=transcript.seen,
            stop_reason=stop,
            only_noted=stop not in (None, "requires_approval") and self._compactor.is_due(transcript),
        )
        now = time.time_ns() // 1000
        new = {message.id: message.model_copy(update={"created_at": now}) for message in messages}
        transcript.messages = [new.pop(one.id, one) for one in transcript.messages]
        transcript.messages += new.values()


def _may_run_beside(transcript: Transcript, call: ToolCall) -> bool:
    tool = transcript.tools.get(call.name)
    return tool is not None and tool.enable_parallel_execution


async def _together(running: Sequence[Coroutine[Any, Any, ToolReturn]]) -> list[ToolReturn]:
    """All results; when one raises, the others are stopped first."""
    tasks = [asyncio.create_task(one) for one in running]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _after_plain(
    reply: ModelReply, results: list[ToolReturn], rules: list[dict[str, object]]
) -> tuple[StopReason | None, str]:
    if not reply.tool_calls:
        return ("max_tokens_exceeded" if reply.finish == "length" else "end_turn"), ""
    ended = any(
        is_terminal(rules, call.name) and result.status == "success"
        for call, result in zip(reply.tool_calls, results, strict=True)
    )
    return ("tool_rule" if ended else None), ""


def _after_heartbeat(
    reply: ModelReply, results: list[ToolReturn], rules: list[dict[str, object]]
) -> tuple[StopReason | None, str]:
    if not reply.tool_calls:
        return ("max_tokens_exceeded" if reply.finish == "length" else "no_tool_call"), ""
    call, result = reply.tool_calls[0], results[0]
    asked = _asks_to_go_on(call)
    if result.status == "error":
        return None, f"The call of {call.name} failed; you may try again."
    if is_terminal(rules, call.name):
        return ("tool_rule" if asked else "end_turn"), ""
    if asked:
        return None, "You asked for a heartbeat."
    if continues(rules, call.name):
        return None, f"A rule says that you go on after {call.name}."
    return "end_turn", ""


def _asks_to_go_on(call: ToolCall) -> bool:
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        return False
    return isinstance(arguments, dict) and str(arguments.get("request_heartbeat", "")).lower() == "true"


def _stop_reason(error: RunError) -> StopReason:
    if error.type == "internal_error":
        return "error"
    return ModelError(error.type, error.message).stop_reason
