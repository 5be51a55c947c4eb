"""Asks: what the scripts do when agents write to each other, wait, are answered, cancelled, deleted."""

import asyncio
import json
from typing import Any

import pytest

from service.errors import AskCircle, InboxFull, NotFound, StoreFilling
from service.records.agents import Agent
from service.records.messages import ToolReturn
from service.records.runs import AskState, Lease, Ready, Run
from service.store.asks import AskStore
from service.store.keys import key
from service.store.runs import RunStore
from tests.store.team import ALICE, RUN_SECONDS, WS, Team, wait_until

pytestmark = pytest.mark.anyio

LONG_MS = 600_000


class Asker:
    """An agent at work, and what its worker does."""

    def __init__(self, team: Team, agent: Agent, lease: Lease, run: Run) -> None:
        self.team = team
        self.agent = agent
        self.lease = lease
        self.run = run
        self.asks = AskStore(team.store)

    async def ask(self, other: Agent | str, id: str = "run-asked", ms: int | None = LONG_MS) -> AskState:
        receiver = other if isinstance(other, str) else other.id
        run = Run(id=id, agent_id=receiver, created_at=0)
        return (await self.asks.ask(self.lease, self.run.id, run, ms))[0]

    async def wait(self, results: dict[int, ToolReturn] | None = None) -> list[Ready]:
        return await self.asks.wait(self.lease, self.run.id, {"block-1": 2}, results or {})

    async def awaited(self) -> dict[str, str]:
        return await self.team.store.hash(key(WS, "agent_awaits", self.agent.id))

    async def status(self) -> str:
        return (await self.team.state(self.agent))["status"]

    async def hash(self) -> dict[str, str]:
        return await self.team.store.hash(key(WS, "run", self.run.id))

    async def finish(self) -> list[Ready]:
        return await self.team.leases.finish(self.lease, self.run.id, "end_turn", None)


async def at_work(team: Team, **fields: Any) -> Asker:
    agent = await team.agent(**fields)
    lease, open_run = await team.working(agent)
    return Asker(team, agent, lease, open_run.run)


async def test_a_message_makes_an_idle_receiver_ready_and_waits_behind_a_busy_ones_run(team: Team) -> None:
    one, busy, idle = await at_work(team), await at_work(team), await team.agent(pool="big")
    run = Run(id="run-1", agent_id=idle.id, created_at=0)
    state, [ready] = await one.asks.ask(one.lease, one.run.id, run, LONG_MS)
    assert (state, ready.agent_id, ready.generation, ready.pool) == ("sent", idle.id, 1, "big")
    run = Run(id="run-2", agent_id=busy.agent.id, created_at=0)
    assert await one.asks.ask(one.lease, one.run.id, run, LONG_MS) == ("sent", [])
    assert await one.awaited() == {"run-1": idle.id, "run-2": busy.agent.id}
    assert await RunStore(team.store).open_ids(WS, busy.agent.id) == [busy.run.id, "run-2"]


async def test_the_same_message_again_sends_nothing_and_says_how_it_stands(team: Team) -> None:
    one, other = await at_work(team), await team.agent()
    assert await one.ask(other) == "sent"
    before = await team.everything()
    assert await one.ask(other) == "open"
    assert await team.everything() == before
    lease, open_run = await team.working(other)
    assert await one.ask(other) == "open"
    await team.leases.finish(lease, open_run.run.id, "error", None)
    assert await one.ask(other) == "ended"
    assert await RunStore(team.store).delete(WS, "run-asked")
    assert await one.ask(other) == "gone"
    assert await RunStore(team.store).open_ids(WS, other.id) == []


async def test_past_its_deadline_a_reply_is_no_longer_awaited_unless_it_is_there(team: Team) -> None:
    one, slow, quick = await at_work(team), await team.agent(), await team.agent()
    await one.ask(slow, "run-slow", ms=0)
    await one.ask(quick, "run-quick", ms=0)
    lease, _ = await team.working(quick)
    await team.leases.finish(lease, "run-quick", "end_turn", None)
    assert await one.ask(quick, "run-quick", ms=0) == "ended"
    assert await one.ask(slow, "run-slow", ms=0) == "late"
    assert await one.awaited() == {}
    assert await one.ask(slow, "run-slow", ms=0) == "late"
    lease, _ = await team.working(slow)
    assert await team.leases.finish(lease, "run-slow", "end_turn", None) == []
    assert await one.ask(slow, "run-slow", ms=0) == "ended"


