"""Pausing in the middle of a run: the agent stops between steps, holds no lease, and goes on later."""

import pytest

from tests.workers.asking import Asking, ask
from tests.workers.bench import WS, Bench, call, calls, says
from workers.wakeups import Dispatcher

pytestmark = pytest.mark.anyio

NOTE = call("memory_insert", label="notes", new_string="seen")


async def test_the_step_under_way_is_finished_and_the_next_waits(bench: Bench) -> None:
    agent = await bench.agent({"notes": "first"})
    run = await bench.script(agent, calls(NOTE), calls(NOTE), says("Done."))
    bench.models.meanwhile[0] = lambda: bench.service.pauses.pause(WS, agent.id)
    await bench.carry(agent)
    assert await bench.text("notes") == "first\nseen"
    assert len(bench.requests) == 1
    assert (await bench.state(agent))["status"] == "idle"
    assert (await bench.service.runs.read(WS, run.id)).status == "running"
    await bench.edit("notes", "append", text="\nby another")
    await bench.service.pauses.resume(WS, agent.id)
    await bench.carry(agent)
    ended = await bench.service.runs.read(WS, run.id)
    assert (ended.status, ended.step_count, ended.tries) == ("completed", 3, 1)
    assert await bench.text("notes") == "first\nseen\nby another\nseen"


async def test_wake_ups_wait_and_are_told_together_afterwards(bench: Bench) -> None:
    agent = await bench.agent()
    await bench.block("plan", "one")
    await bench.watch(agent, "plan")
    await bench.service.pauses.pause(WS, agent.id)
    for text in ("two", "three"):
        await bench.edit("plan", "set", text=text)
        await Dispatcher(bench.service).dispatch(WS)
    assert (await bench.state(agent))["status"] == "idle"
    await bench.service.pauses.resume(WS, agent.id)
    told = await bench.woken_text(agent)
    assert "version 2" in told
    assert "version 3" in told


async def test_a_run_cancelled_while_its_agent_is_paused_ends(bench: Bench) -> None:
    agent = await bench.agent({"notes": ""})
    run = await bench.script(agent, calls(NOTE), says("Done."))
    bench.models.meanwhile[0] = lambda: bench.service.pauses.pause(WS, agent.id)
    await bench.carry(agent)
    assert await bench.service.runs.cancel(WS, run.id)
    await bench.carry(agent)
    assert (await bench.service.runs.read(WS, run.id)).status == "cancelled"
    assert (await bench.state(agent))["status"] == "idle"


async def test_a_reply_that_comes_while_the_agent_is_paused_is_heard_afterwards(bench: Bench) -> None:
    asking = Asking(bench)
    one, other = await asking.agent(), await asking.agent(says("Yes."))
    run = await bench.script(one, calls(ask(other)), says("Fine."))
    await bench.carry(one)
    await bench.service.pauses.pause(WS, one.id)
    await asking.carry_all()
    assert await asking.status(one) == "idle"
    assert (await asking.read(run)).status == "running"
    await bench.service.pauses.resume(WS, one.id)
    await asking.carry_all()
    assert (await asking.read(run)).status == "completed"
    assert "Yes." in (await bench.results(run))[0].text
