"""budget.lua: what agents and workspaces used in the last hour, and when there is room again."""

import time
from typing import Any

import pytest

from service.errors import BudgetSpent
from service.records.budgets import Budget, Spent
from service.records.messages import Message
from service.records.open_runs import OpenRun
from service.records.runs import Lease, Run, Step, Usage
from service.store.keys import key
from service.store.leases import LeaseStore
from service.store.wakeups import WakeUpStore
from tests.store.team import ALICE, RUN_SECONDS, WS, Team

pytestmark = pytest.mark.anyio

MINUTE_MS = 60_000


async def store(
    leases: LeaseStore, lease: Lease, run: Run, *, tokens: int = 10, index: int = 0, **more: Any
) -> None:
    """A step after which the run has used so many tokens."""
    step = Step(id=f"step-{index}-{run.id}", run_id=run.id, agent_id=run.agent_id, index=index, created_at=0)
    given = {"usage": Usage(prompt_tokens=tokens - 1, completion_tokens=1), "stop_reason": None} | more
    await leases.store_step(
        lease,
        step.model_copy(update={"answers": more.pop("answers", None)}),
        [],
        context_tokens=1,
        step_count=index + 1,
        seen={},
        usage=given["usage"],
        stop_reason=given["stop_reason"],
    )


def now_minute() -> int:
    return int(time.time()) // 60


async def used(team: Team, agent_id: str) -> tuple[int, int]:
    """The tokens and steps that are counted for an agent; its workspace's are the same where it is alone."""
    sums = []
    for name in (key(WS, "agent_spent", agent_id), key(WS, "spent")):
        found = await team.store.hash(name)
        sums.append(
            [
                sum(int(number) for bucket, number in found.items() if bucket.startswith(what))
                for what in ("tokens:", "steps:")
            ]
        )
    assert sums[0] == sums[1]
    return sums[0][0], sums[0][1]


async def spend(team: Team, agent_id: str, what: str, *ago: int, now: int | None = None) -> None:
    """Ten were used so many minutes ago."""
    for minutes in ago:
        bucket = f"{what}:{(now or now_minute()) - minutes}"
        await team.redis.hset(key(WS, "agent_spent", agent_id), bucket, "10")  # type: ignore[misc]


async def taken_up(team: Team, **budget: int) -> OpenRun | None:
    leases = LeaseStore(team.store, RUN_SECONDS, Budget(**budget))
    return await leases.next_run(await team.lease(await team.agent()))


async def test_a_step_is_counted_with_the_tokens_by_which_its_run_grew(team: Team) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    await store(team.leases, lease, open_run.run, tokens=10)
    assert await used(team, agent.id) == (10, 1)
    await store(team.leases, lease, open_run.run, tokens=25, index=1)
    assert await used(team, agent.id) == (25, 2)


async def test_a_step_that_asked_no_model_is_not_counted(team: Team) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    step = Step(id="s", run_id=open_run.run.id, agent_id=agent.id, index=0, created_at=0, answers="message-1")
    await team.leases.store_step(
        lease, step, [], usage=Usage(), context_tokens=1, step_count=1, seen={}, stop_reason=None
    )
    assert await used(team, agent.id) == (0, 0)


async def test_a_summary_counts_its_tokens(team: Team) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    leaving = (await team.service.messages.context(WS, agent.id))[0]
    summary = Message(id="message-s", agent_id=agent.id, role="user", created_at=0)
    compacted = await team.leases.compact(
        lease,
        open_run.run.id,
        [leaving.id],
        summary,
        leaving,
        prompt="p",
        seen={},
        usage=Usage(prompt_tokens=7),
        context_tokens=1,
    )
    assert compacted
    assert await used(team, agent.id) == (7, 0)


@pytest.mark.parametrize(
    ("budget", "what"), [({"tokens_per_hour": 20}, "tokens"), ({"steps_per_hour": 2}, "steps")]
)
async def test_a_step_with_which_a_budget_is_used_up_is_stored_and_says_so(
    team: Team, budget: dict[str, int], what: str
) -> None:
    agent = await team.agent(budget=Budget(**budget))
    lease, open_run = await team.working(agent)
    await store(team.leases, lease, open_run.run)
    with pytest.raises(
        BudgetSpent, match=f"the budget of {agent.id} is used up: {budget[f'{what}_per_hour']}"
    ):
        await store(team.leases, lease, open_run.run, tokens=20, index=1)
    assert (await team.service.runs.read(WS, open_run.run.id)).step_count == 2


async def test_the_last_step_of_a_run_may_use_the_rest(team: Team) -> None:
    agent = await team.agent(budget=Budget(steps_per_hour=1))
    lease, open_run = await team.working(agent)
    await store(team.leases, lease, open_run.run, stop_reason="end_turn")
    await team.send(agent)
    after = await team.leases.next_run(lease)
    assert after is not None
    assert after.spent is not None


async def test_a_workspaces_budget_is_that_of_all_its_agents(team: Team) -> None:
    for _ in range(2):
        lease, open_run = await team.working(await team.agent())
        await store(team.leases, lease, open_run.run, stop_reason="end_turn")
    found = await taken_up(team, steps_per_hour=2, tokens_per_hour=1000)
    assert found is not None
    assert found.spent is not None
    assert (found.spent.owner, found.spent.what, found.spent.limit) == ("workspace", "steps", 2)
    assert "the budget of this workspace is used up: 2 steps per hour" in found.spent.told()
    roomy = await taken_up(team, steps_per_hour=3)
    assert roomy is not None
    assert roomy.spent is None


