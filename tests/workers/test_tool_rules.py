"""Rules about tools in the loop, where a model does not keep to them, or a rule cannot be kept."""

from typing import Any

import pytest

from service.records.agents import Agent
from tests.workers.bench import Bench, WorkerKilled, call, calls, says

pytestmark = pytest.mark.anyio

NOTE = call("memory_insert", label="notes", new_string="x")
REPLACE = call("memory_replace", label="notes", old_string="x", new_string="y")


async def ruled(bench: Bench, *rules: dict[str, Any], **fields: Any) -> Agent:
    return await bench.agent({"notes": ""}, tool_rules=list(rules), include_base_tool_rules=False, **fields)


def offered(bench: Bench) -> list[list[str]]:
    """The tools that each request of a model offered."""
    return [[tool.name for tool in request.tools] for request in bench.requests]


async def test_a_refused_call_does_not_free_the_model_from_the_rule_that_refused_it(bench: Bench) -> None:
    rule = {"type": "constrain_child_tools", "tool_name": "memory_insert", "children": ["memory_replace"]}
    agent = await ruled(bench, rule)
    run = await bench.tell(agent, calls(NOTE), calls(call("conversation_search", query="x")), calls(REPLACE))
    assert [one.status for one in await bench.results(run)] == ["success", "error", "success"]
    assert offered(bench)[1:3] == [["memory_replace"]] * 2


async def test_what_comes_first_still_does_after_a_refused_call(bench: Bench) -> None:
    rule = {"type": "run_first", "tool_name": "memory_insert", "args": {"new_string": "fixed"}}
    agent = await ruled(bench, rule)
    await bench.tell(agent, calls(REPLACE), calls(NOTE), says("Done."))
    assert offered(bench)[:2] == [["memory_insert"]] * 2
    assert await bench.text("notes") == "\nfixed"


async def test_a_refused_call_is_not_the_one_that_is_required_before_the_end(bench: Bench) -> None:
    rules: list[dict[str, Any]] = [
        {"type": "required_before_exit", "tool_name": "memory_replace"},
        {"type": "parent_last_tool", "tool_name": "memory_insert", "children": ["memory_replace"]},
    ]
    agent = await ruled(bench, *rules)
    run = await bench.tell(
        agent, calls(REPLACE), says("I stop."), calls(NOTE), calls(REPLACE), says("Now I may.")
    )
    assert (run.stop_reason, run.step_count) == ("end_turn", 5)
    assert await bench.text("notes") == "\ny"


async def test_the_result_that_a_condition_looks_at_is_not_a_refusal(bench: Bench) -> None:
    rule = {
        "type": "conditional",
        "tool_name": "memory_insert",
        "child_output_mapping": {"\nx": "memory_replace"},
        "require_output_mapping": True,
    }
    agent = await ruled(bench, rule)
    await bench.tell(agent, calls(NOTE), calls(NOTE), calls(REPLACE))
    assert offered(bench)[1:3] == [["memory_replace"]] * 2


async def test_whoever_takes_over_counts_no_refused_calls_either(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = {"type": "max_count_per_step", "tool_name": "memory_insert", "max_count_limit": 2}
    first = {"type": "run_first", "tool_name": "conversation_search"}
    agent = await ruled(bench, rule, first)
    search = call("conversation_search", query="x")
    run = await bench.script(agent, calls(NOTE), calls(search), calls(NOTE), calls(NOTE), says("Done."))

    async def dies() -> None:
        raise WorkerKilled

    bench.models.meanwhile[3] = dies
    with pytest.raises(WorkerKilled):
        await bench.carry(agent)
    await bench.take_over(agent)
    assert [one.status for one in await bench.results(run)] == ["error", "success", "success", "success"]
    assert offered(bench)[-2] == ["conversation_search", "memory_insert", "memory_replace"]
    assert offered(bench)[-1] == ["conversation_search", "memory_replace"]


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ({"nonsense": "x"}, "nonsense is no argument of it"),
        ({"insert_line": "two"}, "insert_line must be of type integer"),
        ({"insert_line": True}, "insert_line must be of type integer"),
    ],
)
async def test_a_rule_that_fixes_what_a_tool_does_not_take_ends_the_turn(
    bench: Bench, args: dict[str, Any], why: str
) -> None:
    agent = await ruled(bench, {"type": "run_first", "tool_name": "memory_insert", "args": args})
    run = await bench.tell(agent, calls(NOTE), says("Never said."))
    assert (run.status, run.stop_reason, run.step_count) == ("failed", "invalid_tool_call", 1)
    [result] = await bench.results(run)
    assert (result.status, result.text.endswith(why)) == ("error", True)
    assert await bench.text("notes") == ""
    [step] = await bench.service.runs.steps("default", run.id)
    assert (step.status, step.stop_reason) == ("failed", "invalid_tool_call")


async def test_a_call_that_is_refused_is_not_looked_at_for_what_a_rule_fixes(bench: Bench) -> None:
    first = {"type": "run_first", "tool_name": "memory_insert"}
    other = {"type": "run_first", "tool_name": "memory_rethink", "args": {"nonsense": 1}}
    agent = await ruled(bench, first, other)
    run = await bench.tell(agent, calls(call("memory_rethink")), calls(NOTE), says("Done."))
    assert (run.status, run.stop_reason) == ("completed", "end_turn")
