"""Runs that wait for others: slots given back, workers that die on the way, deadlines, cancellations."""

import asyncio
import json
from collections.abc import AsyncIterator

import fakeredis
import pytest

from service.bootstrap import Service, assemble, prepare
from service.errors import StoreUnreachable
from service.queue import PREFIXES, QUEUE
from service.records.agents import Agent
from service.records.base import Page
from service.records.messages import ToolCall, ToolReturn
from service.records.runs import Run
from service.settings import Settings
from service.store.client import StoreClient
from service.store.keys import key
from service.store.queue import QueueStore
from tests.store.team import raw
from tests.workers.asking import Asking, ask, ask_tagged, tell
from tests.workers.bench import PERSON, WS, Bench, WorkerKilled, call, calls, notes_in, says, wait_until
from workers.tools.context import ToolContext

pytestmark = pytest.mark.anyio

ASK = "send_message_to_agent_and_wait_for_reply"
NOTE = call("memory_insert", label="notes", new_string="seen")


@pytest.fixture
def asking(bench: Bench) -> Asking:
    return Asking(bench)


@pytest.fixture
async def hasty(store: StoreClient) -> AsyncIterator[Asking]:
    """Agents that wait for a millisecond."""
    await prepare(store)
    queue = fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer())
    service = assemble(Settings(lease_ms=1000, reply_timeout_s=0.001), store, QueueStore(queue, PREFIXES))
    yield Asking(Bench(service))
    await service.bell.close()
    await queue.aclose()


async def due(service: Service) -> list[str]:
    return [job.id for job in (await service.queue.claim(QUEUE, 100)).jobs]


async def asked_of(bench: Bench, agent: Agent) -> list[Run]:
    return await bench.service.runs.find(WS, agent.id, Page())


async def has_expired(bench: Bench, agent: Agent) -> None:
    """The sweeper has found the agent's deadline passed."""

    async def swept() -> bool:
        found = await bench.service.leases.sweep()
        return (agent.id, "expired") in [(ready.agent_id, ready.reason) for _, ready in found]

    await wait_until("the wait expired", swept)


def counted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tools that are carried out from now on, in order."""
    carried: list[str] = []
    real = bench.loop._stepper._tools.run

    async def run(context: ToolContext, call: ToolCall, allowed: list[str]) -> ToolReturn:
        carried.append(call.name)
        return await real(context, call, allowed)

    monkeypatch.setattr(bench.loop._stepper._tools, "run", run)
    return carried


async def test_the_reply_queues_whoever_waited_for_it(bench: Bench, asking: Asking) -> None:
    one, other = await asking.agent(), await asking.agent(says("Yes."))
    await bench.script(one, calls(ask(other)), says("Fine."))
    await bench.carry(one)
    assert await bench.service.store.count(key(WS, "leases")) == 0
    await bench.carry(other)
    assert f"step:{WS}:{one.id}:{await bench.generation(one)}" in await due(bench.service)


async def test_the_deletion_of_a_receiver_queues_whoever_waited_for_it(bench: Bench, asking: Asking) -> None:
    one, other = await asking.agent(), await asking.agent()
    await bench.script(one, calls(ask(other)), says("Fine."))
    await bench.carry(one)
    await bench.service.agents.delete(WS, other.id, PERSON)
    assert f"step:{WS}:{one.id}:{await bench.generation(one)}" in await due(bench.service)


async def test_a_run_that_waits_says_for_whom_and_until_when_and_costs_no_try(
    bench: Bench, asking: Asking
) -> None:
    one, other = await asking.agent(), await asking.agent(says("Yes."))
    run = await bench.script(one, calls(ask(other)), calls(ask(other)), says("Fine."))
    for _ in range(2):
        await bench.carry(one)
        stored = await bench.service.store.hash(key(WS, "run", run.id))
        assert (stored["status"], stored["tries"]) == ("running", "0")
        assert json.loads(stored["waiting_for"]) == [other.id]
        assert int(stored["waiting_until"]) == await bench.service.store.score(key(WS, "waits"), one.id)
        await bench.carry(other)
        stored = await bench.service.store.hash(key(WS, "run", run.id))
        assert not {"waiting_for", "waiting_until"} & set(stored)
    await bench.carry(one)
    assert (await asking.read(run)).status == "completed"
    assert len(await asked_of(bench, other)) == 2


async def test_calls_before_the_one_that_waits_are_not_carried_out_again(
    bench: Bench, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by their effects nor at all; and the agent is not told of its own edit as of another's."""
    one, other = await asking.agent(blocks={"notes": "top"}), await asking.agent(says("Yes."))
    run = await bench.script(one, calls(NOTE, tell(other), ask(other), NOTE), says("Fine."))
    carried = counted(bench, monkeypatch)
    await bench.carry(one)
    assert await bench.text("notes") == "top\nseen"
    await asking.carry_all()
    assert carried == ["memory_insert", "send_message_to_agent_async", ASK, ASK, "memory_insert"]
    assert [result.status for result in await bench.results(run)] == ["success"] * 4
    assert await bench.text("notes") == "top\nseen\nseen"
    assert len(await asked_of(bench, other)) == 2
    assert [note for request in bench.requests for note in notes_in(request)] == []


