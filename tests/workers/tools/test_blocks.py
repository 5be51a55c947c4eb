"""The memory tools: what each does to a block, what it gives back, and every way it can be refused."""

import asyncio
from typing import Any

import pytest

from service.prompts import LINE_NUMBER_WARNING
from service.records.messages import ToolReturn
from tests.workers.bench import WS, Bench, call, calls, says

pytestmark = pytest.mark.anyio

TOOLS = ["core_memory_append", "core_memory_replace", "memory_rethink", "memory_finish_edits", "memory"]
TOOLS += ["memory_apply_patch"]
Used = tuple[str, dict[str, Any]]
"""A tool and what it is given besides the label."""
PRESENT = "alpha\nbeta\ngamma"
EDITING: dict[str, dict[str, Any]] = {
    "core_memory_append": {"content": "x"},
    "core_memory_replace": {"old_content": "beta", "new_content": "x"},
    "memory_insert": {"new_string": "x"},
    "memory_replace": {"old_string": "beta", "new_string": "x"},
    "memory_rethink": {"new_memory": "x"},
    "memory_apply_patch": {"patch": "-beta\n+x"},
}


async def use(bench: Bench, name: str, value: str = PRESENT, **arguments: Any) -> ToolReturn:
    """What one tool call gave back; `notes` holds a value, `other` is empty."""
    agent = await bench.agent({"notes": value, "other": ""}, tools=TOOLS)
    run = await bench.tell(agent, calls(call(name, **arguments)), says("Done."))
    [result] = await bench.results(run)
    return result


@pytest.mark.parametrize(
    ("name", "arguments", "value", "becomes"),
    [
        ("core_memory_append", {"content": "delta"}, PRESENT, f"{PRESENT}\ndelta"),
        ("core_memory_append", {"content": "first"}, "", "\nfirst"),
        ("core_memory_append", {"content": "a\tb"}, "", "\na\tb"),
        ("core_memory_append", {"content": "1→ kept as it is"}, "", "\n1→ kept as it is"),
        ("core_memory_replace", {"old_content": "a", "new_content": "o"}, "banana", "bonono"),
        ("core_memory_replace", {"old_content": "beta\n", "new_content": ""}, PRESENT, "alpha\ngamma"),
        ("core_memory_replace", {"old_content": "\t", "new_content": "\t\t"}, "a\tb", "a\t\tb"),
        ("memory_insert", {"new_string": "end"}, PRESENT, f"{PRESENT}\nend"),
        ("memory_insert", {"new_string": "end", "insert_line": -1}, PRESENT, f"{PRESENT}\nend"),
        ("memory_insert", {"new_string": "top", "insert_line": 0}, PRESENT, f"top\n{PRESENT}"),
        ("memory_insert", {"new_string": "mid", "insert_line": 1}, PRESENT, "alpha\nmid\nbeta\ngamma"),
        ("memory_insert", {"new_string": "end", "insert_line": 3}, PRESENT, f"{PRESENT}\nend"),
        ("memory_insert", {"new_string": "one\ntwo", "insert_line": 0}, "x", "one\ntwo\nx"),
        ("memory_insert", {"new_string": "first"}, "", "\nfirst"),
        ("memory_insert", {"new_string": "a\tb", "insert_line": None}, "x", "x\na       b"),
        ("memory_replace", {"old_string": "beta", "new_string": "BETA"}, PRESENT, "alpha\nBETA\ngamma"),
        ("memory_replace", {"old_string": "beta\n", "new_string": ""}, PRESENT, "alpha\ngamma"),
        ("memory_replace", {"old_string": "a\tb", "new_string": "a\tc"}, "a\tb", "a       c"),
        ("memory_replace", {"old_string": "ä", "new_string": "🌍"}, "bär", "b🌍r"),
        ("memory_rethink", {"new_memory": "all\tnew"}, PRESENT, "all     new"),
        ("memory_rethink", {"new_memory": ""}, PRESENT, ""),
        ("memory_apply_patch", {"patch": " alpha\n-beta\n+BETA"}, PRESENT, "alpha\nBETA\ngamma"),
        ("memory_apply_patch", {"patch": "@@\n+end"}, PRESENT, f"{PRESENT}\nend"),
        ("memory_apply_patch", {"patch": "-a\tb\n+a\tc"}, "a\tb", "a\tc"),
    ],
)  # fmt: skip
async def test_an_edit_gives_back_the_whole_new_value(
    bench: Bench, name: str, arguments: dict[str, Any], value: str, becomes: str
) -> None:
    result = await use(bench, name, value, label="notes", **arguments)
    assert (result.status, result.text, result.stderr) == ("success", becomes, None)
    block = await bench.read("notes")
    assert (block.value, block.version, block.chars) == (becomes, 2, len(becomes))
    assert await bench.text("other") == ""