async def test_there_is_room_again_when_enough_is_an_hour_old(team: Team) -> None:
    agent = await team.agent(budget=Budget(tokens_per_hour=30))
    at = now_minute()
    await spend(team, agent.id, "tokens", 60, 50, 40, 30, 20, now=at)
    await spend(team, agent.id, "steps", 10)
    _, open_run = await team.working(agent)
    at_ms = (at - 40 + 60) * MINUTE_MS  # the oldest is forgotten; without the two after it 20 are left
    expected = Spent(owner=agent.id, what="tokens", limit=30, free_at=at_ms * 1000)
    assert open_run.spent == expected


async def test_of_several_budgets_the_one_that_is_free_last_is_named(team: Team) -> None:
    agent = await team.agent(budget=Budget(tokens_per_hour=1, steps_per_hour=1))
    await spend(team, agent.id, "tokens", 5)
    await spend(team, agent.id, "steps", 30)
    _, open_run = await team.working(agent)
    assert open_run.spent is not None
    assert open_run.spent.what == "tokens"


async def test_what_is_older_than_an_hour_is_forgotten_with_the_next_minute(team: Team) -> None:
    agent = await team.agent()
    at = now_minute()
    await spend(team, agent.id, "tokens", 61, 50, now=at)
    lease, open_run = await team.working(agent)
    await store(team.leases, lease, open_run.run, stop_reason="end_turn")
    name = key(WS, "agent_spent", agent.id)
    left = await team.store.hash(name)
    assert {bucket for bucket in left if bucket.startswith("tokens")} >= {f"tokens:{at - 50}"}
    assert f"tokens:{at - 61}" not in left
    assert 3600 <= await team.redis.ttl(name) <= 3660


async def test_a_budget_is_changed_as_a_whole_and_taken_away_by_an_empty_one(team: Team) -> None:
    agent = await team.agent(budget=Budget(steps_per_hour=1))
    await spend(team, agent.id, "steps", 1)
    lease, open_run = await team.working(agent)
    assert open_run.spent is not None
    for budget, shown in ((Budget(tokens_per_hour=5), Budget(tokens_per_hour=5)), (Budget(), None)):
        assert (await team.update(agent, budget=budget)).budget == shown
        again = await team.leases.next_run(lease)
        assert again is not None
        assert again.spent is None


async def overspent_and_woken(team: Team) -> tuple[Any, str]:
    """An agent without room, with a wake-up in its inbox."""
    agent = await team.agent(budget=Budget(steps_per_hour=1))
    await spend(team, agent.id, "steps", 59)
    await team.block()
    changes = await team.changes()
    wake = await team.wake(agent, "run-w", changes)
    await WakeUpStore(team.store).move(WS, "0-0", changes[-1].id, [wake])
    return agent, wake.run.id


async def test_a_wake_up_waits_until_there_is_room(team: Team) -> None:
    agent, run_id = await overspent_and_woken(team)
    assert await team.leases.next_run(await team.lease(agent)) is None
    assert (await team.state(agent))["status"] == "idle"
    assert (await team.service.runs.read(WS, run_id)).status == "created"
    assert await team.leases.sweep(WS, 60_000) == []
    await team.redis.zadd(key(WS, "held"), {agent.id: 1})
    (ready,) = await team.leases.sweep(WS, 60_000)
    assert (ready.agent_id, ready.reason) == (agent.id, "held")
    await team.redis.delete(key(WS, "agent_spent", agent.id))
    _, open_run = await team.working(agent)
    assert (open_run.run.id, len(open_run.causes)) == (run_id, 1)


async def test_what_comes_behind_a_wake_up_that_waits_is_taken_at_once(team: Team) -> None:
    agent, run_id = await overspent_and_woken(team)
    sent = await team.send(agent)
    lease = await team.lease(agent)
    found = await team.leases.next_run(lease)
    assert found is not None
    assert found.run.id == sent
    assert found.spent is not None
    assert found.causes == []
    assert await team.store.items(key(WS, "agent_inbox", agent.id)) == [run_id]
    await team.leases.finish(lease, sent, "insufficient_credits", None)
    assert await team.leases.next_run(lease) is None
    assert await team.store.count(key(WS, "held")) == 1


async def test_a_larger_budget_brings_a_wake_up_at_once(team: Team) -> None:
    agent, run_id = await overspent_and_woken(team)
    assert await team.leases.next_run(await team.lease(agent)) is None
    await team.update(agent, budget=Budget(steps_per_hour=11))
    assert [ready.agent_id for ready in await team.leases.sweep(WS, 60_000)] == [agent.id]
    _, open_run = await team.working(agent)
    assert (open_run.run.id, open_run.spent) == (run_id, None)


async def test_a_mark_that_holds_nothing_back_any_more_is_swept_away(team: Team) -> None:
    agent, run_id = await overspent_and_woken(team)
    assert await team.leases.next_run(await team.lease(agent)) is None
    await team.service.runs.cancel(WS, run_id)
    await team.redis.zadd(key(WS, "held"), {agent.id: 1})
    assert await team.leases.sweep(WS, 60_000) == []
    assert await team.store.count(key(WS, "held")) == 0


async def test_what_was_counted_goes_with_its_agent(team: Team) -> None:
    agent, _ = await overspent_and_woken(team)
    assert await team.leases.next_run(await team.lease(agent)) is None
    await team.service.agents.delete(WS, agent.id, ALICE)
    assert await team.store.count(key(WS, "held")) == 0
    assert await team.store.hash(key(WS, "agent_spent", agent.id)) == {}