async def test_nobody_is_awaited_for_a_one_way_message(team: Team) -> None:
    one, other = await at_work(team), await at_work(team)
    await other.ask(one.agent, "run-back")
    assert await one.ask(other.agent, ms=None) == "sent"
    assert await one.awaited() == {}
    await one.ask(other.agent, ms=None)
    assert await RunStore(team.store).open_ids(WS, other.agent.id) == [other.run.id, "run-asked"]


@pytest.mark.parametrize("id", ["agent-x", "agent-x:state"])
async def test_an_unknown_receiver_stays_unknown_and_nothing_is_awaited(team: Team, id: str) -> None:
    one = await at_work(team)
    for _ in range(2):
        with pytest.raises(NotFound, match=id):
            await one.ask(id)
    assert await one.awaited() == {}
    assert not [name for name in await team.names() if id in name]


async def test_a_circle_of_one_two_and_three_is_refused_with_its_agents(team: Team) -> None:
    a, b, c = [await at_work(team) for _ in range(3)]
    with pytest.raises(AskCircle) as alone:
        await a.ask(a.agent, "run-a")
    assert alone.value.agents == [a.agent.id]
    await a.ask(b.agent, "run-b")
    with pytest.raises(AskCircle) as two:
        await b.ask(a.agent, "run-a")
    assert two.value.agents == [a.agent.id, b.agent.id]
    await b.ask(c.agent, "run-c")
    with pytest.raises(AskCircle) as three:
        await c.ask(a.agent, "run-a")
    assert three.value.agents == [a.agent.id, b.agent.id, c.agent.id]
    assert await RunStore(team.store).open_ids(WS, a.agent.id) == [a.run.id]
    assert await c.awaited() == {}


async def test_a_circle_that_was_refused_stays_refused_when_it_is_gone(team: Team) -> None:
    """A step that is repeated does not send later what its model was, or will be, told was not sent."""
    a, b = await at_work(team), await at_work(team)
    await a.ask(b.agent, "run-b")
    with pytest.raises(AskCircle):
        await b.ask(a.agent, "run-a")
    await a.finish()
    with pytest.raises(AskCircle) as again:
        await b.ask(a.agent, "run-a")
    assert again.value.agents == [a.agent.id, b.agent.id]
    assert await b.ask(a.agent, "run-a2") == "sent"


async def test_agents_that_several_wait_for_are_looked_at_once(team: Team) -> None:
    """A waits for B and C, both wait for D; D may ask E, and neither A nor B."""
    a, b, c, d, e = [await at_work(team) for _ in range(5)]
    await a.ask(b.agent, "run-1")
    await a.ask(c.agent, "run-2")
    await b.ask(d.agent, "run-3")
    await c.ask(d.agent, "run-4")
    assert await d.ask(e.agent, "run-5") == "sent"
    with pytest.raises(AskCircle) as circle:
        await e.ask(a.agent, "run-6")
    first, middle, *rest = circle.value.agents
    assert (first, rest) == (a.agent.id, [d.agent.id, e.agent.id])
    assert middle in (b.agent.id, c.agent.id)


async def test_a_circle_beyond_what_is_looked_at_is_left_to_its_deadline(team: Team) -> None:
    one, other = await at_work(team), await team.agent()
    chain = [other.id, *[f"agent-{i}" for i in range(1000)], one.agent.id]
    for i in range(len(chain) - 1):
        await team.redis.hset(key(WS, "agent_awaits", chain[i]), f"run-{i}", chain[i + 1])  # type: ignore[misc]
    assert await one.ask(other) == "sent"
    await team.redis.delete(key(WS, "agent_awaits", "agent-999"))
    await team.redis.hset(key(WS, "agent_awaits", "agent-996"), "run-x", one.agent.id)  # type: ignore[misc]
    with pytest.raises(AskCircle):
        await one.ask(other, "run-2")


