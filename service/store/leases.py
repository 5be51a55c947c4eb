"""Leases in the store: what a worker does to an agent and its run. Every write carries the fence."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import to_json

from service.errors import AgentPaused, BudgetSpent, LeaseLost
from service.records.budgets import Budget
from service.records.messages import Message
from service.records.open_runs import Following, Opening, OpenRun
from service.records.runs import Lease, OutputEvent, Ready, RunError, Step, StopReason, Usage, status_of
from service.store.budgets import limits_of, spent_of
from service.store.client import Reply, StoreClient
from service.store.keys import key
from service.store.messages import body_of
from service.store.open_runs import to_open_run
from service.store.runs import woken

_NO_JOB = ("",) * 6


def _fenced(reply: Reply, lease: Lease) -> Reply:
    if reply[0] == "fence":
        raise LeaseLost(lease.agent_id)
    return reply


def _json(value: object) -> str:
    """Of ids, numbers and texts that are JSON: the library's own takes five times as long."""
    return to_json(value).decode()


def _messages(messages: Sequence[Message]) -> str:
    """Messages as step_store takes them; what the agent made is output, what it was given is not.

    One that asks for the caller's word is pending from then on.
    """
    rows = [
        (message.id, body_of(message), "1" if message.from_agent else "", "1" if message.asked else "")
        for message in messages
    ]
    return _json(rows)


def _opening(opening: Opening) -> tuple[str | int, ...]:
    """What a run starts from, behind the versions of its blocks, as opening.lua takes it."""
    run, message_0 = opening.run, opening.message_0
    return (
        opening.prompt,
        json.dumps([message.model_dump(exclude_defaults=True) for message in run.messages]),
        run.depth,
        message_0.id,
        body_of(message_0, stamped=True),
        run.agent_type or "",
        _json(list(opening.leaving)),
    )


def _events(events: Sequence[OutputEvent]) -> list[str]:
    return [event.model_dump_json(exclude={"seq"}, exclude_defaults=True) for event in events]


