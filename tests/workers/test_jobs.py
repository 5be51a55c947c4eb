"""Jobs: a stale one does nothing, a cancelled one hands back, a broken one is left to the sweeper."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import anyio
import pytest
from arq.worker import Retry
from structlog.testing import capture_logs

from service.errors import InboxFull, Invalid, NotFound, StoreFilling, StoreUnreachable
from service.queue import Queue
from service.records.agents import Agent
from service.records.base import Page
from service.records.runs import Ready
from tests.workers.bench import WS, Bench, call, calls, says
from workers import jobs
from workers.keeper import Keeper

pytestmark = pytest.mark.anyio

FIND = call("conversation_search", query="x")


@pytest.fixture
def keeper(bench: Bench) -> Keeper:
    return Keeper(bench.service)


@pytest.fixture
def ctx(bench: Bench, keeper: Keeper) -> dict[str, Any]:
    return {
        "service": bench.service,
        "worker_id": "one",
        "keeper": keeper,
        "loop": bench.loop,
        "job_id": "my-key",
    }


async def step(bench: Bench, ctx: dict[str, Any], agent: Agent) -> None:
    await jobs.step(ctx, WS, agent.id, await bench.generation(agent))


def hangs(bench: Bench) -> asyncio.Event:
    """The next model call says that it has begun, and never ends."""
    begun = asyncio.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.Event().wait()

    bench.models.meanwhile[len(bench.requests)] = hang
    return begun


def raises(failure: Exception) -> Callable[..., Awaitable[object]]:
    async def fail(*_: object, **__: object) -> None:
        raise failure

    return fail


async def test_a_job_carries_its_agent_to_the_end_of_its_inbox(bench: Bench, ctx: dict[str, Any]) -> None:
    agent = await bench.agent()
    runs = [await bench.script(agent, says("x")) for _ in range(3)]
    await step(bench, ctx, agent)
    assert {(await bench.service.runs.read(WS, run.id)).status for run in runs} == {"completed"}


@pytest.mark.parametrize("off", [-1, 1])
async def test_a_job_of_another_generation_does_nothing(bench: Bench, ctx: dict[str, Any], off: int) -> None:
    agent = await bench.agent()
    run = await bench.script(agent, says("x"))
    await jobs.step(ctx, WS, agent.id, await bench.generation(agent) + off)
    assert (await bench.service.runs.read(WS, run.id)).status == "created"
    assert bench.requests == []


async def test_the_same_job_twice_at_once_is_one(bench: Bench, ctx: dict[str, Any]) -> None:
    agent = await bench.agent()
    await bench.script(agent, calls(FIND), says("x"))
    await asyncio.gather(step(bench, ctx, agent), step(bench, ctx, agent), step(bench, ctx, agent))
    assert len(bench.requests) == 2


async def test_a_cancelled_job_hands_its_agent_back_at_once(bench: Bench, ctx: dict[str, Any]) -> None:
    agent = await bench.agent()
    begun = hangs(bench)
    run = await bench.script(agent, says("x"))
    job = asyncio.create_task(step(bench, ctx, agent))
    with anyio.fail_after(5):
        await begun.wait()
    job.cancel()
    await asyncio.wait({job}, timeout=5)
    assert (await bench.state(agent))["status"] == "ready"
    assert (await bench.service.runs.read(WS, run.id)).tries == 0
    await step(bench, ctx, agent)
    assert (await bench.service.runs.read(WS, run.id)).status == "completed"


async def test_a_hand_back_is_not_cut_off_by_the_keeper_that_finds_the_lease_gone(
    bench: Bench, ctx: dict[str, Any], keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await bench.agent()
    await bench.script(agent, says("never said"))
    begun, nudged = hangs(bench), False
    as_it_is = Queue.nudge

    async def nudge(queue: Queue, ws: str, ready: Iterable[Ready]) -> None:
        nonlocal nudged
        await keeper.renew()
        await asyncio.sleep(0)
        await as_it_is(queue, ws, ready)
        nudged = True

    monkeypatch.setattr(Queue, "nudge", nudge)
    job = asyncio.create_task(step(bench, ctx, agent))
    await begun.wait()
    job.cancel()
    with anyio.fail_after(5):
        await job
    assert nudged
    assert (await bench.state(agent))["status"] == "ready"


async def test_a_job_knows_whether_it_was_ended_with_its_last_run(bench: Bench, ctx: dict[str, Any]) -> None:
    agent = await bench.agent()
    for done_by, ended in ((tuple("abcdef"), True), ((), False)):
        ctx["done_by"] = done_by
        await bench.script(agent, says("Done."))
        await step(bench, ctx, agent)
        assert ctx["is_ended"] is ended


@pytest.mark.parametrize("failure", ["lost", "away"])
async def test_a_hand_back_that_fails_is_only_noted(
    bench: Bench, ctx: dict[str, Any], monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    agent = await bench.agent()
    begun = hangs(bench)
    await bench.script(agent, says("x"))
    job = asyncio.create_task(step(bench, ctx, agent))
    with anyio.fail_after(5):
        await begun.wait()
    if failure == "lost":
        await bench.lose(agent)
    else:
        monkeypatch.setattr(bench.service.leases, "give_back", raises(StoreUnreachable("gone")))
    with capture_logs() as logs:
        job.cancel()
        await asyncio.wait({job}, timeout=5)
    assert [log["event"] for log in logs] == ["agent.left"]


async def test_a_job_that_lost_its_lease_stops_and_hands_nothing_back(
    bench: Bench, ctx: dict[str, Any], keeper: Keeper
) -> None:
    agent = await bench.agent()
    begun = hangs(bench)
    await bench.script(agent, says("x"))
    job = asyncio.create_task(step(bench, ctx, agent))
    with anyio.fail_after(5):
        await begun.wait()
    await bench.lose(agent)
    generation = await bench.generation(agent)
    with capture_logs() as logs:
        await keeper.renew()
        await asyncio.wait({job}, timeout=5)
    assert [log["event"] for log in logs] == ["lease.lost"]
    assert job.done()
    assert job.exception() is None
    assert await bench.generation(agent) == generation


async def test_a_lease_found_lost_at_a_write_ends_the_job_quietly(bench: Bench, ctx: dict[str, Any]) -> None:
    agent = await bench.agent()
    bench.models.meanwhile[0] = lambda: bench.lose(agent)
    run = await bench.script(agent, says("x"))
    with capture_logs() as logs:
        await step(bench, ctx, agent)
    assert "lease.lost" in [log["event"] for log in logs]
    assert (await bench.service.runs.read(WS, run.id)).status == "running"


@pytest.mark.parametrize(
    ("failure", "event"),
    [(StoreUnreachable("gone"), "step.deferred"), (RuntimeError("a bug"), "step.broken")],
)
async def test_what_breaks_a_step_is_left_to_the_sweeper(
    bench: Bench, ctx: dict[str, Any], failure: Exception, event: str
) -> None:
    agent = await bench.agent()
    bench.models.meanwhile[0] = raises(failure)
    run = await bench.script(agent, says("x"))
    with capture_logs() as logs:
        await step(bench, ctx, agent)
    assert event in [log["event"] for log in logs]
    assert (await bench.state(agent))["status"] == "leased"
    await bench.take_over(agent)
    assert (await bench.service.runs.read(WS, run.id)).status == "completed"


async def test_a_store_that_is_away_when_the_lease_is_taken_raises_nothing_to_arq(
    bench: Bench, ctx: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await bench.agent()
    await bench.script(agent, says("x"))
    monkeypatch.setattr(bench.service.leases, "begin", raises(StoreUnreachable("gone")))
    with capture_logs() as logs:
        await step(bench, ctx, agent)
    assert [log["event"] for log in logs] == ["job.deferred"]


async def test_a_job_sends_a_text_and_gives_the_run(bench: Bench, ctx: dict[str, Any]) -> None:
    agent = await bench.agent()
    run_id = await jobs.send_message(ctx, agent.id, "Hello.")
    run = await bench.service.runs.read(WS, run_id)
    assert (run.background, [one.content for one in run.messages]) == (True, ["Hello."])
    await step(bench, ctx, agent)
    assert (await bench.service.runs.read(WS, run_id)).status == "completed"


async def test_the_same_job_id_gives_the_same_run(bench: Bench, ctx: dict[str, Any]) -> None:
    agent = await bench.agent()
    first = await jobs.send_message(ctx, agent.id, "Hello.")
    again = await jobs.send_message(ctx, agent.id, "Hello.")
    other = await jobs.send_message(ctx | {"job_id": "other"}, agent.id, "Hello.")
    assert first == again != other
    assert len(await bench.service.runs.find(WS, agent.id, Page())) == 2


async def test_a_message_that_is_refused_fails_its_job_with_the_reason(ctx: dict[str, Any]) -> None:
    with pytest.raises(NotFound, match="agent-unknown"):
        await jobs.send_message(ctx, "agent-unknown", "Hello.")


@pytest.mark.parametrize("workspace", ["", "Default", "a}:agent:x", "a b"])
async def test_a_message_into_what_is_no_workspace_is_refused(ctx: dict[str, Any], workspace: str) -> None:
    with pytest.raises(Invalid, match="workspace: must be"):
        await jobs.send_message(ctx, "agent-1", "Hello.", workspace=workspace)


async def test_a_message_reaches_agents_of_its_workspace_alone(bench: Bench, ctx: dict[str, Any]) -> None:
    agent = await bench.agent()
    with pytest.raises(NotFound, match=agent.id):
        await jobs.send_message(ctx, agent.id, "Hello.", workspace="others")


async def test_a_message_is_tried_again_when_the_store_is_away(
    bench: Bench, ctx: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.service.messages, "send", raises(StoreUnreachable("gone")))
    with pytest.raises(Retry):
        await jobs.send_message(ctx, "agent-1", "Hello.")


@pytest.mark.parametrize("refusal", [InboxFull("agent-1", 3), StoreFilling(95, 100)])
async def test_a_message_by_job_waits_in_the_queue_while_there_is_no_room_for_it(
    bench: Bench, ctx: dict[str, Any], monkeypatch: pytest.MonkeyPatch, refusal: Exception
) -> None:
    monkeypatch.setattr(bench.service.messages, "send", raises(refusal))
    with pytest.raises(Retry) as again:
        await jobs.send_message(ctx, "agent-1", "Hello.")
    assert again.value.defer_score == 5000


async def test_a_message_by_job_waits_for_an_agent_that_waits_for_its_caller(
    bench: Bench, ctx: dict[str, Any]
) -> None:
    rules = [{"type": "requires_approval", "tool_name": "conversation_search"}]
    agent = await bench.agent(tool_rules=rules, include_base_tool_rules=False)
    await bench.tell(agent, calls(FIND))
    run_id = await jobs.send_message(ctx, agent.id, "Hello.")
    assert (await bench.service.runs.read(WS, run_id)).status == "created"
    assert (await bench.state(agent))["status"] == "idle"
