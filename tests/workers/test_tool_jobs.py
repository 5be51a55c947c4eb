"""Calls of tools that people ask for: carried out by a worker, once, and answered."""

import asyncio
from typing import Any

import pytest

from service import tool_runs
from service.errors import NoAnswerYet, NobodyCame, StoreUnreachable
from service.records.agents import Agent
from service.records.ids import new_id
from service.records.tools import Tool, ToolOutcome, ToolRequest
from service.settings import Settings
from service.tools.built_in import by_name
from tests.workers.bench import PERSON, WS, Bench, wait_until
from workers.main import tools
from workers.tool_jobs import run_tool

pytestmark = pytest.mark.anyio

SOURCE = "import os\ndef f(a):\n    print('hm')\n    return {'a': a, 'env': sorted(os.environ)}\n"
OWN = Tool(id="tool-1", name="f", source_code=SOURCE)


@pytest.fixture
def settings() -> Settings:
    return Settings(lease_ms=1000, custom_tools="process", tool_seconds=30)


def request(tool: Tool = OWN, **fields: Any) -> ToolRequest:
    return ToolRequest.model_validate({"id": new_id("toolrun"), "tool": tool, **fields})


def in_the_name_of(agent: Agent, tool: str, **arguments: Any) -> ToolRequest:
    return request(by_name(tool).tool, agent_id=agent.id, arguments=arguments)


async def carry(bench: Bench, asked: ToolRequest) -> None:
    context = {"service": bench.service, "tools": tools(bench.service.settings), "worker_id": "one"}
    await run_tool(context, WS, asked.id)


async def answered(bench: Bench, asked: ToolRequest) -> ToolOutcome:
    """Asks, as the web does, and has a worker carry it out."""
    waiting = asyncio.create_task(bench.service.tool_runs.run(WS, asked))
    await queued(bench, asked)
    await carry(bench, asked)
    return await waiting


async def queued(bench: Bench, asked: ToolRequest) -> None:
    async def is_there() -> bool:
        claimed = await bench.service.queue.claim("blockwire:jobs", 10)
        return f"tool:{WS}:{asked.id}" in [job.id for job in claimed.jobs]

    await wait_until("the job is queued", is_there)


async def test_a_source_is_run_and_its_caller_answered(bench: Bench) -> None:
    outcome = await answered(bench, request(arguments={"a": "x"}, environ={"KEY": "v"}))
    assert (outcome.status, outcome.value, outcome.stdout) == ("success", {"a": "x", "env": ["KEY"]}, ["hm"])


async def test_in_an_agents_name_the_tool_is_told_which(bench: Bench) -> None:
    agent = await bench.agent()
    outcome = await answered(bench, request(arguments={"a": 1}, agent_id=agent.id, environ={"KEY": "v"}))
    assert outcome.value == {"a": 1, "env": ["KEY", "LETTA_AGENT_ID"]}


async def test_a_memory_tool_edits_in_the_agents_name_while_the_agent_is_at_work(bench: Bench) -> None:
    agent = await bench.agent({"notes": "start"})
    await bench.send(agent, "Hello.")
    await bench.lease(agent)
    outcome = await answered(
        bench, in_the_name_of(agent, "core_memory_append", label="notes", content="more")
    )
    assert (outcome.status, outcome.text) == ("success", "start\nmore")
    assert await bench.text("notes") == "start\nmore"
    [*_, change] = await bench.service.changes.after(WS, "0-0", limit=100)
    assert (change.author.agent_id, change.author.tool) == (agent.id, "core_memory_append")
    assert (change.author.run_id, change.author.step_id) == (None, None)


async def test_blocks_are_created_and_detached_without_a_lease_too(bench: Bench) -> None:
    agent = await bench.agent({"notes": ""})
    made = in_the_name_of(agent, "memory", command="create", path="fresh", description="d")
    assert (await answered(bench, made)).status == "success"
    assert (
        await answered(bench, in_the_name_of(agent, "memory", command="delete", path="notes"))
    ).status == ("success")
    assert await bench.labels(agent) == ["fresh"]