async def test_results_stored_for_a_wait_are_those_of_one_step(bench: Bench, asking: Asking) -> None:
    one, other = await asking.agent(blocks={"notes": "top"}), await asking.agent(says("Yes."))
    run = await bench.script(one, calls(NOTE, ask(other)), calls(ask(other)), says("Fine."))
    await asking.carry_all()
    assert [result.name for result in await bench.results(run)] == ["memory_insert", ASK, ASK]
    assert len(await asked_of(bench, other)) == 2
    assert (await asking.read(run)).status == "completed"
    assert await bench.service.store.hash(key(WS, "run_calls", run.id)) == {}


async def test_results_of_an_answer_that_is_gone_are_no_results_of_the_next(
    bench: Bench, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = await asking.agent(blocks={"notes": "top"}), await asking.agent(says("Yes."))
    run = await bench.script(one, calls(NOTE, ask(other)), says("Fine."))
    carried = counted(bench, monkeypatch)
    await bench.carry(one)
    [step] = await bench.service.runs.steps(WS, run.id)
    await raw(bench.service.store).delete(key(WS, "step", step.id))
    await asking.carry_all()
    assert carried == ["memory_insert", ASK, "memory_insert", ASK]
    assert await bench.text("notes") == "top\nseen"
    assert (await asking.read(run)).status == "completed"


async def test_a_reply_that_comes_before_the_wait_is_stored_lets_the_agent_go_on_at_once(
    bench: Bench, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = await asking.agent(), await asking.agent(says("Yes."))
    run = await bench.script(one, calls(ask(other)), says("Fine."))
    real = bench.service.asks.wait

    async def late(*args, **kwargs):  # type: ignore[no-untyped-def]
        await bench.carry(other)
        await real(*args, **kwargs)

    monkeypatch.setattr(bench.service.asks, "wait", late)
    await bench.carry(one)
    assert await asking.status(one) == "ready"
    assert f"step:{WS}:{one.id}:{await bench.generation(one)}" in await due(bench.service)
    await bench.carry(one)
    assert (await asking.read(run)).status == "completed"
    assert len(await asked_of(bench, other)) == 1


@pytest.mark.parametrize("after", [False, True])
async def test_a_worker_that_dies_around_the_wait_asks_nobody_twice(
    bench: Bench, asking: Asking, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    one, other = await asking.agent(blocks={"notes": "top"}), await asking.agent(says("Yes."))
    run = await bench.script(one, calls(NOTE, tell(other), ask(other)), says("Fine."))
    real = bench.service.asks.wait

    async def deadly(*args, **kwargs):  # type: ignore[no-untyped-def]
        if after:
            await real(*args, **kwargs)
        raise WorkerKilled

    monkeypatch.setattr(bench.service.asks, "wait", deadly)
    with pytest.raises(WorkerKilled):
        await bench.carry(one)
    monkeypatch.undo()
    if not after:
        await bench.lose(one)
    await asking.carry_all()
    assert (await asking.read(run)).status == "completed"
    assert len(await asked_of(bench, other)) == 2
    assert await bench.text("notes") == "top\nseen"


async def test_a_worker_that_dies_after_the_reply_leaves_it_to_be_read_again(
    bench: Bench, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = await asking.agent(tags=["t"]), await asking.agent(says("Yes."), tags=["t"])
    run = await bench.script(one, calls(ask_tagged(["t"], [])), says("Fine."))
    await bench.carry(one)
    await bench.carry(other)

    async def deadly(*_: object, **__: object) -> None:
        raise WorkerKilled

    monkeypatch.setattr(bench.service.leases, "store_step", deadly)
    with pytest.raises(WorkerKilled):
        await bench.carry(one)
    monkeypatch.undo()
    await bench.take_over(one)
    [result] = await bench.results(run)
    assert json.loads(result.text) == [{"agent_id": other.id, "response": ["Yes."]}]
    assert len(await asked_of(bench, other)) == 1


async def test_an_agent_that_waits_answers_nobody_meanwhile(bench: Bench, asking: Asking) -> None:
    one, other = await asking.agent(), await asking.agent(says("Yes."))
    first = await bench.script(one, calls(ask(other)), says("Fine."))
    await bench.carry(one)
    second = await bench.script(one, says("Hello."))
    assert await asking.status(one) == "waiting"
    await asking.carry_all()
    assert [(await asking.read(run)).status for run in (first, second)] == ["completed", "completed"]


async def test_past_the_deadline_the_agent_goes_on_without_the_reply(hasty: Asking) -> None:
    bench = hasty.bench
    one, other = await hasty.agent(), await hasty.agent(says("Too late."))
    run = await bench.script(one, calls(ask(other)), says("I go on."))
    await bench.carry(one)
    await has_expired(bench, one)
    await bench.carry(one)
    [result] = await bench.results(run)
    assert result.status == "error"
    assert result.text.startswith(f"no reply from agent {other.id} came within 0.001 s.")
    assert "TimeoutError" in (result.stderr or [""])[0]
    assert (await hasty.read(run)).status == "completed"
    await bench.carry(other)
    assert [(await hasty.read(asked)).status for asked in await asked_of(bench, other)] == ["completed"]
    assert await hasty.status(one) == "idle"


async def test_of_many_only_those_that_are_late_are_given_up(hasty: Asking) -> None:
    bench = hasty.bench
    one, quick, slow = (
        await hasty.agent(),
        await hasty.agent(says("Here."), tags=["t"]),
        await hasty.agent(says("Too late."), tags=["t"]),
    )
    run = await bench.script(one, calls(ask_tagged(["t"], [])), says("I go on."))
    await bench.carry(one)
    await bench.carry(quick)
    assert await hasty.status(one) == "waiting"
    await has_expired(bench, one)
    await bench.carry(one)
    [result] = await bench.results(run)
    here, late = json.loads(result.text)
    assert here == {"agent_id": quick.id, "response": ["Here."]}
    assert (late["agent_id"], len(late["response"])) == (slow.id, 1)
    assert late["response"][0].startswith(f"<error: no reply from agent {slow.id} came within 0.001 s.")


async def test_a_run_that_waits_is_cancelled_and_what_it_asked_for_goes_on(
    bench: Bench, asking: Asking
) -> None:
    one, other = await asking.agent(), await asking.agent(says("Yes."))
    run = await bench.script(one, calls(ask(other)), says("Never said."))
    await bench.carry(one)
    assert await bench.service.runs.cancel(WS, run.id)
    assert f"step:{WS}:{one.id}:{await bench.generation(one)}" in await due(bench.service)
    await bench.carry(one)
    assert (await asking.read(run)).status == "cancelled"
    assert await asking.status(one) == "idle"
    await bench.carry(other)
    assert [(await asking.read(asked)).status for asked in await asked_of(bench, other)] == ["completed"]
    assert await asking.status(one) == "idle"


async def test_a_cancellation_that_comes_before_the_wait_is_stored_is_not_missed(
    bench: Bench, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker does not hear the ring; the store remembers."""
    one, other = await asking.agent(), await asking.agent(says("Yes."))
    run = await bench.script(one, calls(ask(other)), says("Never said."))
    real = bench.service.asks.wait

    async def late(*args, **kwargs):  # type: ignore[no-untyped-def]
        await bench.service.store.run("run_cancel", WS, run.id, 60)
        await real(*args, **kwargs)

    async def deaf(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(bench.service.runs, "cancelled", deaf)
    monkeypatch.setattr(bench.service.asks, "wait", late)
    await bench.carry(one)
    assert await asking.status(one) == "ready"
    await bench.carry(one)
    assert (await asking.read(run)).status == "cancelled"


async def test_a_queue_that_is_away_loses_no_reply(
    bench: Bench, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store knows that the agent may go on; the next sweep queues it."""
    one, other = await asking.agent(), await asking.agent(says("Yes."))
    run = await bench.script(one, calls(ask(other)), says("Fine."))
    await bench.carry(one)

    async def refuse(*_: object, **__: object) -> None:
        raise StoreUnreachable("the queue is away")

    monkeypatch.setattr(bench.service.queue, "put", refuse)
    await bench.carry(other)
    monkeypatch.undo()
    assert await asking.status(one) == "ready"
    await asking.carry_all()
    assert (await asking.read(run)).status == "completed"


async def test_ten_wait_for_ten_and_none_holds_a_lease(bench: Bench, asking: Asking) -> None:
    receivers = [await asking.agent(says(f"I am {i}.")) for i in range(10)]
    callers = [await asking.agent() for _ in receivers]
    runs = [
        await bench.script(one, calls(ask(other)), says("Fine."))
        for one, other in zip(callers, receivers, strict=True)
    ]
    for one in callers:
        await bench.carry(one)
    assert await bench.service.store.count(key(WS, "waits")) == 10
    assert await bench.service.store.count(key(WS, "leases")) == 0
    await asking.carry_all()
    for i, run in enumerate(runs):
        assert f"I am {i}." in (await bench.results(run))[0].text
