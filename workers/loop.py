"""Loop: carries one agent's runs, step by step, under a lease.

Whoever takes a run over goes on from what is stored: an answer that is there is
not asked for again, an effect that was had is not had twice.

Elsewhere: what a step is (steps.py).
"""

import structlog

from service.bootstrap import Service
from service.errors import AgentPaused, BudgetSpent, Invalid, UnknownModel
from service.interruption import interrupted_by
from service.records.open_runs import Following, OpenRun
from service.records.runs import OPEN, Lease, Run, RunError, Step, StopReason, status_of
from workers.approvals import answering, request_answered, unfinished
from workers.budgets import budget_error, must_stop
from workers.compaction import Compactor
from workers.errands import Errands
from workers.models.base import ModelError
from workers.models.registry import Models
from workers.steps import Stepper
from workers.tools.registry import Tools
from workers.transcript import Transcript, gather, input_of
from workers.waits import Waiting

log = structlog.get_logger()

RUNS_PER_LEASE = 10
"""After so many runs the agent goes to the back of the queue, so that others get their turn."""
_HEEDED_AFTER_S = 0.02
"""Cancellations of a run are listened for from then on; one of before is found FIRST_LOOK_S later."""


class Loop:
    """Steps agents; one instance per worker process."""

    def __init__(self, service: Service, models: Models, tools: Tools) -> None:
        self._service = service
        self._compactor = Compactor(service, models)
        self._stepper = Stepper(service, models, tools, self._compactor)
        self._errands = Errands(service, models, self._compactor)
        self._log = log.bind()  # the lazy one asks for the configuration at every line
        self._stopping = False

    def ask_to_stop(self) -> None:
        """Agents under way are handed back where their next step would begin."""
        self._stopping = True

    async def carry(self, lease: Lease, first: OpenRun | None = None) -> bool:
        """Runs an agent's inbox dry, or gives it back after its share, or when it waits for others.

        `first`: the run that came with the lease, if one did. True where the job that it came with was ended
        with the last run. Raises LeaseLost, StoreUnreachable.
        """
        open_run = first or await self._service.leases.next_run(lease)
        for left in reversed(range(RUNS_PER_LEASE)):
            if open_run is None:
                return False
            with structlog.contextvars.bound_contextvars(run_id=open_run.run.id):
                try:
                    following = await self._carry_run(lease, open_run, hand_on=left > 0)
                except Waiting as waiting:
                    self._log.info("run.waiting", agent_ids=waiting.agent_ids)
                    return False
                except AgentPaused:
                    self._log.info("run.paused")
                    return False
            if following is not None and following.run is None:
                return bool(lease.job)
            if self._stopping:
                self._log.info("agent.handed_back")
                break
            if left > 0:
                open_run = following.run if following else await self._service.leases.next_run(lease)
        await self._service.leases.give_back(lease)
        return False

    async def _carry_run(self, lease: Lease, open_run: OpenRun, *, hand_on: bool) -> Following | None:
        """A run to its end, or to its next step when this worker stops.

        With `hand_on` also what follows, where it came with the end.
        """
        run = open_run.run
        self._log.info("run.started", kind=run.kind, tries=run.tries)
        if open_run.cancelled:
            await self._cut_off(lease, run.id, "cancelled")
            self._log.info("run.cancelled")
            return None
        if run.parked:
            text = f"given up after {run.tries - 1} workers were lost in a row at the same step"
            await self._cut_off(lease, run.id, "error", RunError(type="internal_error", message=text))
            self._service.metrics.dead_letters.add()
            self._log.error("run.parked", tries=run.tries - 1)
            return None
        if open_run.spent is not None and must_stop(open_run):
            await self._overspent(lease, run.id, open_run.spent.told())
            return None
        try:
            return await self._steps_unless_cancelled(lease, open_run, hand_on)
        except BudgetSpent as refusal:
            await self._overspent(lease, run.id, str(refusal))
            return None

    async def _overspent(self, lease: Lease, run_id: str, text: str) -> None:
        await self._service.leases.finish(lease, run_id, "insufficient_credits", budget_error(text))
        self._log.error("run.overspent", error=text)

    async def _steps_unless_cancelled(
        self, lease: Lease, open_run: OpenRun, hand_on: bool
    ) -> Following | None:
        """Steps that end where they are as soon as somebody asks for it."""
        run_id = open_run.run.id
        with interrupted_by(self._service.runs.cancelled(lease.workspace, run_id), after_s=_HEEDED_AFTER_S):
            return await self._steps(lease, open_run, hand_on)
        if await self._cut_off(lease, run_id, "cancelled"):
            self._log.info("run.cancelled")
        return None

    async def _cut_off(
        self, lease: Lease, run_id: str, stop: StopReason, error: RunError | None = None
    ) -> bool:
        """Ends a run where it stands; of a step that was answered its usage counts, its messages do not.

        False for one that had ended just before.
        """
        ws, leases = lease.workspace, self._service.leases
        run, steps = await self._service.runs.read(ws, run_id), await self._service.runs.steps(ws, run_id)
        if run.status not in OPEN:
            return False
        last = steps[-1] if steps else await self._answering(ws, run)
        if last is None or last.status != "pending" or last.reply is None:
            await leases.finish(lease, run_id, stop, error)
            return True
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
        return True

    async def _answering(self, ws: str, run: Run) -> Step | None:
        """Of a run that answers a request the step it begins with, for its calls are in the history."""
        request_id = request_answered(run)
        found = await self._service.messages.read_many(ws, run.agent_id, [request_id] if request_id else [])
        return answering(run, found[0]) if found else None

    async def _steps(self, lease: Lease, open_run: OpenRun, hand_on: bool) -> Following | None:
        """Step after step, to the end of the run; what follows it, where that is known."""
        transcript = await gather(self._service, lease, open_run)
        if open_run.run.errand is not None:
            await transcript.opened()
            await self._errands.carry(lease, transcript)
            return None
        stop = open_run.stop
        only_noted = stop is not None  # whoever had it before us may have made room, and not ended the run
        while True:
            if self._compactor.is_due(transcript):
                await transcript.opened()
                await self._make_room(lease, transcript)
                only_noted = stop is not None
            if stop is not None:
                break
            stop = await self._stepper.step(lease, transcript, hand_on=hand_on and not self._stopping)
            if stop is None and self._stopping:
                return None
        if only_noted:
            await self._service.leases.finish(lease, transcript.run.id, stop)
        self._log.info("run.finished", stop_reason=stop, steps=transcript.run.step_count)
        return transcript.following

    async def _make_room(self, lease: Lease, transcript: Transcript) -> None:
        """A summary in the place of old messages; without one the run goes on, or ends, all the same."""
        try:
            await self._compactor.make_room(lease, transcript, "context_window_exceeded")
        except (ModelError, Invalid, UnknownModel) as failure:
            self._log.warning("context.left_full", error=str(failure))