async def test_a_refusal_of_a_tool_is_an_error_in_v1s_form(bench: Bench) -> None:
    agent = await bench.agent()
    outcome = await answered(bench, in_the_name_of(agent, "core_memory_append", label="x", content="y"))
    assert outcome.status == "error"
    assert outcome.stderr[0].startswith("Error executing function core_memory_append: KeyError")


async def test_an_agent_that_is_gone_by_then_is_an_error(bench: Bench) -> None:
    agent = await bench.agent()
    asked = in_the_name_of(agent, "core_memory_append", label="x", content="y")
    await bench.service.agents.delete(WS, agent.id, PERSON)
    assert "NotFound" in (await answered(bench, asked)).text


async def test_a_fault_of_the_worker_is_told_without_its_words(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("inner words")

    monkeypatch.setattr("workers.tools.sandbox.Sandbox.run", broken)
    outcome = await answered(bench, request())
    assert (outcome.status, "inner words" in outcome.text) == ("error", False)


async def test_a_call_is_carried_out_once_however_many_come_for_it(bench: Bench) -> None:
    agent = await bench.agent({"notes": "start"})
    asked = in_the_name_of(agent, "core_memory_append", label="notes", content="more")
    waiting = asyncio.create_task(bench.service.tool_runs.run(WS, asked))
    await queued(bench, asked)
    await asyncio.gather(*(carry(bench, asked) for _ in range(4)))
    await waiting
    assert await bench.text("notes") == "start\nmore"


async def test_a_call_that_nobody_takes_is_taken_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_runs, "TAKEN_WITHIN_S", 0.2)
    asked = request(arguments={"a": 1})
    with pytest.raises(NobodyCame, match="no worker of pool 'default'"):
        await bench.service.tool_runs.run(WS, asked)
    assert await bench.service.tool_runs.take(WS, asked.id) is None


async def test_a_worker_that_took_the_call_and_is_lost_leaves_it_undone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_runs, "TAKEN_WITHIN_S", 0.2)
    monkeypatch.setattr(tool_runs, "MARGIN_S", 0.2)
    monkeypatch.setattr(bench.service.tool_runs, "_tool_s", 0.0)
    asked = request(arguments={"a": 1})
    waiting = asyncio.create_task(bench.service.tool_runs.run(WS, asked))
    await queued(bench, asked)
    assert await bench.service.tool_runs.take(WS, asked.id) is not None
    with pytest.raises(NoAnswerYet, match="may have run"):
        await waiting


async def test_an_answer_that_comes_late_is_still_heard(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_runs, "TAKEN_WITHIN_S", 0.1)
    monkeypatch.setattr(tool_runs, "LOOK_AGAIN_S", 0.05)
    asked = request(arguments={"a": 1})
    waiting = asyncio.create_task(bench.service.tool_runs.run(WS, asked))
    await queued(bench, asked)
    taken = await bench.service.tool_runs.take(WS, asked.id)
    assert taken == asked
    await asyncio.wait({waiting}, timeout=0.3)
    await bench.service.tool_runs.answer(WS, asked.id, ToolOutcome(text="late"))
    assert (await waiting).text == "late"


async def test_a_worker_that_stops_tells_so_and_kills_the_tool(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def endless(*_: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("workers.tools.sandbox.Sandbox.run", endless)
    asked = request()
    waiting = asyncio.create_task(bench.service.tool_runs.run(WS, asked))
    await queued(bench, asked)
    carrying = asyncio.create_task(carry(bench, asked))
    await begun.wait()
    carrying.cancel()
    outcome = await waiting
    assert (outcome.status, "InterruptedError" in outcome.text) == ("error", True)


async def test_a_store_that_is_away_ends_the_job_without_an_answer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await bench.agent({"notes": ""})
    asked = in_the_name_of(agent, "core_memory_append", label="notes", content="more")
    waiting = asyncio.create_task(bench.service.tool_runs.run(WS, asked))
    await queued(bench, asked)

    async def away(*_: Any) -> None:
        raise StoreUnreachable("away")

    monkeypatch.setattr(bench.service.blocks, "edit", away)
    await carry(bench, asked)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await bench.text("notes") == ""
