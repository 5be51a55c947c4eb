"""Tools that people brought along, called by a model: offered, run at most once, cut, stopped."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from service.errors import LeaseLost
from service.records.agents import Agent
from service.records.blocks import Author
from service.records.tools import Tool, ToolFields
from service.settings import Settings
from tests.workers.bench import WS, Bench, WorkerKilled, call, calls, says, wait_until
from tests.workers.tools.test_sandbox import state_of
from workers.tools.custom import CustomTools
from workers.tools.sandbox import Sandbox

pytestmark = pytest.mark.anyio

IN_TIME_S = 20.0


@pytest.fixture
def settings() -> Settings:
    return Settings(lease_ms=1000, custom_tools="process", tool_seconds=30)


async def own(bench: Bench, source: str, name: str = "f", **fields: Any) -> Tool:
    schema = {
        "name": name,
        "description": "Does it.",
        "parameters": {"properties": {"a": {"type": "string"}}},
    }
    given = ToolFields(source_code=source, json_schema=schema, **fields)
    return await bench.service.tools.create(WS, given, Author(name="ann"))


async def agent_with(bench: Bench, source: str, name: str = "f", **fields: Any) -> Agent:
    tool = await own(bench, source, name, **fields)
    return await bench.agent(tools=[tool.name], secrets={"KEY": "v"}, include_base_tools=False)


def counting(path: Path) -> str:
    """A tool that writes down each time it is run."""
    return f"def f(a=''):\n    with open({str(path)!r}, 'a') as file: file.write('x')\n    return 'counted'\n"


def runs_of(path: Path) -> int:
    return len(path.read_text()) if path.exists() else 0


async def test_a_model_is_offered_the_tool_and_told_what_it_gave(bench: Bench) -> None:
    source = (
        "from os import environ\ndef f(a):\n    print('hm')\n"
        "    return [a, environ['KEY'], environ['LETTA_AGENT_ID']]\n"
    )
    agent = await agent_with(bench, source)
    run = await bench.tell(agent, calls(call("f", a="x")), says("I see."))
    [spec] = bench.requests[0].tools
    assert (spec.name, spec.description) == ("f", "Does it.")
    assert spec.parameters == {"type": "object", "properties": {"a": {"type": "string"}}, "required": []}
    [result] = await bench.results(run)
    assert result.status == "success"
    assert result.text == f'["x", "v", "{agent.id}"]'
    assert (result.stdout, result.stderr) == (["hm"], None)
    assert run.stop_reason == "end_turn"


async def test_the_heartbeat_kind_asks_for_one_and_the_tool_does_not_see_it(bench: Bench) -> None:
    await own(bench, "def f(a): return a")
    agent = await bench.memgpt(tools=["f"])
    run = await bench.tell(agent, calls(call("f", a="x", request_heartbeat=True)), says("Done."))
    [spec] = [one for one in bench.requests[0].tools if one.name == "f"]
    assert spec.parameters["required"] == ["request_heartbeat"]
    assert (await bench.results(run))[0].text == "x"


@pytest.mark.parametrize(
    ("source", "made", "text"),
    [
        ("def f(a): raise ValueError(a)", call("f", a="no"), "Error executing function f: ValueError: no"),
        (
            "def f(a): return a",
            call("f", b=1),
            "Error executing function f: TypeError: f() got an unexpected",
        ),
        ("def f(a): return a", {"name": "f", "arguments": "[1]"}, "f() arguments must be a JSON object"),
    ],
)
async def test_what_goes_wrong_is_a_result_and_the_turn_goes_on(
    bench: Bench, source: str, made: dict[str, Any], text: str
) -> None:
    run = await bench.tell(await agent_with(bench, source), calls(made), says("I see."))
    [result] = await bench.results(run)
    assert (result.status, run.stop_reason) == ("error", "end_turn")
    assert result.text.startswith(text)


async def test_a_result_is_cut_to_the_tools_own_limit(bench: Bench) -> None:
    agent = await agent_with(bench, "def f(): return 'y' * 100", return_char_limit=5)
    run = await bench.tell(agent, calls(call("f")), says("I see."))
    assert (await bench.results(run))[0].text == "yyyyy\n[cut: the first 5 of 100 characters]"


async def test_where_own_tools_are_off_the_model_is_told_so(bench: Bench, tmp_path: Path) -> None:
    agent = await agent_with(bench, counting(tmp_path / "runs"))
    bench.loop._stepper._tools._custom = CustomTools(Sandbox(Settings()))
    run = await bench.tell(agent, calls(call("f")), says("I see."))
    [result] = await bench.results(run)
    assert result.status == "error"
    assert "BLOCKWIRE_CUSTOM_TOOLS=process" in result.text
    assert runs_of(tmp_path / "runs") == 0


async def test_a_renamed_tool_is_offered_under_its_new_name_and_a_deleted_one_not_at_all(
    bench: Bench,
) -> None:
    agent = await agent_with(bench, "def f(): return 1")
    [tool] = await bench.service.tools.with_names(WS, ["f"])
    fields = ToolFields(json_schema={"name": "g"})
    await bench.service.agent_tools.update(WS, tool.id, fields, Author(name="ann"))
    run = await bench.tell(agent, calls(call("g")), says("I see."))
    assert (await bench.results(run))[0].text == "1"
    await bench.service.tools.delete(WS, tool.id)
    run = await bench.tell(agent, calls(call("g")), says("I see."))
    assert (await bench.results(run))[0].text.startswith("[ToolConstraintError]")
    assert bench.requests[-2].tools == []


async def test_a_typescript_tool_is_not_offered(bench: Bench) -> None:
    agent = await agent_with(bench, "export {}", source_type="typescript")
    await bench.tell(agent, says("Hello."))
    assert bench.requests[0].tools == []


async def test_a_tool_that_asks_for_approval_is_not_run_without(bench: Bench, tmp_path: Path) -> None:
    agent = await agent_with(bench, counting(tmp_path / "runs"), default_requires_approval=True)
    await bench.tell(agent, calls(call("f")), says("I see."))
    assert runs_of(tmp_path / "runs") == 0


async def dies(bench: Bench, agent: Agent) -> None:
    with pytest.raises(WorkerKilled):
        await bench.carry(agent)


def killed_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *, after: bool) -> None:
    real = getattr(owner, name)

    async def deadly(*args: Any, **kwargs: Any) -> Any:
        if after:
            await real(*args, **kwargs)
        raise WorkerKilled

    monkeypatch.setattr(owner, name, deadly)


async def test_a_call_that_was_started_is_not_run_again_and_the_model_is_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    agent = await agent_with(bench, counting(tmp_path / "runs"))
    run = await bench.script(agent, calls(call("f")), says("I see."))
    killed_at(monkeypatch, bench.service.leases, "end_call", after=False)
    await dies(bench, agent)
    monkeypatch.undo()
    await bench.take_over(agent)
    [result] = await bench.results(run)
    assert result.status == "error"
    assert result.text.startswith("Error executing function f: InterruptedError: the call was interrupted")
    assert "may have run" in result.text
    assert runs_of(tmp_path / "runs") == 1
    assert len(bench.requests) == 2


async def test_a_call_whose_result_was_kept_gives_it_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    agent = await agent_with(bench, counting(tmp_path / "runs"))
    run = await bench.script(agent, calls(call("f")), says("I see."))
    killed_at(monkeypatch, bench.service.leases, "store_step", after=False)
    await dies(bench, agent)
    monkeypatch.undo()
    await bench.take_over(agent)
    assert [(one.status, one.text) for one in await bench.results(run)] == [("success", "counted")]
    assert runs_of(tmp_path / "runs") == 1


async def test_a_tool_that_says_it_is_idempotent_is_run_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    agent = await agent_with(bench, counting(tmp_path / "runs"), metadata={"idempotent": True})
    run = await bench.script(agent, calls(call("f")), says("I see."))
    killed_at(monkeypatch, bench.service.leases, "end_call", after=False)
    await dies(bench, agent)
    monkeypatch.undo()
    await bench.take_over(agent)
    assert [one.text for one in await bench.results(run)] == ["counted"]
    assert runs_of(tmp_path / "runs") == 2


async def test_two_calls_alike_in_one_run_are_two_calls(bench: Bench, tmp_path: Path) -> None:
    agent = await agent_with(bench, counting(tmp_path / "runs"))
    made = call("f") | {"id": "call_0"}
    await bench.tell(agent, calls(made), calls(made), says("Done."))
    assert runs_of(tmp_path / "runs") == 2


async def test_without_the_lease_nothing_is_started(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    agent = await agent_with(bench, counting(tmp_path / "runs"))
    await bench.script(agent, calls(call("f")), says("I see."))

    async def lose() -> None:
        await bench.lose(agent)

    lease = await bench.lease(agent)
    real = bench.service.leases.store_answer

    async def store_and_lose(*args: Any) -> None:
        await real(*args)
        await lose()

    monkeypatch.setattr(bench.service.leases, "store_answer", store_and_lose)
    with pytest.raises(LeaseLost):
        await bench.loop.carry(lease)
    assert runs_of(tmp_path / "runs") == 0
    with pytest.raises(LeaseLost):
        await bench.service.leases.end_call(lease, "run-1", "c", "{}")


async def test_cancelling_the_run_kills_the_process(bench: Bench, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    source = (
        "import os, time\ndef f(a):\n"
        "    open(a + '.new', 'w').write(str(os.getpid()))\n"
        "    os.rename(a + '.new', a)\n    time.sleep(60)\n"
    )
    agent = await agent_with(bench, source)
    run = await bench.script(agent, calls(call("f", a=str(mark))), says("never said"))
    carrying = asyncio.create_task(bench.carry(agent))

    async def is_there() -> bool:
        return mark.exists()

    await wait_until("the tool runs", is_there, IN_TIME_S)
    assert await bench.service.runs.cancel(WS, run.id)
    await asyncio.wait_for(carrying, IN_TIME_S)
    assert (await bench.service.runs.read(WS, run.id)).status == "cancelled"
    assert state_of(int(mark.read_text())) in ("", "Z")


MEETING = (
    "import os, time\ndef {name}(a):\n"
    "    open(os.path.join(a, '{name}'), 'w').close()\n"
    "    end = time.time() + {seconds}\n"
    "    while len(os.listdir(a)) < 2:\n"
    "        if time.time() > end: return 'alone'\n"
    "        time.sleep(0.01)\n"
    "    return 'met'\n"
)


@pytest.mark.parametrize(("parallel", "texts"), [(True, ["met", "met"]), (False, ["alone", "met"])])
async def test_calls_that_may_run_side_by_side_do(
    bench: Bench, tmp_path: Path, parallel: bool, texts: list[str]
) -> None:
    for name in ("f", "g"):
        source = MEETING.format(name=name, seconds=15 if parallel else 0.2)
        await own(bench, source, name, enable_parallel_execution=parallel)
    agent = await bench.agent(tools=["f", "g"], parallel_tool_calls=True, include_base_tools=False)
    folder = tmp_path / "meeting"
    folder.mkdir()
    made = calls(call("f", a=str(folder)), call("g", a=str(folder)))
    run = await bench.tell(agent, made, says("Done."))
    assert [one.text for one in await bench.results(run)] == texts
    assert [one.name for one in await bench.results(run)] == ["f", "g"]


async def test_when_one_of_several_cannot_go_on_the_others_are_stopped_first(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await own(bench, "def f(a=''):\n    import time\n    time.sleep(60)", "f", enable_parallel_execution=True)
    agent = await bench.agent(tools=["f"], parallel_tool_calls=True, include_base_tools=False)
    await bench.script(agent, calls(call("f"), call("f")), says("Done."))
    real, started = bench.service.leases.start_call, 0

    async def second_loses(*args: Any) -> Any:
        nonlocal started
        started += 1
        if started == 2:
            raise LeaseLost(agent.id)
        return await real(*args)

    monkeypatch.setattr(bench.service.leases, "start_call", second_loses)
    began = time.monotonic()
    with pytest.raises(LeaseLost):
        await bench.carry(agent)
    assert time.monotonic() - began < 25
