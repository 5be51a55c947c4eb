"""Runs that are cancelled: while the model thinks, while a tool works, while nobody carries them."""

import asyncio
from contextlib import nullcontext
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.errors import LeaseLost, StoreUnreachable
from service.records.runs import Run, Step
from service.runs import Runs
from service.store.client import StoreClient
from service.store.keys import key
from service.store.runs import RunStore
from tests.store.team import raw
from tests.workers.bench import WS, Bench, WorkerKilled, call, calls, says

pytestmark = pytest.mark.anyio

NOTE = call("memory_insert", label="notes", new_string="seen")
IN_TIME_S = 4.0


async def read(bench: Bench, run: Run) -> Run:
    return await bench.service.runs.read(WS, run.id)


async def steps(bench: Bench, run: Run) -> list[Step]:
    return await bench.service.runs.steps(WS, run.id)


class TestOnARealServer:
    @pytest.fixture
    def store(self, real_store: StoreClient) -> StoreClient:
        return real_store

    async def test_a_run_that_ends_takes_no_connection_along(self, bench: Bench) -> None:
        """Listening ends with each run, in the middle of whatever it asks; a command cut off costs one."""
        agent = await bench.agent()

        async def made() -> int:
            return int((await bench.service.store.info())["total_connections_received"])

        for _ in range(3):
            await bench.script(agent, says("Hello."))
            await bench.carry(agent)
        before = await made()
        for _ in range(20):
            await bench.script(agent, says("Hello."))
            await bench.carry(agent)
        assert await made() - before < 5


async def test_a_run_is_cancelled_while_the_model_sleeps_and_the_next_one_goes_on(bench: Bench) -> None:
    agent = await bench.agent()
    run = await bench.script(agent, says("never said", sleep_ms=60_000))
    after = await bench.script(agent, says("Hello."))

    async def cancel() -> None:
        assert await bench.service.runs.cancel(WS, run.id)

    bench.models.meanwhile[0] = cancel
    await asyncio.wait_for(bench.carry(agent), IN_TIME_S)
    first, second = await read(bench, run), await read(bench, after)
    assert (first.status, first.stop_reason, first.error) == ("cancelled", "cancelled", None)
    assert await bench.messages(run) == []
    assert (second.status, second.stop_reason) == ("completed", "end_turn")
    assert (await bench.state(agent))["status"] == "idle"


