"""An agent's inbox: one run after another in the order they were sent, however many workers there are."""

import asyncio

import pytest

from service.store.keys import key
from tests.workers.bench import WS, Bench, call, calls, says, told
from workers.loop import RUNS_PER_LEASE

pytestmark = pytest.mark.anyio

FIND = call("conversation_search", query="x")


async def test_messages_are_answered_in_the_order_they_were_sent(bench: Bench) -> None:
    agent = await bench.agent({"notes": "begin"})
    for text in ("one", "two", "three"):
        insert = call("memory_insert", label="notes", new_string=text)
        await bench.script(agent, calls(insert), says(text))
    await bench.carry(agent)
    assert await bench.text("notes") == "begin\none\ntwo\nthree"


async def test_a_message_to_a_busy_agent_waits_and_is_carried_under_the_same_lease(bench: Bench) -> None:
    agent = await bench.agent()
    bench.models.meanwhile[0] = lambda: bench.script(agent, says("second"))
    await bench.script(agent, calls(FIND), says("first"))
    generation = await bench.generation(agent)
    await bench.carry(agent)
    assert [one.plain_text() for one in await bench.history(agent) if one.role == "assistant"] == [
        "",
        "first",
        "second",
    ]
    assert await bench.generation(agent) == generation
    assert (await bench.state(agent))["status"] == "idle"


async def test_the_second_run_starts_from_what_the_first_one_left(bench: Bench) -> None:
    agent = await bench.agent({"notes": "before"})
    await bench.script(agent, calls(call("memory_insert", label="notes", new_string="seen")), says("first"))
    await bench.script(agent, says("second"))
    await bench.carry(agent)
    assert "before\nseen" in bench.requests[2].system
    assert len(told(bench.requests[2])) == len(told(bench.requests[1])) + 2


async def test_many_senders_at_once_make_as_many_runs(bench: Bench) -> None:
    agent = await bench.agent()
    runs = await asyncio.gather(*(bench.script(agent, says(str(n))) for n in range(8)))
    await bench.carry(agent)
    answers = [one.plain_text() for one in await bench.history(agent) if one.role == "assistant"]
    assert sorted(answers) == [str(n) for n in range(8)]
    assert {(await bench.service.runs.read(WS, run.id)).status for run in runs} == {"completed"}


async def test_a_long_inbox_lets_other_agents_have_their_turn(bench: Bench) -> None:
    agent = await bench.agent()
    for n in range(RUNS_PER_LEASE + 2):
        await bench.script(agent, says(str(n)))
    await bench.carry(agent)
    assert len(bench.requests) == RUNS_PER_LEASE
    assert (await bench.state(agent))["status"] == "ready"
    await bench.carry(agent)
    assert len(bench.requests) == RUNS_PER_LEASE + 2
    assert (await bench.state(agent))["status"] == "idle"


async def test_an_idle_agent_is_given_back_in_the_same_act(bench: Bench) -> None:
    agent = await bench.agent()
    await bench.tell(agent, says("Hello."))
    assert await bench.service.store.range(key(WS, "leases")) == []
    assert await bench.service.store.range(key(WS, "ready")) == []
    run = await bench.tell(agent, says("Again."))
    assert run.status == "completed"


async def test_a_worker_that_stops_hands_back_where_the_next_step_would_begin(bench: Bench) -> None:
    agent = await bench.agent()

    async def stop() -> None:
        bench.loop.ask_to_stop()

    bench.models.meanwhile[0] = stop
    run = await bench.script(agent, calls(FIND), calls(FIND), says("Done."))
    await bench.carry(agent)
    stored = await bench.service.runs.read(WS, run.id)
    assert (stored.status, stored.step_count, stored.tries) == ("running", 1, 0)
    assert (await bench.state(agent))["status"] == "ready"

    await bench.new_loop().carry(await bench.lease(agent, "two"))
    stored = await bench.service.runs.read(WS, run.id)
    assert (stored.status, stored.step_count, stored.tries) == ("completed", 3, 1)
    assert len(bench.requests) == 3


async def test_a_worker_that_stops_begins_no_other_run(bench: Bench) -> None:
    agent = await bench.agent()
    await bench.script(agent, says("first"))
    await bench.script(agent, says("second"))

    async def stop() -> None:
        bench.loop.ask_to_stop()

    bench.models.meanwhile[0] = stop
    await bench.carry(agent)
    assert len(bench.requests) == 1
    assert (await bench.state(agent))["status"] == "ready"


async def test_only_the_holder_of_the_lease_may_go_on(bench: Bench) -> None:
    agent = await bench.agent()
    await bench.script(agent, says("Hello."))
    generation = await bench.generation(agent)
    taken = await asyncio.gather(
        *(bench.service.leases.begin(WS, agent.id, generation, f"worker {n}") for n in range(5))
    )
    assert len([begun for begun in taken if begun is not None]) == 1
    assert await bench.service.leases.begin(WS, agent.id, generation + 1, "early") is None
