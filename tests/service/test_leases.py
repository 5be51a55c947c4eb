"""Leases: what the room adds to the store: jobs for agents given back or found lying."""

import pytest

from service.queue import QUEUE
from service.records.messages import Message
from service.records.open_runs import Opening
from service.records.runs import Lease, Run, Step, Usage
from tests.store.team import WS, Team

pytestmark = pytest.mark.anyio


async def due(team: Team) -> list[str]:
    return [job.id for job in (await team.service.queue.claim(QUEUE, 100)).jobs]


async def held(team: Team) -> tuple[Lease, Run]:
    agent = await team.agent()
    await team.send(agent)
    assert await due(team) == [f"step:{WS}:{agent.id}:1"]
    begun = await team.service.leases.begin(WS, agent.id, 1, "worker-1")
    assert begun is not None
    lease, open_run = begun
    return lease, open_run.run


async def test_an_agent_given_back_is_queued_again(team: Team) -> None:
    lease, _ = await held(team)
    await team.service.leases.give_back(lease)
    assert await due(team) == [f"step:{WS}:{lease.agent_id}:2"]


async def test_a_lease_that_is_not_due_is_none(team: Team) -> None:
    lease, _ = await held(team)
    assert await team.service.leases.begin(WS, lease.agent_id, 1, "worker-2") is None


async def test_leases_of_several_workspaces_are_renewed_together(team: Team) -> None:
    kept, _ = await held(team)
    elsewhere = kept.model_copy(update={"workspace": "other"})
    assert await team.service.leases.renew([kept, elsewhere]) == [elsewhere]
    await team.leases.give_back(kept)
    assert await team.service.leases.renew([kept]) == [kept]
    assert await team.service.leases.renew([]) == []


async def test_whoever_nobody_carries_is_swept_and_queued(team: Team) -> None:
    lease, _ = await held(team)
    await team.leases.renew(WS, [lease], -1)
    ((ws, ready),) = await team.service.leases.sweep()
    assert (ws, ready.agent_id, ready.generation, ready.reason) == (WS, lease.agent_id, 2, "lost")
    assert await due(team) == [f"step:{WS}:{lease.agent_id}:2"]
    assert await team.service.leases.sweep() == []


async def test_agents_of_every_workspace_are_swept(team: Team) -> None:
    await team.store.add_member("bw:workspaces", "other")
    await team.redis.hset("bw:{other}:agent:a:state", mapping={"status": "leased", "generation": "4"})  # type: ignore[misc]
    await team.redis.zadd("bw:{other}:leases", {"a": 1})
    ((ws, ready),) = await team.service.leases.sweep()
    assert (ws, ready.pool) == ("other", "default")
    assert ready.generation >= 5
    assert await due(team) == [f"step:other:a:{ready.generation}"]


async def test_notes_and_steps_come_back_as_they_were(team: Team) -> None:
    lease, run = await held(team)
    leases = team.service.leases
    note = Message(
        id="message-1", agent_id=lease.agent_id, role="system", created_at=7, content="ñ", step_id="s"
    )
    await leases.add_note(lease, run.id, note, {"block-1": 2})
    again = await leases.next_run(lease)
    assert again is not None
    assert again.material.notes == [note]
    step = Step(id="step-1", run_id=run.id, agent_id=lease.agent_id, index=0, created_at=0)
    await leases.store_answer(lease, step)
    stored = await leases.step(WS, "step-1")
    assert stored is not None
    await leases.store_step(
        lease, run, stored, [], usage=Usage(), context_tokens=5, seen={}, stop_reason="end_turn"
    )
    after = await team.service.runs.read(WS, run.id)
    assert (after.step_count, after.context_tokens, after.status) == (1, 5, "completed")
    assert await leases.next_run(lease) is None


async def test_a_run_is_opened_and_ended_through_the_room(team: Team) -> None:
    lease, run = await held(team)
    leases = team.service.leases
    message_0 = (await team.service.messages.context(WS, lease.agent_id))[0]
    await leases.open_run(lease, Opening(run, "prompt", {}, message_0))
    await leases.finish(lease, run.id, "cancelled")
    assert (await team.service.runs.read(WS, run.id)).status == "cancelled"