async def test_a_run_that_was_cancelled_just_before_its_worker_listened_is_cut_off(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await bench.agent()
    run = await bench.script(agent, says("never said", sleep_ms=60_000))
    as_it_is = Runs.cancelled

    async def late(runs: Runs, ws: str, run_id: str) -> None:
        await raw(bench.service.store).hset(key(ws, "run", run_id), "cancel", "1")  # type: ignore[misc]
        await as_it_is(runs, ws, run_id)

    monkeypatch.setattr(Runs, "cancelled", late)
    async with bench.service.bell.listen(key(WS, "summons")) as rings:
        assert await rings.get() is None  # whoever listens first is told to look at once
        await asyncio.wait_for(bench.carry(agent), IN_TIME_S)
    assert (await read(bench, run)).status == "cancelled"


async def test_whoever_is_cut_off_as_a_run_begins_leaves_no_task(bench: Bench) -> None:
    """Wherever in its first turns of the event loop: a model call that nobody waits for costs money."""
    agent = await bench.agent()
    async with bench.service.bell.listen(key(WS, "summons")):
        for turns in range(12):
            await bench.script(agent, says("never said", sleep_ms=60_000))
            lease, before = await bench.lease(agent), asyncio.all_tasks()
            carrying = asyncio.create_task(bench.loop.carry(lease))
            for _ in range(turns):
                await asyncio.sleep(0)
            carrying.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(carrying, IN_TIME_S)
            left = {task for task in asyncio.all_tasks() - before if task is not carrying}
            assert [task.get_coro() for task in left] == []
            await bench.service.leases.give_back(lease)


async def test_a_run_is_cancelled_while_a_tool_works_and_its_step_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await bench.agent({"notes": "top"})
    run = await bench.script(agent, calls(NOTE), says("never said"))
    started = asyncio.Event()

    async def stuck(*args: Any, **kwargs: Any) -> None:
        started.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(bench.service.blocks, "edit", stuck)
    carrying = asyncio.create_task(bench.carry(agent))
    await asyncio.wait_for(started.wait(), IN_TIME_S)
    assert await bench.service.runs.cancel(WS, run.id)
    await asyncio.wait_for(carrying, IN_TIME_S)
    ended = await read(bench, run)
    [step] = await steps(bench, run)
    assert (step.status, step.stop_reason) == ("cancelled", "cancelled")
    assert step.reply is not None
    assert (ended.status, ended.usage, ended.step_count) == ("cancelled", step.reply.usage, 1)
    assert await bench.text("notes") == "top"
    assert await bench.messages(run) == []


async def test_what_was_done_before_the_cancellation_stays(bench: Bench) -> None:
    agent = await bench.agent({"notes": "top"})
    run = await bench.script(agent, calls(NOTE), says("never said", sleep_ms=60_000))

    async def cancel() -> None:
        assert await bench.service.runs.cancel(WS, run.id)

    bench.models.meanwhile[1] = cancel
    await asyncio.wait_for(bench.carry(agent), IN_TIME_S)
    assert (await read(bench, run)).status == "cancelled"
    assert [step.status for step in await steps(bench, run)] == ["success"]
    assert [one.role for one in await bench.messages(run)] == ["user", "assistant", "tool"]
    assert await bench.text("notes") == "top\nseen"


async def test_a_run_cancelled_while_its_worker_was_lost_ends_at_takeover(bench: Bench) -> None:
    async def die() -> None:
        raise WorkerKilled

    agent = await bench.agent()
    run = await bench.script(agent, says("Hello."))
    bench.models.meanwhile[0] = die
    with pytest.raises(WorkerKilled):
        await bench.carry(agent)
    assert await bench.service.runs.cancel(WS, run.id)
    assert (await read(bench, run)).status == "running"
    await bench.take_over(agent)
    assert (await read(bench, run)).status == "cancelled"
    assert len(bench.requests) == 1
    assert (await bench.state(agent))["status"] == "idle"


async def test_a_store_that_is_away_for_a_moment_cancels_nothing_and_hides_no_cancellation(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.runs.LOOK_AGAIN_S", 0.01)
    real, looks = RunStore.is_cancelled, asyncio.Semaphore(0)
    away = True

    async def look(self: RunStore, ws: str, run_id: str) -> bool:
        looks.release()
        if away:
            raise StoreUnreachable("away")
        return await real(self, ws, run_id)

    monkeypatch.setattr(RunStore, "is_cancelled", look)

    async def three_looks() -> None:
        for _ in range(3):
            await looks.acquire()

    agent = await bench.agent()
    run = await bench.script(agent, says("Hello."))
    after = await bench.script(agent, says("never said", sleep_ms=60_000))

    async def is_back() -> None:
        nonlocal away
        away = False
        await bench.service.runs.cancel(WS, after.id)

    bench.models.meanwhile |= {0: three_looks, 1: is_back}
    await asyncio.wait_for(bench.carry(agent), IN_TIME_S)
    assert (await read(bench, run)).status == "completed"
    assert (await read(bench, after)).status == "cancelled"


async def test_a_worker_that_is_stopped_leaves_nobody_listening(bench: Bench) -> None:
    agent = await bench.agent()
    await bench.script(agent, says("never said", sleep_ms=60_000))
    reached = asyncio.Event()

    async def begin() -> None:
        reached.set()

    bench.models.meanwhile[0] = begin
    carrying = asyncio.create_task(bench.carry(agent))
    await asyncio.wait_for(reached.wait(), IN_TIME_S)
    carrying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await carrying
    left = {getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()}
    assert not left & {"Loop._steps", "Runs.cancelled"}


@pytest.mark.parametrize("more", [False, True])
async def test_a_run_that_ended_as_it_was_cancelled_has_ended(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, more: bool
) -> None:
    """The store had its last step, and its worker no reply: the run is not cut off, nor said to be."""
    agent = await bench.agent()
    runs = [await bench.script(agent, says("Done.")) for _ in range(1 + more)]
    store_step, ended = bench.service.leases.store_step, bench.service.metrics.run_ended
    ends: list[str] = []

    async def without_a_reply(*args: Any, **how: Any) -> None:
        monkeypatch.setattr(bench.service.leases, "store_step", store_step)
        await bench.service.runs.cancel(WS, runs[0].id)
        await store_step(*args, **how)
        await asyncio.Event().wait()

    def noted(stop: Any) -> None:
        ends.append(stop)
        ended(stop)

    monkeypatch.setattr(bench.service.leases, "store_step", without_a_reply)
    monkeypatch.setattr(bench.service.metrics, "run_ended", noted)
    # With nothing more to do the lease was given back with the end of the run.
    with capture_logs() as logs, nullcontext() if more else pytest.raises(LeaseLost):
        await asyncio.wait_for(bench.carry(agent), IN_TIME_S)
    assert [(await read(bench, run)).status for run in runs] == ["completed"] * (1 + more)
    assert ends == ["end_turn"] * (1 + more)
    assert "run.cancelled" not in [one["event"] for one in logs]
