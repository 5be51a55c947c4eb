"""Leases: what a worker does to agents and their runs while it holds them.

An agent is stepped by one worker at a time. The lease lasts a few seconds and
is renewed while the work goes on; its generation is the fence that every write
carries, so that a worker which was paused for too long changes nothing when it
wakes up and learns it (LeaseLost). Giving an agent up and finding its inbox
empty are one act, so no message falls between.

Elsewhere: the loop that uses this (workers/loop.py).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from service.errors import AgentPaused, BudgetSpent
from service.metrics.process import Metrics
from service.queue import Queue
from service.records.messages import Message
from service.records.open_runs import Following, Opening, OpenRun
from service.records.runs import Lease, OutputEvent, Ready, Run, RunError, Step, StopReason, Usage
from service.settings import Settings
from service.store.client import Reply, StoreClient
from service.store.leases import LeaseStore
from service.workspaces import Workspaces

WAITING_MS = 1000
"""An agent ready for longer than this has lost its job, or never had one."""


class Leases:
    """The room of everything that is written under a lease."""

    def __init__(self, store: StoreClient, settings: Settings, queue: Queue, metrics: Metrics) -> None:
        self._metrics = metrics
        self._workspaces = Workspaces(store)
        self._store = LeaseStore(
            store,
            settings.run_days * 86_400,
            settings.budget,
            settings.run_tries,
            round(settings.approval_timeout_s * 1000),
        )
        self._queue = queue
        self._ms = settings.lease_ms

    async def begin(
        self,
        ws: str,
        agent_id: str,
        generation: int,
        worker_id: str,
        taken: Reply | None = None,
        job: tuple[str, ...] = (),
    ) -> tuple[Lease, OpenRun] | None:
        """The lease and the run to carry on with; `taken`: the lease was taken when the job was claimed.

        `job`: is done when the agent is idle after a run, in the same act.

        None when this generation is not the one that is due, or nothing is to be done: then the agent is
        idle and the lease given back.
        """
        lease = Lease(workspace=ws, agent_id=agent_id, generation=generation, worker_id=worker_id, job=job)
        if taken is None:
            open_run = await self._store.begin(lease, self._ms)
        else:
            open_run = self._store.begun(taken)
        return None if open_run is None else (lease, open_run)

    def terms(self, worker_id: str) -> tuple[str | int, ...]:
        """On which this worker's leases are taken, for whoever takes them along with claims."""
        return self._store.terms(worker_id, self._ms)

    async def renew(self, leases: Sequence[Lease]) -> list[Lease]:
        """Renews all of them; gives back those that are lost."""
        lost: list[Lease] = []
        for ws in sorted({lease.workspace for lease in leases}):
            held = [lease for lease in leases if lease.workspace == ws]
            gone = await self._store.renew(ws, held, self._ms)
            lost += [lease for lease in held if lease.agent_id in gone]
        return lost

    async def give_back(self, lease: Lease) -> None:
        """The agent goes to the back of the queue, its run wherever it stands."""
        await self._queue.nudge(lease.workspace, [await self._store.give_back(lease)])

    async def next_run(self, lease: Lease) -> OpenRun | None:
        """The run to carry on with; None means that the agent is idle and the lease given back."""
        return await self._store.next_run(lease)

    async def open_run(self, lease: Lease, opening: Opening) -> None:
        """Stores what a run's model calls start from."""
        await self._store.open_run(lease, opening)

    async def add_note(self, lease: Lease, run_id: str, note: Message, seen: Mapping[str, int]) -> None:
        """Adds a note to the run's own transcript, with the block versions it tells of."""
        await self._store.add_note(lease, run_id, note.model_dump(exclude_defaults=True), seen)

    async def step(self, ws: str, step_id: str) -> Step | None:
        return await self._store.step(ws, step_id)

    async def store_answer(self, lease: Lease, step: Step, unsaid: Sequence[OutputEvent] = ()) -> None:
        """The model's answer, before any of its tool calls is run. `unsaid`: as store_step has it."""
        await self._store.store_answer(lease, step, unsaid)

    async def store_step(
        self,
        lease: Lease,
        run: Run,
        step: Step,
        messages: Sequence[Message],
        *,
        usage: Usage,
        context_tokens: int,
        seen: Mapping[str, int],
        stop_reason: StopReason | None,
        error: RunError | None = None,
        only_noted: bool = False,
        unsaid: Sequence[OutputEvent] = (),
        opening: Opening | None = None,
        hand_on: bool = False,
    ) -> Following | None:
        """A whole step with its messages; with a stop reason also the end of the run.

        One of them that asks for the caller's word (`asked`) is pending from then on.
        `only_noted`: the run ends for that reason, but not before somebody finishes it. `unsaid`: the last
        pieces of its answer, which those who listen are told in front of it. `opening`: what the run starts
        from, if that is not stored yet. `hand_on`: where the run ends, what its agent does next is given
        back, from the same act, and the lease's job is done if it is idle then; None where the run does not
        end, or is to be finished.

        Raises, with the step stored, AgentPaused where the agent is to go no further now and its lease was
        given back, and BudgetSpent where there is none left for another one.
        """
        try:
            woken, following = await self._store.store_step(
                lease,
                step,
                messages,
                usage=usage,
                context_tokens=context_tokens,
                step_count=run.step_count + 1,
                seen=seen,
                stop_reason=stop_reason,
                error=error,
                only_noted=only_noted,
                unsaid=unsaid,
                opening=opening,
                hand_on=hand_on,
            )
        except (AgentPaused, BudgetSpent):
            self._metrics.steps.add(step.status)
            raise
        self._metrics.steps.add(step.status)
        if stop_reason is not None and not only_noted:
            self._metrics.run_ended(stop_reason)
        await self._queue.nudge(lease.workspace, woken)
        return following

    async def compact(
        self,
        lease: Lease,
        run_id: str,
        leaving: Sequence[str],
        summary: Message,
        message_0: Message,
        *,
        prompt: str,
        seen: Mapping[str, int],
        usage: Usage,
        context_tokens: int,
    ) -> bool:
        """Takes messages out of context and puts one summary there; message 0 and the run's prompt are new.

        False when none of the messages is in context any more.
        """
        return await self._store.compact(
            lease,
            run_id,
            leaving,
            summary,
            message_0,
            prompt=prompt,
            seen=seen,
            usage=usage,
            context_tokens=context_tokens,
        )

    async def store_trace(self, lease: Lease, step_id: str, trace: str) -> None:
        """What a step's provider was asked and answered, as JSON."""
        await self._store.store_trace(lease, step_id, trace)

    async def tell(self, lease: Lease, run_id: str, events: Sequence[OutputEvent]) -> None:
        """Adds to what the run says to those who listen."""
        await self._store.tell(lease, run_id, events)

    async def start_call(self, lease: Lease, run_id: str, call_id: str) -> str | None:
        """Marks a call that must not be run twice as started: None.

        For one that was: what it gave, or an empty text if nobody lived to tell.
        """
        return await self._store.start_call(lease, run_id, call_id)

    async def end_call(self, lease: Lease, run_id: str, call_id: str, result: str) -> None:
        """Keeps what a started call gave."""
        await self._store.end_call(lease, run_id, call_id, result)

    async def finish(
        self,
        lease: Lease,
        run_id: str,
        stop_reason: StopReason,
        error: RunError | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> None:
        """Ends a run that has no step to store; an errand's leaves its result."""
        woken = await self._store.finish(lease, run_id, stop_reason, error, result)
        self._metrics.run_ended(stop_reason)
        await self._queue.nudge(lease.workspace, woken)

    async def sweep(self) -> list[tuple[str, Ready]]:
        """Queues every agent that nobody carries: (workspace, agent), with the reason.

        Those `overdue` are not to be carried: nobody answers what they ask for (Approvals.give_up).
        """
        swept: list[tuple[str, Ready]] = []
        for ws in await self._workspaces.all():
            found = await self._store.sweep(ws, WAITING_MS)
            swept += [(ws, ready) for ready in found]
            for ready in found:
                if ready.reason != "overdue":
                    await self._queue.put_step(ws, ready)
        return swept
