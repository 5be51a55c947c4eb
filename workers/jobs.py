"""Jobs: arq's entry points. A step raises nothing to arq, which would end its job for good.

What goes wrong is recorded with the run where it is the run's fault; where it is
not (the store is away, a bug of ours), the lease is left to run out, and the
sweeper brings the agent back, a few times at most.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import structlog
from arq.worker import Retry

from service.access import check_workspace
from service.bootstrap import Service
from service.errors import BlockwireError, InboxFull, LeaseLost, StoreFilling, StoreUnreachable
from service.records.base import DEFAULT_WORKSPACE
from service.records.ids import derived_id
from service.records.messages import NewMessage
from service.records.open_runs import OpenRun
from service.records.runs import Lease
from workers.keeper import Keeper
from workers.loop import Loop

log = structlog.get_logger()

Context = dict[str, Any]
RETRY_S = 1


async def step(ctx: Context, workspace: str, agent_id: str, generation: int) -> None:
    """Carries an agent forward, if this job's generation is the one that is due."""
    service: Service = ctx["service"]
    with structlog.contextvars.bound_contextvars(
        workspace=workspace, agent_id=agent_id, worker_id=ctx["worker_id"]
    ):
        try:
            begun = await service.leases.begin(
                workspace, agent_id, generation, ctx["worker_id"], ctx.get("taken"), ctx.get("done_by", ())
            )
        except StoreUnreachable as failure:
            log.warning("job.deferred", error=str(failure))
            return
        if begun is not None:
            await _carry(ctx, *begun)


async def give_back(ctx: Context, args: Sequence[Any]) -> None:
    """A step whose lease was taken with its claim, and which is not begun, as this worker stops."""
    workspace, agent_id, generation = args
    service: Service = ctx["service"]
    begun = await service.leases.begin(workspace, agent_id, generation, ctx["worker_id"], ctx["taken"])
    if begun is not None:
        await _hand_back(service, begun[0])


async def _carry(ctx: Context, lease: Lease, first: OpenRun) -> None:
    loop: Loop = ctx["loop"]
    keeper: Keeper = ctx["keeper"]
    task = cast("asyncio.Task[Any]", asyncio.current_task())
    keeper.hold(lease, task)
    try:
        ctx["is_ended"] = await loop.carry(lease, first)
    except asyncio.CancelledError:
        task.uncancel()  # it goes on, to its end
        is_lost = keeper.has_lost(task)
        keeper.drop(lease, task)  # which would find the lease given back, and cut the rest off
        if not is_lost:
            await _hand_back(ctx["service"], lease)
    except LeaseLost:
        ctx["service"].metrics.leases_lost.add()
        log.warning("lease.lost", generation=lease.generation)
    except StoreUnreachable as failure:
        log.warning("step.deferred", error=str(failure))
    except Exception:
        log.exception("step.broken")
    finally:
        keeper.drop(lease, task)


async def _hand_back(service: Service, lease: Lease) -> None:
    """This worker stops: another one goes on from what is stored, at once."""
    try:
        await service.leases.give_back(lease)
        log.info("agent.handed_back")
    except (LeaseLost, StoreUnreachable) as failure:
        log.warning("agent.left", error=str(failure))


async def answer(ctx: Context, workspace: str, question_id: str) -> None:
    """Asks a model what somebody waits for, unless another worker does."""
    with structlog.contextvars.bound_contextvars(workspace=workspace, worker_id=ctx["worker_id"]):
        try:
            await ctx["questioner"].carry(workspace, question_id)
        except StoreUnreachable as failure:
            log.warning("question.dropped", error=str(failure))


async def send_message(
    ctx: Context, agent_id: str, text: str, workspace: str = DEFAULT_WORKSPACE, priority: int = 0
) -> str:
    """For services that speak arq: sends a text to an agent; the result is the run's id.

    The same job id gives the same run. A message that is refused fails its job, whose result
    then says why: trying again would not help. Where it would, because an inbox or the store has no
    room, the job waits.
    """
    service: Service = ctx["service"]
    run_id = derived_id("run", "job", workspace, ctx["job_id"])
    try:
        check_workspace(workspace)
        run = await service.messages.send(
            workspace,
            agent_id,
            [NewMessage(content=text)],
            background=True,
            run_id=run_id,
            waits=True,
            priority=priority,
        )
    except StoreUnreachable as failure:
        raise Retry(defer=RETRY_S) from failure
    except (InboxFull, StoreFilling) as full:
        log.warning("job.deferred", job_id=ctx["job_id"], agent_id=agent_id, error=str(full))
        raise Retry(defer=full.wait_s) from full
    except BlockwireError as refusal:
        log.warning("job.refused", job_id=ctx["job_id"], agent_id=agent_id, error=str(refusal))
        raise
    return run.id
