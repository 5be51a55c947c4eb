"""Tools that the sender of a run carries out himself."""

import pytest

from service.records.runs import ClientTool
from tests.workers.answering import CLIENT, LS, NOTE, answer, no, pending, result
from tests.workers.bench import Bench, calls, says, unpacked

pytestmark = pytest.mark.anyio


async def test_a_tool_of_the_caller_is_offered_and_its_call_comes_back_to_him(bench: Bench) -> None:
    agent = await bench.agent({"notes": "top"})
    asked = await bench.tell(agent, calls(LS), says("Two files."), client_tools=CLIENT)
    assert asked.stop_reason == "requires_approval"
    offered = {spec.name: spec for spec in bench.requests[0].tools}
    assert offered["ls"].description == "List files."
    assert offered["ls"].parameters == {"type": "object", "properties": {}, "required": []}
    assert "memory_insert" in offered
    request = (await bench.messages(asked))[-1]
    assert (request.asked, request.client_calls) == (["call_0"], ["call_0"])
    run = await answer(bench, agent, result("a\nb", stdout=["a", "b"], stderr=["!"]))
    [given] = await bench.results(run)
    assert (given.name, given.text, given.status) == ("ls", "a\nb", "success")
    assert (given.stdout, given.stderr) == (["a", "b"], ["!"])
    assert unpacked(bench.requests[1])[0]["message"] == "a\nb"
    assert "ls" not in [spec.name for spec in bench.requests[1].tools]
    assert (await bench.messages(run))[-1].plain_text() == "Two files."


async def test_a_tool_of_the_caller_goes_before_an_attached_one_of_its_name(bench: Bench) -> None:
    agent = await bench.agent({"notes": "top"})
    mine = [ClientTool(name="memory_insert")]
    await bench.tell(agent, calls(NOTE), says("Done."), client_tools=mine)
    assert [spec.parameters for spec in bench.requests[0].tools if spec.name == "memory_insert"] == [
        {"type": "object", "properties": {}, "required": []}
    ]
    run = await answer(bench, agent, result("no", status="error"), client_tools=mine)
    assert await bench.text("notes") == "top"
    assert [(one.text, one.status) for one in await bench.results(run)] == [("no", "error")]


async def test_a_tool_of_the_caller_may_be_called_again_where_he_brings_it_again(bench: Bench) -> None:
    agent = await bench.agent()
    await bench.tell(agent, calls(LS), calls(LS), says("Done."), client_tools=CLIENT)
    again = await answer(bench, agent, result("a"), client_tools=CLIENT)
    assert again.stop_reason == "requires_approval"
    request = await pending(bench, agent)
    assert request is not None
    assert request.run_id == again.id
    assert (await answer(bench, agent, no(request.asked[0]))).stop_reason == "end_turn"


async def test_what_a_clients_tool_gave_is_cut_at_a_million_characters_and_the_model_is_told(
    bench: Bench,
) -> None:
    agent = await bench.agent()
    await bench.tell(agent, calls(LS), says("Long."), client_tools=CLIENT)
    run = await answer(bench, agent, result("x" * 1_500_000), client_tools=CLIENT)
    [given] = [one for message in await bench.messages(run) for one in message.tool_returns]
    assert len(given.text) < 1_000_100
    assert given.text.endswith("x\n[cut: the first 1000000 of 1500000 characters]")
