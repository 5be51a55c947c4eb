"""What a run starts from is stored while its model thinks, or with an answer that comes at once."""

import asyncio
from typing import Any

import pytest

from service.store.keys import key
from tests.workers.bench import WS, Bench, says, wait_until

pytestmark = pytest.mark.anyio


async def test_what_a_run_starts_from_is_stored_while_its_model_thinks(bench: Bench) -> None:
    agent = await bench.agent({"notes": "text"})
    thought: list[str | None] = []

    async def think() -> None:
        async def stored() -> bool:
            return await bench.service.store.field(key(WS, "run", run.id), "prompt") is not None

        await wait_until("it is stored", stored)
        thought.append((await bench.service.runs.read(WS, run.id)).agent_type)

    run = await bench.script(agent, says("Hello."))
    bench.models.meanwhile[0] = think
    await bench.carry(agent)
    assert thought == [agent.agent_type]


async def test_an_answer_that_comes_at_once_is_stored_in_one_act(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what its run starts from, and with what the agent does next; a client sees the same as ever."""
    agent = await bench.agent({"notes": "text"})
    runs = [await bench.script(agent, says(f"{number}")) for number in range(3)]
    asked: list[str] = []
    run_script = bench.service.store.run

    async def noted(name: str, *args: Any) -> Any:
        asked.append(name)
        return await run_script(name, *args)

    monkeypatch.setattr(bench.service.store, "run", noted)
    await bench.carry(agent)
    assert asked == ["lease_take", "run_next", "step_store", "step_store", "step_store"]
    told = [await bench.service.runs.read(WS, run.id) for run in runs]
    assert [(run.status, run.agent_type, run.tries) for run in told] == [
        ("completed", agent.agent_type, 1)
    ] * 3
    history = await bench.history(agent)
    assert history[0].content == bench.requests[-1].system
    assert (await bench.state(agent))["status"] == "idle"


async def test_whoever_is_cut_off_while_he_asks_leaves_no_storing_behind(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await bench.agent()
    run = await bench.script(agent, says("never said"))
    lease = await bench.lease(agent)
    storing = asyncio.Event()
    open_run = bench.service.leases.open_run

    async def slow(*args: Any) -> None:
        storing.set()
        await asyncio.sleep(0.05)
        await open_run(*args)

    monkeypatch.setattr(bench.service.leases, "open_run", slow)
    bench.models.meanwhile[0] = asyncio.Event().wait
    carrying = asyncio.create_task(bench.loop.carry(lease))
    await asyncio.wait_for(storing.wait(), 5)
    carrying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(carrying, 5)
    assert "opening" not in {task.get_name() for task in asyncio.all_tasks()}
    assert (await bench.service.runs.read(WS, run.id)).agent_type == agent.agent_type


async def test_a_worker_told_to_stop_gives_back_the_run_it_was_handed_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await bench.agent()
    first, second = [await bench.script(agent, says(f"{number}")) for number in range(2)]

    async def stop() -> None:
        bench.loop.ask_to_stop()

    bench.models.meanwhile[0] = stop
    await bench.carry(agent)
    assert (await bench.service.runs.read(WS, first.id)).status == "completed"
    assert (await bench.state(agent))["status"] == "ready"
    await bench.new_loop().carry(await bench.lease(agent, "two"))
    assert (await bench.service.runs.read(WS, second.id)).status == "completed"
    assert (await bench.service.runs.read(WS, second.id)).tries == 1


async def test_whoever_is_cut_off_while_a_trace_is_kept_leaves_no_storing_behind(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await bench.agent()
    run = await bench.script(agent, says("Hello."))
    open_run, keeping = bench.service.leases.open_run, asyncio.Event()

    async def slow(*args: Any) -> None:
        await asyncio.sleep(0.05)
        await open_run(*args)

    async def keep(*_: object) -> None:
        keeping.set()
        await asyncio.Event().wait()

    monkeypatch.setitem(vars(bench.service.settings), "traces", True)
    monkeypatch.setattr(bench.service.leases, "open_run", slow)
    monkeypatch.setattr(bench.loop._stepper._asker, "keep_trace", keep)
    carrying = asyncio.create_task(bench.carry(agent))
    await asyncio.wait_for(keeping.wait(), 5)
    await bench.service.runs.cancel(WS, run.id)
    await asyncio.wait_for(carrying, 5)
    assert "opening" not in {task.get_name() for task in asyncio.all_tasks()}
    assert (await bench.service.runs.read(WS, run.id)).status == "cancelled"
    assert await bench.service.store.field(key(WS, "run", run.id), "prompt") is None