@pytest.mark.parametrize("name", EDITING)
async def test_an_edit_names_its_agent_its_run_and_its_tool(bench: Bench, name: str) -> None:
    agent = await bench.agent({"notes": PRESENT}, tools=TOOLS)
    run = await bench.tell(agent, calls(call(name, label="notes", **EDITING[name])), says("Done."))
    change = (await bench.service.changes.after(WS, "0-0"))[-1]
    assert (change.kind, change.block_id, change.version) == ("edited", bench.ids["notes"], 2)
    author = change.author
    assert (author.name, author.agent_id, author.run_id, author.tool, author.call) == (
        agent.name,
        agent.id,
        run.id,
        name,
        0,
    )
    assert author.step_id == (await bench.service.runs.steps(WS, run.id))[0].id


async def test_finishing_gives_back_nothing_and_ends_the_turn_of_a_memory_keeper(bench: Bench) -> None:
    agent = await bench.agent(agent_type="sleeptime_agent")
    run = await bench.tell(agent, calls(call("memory_finish_edits")), says("never"))
    assert (run.stop_reason, run.step_count) == ("tool_rule", 1)
    assert (await bench.results(run))[0].text == "None"


@pytest.mark.parametrize("name", EDITING)
async def test_a_label_that_is_not_attached_lists_those_that_are(bench: Bench, name: str) -> None:
    result = await use(bench, name, label="nothing", **EDITING[name])
    kind = "ValueError" if name == "memory_apply_patch" else "KeyError"
    said = "Block field nothing does not exist (available labels: notes, other)"
    text = said if kind == "ValueError" else f"'{said}'"
    assert (result.status, result.text) == ("error", text)
    assert result.stderr == [f"Error executing function {name}: {kind}: {text}"]


async def test_an_agent_without_blocks_is_told_that_there_are_none(bench: Bench) -> None:
    run = await bench.tell(await bench.agent(), calls(call("memory_insert", label="notes", new_string="x")))
    assert "(available labels: none)" in (await bench.results(run))[0].text


@pytest.mark.parametrize("name", EDITING)
async def test_a_read_only_block_is_refused_before_all_else(bench: Bench, name: str) -> None:
    block = await bench.block("law", PRESENT, read_only=True)
    agent = await bench.agent(share=[block], tools=TOOLS)
    wrong = {argument: "1→ not there" for argument in EDITING[name]}
    if name == "core_memory_append":
        wrong = EDITING[name]
    run = await bench.tell(agent, calls(call(name, label="law", **wrong)), says("Done."))
    [result] = await bench.results(run)
    assert result.status == "error"
    assert result.text.startswith("Error: the block 'law' is read-only")
    assert await bench.text("law") == PRESENT


@pytest.mark.parametrize("name", [name for name in EDITING if name != "memory_replace"])
async def test_over_the_limit_it_says_how_much_to_cut(bench: Bench, name: str) -> None:
    block = await bench.block("small", "beta", limit=10)
    agent = await bench.agent(share=[block], tools=TOOLS)
    last = list(EDITING[name])[-1]
    arguments = EDITING[name] | {last: "-beta\n+" + "y" * 23 if name == "memory_apply_patch" else "y" * 23}
    run = await bench.tell(agent, calls(call(name, label="small", **arguments)), says("Done."))
    [result] = await bench.results(run)
    assert result.status == "error"
    length = {"core_memory_append": 28, "memory_insert": 28}.get(name, 23)
    assert f"would have {length} characters and may have 10" in result.text
    assert f"Cut at least {length - 10} characters" in result.text
    assert (result.stderr or [""])[0].startswith(f"Error executing function {name}: ValueError: ")
    assert await bench.text("small") == "beta"


async def test_an_overlong_block_may_still_be_shortened(bench: Bench) -> None:
    block = await bench.block("small", "x" * 30)
    agent = await bench.agent(share=[block], tools=TOOLS)
    await bench.edit("small", "configure", fields={"limit": 10})
    await bench.tell(agent, calls(call("memory_rethink", label="small", new_memory="y" * 20)), says("Done."))
    assert await bench.text("small") == "y" * 20


def swaps(old: str, new: str) -> Used:
    return "memory_replace", {"old_string": old, "new_string": new}


def swaps_all(old: str, new: str) -> Used:
    return "core_memory_replace", {"old_content": old, "new_content": new}


def inserts(text: str, line: int = -1) -> Used:
    return "memory_insert", {"new_string": text, "insert_line": line}


