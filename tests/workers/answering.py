"""Answering: agents that ask for their caller's word, and the words that he gives them."""

from typing import Any

from service.records.agents import Agent
from service.records.messages import Answer, CallAnswer, Message, NewMessage, ToolReturn
from service.records.runs import ClientTool, Run, RunOptions
from tests.workers.bench import WS, Bench, call

NOTE = call("memory_insert", label="notes", new_string="seen")
REPLACE = call("memory_replace", label="notes", old_string="top", new_string="TOP")
LS = call("ls", path="/")
ASKS = {"type": "requires_approval", "tool_name": "memory_insert"}
CLIENT = [
    ClientTool(
        name="ls", description="List files.", parameters={"type": "object", "properties": {}, "required": []}
    )
]


async def careful(bench: Bench, **fields: Any) -> Agent:
    """An agent that has to ask before it inserts."""
    given: dict[str, Any] = {"tool_rules": [ASKS], "parallel_tool_calls": True}
    return await bench.agent({"notes": "top"}, **{"include_base_tool_rules": False, **given, **fields})


async def pending(bench: Bench, agent: Agent) -> Message | None:
    return await bench.service.approvals.pending(WS, agent.id)


async def only_asked(bench: Bench, agent: Agent) -> str:
    """The one call that is asked for."""
    request = await pending(bench, agent)
    assert request is not None
    [call_id] = request.asked
    return call_id


async def send_answer(
    bench: Bench, agent: Agent, *given: CallAnswer, then: list[str] | None = None, **options: Any
) -> Run:
    """The caller's word, with what he says beside it; nobody carries it yet."""
    word = NewMessage(role="approval", content="", answer=Answer(calls=list(given)))
    more = [NewMessage(content=text) for text in then or []]
    return await bench.service.messages.send(WS, agent.id, [word, *more], RunOptions(**options))


async def answer(bench: Bench, agent: Agent, *given: CallAnswer, **more: Any) -> Run:
    run = await send_answer(bench, agent, *given, **more)
    await bench.carry(agent)
    return await bench.service.runs.read(WS, run.id)


def yes(call_id: str = "call_0") -> CallAnswer:
    return CallAnswer(tool_call_id=call_id)


def no(call_id: str = "call_0", reason: str | None = None) -> CallAnswer:
    return CallAnswer(tool_call_id=call_id, approve=False, reason=reason)


def result(text: str, call_id: str = "call_0", **fields: Any) -> CallAnswer:
    given = ToolReturn(tool_call_id=call_id, name="", text=text, **fields)
    return CallAnswer(tool_call_id=call_id, result=given)
