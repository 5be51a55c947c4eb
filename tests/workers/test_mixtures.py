"""Everything at once: approvals, own tools, the caller's tools, other agents and summaries in one turn."""

import json

import pytest

from service.records.agents import Agent
from service.records.blocks import Author
from service.records.messages import Answer, CallAnswer, NewMessage, ToolReturn
from service.records.runs import ClientTool, Run, RunOptions
from service.records.tools import ToolFields
from service.settings import Settings
from tests.workers.bench import WS, Bench, WorkerKilled, call, calls, says
from tests.workers.test_takeover import killed_at
from workers.models.turns import settle

pytestmark = pytest.mark.anyio

ASK = "send_message_to_agent_and_wait_for_reply"
NOTE = call("memory_insert", label="notes", new_string="seen")
CLIENT = [ClientTool(name="ls", description="List files.")]
WINDOW = 1700


@pytest.fixture
def settings() -> Settings:
    return Settings(lease_ms=1000, custom_tools="process")


async def asking(bench: Bench, other: Agent) -> tuple[Agent, Run]:
    """An agent whose one answer calls a tool of each kind; it asks for two of them."""
    source = ToolFields(
        source_code='def f(a: str) -> str:\n    """F.\n\n    Args:\n        a: it\n    """\n    return a\n'
    )
    tool = await bench.service.tools.create(WS, source, Author(name="ann"))
    agent = await bench.agent(
        {"notes": ""},
        tools=[tool.name, ASK],
        parallel_tool_calls=True,
        include_base_tool_rules=False,
        tool_rules=[{"type": "requires_approval", "tool_name": "f"}],
        context_window_limit=WINDOW,
    )
    asked = call(ASK, other_agent_id=other.id, message="Well?")
    made = calls(NOTE, call("f", a="x"), call("ls"), asked)
    run = await bench.tell(agent, made, says("Done."), client_tools=CLIENT)
    assert run.stop_reason == "requires_approval"
    return agent, run


async def answered(bench: Bench, agent: Agent) -> Run:
    """The caller allows one call and gives the long result of the other; nobody carries it yet."""
    listing = ToolReturn(tool_call_id="call_2", name="", text="a file; " * 4000)
    given = [CallAnswer(tool_call_id="call_1"), CallAnswer(tool_call_id="call_2", result=listing)]
    word = NewMessage(role="approval", content="", answer=Answer(calls=given))
    return await bench.service.messages.send(WS, agent.id, [word], RunOptions(client_tools=CLIENT))


def orphans(bench: Bench) -> list[str]:
    """Of the last request, as a provider gets it: results without a call before them."""
    known: set[str] = set()
    lost = []
    for message in settle(bench.requests[-1].messages):
        known |= {call.id for call in message.tool_calls}
        lost += [one.tool_call_id for one in message.tool_returns if one.tool_call_id not in known]
    return lost


@pytest.mark.parametrize("killed", [False, True])
async def test_a_turn_with_all_kinds_of_calls_goes_on_to_its_summary(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    """A worker that dies in the tool of one's own costs that call alone; the rest happens once."""
    other = await bench.agent(system=f"<script>{json.dumps([says('I am well.')])}</script>")
    agent, _ = await asking(bench, other)
    run = await answered(bench, agent)
    if killed:
        killed_at(monkeypatch, bench.service.leases, "start_call", after=True)
        with pytest.raises(WorkerKilled):
            await bench.carry(agent)
        monkeypatch.undo()
        await bench.take_over(agent)
    else:
        await bench.carry(agent)
    assert (await bench.state(agent))["status"] == "waiting"
    await bench.carry(other)
    await bench.carry(agent)
    noted, own, listed, replied = await bench.results(run)
    assert (noted.text, await bench.text("notes")) == ("\nseen", "\nseen")
    assert ("InterruptedError" in own.text) if killed else (own.text == "x")
    assert listed.text.startswith("a file; ")
    assert json.loads(replied.text)["response"] == ["I am well."]
    ended = await bench.service.runs.read(WS, run.id)
    assert (ended.status, ended.stop_reason, ended.step_count) == ("completed", "end_turn", 2)
    context = await bench.service.messages.context(WS, agent.id)
    assert context[1].compaction is not None
    await bench.tell(agent, says("And so on."))
    assert orphans(bench) == []
    assert (await bench.state(agent))["status"] == "idle"


async def test_deleting_an_agent_in_the_middle_of_such_a_turn_lets_go_of_everything(bench: Bench) -> None:
    other = await bench.agent(system=f"<script>{json.dumps([says('I am well.')])}</script>")
    agent, first = await asking(bench, other)
    run = await answered(bench, agent)
    await bench.carry(agent)
    assert (await bench.state(agent))["status"] == "waiting"
    await bench.service.agents.delete(WS, agent.id, Author(name="ann"))
    assert (await bench.service.runs.read(WS, run.id)).status == "cancelled"
    assert (await bench.service.runs.read(WS, first.id)).status == "completed"
    await bench.carry(other)
    assert (await bench.state(other))["status"] == "idle"
    assert await bench.state(agent) == {}
