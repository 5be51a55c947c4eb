"""Steps: one step of a run: ask the model, store its complete answer, run its tool calls, store the whole.

Before each but the first, what others changed is noted. What was stored by a worker
before is gone on with.

Elsewhere: when a turn ends (endings.py); which steps a run takes (loop.py).
"""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

import structlog

from service.bootstrap import Service
from service.errors import Invalid, LeaseLost, StoreUnreachable, UnknownModel
from service.prompts import heartbeat_event
from service.records.ids import derived_id
from service.records.messages import Message, ToolCall, ToolReturn
from service.records.runs import Lease, RunError, Step, StopReason
from workers.approvals import answering, request_answered
from workers.asking import Asker
from workers.compaction import Compactor
from workers.endings import after_failure, decide
from workers.models.base import ModelError
from workers.models.registry import Models
from workers.request import answered, results_without_running, tools_now
from workers.tools.context import ToolContext
from workers.tools.registry import Tools
from workers.transcript import Transcript, refresh
from workers.waits import Waiting

log = structlog.get_logger()


class Stepper:
    """Takes steps; one instance per worker process."""

    def __init__(self, service: Service, models: Models, tools: Tools, compactor: Compactor) -> None:
        self._service = service
        self._tools = tools
        self._compactor = compactor
        self._asker = Asker(service, models, compactor)
        self._log = log.bind()  # the lazy one asks for the configuration at every line

    async def step(self, lease: Lease, transcript: Transcript, *, hand_on: bool = False) -> StopReason | None:
        """One step, stored; the reason to stop, if it was the last.

        `hand_on`: what follows the end of the run is then in the transcript, if it is known.
        """
        step, error = await self._answer(lease, transcript)
        if error is not None or step.reply is None:
            return await self._fail(lease, transcript, step, error, hand_on)
        if step.asked:
            asking = step.model_copy(update={"status": "success", "stop_reason": "requires_approval"})
            messages = self._messages(transcript, asking, [], "")
            await self._store(lease, transcript, asking, messages, "requires_approval", hand_on)
            return "requires_approval"
        began = time.perf_counter_ns()
        given = results_without_running(transcript, step.reply.tool_calls, bool(step.answers))
        results = await self._run_tools(lease, transcript, step.id, step.reply.tool_calls, given)
        tools_ns = time.perf_counter_ns() - began
        called = zip(step.reply.tool_calls, results, strict=True)
        transcript.called += [call.name for call, result in called if not result.refused]
        stop, why = decide(transcript, step.reply, results)
        misfit = bool(given) and not step.answers
        if misfit:
            stop, why = "invalid_tool_call", ""
        status = "failed" if misfit else "success"
        step = step.model_copy(update={"tools_ns": tools_ns, "status": status, "stop_reason": stop})
        messages = self._messages(transcript, step, results, why)
        await self._store(lease, transcript, step, messages, stop, hand_on)
        return stop

    async def _answer(self, lease: Lease, transcript: Transcript) -> tuple[Step, RunError | None]:
        """The step with the model's answer, asked for or as a worker before us stored it."""
        if transcript.pending_step is not None:
            stored = await self._service.leases.step(lease.workspace, transcript.pending_step)
            transcript.pending_step = None
            if stored is not None:
                self._log.info("step.resumed", step_id=stored.id)
                return stored, None
            transcript.results = {}
        if transcript.run.step_count == 0 and request_answered(transcript.run) is not None:
            return await self._answer_of_caller(lease, transcript)
        return await self._answer_of_model(lease, transcript)

    async def _answer_of_caller(self, lease: Lease, transcript: Transcript) -> tuple[Step, RunError | None]:
        """The step that begins with what the caller said to a request: its calls are in the history."""
        await transcript.opened()
        step = answering(transcript.run, transcript.request)
        if step.reply is None:
            text = "the request that this run answers is gone; send plain messages"
            return step, RunError(type="internal_error", message=text)
        await self._service.leases.store_answer(lease, step)
        return step, None

    async def _answer_of_model(self, lease: Lease, transcript: Transcript) -> tuple[Step, RunError | None]:
        run = transcript.run
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
            asked = await self._asker.ask(lease, transcript, step, handle)
        except ModelError as failure:
            return step, failure.as_run_error()
        except (Invalid, UnknownModel) as refusal:
            return step, RunError(type="llm_bad_request", message=str(refusal))
        except BaseException:
            with suppress(LeaseLost, StoreUnreachable):  # whoever writes next is told
                await transcript.opened()
            raise
        reply = asked.reply
        step = answered(transcript, step, reply, time.perf_counter_ns() - began)
        if reply.tool_calls or asked.sent is not None:
            await transcript.opened()
        if reply.tool_calls:
            await self._service.leases.store_answer(lease, step, asked.unsaid)
        else:  # it is stored with its step, in one act
            transcript.unsaid = asked.unsaid
        self._log.info(
            "step.answered",
            step_id=step.id,
            model=reply.model,
            tool_calls=len(reply.tool_calls),
            asked=len(step.asked),
            ms=(step.model_ns or 0) // 1_000_000,
            tokens=reply.usage.total_tokens,
        )
        if asked.sent is not None:
            await self._asker.keep_trace(lease, step, asked.sent)
        return step, None

    async def _fail(
        self, lease: Lease, transcript: Transcript, step: Step, error: RunError | None, hand_on: bool
    ) -> StopReason:
        """Ends the run with the model's failure. Nothing of the step enters the history, as in V1."""
        error = error or RunError(type="internal_error", message="the stored answer of a step is gone")
        stop = after_failure(error)
        self._log.error("run.failed", error_type=error.type, error=error.message)
        failed = step.model_copy(update={"status": "failed", "stop_reason": stop, "error": error})
        transcript.following = await self._service.leases.store_step(
            lease,
            transcript.run,
            failed,
            [],
            usage=transcript.usage,
            context_tokens=transcript.run.context_tokens or 0,
            seen=transcript.seen,
            stop_reason=stop,
            error=error,
            opening=await transcript.unopened(),
            hand_on=hand_on and not self._compactor.is_due(transcript),
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
        if not calls:
            return []
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
        given = transcript.input if run.step_count == 0 else []
        messages = [message.model_copy(update={"step_id": step.id}) for message in given]
        if step.answers is None and (reply.text or reply.tool_calls or reply.reasoning):
            answer = Message(
                id=step.message_id or derived_id("message", step.id, "answer"),
                role="approval" if step.asked else "assistant",
                content=reply.text,
                reasoning=reply.reasoning,
                tool_calls=reply.tool_calls,
                asked=step.asked,
                client_calls=step.client_calls,
                knew=transcript.seen if step.asked else {},
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
        hand_on: bool,
    ) -> None:
        assert step.reply is not None
        run = transcript.run
        transcript.usage = transcript.usage.plus(step.reply.usage)
        context_tokens = step.reply.usage.total_tokens
        after = run.model_copy(update={"step_count": run.step_count + 1, "context_tokens": context_tokens})
        unsaid = transcript.unsaid
        transcript.run, transcript.knew, transcript.unsaid = after, {}, []
        is_full = self._compactor.is_due(transcript)
        transcript.following = await self._service.leases.store_step(
            lease,
            run,
            step,
            messages,
            usage=transcript.usage,
            context_tokens=context_tokens,
            seen=transcript.seen,
            stop_reason=stop,
            only_noted=is_full and stop not in (None, "requires_approval"),
            unsaid=unsaid,
            opening=await transcript.unopened(),
            hand_on=hand_on and not is_full,  # whoever makes room needs the lease
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
