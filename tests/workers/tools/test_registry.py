"""What becomes of a call besides its tool: tools nobody can run yet, refusals without words of their own."""

import pytest

from service.errors import IdReused, StoreUnreachable
from service.tools.built_in import BUILT_IN
from tests.workers.bench import Bench, call, calls, says
from workers.tools import agents, blocks, messages

pytestmark = pytest.mark.anyio

INSERT = call("memory_insert", label="notes", new_string="x")


async def test_a_tool_that_exists_but_cannot_be_run_yet_is_not_offered_and_refused(bench: Bench) -> None:
    agent = await bench.agent(tools=["archival_memory_search"])
    run = await bench.tell(agent, calls(call("archival_memory_search", query="x")), says("I see."))
    [result] = await bench.results(run)
    assert (result.status, run.stop_reason) == ("error", "end_turn")
    assert result.text.startswith("[ToolConstraintError] Cannot call archival_memory_search")
    assert "archival_memory_search" not in [tool.name for tool in bench.requests[0].tools]


def test_every_tool_that_is_offered_can_be_run() -> None:
    offered = {name for name, definition in BUILT_IN.items() if definition.available}
    assert offered == {*blocks.HANDLERS, *messages.HANDLERS, *agents.HANDLERS}


async def test_a_tool_that_never_existed_is_refused_like_one_that_is_not_attached(bench: Bench) -> None:
    run = await bench.tell(await bench.agent(), calls(call("fly")), says("I see."))
    assert (await bench.results(run))[0].text.startswith("[ToolConstraintError] Cannot call fly")


async def test_an_agent_without_tools_is_told_so(bench: Bench) -> None:
    run = await bench.tell(await bench.agent(include_base_tools=False), calls(call("fly")), says("I see."))
    assert (await bench.results(run))[0].text.endswith("now are: none")
    assert bench.requests[0].tools == []


async def test_any_other_refusal_is_a_value_error_in_its_own_words(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise IdReused("edit_id", "one")

    agent = await bench.agent({"notes": ""})
    monkeypatch.setattr(bench.service.blocks, "edit", refuse)
    run = await bench.tell(agent, calls(INSERT), says("I see."))
    [result] = await bench.results(run)
    assert result.text.startswith("edit_id: 'one' was used before")
    assert "ValueError" in (result.stderr or [""])[0]


async def test_a_store_that_is_away_is_no_result(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model could do nothing about it; the step is carried out again by whoever takes over."""

    async def refuse(*_: object) -> None:
        raise StoreUnreachable("gone")

    agent = await bench.agent({"notes": ""})
    run = await bench.script(agent, calls(INSERT), says("Done."))
    monkeypatch.setattr(bench.service.blocks, "edit", refuse)
    with pytest.raises(StoreUnreachable):
        await bench.carry(agent)
    monkeypatch.undo()
    await bench.take_over(agent)
    assert len(bench.requests) == 2
    assert [one.status for one in await bench.results(run)] == ["success"]
    assert await bench.text("notes") == "\nx"