async def test_only_one_of_two_that_ask_each_other_at_once_is_heard(team: Team) -> None:
    a, b = await at_work(team), await at_work(team)
    ends = await asyncio.gather(a.ask(b.agent, "run-b"), b.ask(a.agent, "run-a"), return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == ["AskCircle", "str"]


async def test_waiting_gives_the_lease_back_and_keeps_what_the_calls_gave(team: Team) -> None:
    one, other = await at_work(team), await team.agent()
    await one.ask(other)
    done = ToolReturn(tool_call_id="call_0", name="x", text="ü", status="error", stderr=["why"])
    assert await one.wait({0: done, 3: done}) == []
    state = await team.state(one.agent)
    assert (state["status"], state["worker"], state["run_id"], state["generation"]) == (
        "waiting",
        "",
        one.run.id,
        str(one.lease.generation),
    )
    assert await team.store.score(key(WS, "leases"), one.agent.id) is None
    hash = await one.hash()
    assert (hash["tries"], json.loads(hash["seen"])) == ("0", {"block-1": 2})
    assert json.loads(hash["waiting_for"]) == [other.id]
    assert await team.store.score(key(WS, "waits"), one.agent.id) == int(hash["waiting_until"])
    assert await one.asks.results(WS, one.run.id) == {0: done, 3: done}
    assert await team.leases.take(WS, one.agent.id, one.lease.generation, "w", 1000) is None


async def test_the_wait_lasts_as_long_as_the_longest_of_its_deadlines(team: Team) -> None:
    one = await at_work(team)
    for number, ms in enumerate((LONG_MS, 3 * LONG_MS, 2 * LONG_MS)):
        await one.ask(await team.agent(), f"run-{number}", ms=ms)
    await one.wait()
    until = int((await one.hash())["waiting_until"])
    calls = await team.store.hash(key(WS, "run_calls", one.run.id))
    assert until == int(calls["asked:run-1"])


async def test_the_last_reply_makes_who_waits_ready(team: Team) -> None:
    one, others = await at_work(team, pool="big"), [await team.agent() for _ in range(2)]
    for number, other in enumerate(others):
        await one.ask(other, f"run-{number}")
    await one.wait()
    ready = []
    for number, other in enumerate(others):
        lease, _ = await team.working(other)
        ready.append(await team.leases.finish(lease, f"run-{number}", "end_turn", None))
    assert ready[0] == []
    [woken] = ready[1]
    assert woken == Ready(agent_id=one.agent.id, generation=2, pool="big", reason="answered")
    assert await one.status() == "ready"
    assert await team.store.count(key(WS, "waits")) == 0
    assert not {"waiting_for", "waiting_until"} & set(await one.hash())


async def test_a_reply_before_the_wait_makes_it_none(team: Team) -> None:
    one, other = await at_work(team), await team.agent()
    await one.ask(other)
    lease, _ = await team.working(other)
    assert await team.leases.finish(lease, "run-asked", "end_turn", None) == []
    assert await one.awaited() == {}
    [ready] = await one.wait()
    assert (ready.agent_id, ready.generation, ready.reason) == (one.agent.id, 2, "answered")
    assert ((await one.hash())["tries"], await one.status()) == ("0", "ready")
    assert await team.store.count(key(WS, "waits")) == 0


async def test_replies_and_the_wait_race_and_the_agent_always_goes_on(team: Team) -> None:
    for number in range(10):
        one, other = await at_work(team), await team.agent()
        await one.ask(other, f"run-{number}")
        lease, _ = await team.working(other)
        ends = await asyncio.gather(one.wait(), team.leases.finish(lease, f"run-{number}", "end_turn", None))
        assert [ready.agent_id for end in ends for ready in end] == [one.agent.id]
        assert await one.status() == "ready"


async def test_a_cancellation_before_the_wait_makes_it_none(team: Team) -> None:
    one, other = await at_work(team), await team.agent()
    await one.ask(other)
    assert await RunStore(team.store).cancel(WS, one.run.id, RUN_SECONDS) == (True, [])
    [ready] = await one.wait()
    assert (ready.agent_id, await one.status()) == (one.agent.id, "ready")


async def test_a_run_that_waits_is_cancelled_by_a_worker_that_comes_for_it(team: Team) -> None:
    one, other = await at_work(team), await team.agent()
    await one.ask(other)
    await one.wait()
    open, [ready] = await RunStore(team.store).cancel(WS, one.run.id, RUN_SECONDS)
    assert (open, ready.agent_id, ready.generation) == (True, one.agent.id, 2)
    assert await team.store.count(key(WS, "waits")) == 0
    lease, open_run = await team.working(one.agent)
    assert open_run.cancelled
    await team.leases.finish(lease, one.run.id, "cancelled", None)
    assert await one.awaited() == {}
    assert await RunStore(team.store).open_ids(WS, other.id) == ["run-asked"]


async def test_a_run_cancelled_in_the_inbox_answers_too(team: Team) -> None:
    one, other = await at_work(team), await team.agent()
    await one.ask(other)
    await one.wait()
    open, [ready] = await RunStore(team.store).cancel(WS, "run-asked", RUN_SECONDS)
    assert (open, ready.agent_id) == (True, one.agent.id)


async def test_the_end_of_a_run_ends_its_waiting_but_that_of_another_does_not(team: Team) -> None:
    one, other = await at_work(team), await team.agent()
    await one.ask(other)
    later = await team.send(one.agent)
    await RunStore(team.store).cancel(WS, later, RUN_SECONDS)
    assert await one.awaited() == {"run-asked": other.id}
    await one.finish()
    assert await one.awaited() == {}
    assert await team.store.hash(key(WS, "run_calls", one.run.id)) == {}
    lease, _ = await team.working(other)
    assert await team.leases.finish(lease, "run-asked", "end_turn", None) == []


async def test_a_receiver_that_is_deleted_lets_all_go_on_who_waited_for_it(team: Team) -> None:
    other = await team.agent()
    askers = [await at_work(team) for _ in range(3)]
    for number, one in enumerate(askers):
        await one.ask(other, f"run-{number}")
        await one.wait()
    await team.working(other)
    await team.service.agents.delete(WS, other.id, ALICE)
    assert [await one.status() for one in askers] == ["ready"] * 3
    assert [
        await one.ask(other, f"run-{i}") for i, one in enumerate([await relet(one) for one in askers])
    ] == ["ended"] * 3


async def relet(one: Asker) -> Asker:
    """The same asker under the lease of the worker that comes next."""
    lease, open_run = await one.team.working(one.agent)
    assert open_run.run.id == one.run.id
    return Asker(one.team, one.agent, lease, open_run.run)


async def test_an_agent_that_waits_is_deleted_with_its_wait(team: Team) -> None:
    one, other = await at_work(team), await team.agent()
    await one.ask(other)
    await one.wait()
    await team.service.agents.delete(WS, one.agent.id, ALICE)
    assert await team.store.count(key(WS, "waits")) == 0
    assert not [name for name in await team.names() if name.startswith(f"agent:{one.agent.id}")]
    lease, _ = await team.working(other)
    assert await team.leases.finish(lease, "run-asked", "end_turn", None) == []
    assert not [name for name in await team.names() if name.startswith(f"agent:{one.agent.id}")]


async def test_all_of_an_agent_goes_with_it(team: Team) -> None:
    """Also what should not be there without a run."""
    agent = await team.agent()
    await team.redis.hset(key(WS, "agent_awaits", agent.id), "run-1", "agent-1")  # type: ignore[misc]
    await team.service.agents.delete(WS, agent.id, ALICE)
    assert not [name for name in await team.names() if agent.id in name]


async def test_a_wait_whose_deadline_has_passed_is_swept_once(team: Team) -> None:
    one, other = await at_work(team, pool="big"), await team.agent()
    patient = await at_work(team)
    await one.ask(other, ms=0)
    await one.wait()
    await patient.ask(other, "run-2")
    await patient.wait()
    [ready] = await team.leases.sweep(WS, 60_000)
    assert ready == Ready(agent_id=one.agent.id, generation=2, pool="big", reason="expired")
    assert await team.leases.sweep(WS, 60_000) == []
    assert (await one.status(), await patient.status()) == ("ready", "waiting")


async def test_a_wakeup_that_was_lost_is_made_up_for(team: Team) -> None:
    one, other = await at_work(team), await team.agent()
    await one.ask(other)
    await one.wait()
    assert await team.leases.sweep(WS, 60_000) == []
    await team.redis.delete(key(WS, "agent_awaits", one.agent.id))
    [ready] = await team.leases.sweep(WS, 60_000)
    assert (ready.agent_id, ready.generation, ready.reason) == (one.agent.id, 2, "answered")


async def test_marks_of_waits_that_say_nothing_are_swept_away(team: Team) -> None:
    idle = await team.agent()
    await team.redis.zadd(key(WS, "waits"), {idle.id: 1, "agent-x": 1})
    assert await team.leases.sweep(WS, 60_000) == []
    assert await team.store.count(key(WS, "waits")) == 0


async def test_every_page_of_those_that_wait_is_looked_at_in_turn(team: Team) -> None:
    """Behind a hundred others that wait rightly."""
    one, other = await at_work(team), await team.agent()
    await one.ask(other, ms=2 * LONG_MS)
    await one.wait()
    await team.redis.delete(key(WS, "agent_awaits", one.agent.id))
    soon = await team.store.score(key(WS, "waits"), one.agent.id)
    assert soon is not None
    await team.redis.zadd(key(WS, "waits"), {f"agent-{i}": soon - 1 for i in range(100)})
    found: list[Ready] = []

    async def swept() -> bool:
        found.extend(await team.leases.sweep(WS, 60_000))
        return bool(found)

    await wait_until("its page was looked at", swept)
    assert [ready.agent_id for ready in found] == [one.agent.id]


async def test_what_a_call_decided_first_stands(team: Team) -> None:
    one = await at_work(team)
    assert await one.asks.decide(one.lease, one.run.id, 0, ["agent-1"]) == ["agent-1"]
    assert await one.asks.decide(one.lease, one.run.id, 0, ["agent-2"]) == ["agent-1"]
    assert await one.asks.decide(one.lease, one.run.id, 1, []) == []
    assert await one.asks.results(WS, one.run.id) == {}


async def test_a_full_inbox_is_told_to_the_agent_that_asks_and_again_after_a_takeover(team: Team) -> None:
    asker, other = await at_work(team), await team.agent()
    await team.send(other)
    run = Run(id="run-asked", agent_id=other.id, created_at=0)
    for most in (1, 10):  # what a call was told once it is told always, though there is room by now
        with pytest.raises(InboxFull):
            await asker.asks.ask(asker.lease, asker.run.id, run, LONG_MS, most=most)
    assert await asker.awaited() == {}
    assert (await asker.asks.ask(asker.lease, asker.run.id, run.model_copy(update={"id": "run-2"}), None))[
        0
    ] == "sent"


async def test_a_store_that_fills_takes_no_new_message_of_an_agent_but_knows_the_old(team: Team) -> None:
    asker, other = await at_work(team), await team.agent()
    filling = StoreFilling(95, 100)
    assert await asker.ask(other, "run-old") == "sent"
    run = Run(id="run-old", agent_id=other.id, created_at=0)
    told = await asker.asks.ask(asker.lease, asker.run.id, run, LONG_MS, filling=filling)
    assert told == ("open", [])
    new = run.model_copy(update={"id": "run-new"})
    with pytest.raises(StoreFilling):
        await asker.asks.ask(asker.lease, asker.run.id, new, LONG_MS, filling=filling)
    with pytest.raises(StoreFilling):
        await asker.asks.ask(asker.lease, asker.run.id, new, LONG_MS)