class LeaseStore:
    """What a worker does to agents and runs under a lease."""

    def __init__(
        self,
        store: StoreClient,
        run_seconds: int,
        budget: Budget | None = None,
        run_tries: int = 5,
        approval_ms: int = 0,
    ) -> None:
        """`budget`: of each workspace; `run_tries`: workers a run may lose; `approval_ms`: 0 is for ever."""
        self._run_tries = run_tries
        self._approval_ms = approval_ms
        self._limits = limits_of(budget)
        self._store = store
        self._run_seconds = run_seconds

    async def take(self, ws: str, agent_id: str, generation: int, worker_id: str, ms: int) -> Lease | None:
        """The lease, or None when this generation is not the one that is due."""
        lease = Lease(workspace=ws, agent_id=agent_id, generation=generation, worker_id=worker_id)
        reply = await self._store.run("lease_take", ws, agent_id, generation, worker_id, ms)
        return lease if reply[0] == "ok" else None

    async def begin(self, lease: Lease, ms: int) -> OpenRun | None:
        """Takes a lease and the run to carry on with, in one act. None: not due, or nothing to do."""
        terms = self.terms(lease.worker_id, ms)
        reply = await self._store.run("lease_take", lease.workspace, lease.agent_id, lease.generation, *terms)
        return self.begun(reply)

    def terms(self, worker_id: str, ms: int) -> tuple[str | int, ...]:
        """On which a worker takes leases, as the scripts take them."""
        return (worker_id, ms, *self._limits, self._run_tries)

    @staticmethod
    def begun(reply: Reply) -> OpenRun | None:
        """The run that taking a lease gave. None: not due, or nothing to do. RuntimeError: it broke."""
        if reply[0] == "failed":
            raise RuntimeError(f"the lease cannot be taken: {reply[1]}")
        return to_open_run(reply[1]) if reply[0] == "ok" else None

    async def renew(self, ws: str, leases: Sequence[Lease], ms: int) -> set[str]:
        """The agents among them whose lease is lost."""
        args = [part for lease in leases for part in (lease.agent_id, lease.generation)]
        return set(await self._store.run("lease_renew", ws, ms, *args))

    async def give_back(self, lease: Lease) -> Ready:
        reply = _fenced(
            await self._store.run("lease_return", lease.workspace, lease.agent_id, lease.generation), lease
        )
        return Ready(agent_id=lease.agent_id, generation=int(reply[1]), pool=reply[2], reason="returned")

    async def next_run(self, lease: Lease) -> OpenRun | None:
        """The run to carry on with, or None: then the lease is given back already."""
        reply = await self._store.run(
            "run_next", lease.workspace, lease.agent_id, lease.generation, *self._limits, self._run_tries
        )
        return to_open_run(_fenced(reply, lease))

    async def open_run(self, lease: Lease, opening: Opening) -> None:
        at = (lease.workspace, lease.agent_id, lease.generation, opening.run.id)
        seen = _json(dict(opening.seen))
        _fenced(await self._store.run("run_open", *at, seen, *_opening(opening)), lease)

    async def add_note(
        self, lease: Lease, run_id: str, note: Mapping[str, object], seen: Mapping[str, int]
    ) -> None:
        _fenced(
            await self._store.run(
                "run_note",
                lease.workspace,
                lease.agent_id,
                lease.generation,
                run_id,
                json.dumps(dict(note), ensure_ascii=False),
                _json(dict(seen)),
            ),
            lease,
        )

    async def step(self, ws: str, step_id: str) -> Step | None:
        text = await self._store.get(key(ws, "step", step_id))
        return Step.model_validate_json(text) if text else None

    async def store_answer(self, lease: Lease, step: Step, unsaid: Sequence[OutputEvent] = ()) -> None:
        _fenced(
            await self._store.run(
                "step_answer",
                lease.workspace,
                lease.agent_id,
                lease.generation,
                step.run_id,
                step.id,
                step.model_dump_json(exclude={"created_at"}, exclude_defaults=True),
                *_events(unsaid),
            ),
            lease,
        )

    async def store_step(
        self,
        lease: Lease,
        step: Step,
        messages: Sequence[Message],
        *,
        usage: Usage,
        context_tokens: int,
        step_count: int,
        seen: Mapping[str, int],
        stop_reason: StopReason | None,
        error: RunError | None = None,
        only_noted: bool = False,
        unsaid: Sequence[OutputEvent] = (),
        opening: Opening | None = None,
        hand_on: bool = False,
    ) -> tuple[list[Ready], Following | None]:
        """A whole step with its messages, and the end of its run if there is a stop reason.

        `only_noted`: the reason is kept, and the run goes on until it is finished. `unsaid`: is told first.
        `opening`: is stored first. `hand_on`: a run that ends is followed by the next one in the same act, or
        by the end of the lease's job.
        Gives back the agents that waited for this end, and what follows. Raises AgentPaused, BudgetSpent
        where the run goes no further.
        """
        stamped = step.created_at > 0
        reply = _fenced(
            await self._store.run(
                "step_store",
                lease.workspace,
                lease.agent_id,
                lease.generation,
                step.run_id,
                step.id,
                step.model_dump_json(exclude=None if stamped else {"created_at"}, exclude_defaults=True),
                "1" if stamped else "",
                _messages(messages),
                usage.model_dump_json(),
                context_tokens,
                step_count,
                _json(dict(seen)),
                stop_reason or "",
                status_of(stop_reason) if stop_reason else "",
                error.model_dump_json() if error else "",
                self._run_seconds,
                "1" if only_noted else "",
                1 if step.answers is None else 0,
                *self._limits,
                self._approval_ms,
                "1" if hand_on else "",
                self._run_tries,
                *(lease.job or _NO_JOB),
                *(("",) if opening is None else ("1", *_opening(opening))),
                *_events(unsaid),
            ),
            lease,
        )
        if reply[0] == "spent":
            raise BudgetSpent(spent_of(reply[1:]).told())
        if reply[0] == "paused":
            raise AgentPaused(lease.agent_id)
        return woken(reply[1:]), Following(to_open_run(reply[1])) if reply[1] else None

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
        """A summary in the place of messages in context. False when none of them is there any more."""
        reply = await self._store.run(
            "context_compact",
            lease.workspace,
            lease.agent_id,
            lease.generation,
            run_id,
            _json(list(leaving)),
            summary.id,
            body_of(summary),
            prompt,
            _json(dict(seen)),
            message_0.id,
            body_of(message_0, stamped=True),
            usage.model_dump_json(),
            context_tokens,
        )
        return bool(_fenced(reply, lease)[0] == "ok")

    async def store_trace(self, lease: Lease, step_id: str, trace: str) -> None:
        """What a step's provider was asked and answered (JSON)."""
        _fenced(
            await self._store.run(
                "trace_put",
                lease.workspace,
                lease.agent_id,
                lease.generation,
                step_id,
                trace,
                self._run_seconds,
            ),
            lease,
        )

    async def tell(self, lease: Lease, run_id: str, events: Sequence[OutputEvent]) -> None:
        """Adds events to a run's output."""
        at = (lease.workspace, lease.agent_id, lease.generation, run_id)
        _fenced(await self._store.run("output_tell", *at, *_events(events)), lease)

    async def start_call(self, lease: Lease, run_id: str, call_id: str) -> str | None:
        """None when it is started now; else what is kept of it, which may be nothing."""
        at = (lease.workspace, lease.agent_id, lease.generation, run_id, call_id)
        reply = _fenced(await self._store.run("call_start", *at), lease)
        return reply[1] if reply[0] == "known" else None

    async def end_call(self, lease: Lease, run_id: str, call_id: str, result: str) -> None:
        at = (lease.workspace, lease.agent_id, lease.generation, run_id, call_id)
        _fenced(await self._store.run("call_end", *at, result), lease)

    async def finish(
        self,
        lease: Lease,
        run_id: str,
        stop_reason: StopReason,
        error: RunError | None,
        result: Mapping[str, Any] | None = None,
    ) -> list[Ready]:
        """Ends a run that has no step to store. Gives back the agents that waited for this end."""
        reply = _fenced(
            await self._store.run(
                "run_finish",
                lease.workspace,
                lease.agent_id,
                lease.generation,
                run_id,
                stop_reason,
                status_of(stop_reason),
                error.model_dump_json() if error else "",
                self._run_seconds,
                "" if result is None else json.dumps(dict(result), ensure_ascii=False),
            ),
            lease,
        )
        return woken(reply)

    async def sweep(self, ws: str, ready_ms: int) -> list[Ready]:
        reply = await self._store.run("sweep", ws, ready_ms)
        return [
            Ready(agent_id=reply[i], generation=int(reply[i + 1]), pool=reply[i + 2], reason=reply[i + 3])
            for i in range(0, len(reply), 4)
        ]