def patches(text: str) -> Used:
    return "memory_apply_patch", {"patch": text}


@pytest.mark.parametrize(
    ("used", "said"),
    [
        (swaps_all("delta", ""), "'delta' not found in the memory block 'notes'"),
        (swaps_all("", "x"), "must not be empty"),
        (swaps("delta", ""), "'delta' not found in the memory block 'notes'"),
        (swaps("y" * 300, ""), "'" + "y" * 200 + "…' not found"),
        (swaps("a", "x"), "more than once in memory block 'notes' (lines 1, 1, 2, 3, 3)"),
        (swaps("", "x"), "must not be empty"),
        (swaps("2→ beta", "x"), "old_string contains line numbers; they are for display only"),
        (swaps("beta", "x\n 3→ y"), "new_string contains line numbers"),
        (swaps(LINE_NUMBER_WARNING, ""), "old_string contains the note on line numbers"),
        (inserts("x", 4), "insert_line must be between 0 (the top) and 3 (the end)"),
        (inserts("x", -2), "insert_line must be between 0"),
        (inserts("1→ x"), "new_string contains line numbers"),
        (inserts(f"a\n{LINE_NUMBER_WARNING}"), "new_string contains the note"),
        (("memory_rethink", {"new_memory": "1→ alpha\n2→ beta"}), "new_memory contains line numbers"),
        (patches("-delta\n+x"), "context not found"),
        (patches("\n"), "no hunks"),
        (patches("-2→ beta\n+x"), "patch contains line numbers"),
        (patches(" beta\n+3→ x"), "patch contains line numbers"),
        (patches(f"+{LINE_NUMBER_WARNING}"), "patch contains the note"),
    ],
)
async def test_what_cannot_be_done_is_a_value_error_that_says_why(
    bench: Bench, used: Used, said: str
) -> None:
    name, arguments = used
    result = await use(bench, name, label="notes", **arguments)
    assert result.status == "error"
    assert said in result.text
    assert (result.stderr or [""])[0].startswith(f"Error executing function {name}: ValueError: ")
    assert (await bench.read("notes")).version == 1


async def test_an_ambiguous_patch_is_refused_with_the_lines(bench: Bench) -> None:
    result = await use(bench, "memory_apply_patch", "same\nsame", label="notes", patch="-same\n+x")
    assert "ambiguous" in result.text
    assert "lines 1, 2" in result.text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"label": "notes"}, "memory_insert() missing 1 required argument: 'new_string'"),
        ({}, "memory_insert() missing 2 required arguments: 'label' and 'new_string'"),
        ({"label": "notes", "new_string": "x", "where": 1}, "got an unexpected keyword argument 'where'"),
        ({"label": "notes", "new_string": 5}, "argument 'new_string' should be a valid string"),
        ("{broken", "arguments are not valid JSON"),
        ("[]", "arguments must be a JSON object, not list"),
    ],
)
async def test_wrong_arguments_are_a_type_error_as_python_would_say_it(
    bench: Bench, arguments: Any, said: str
) -> None:
    agent = await bench.agent({"notes": "x"})
    made = {"name": "memory_insert", "arguments": arguments}
    run = await bench.tell(agent, calls(made), says("Done."))
    [result] = await bench.results(run)
    assert result.status == "error"
    assert said in result.text
    assert (result.stderr or [""])[0].startswith("Error executing function memory_insert: TypeError: ")


async def test_a_long_refusal_keeps_to_its_line(bench: Bench) -> None:
    labels = {f"a-rather-long-label-number-{n:03}": "" for n in range(60)}
    agent = await bench.agent(labels)
    run = await bench.tell(agent, calls(call("memory_insert", label="x", new_string="y")), says("Done."))
    [result] = await bench.results(run)
    assert len((result.stderr or [""])[0]) == 1000
    assert len(result.text) > 1000


async def test_many_agents_append_at_once_and_nothing_is_lost(bench: Bench) -> None:
    block = await bench.block("board")
    agents = [await bench.agent(share=[block], tools=TOOLS) for _ in range(6)]
    for n, agent in enumerate(agents):
        tool, argument = [("core_memory_append", "content"), ("memory_insert", "new_string")][n % 2]
        made = [calls(call(tool, label="board", **{argument: f"{n}.{m}"})) for m in range(5)]
        await bench.script(agent, *made)
    await asyncio.gather(*(bench.carry(agent) for agent in agents))
    lines = (await bench.text("board")).splitlines()[1:]
    assert sorted(lines) == sorted(f"{n}.{m}" for n in range(6) for m in range(5))
    assert (await bench.read("board")).version == 31
